"""The lab's book: what was measured and what is asked, for reading.

    content    claims, findings and pages, joined: what every form is written from
    gather     the same from the files of claims, results and pages
    words      what all forms say in the same words
    text       the small Markdown of the texts
    numbers    a claim's numbers as a table
    formula    TeX as outlines
    svg        matplotlib's figures made small, light and dark in one
    html       one file, with book.html.jinja, book.css and book.js
    markdown   docs/lab; `python -m polyhead.lab.book` writes it anew
    pdf        the review
"""
