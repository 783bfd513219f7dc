"""The lab: what people say about Transformers, each claim a small measured experiment with a rule fixed beforehand.

    claim     what a claim is: what is said, how it is measured, the rule that gives the verdict, the figure
    table     the numbers of a claim by arm and seed, with intervals
    claims/   one file per claim
    pages/    a page for every question of the notes, one file of them per topic
    book/     all of it for reading: HTML, Markdown, PDF
"""
