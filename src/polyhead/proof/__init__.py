"""Proof that a model is the function it should be: beside transformers, beside another, after it was converted.

verifying.py   verify(a, b) -> Report
converting.py  convert(model, to, out) -> Converted: written, read back, proved
questions.py   what is asked
ours.py        what we answer
reference.py   what transformers answers
measures.py    how far apart answers are, and may be
weights.py     weights beside weights
"""

from .converting import Converted, convert
from .verifying import Report, verify

__all__ = ["Converted", "Report", "convert", "verify"]
