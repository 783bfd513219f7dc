"""Context-free grammars with weights: drawing a sentence, and a parser that says whether a grammar has one."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

Rules = Sequence[tuple[float, str]]  # weight, right-hand side: symbols and words apart by blanks
Grammar = Mapping[str, Rules]  # what is no key is a word; no rule may begin with its own symbol

_NOUNS = {"1": "cat dog child farmer singer doctor painter baker neighbour driver", "2": "cats dogs children farmers singers doctors painters bakers neighbours drivers"}
_ALONE = {"1": "sleeps waits sings laughs", "2": "sleep wait sing laugh"}
_WITH = {"1": "sees likes helps follows visits", "2": "see like help follow visit"}
_SAYING = {"1": "says thinks knows", "2": "say think know"}
_BEFORE = {"1": "the a every", "2": "the some many"}


def _words(text: str) -> Rules:
    return [(1, word) for word in text.split()]


def english() -> dict[str, Rules]:
    """Sentences in which a subject and its verb agree in number (1, 2) however much stands between them: relative clauses of
    both kinds, places, and clauses within clauses."""
    rules: dict[str, Rules] = {
        "SENTENCE": [(1, "CLAUSE .")], "CLAUSE": [(1, "NP1 VP1"), (1, "NP2 VP2")], "NP": [(1, "NP1"), (1, "NP2")],
        "A": _words("old small happy quiet tall"), "P": _words("near behind with"),
    }  # fmt: skip
    for n in "12":
        rules[f"NP{n}"] = [(5, f"D{n} N{n}"), (2, f"D{n} A N{n}"), (1, f"D{n} N{n} P NP"), (1, f"D{n} N{n} that VP{n}"),
                           (0.5, f"D{n} N{n} that NP1 T1"), (0.5, f"D{n} N{n} that NP2 T2")]  # fmt: skip
        rules[f"VP{n}"] = [(3, f"V{n}"), (4, f"T{n} NP"), (1, f"S{n} that CLAUSE")]
        for kind, words in (("D", _BEFORE), ("N", _NOUNS), ("V", _ALONE), ("T", _WITH), ("S", _SAYING)):
            rules[f"{kind}{n}"] = _words(words[n])
    return rules


def sentence(grammar: Grammar, draw: random.Random, symbol: str = "SENTENCE") -> list[str]:
    """Words drawn by the rules' weights."""
    if symbol not in grammar:
        return [symbol]
    rules = grammar[symbol]
    right = draw.choices([right for _, right in rules], [weight for weight, _ in rules])[0]
    return [word for part in right.split() for word in sentence(grammar, draw, part)]


def accepts(grammar: Grammar, words: Sequence[str], symbol: str = "SENTENCE") -> bool:
    """Whether the grammar has this sentence: every way to read it is followed, each beginning once."""
    found: dict[tuple[str, int], frozenset[int]] = {}

    def ends(symbol: str, at: int) -> frozenset[int]:
        """Where what began at `at` may end."""
        if symbol not in grammar:
            return frozenset({at + 1}) if at < len(words) and words[at] == symbol else frozenset()
        if (symbol, at) not in found:
            places: set[int] = set()
            for _, right in grammar[symbol]:
                front = {at}
                for part in right.split():
                    front = {end for begin in front for end in ends(part, begin)}
                places |= front
            found[symbol, at] = frozenset(places)
        return found[symbol, at]

    return len(words) in ends(symbol, 0)
