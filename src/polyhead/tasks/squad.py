"""SQuAD's exact match and F1, as its official evaluation script (version 2.0) computes them for one question."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_SIGNS = frozenset(string.punctuation)


def normalised(text: str) -> str:
    """Lower case, without ASCII punctuation, without articles, blanks made single: in this order, as the script does."""
    text = "".join(letter for letter in text.lower() if letter not in _SIGNS)
    return " ".join(_ARTICLES.sub(" ", text).split())


def scores(given: str, accepted: Sequence[str]) -> tuple[float, float]:
    """(exact match, F1), 0 to 1, the best over the accepted answers; none accepted: 1 for an answer that is empty."""
    known = [text for text in accepted if normalised(text)] or [""]
    return max(float(normalised(given) == normalised(text)) for text in known), max(f1(given, text) for text in known)


def f1(given: str, wanted: str) -> float:
    """The F1 of words that both share, counted as often as both have them."""
    one, other = normalised(given).split(), normalised(wanted).split()
    if not one or not other:
        return float(one == other)
    same = sum((Counter(one) & Counter(other)).values())
    return 2 * same / (len(one) + len(other)) if same else 0.0
