"""The lab: what people say about Transformers, each claim a small measured experiment with a rule fixed beforehand.

    claim     what a claim is: what is said, how it is measured, the rule that gives the verdict, the figure
    table     the numbers of a claim by arm and seed, with intervals
    small     the small models that claims are measured on; training trains them, corpus is the text, language both together
    style     how figures look, and the drawings that claims share
    claims/   one file per claim; results/ what was measured of them
    finding   claims by id and by file
    running   what is not measured yet is measured, in the processes of pool, and kept as results says
    pages/    a page for every question of the notes, one file of them per topic
    book/     all of it for reading: HTML, Markdown, PDF
"""
