"""Trained models at work that do not write: texts → classes, tags, spans, vectors, fillings; images → classes; and the field's metrics.

    reading.py     the head that is asked, what its logits mean, texts between special tokens, rows through the network
    rows.py        rows of ids → batches
    windows.py     texts longer than a model reads
    classify.py    texts and pairs → classes or numbers; texts ranked for a query
    fill.py        texts with gaps → the tokens that may stand there
    tag.py         words → tags, and the entities they spell
    answer.py      a question and a context → spans
    embed.py       texts → vectors
    images.py      images → classes
    talking.py     a decoder beside conversations and preferences
    metrics.py     what was said and what was right → the field's numbers, by the field's libraries
    squad.py       SQuAD's own two, as its script computes them
    bootstrap.py   how sure such a number is

Users meet them as methods of Model (generate/verbs.py).
"""

from .answer import Answer, Answers
from .classify import Classified, Ranked
from .fill import Choice, Filled
from .metrics import Score
from .tag import Entity, Tags, Word

__all__ = ["Answer", "Answers", "Choice", "Classified", "Entity", "Filled", "Ranked", "Score", "Tags", "Word"]
