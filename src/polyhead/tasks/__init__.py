"""Trained models at work that do not write: texts → vectors, images → classes; and the field's metrics.

    rows.py        rows of ids → batches
    embed.py       texts → vectors
    images.py      images → classes
    metrics.py     what was said and what was right → the field's numbers, by the field's libraries
    squad.py       SQuAD's own two, as its script computes them
    bootstrap.py   how sure such a number is
"""
