"""C61: what BPE joins."""

from __future__ import annotations

import re
from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING

from polyhead.lab import style
from polyhead.lab.claim import Claim, Ruling, Trial, Verdict
from polyhead.lab.corpus import corpus, decode
from polyhead.lab.readable import bpe
from polyhead.lab.table import Numbers, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CHARACTERS, MERGES = 60_000, 500
AT = (0, 25, 50, 100, 200, 350, 500)  # merges after which texts are measured


def text(seed: int) -> Counter[bpe.Word]:
    """Words of a piece of the corpus, a space before each, with how often they come; each seed has a piece of its own."""
    ids = corpus().train
    start = seed * CHARACTERS % (len(ids) - CHARACTERS)
    return Counter(tuple(word) for word in re.findall(r"\s?\S+|\s", decode(ids[start : start + CHARACTERS])))


def characters_only(pair: bpe.Pair) -> bool:
    return len(pair[0]) == len(pair[1]) == 1


def fewest(word: bpe.Word, known: set[str]) -> int:
    """The least number of known pieces that make up the word."""
    whole, least = "".join(word), [0] + [10**9] * len(word)
    for end in range(1, len(whole) + 1):
        least[end] = 1 + min(least[start] for start in range(end) if whole[start:end] in known)
    return least[-1]


def measure(trial: Trial) -> Numbers:
    """trial.arm: symbols | characters, what may be joined."""
    words, characters = text(trial.seed), CHARACTERS
    merges = 20 if trial.mode == "smoke" else MERGES
    may = characters_only if trial.arm == "characters" else lambda pair: True
    found = list(islice(bpe.learn(words, may=may), merges))
    pairs = [pair for pair, _, _ in found]
    other = {pair for pair, _, _ in islice(bpe.learn(words, bpe.youngest, may), merges)}
    ranks = {pair: n for n, pair in enumerate(pairs)}
    sizes = []
    for at in AT:
        early = {pair: n for pair, n in ranks.items() if n < at}
        sizes.append(sum(often * len(bpe.encode(word, early)) for word, often in words.items()))
    known = {"".join(pair) for pair in pairs} | {c for word in words for c in word}
    return {
        "merges": len(found),
        "longer_share": sum(not characters_only(pair) for pair in pairs) / len(pairs),
        "longer_share_by_merge": [sum(not characters_only(pair) for pair in pairs[:n]) / min(n, len(pairs)) for n in AT[1:]],
        "first_longer": next((n for n, pair in enumerate(pairs, 1) if not characters_only(pair)), 0),
        "ties_share": sum(tied > 1 for _, _, tied in found) / len(found),
        "changed_by_tie_rule": 1 - len(other & set(pairs)) / len(pairs),
        "characters_per_token": [characters / size for size in sizes],
        "over_fewest": sizes[-1] / sum(often * fewest(word, known) for word, often in words.items()) - 1,
    }


def rule(table: Table) -> Ruling:
    share, first = table.mean("symbol pairs", "longer_share"), table.mean("symbol pairs", "first_longer")
    packed, literal = (table.curve(arm, "characters_per_token")[-1] for arm in ("symbol pairs", "character pairs only"))
    ties, changed = table.mean("symbol pairs", "ties_share"), table.mean("symbol pairs", "changed_by_tie_rule")
    over = table.mean("symbol pairs", "over_fewest")
    numbers = (
        f"Of {MERGES} merges {share:.0%} join a symbol that is longer than a character, the first of them merge {first:.0f}. They pack "
        f"{packed:.2f} characters into a token; joining characters alone packs {literal:.2f}. {ties:.0%} of the merges are ties, and another "
        f"rule for ties changes {changed:.1%} of them. Greedy encoding takes {over:.1%} more tokens than the same pieces need."
    )
    if packed < 1.05 * literal:
        return Ruling(Verdict.OPEN, "The two readings gave the same. " + numbers)
    return Ruling(Verdict.WRONG if share > 0.5 else Verdict.HOLDS if share < 0.01 else Verdict.CONDITION, numbers)


def draw(table: Table) -> Figure:
    fig, (left, right) = style.figure(columns=2)
    style.lines(left, table, "characters_per_token", AT)
    left.set(xlabel="merges learnt", ylabel="characters per token", title="What it packs")
    style.legend(left)
    style.line(right, AT[1:], 100 * table.values("symbol pairs", "longer_share_by_merge"), "join a longer symbol")
    for index, (name, label) in enumerate({"ties_share": "were ties", "changed_by_tie_rule": "change with the tie rule"}.items(), 1):
        right.axhline(100 * table.mean("symbol pairs", name), color=style.colour(index), linestyle="--", linewidth=1.4, label=label)
    right.set(xlabel="merges learnt", ylabel="merges, %", title="What is joined", ylim=(0, 100))
    style.legend(right)
    return fig


CLAIM = Claim(
    id="C61", title="Does BPE merge character pairs?", topic="tokens", kind="exact",
    statement="Byte pair encoding iteratively merges the most frequent character pairs into subword units.",
    notes=("001 Q17",),
    literature=(
        "Sennrich et al. 2016 (arXiv 1508.07909) §3.2: “iteratively count all symbol pairs and replace each occurrence of the most frequent "
        "pair”; pairs across words are not counted. GPT-2 (Radford et al. 2019) starts from bytes instead of characters."
    ),
    method=(
        f"The readable BPE of this package learns {MERGES} merges from {CHARACTERS:,} characters of the corpus, a piece per seed. One axis: "
        "any two neighbouring symbols may be joined, or, as the sentence says, characters only. Beside it: how many merges are ties, how many "
        "change when ties are broken the other way, and how far greedy encoding is from the fewest tokens."
    ),
    decides=(
        "Wrong if more than half of the merges join a symbol longer than a character; holds if fewer than 1 % do; with a condition between. "
        "Not decided if joining symbols packs less than 5 % more characters into a token than joining characters."
    ),
    expected=Verdict.WRONG,
    arms={"symbol pairs": "symbols", "character pairs only": "characters"},
    measure=measure, rule=rule, draw=draw, corpus=True,
    units={"longer_share": "share of merges", "ties_share": "share of merges", "over_fewest": "share of tokens"},
    limits="The corpus is source code and documentation; shares depend on text and size, that merged symbols are merged again does not.",
)  # fmt: skip
