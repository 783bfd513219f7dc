"""C63: do SentencePiece and byte-level tokenizers work without relying on whitespace?"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from polyhead.text import Tokenizer

from .. import style
from ..claim import Claim, Ruling, Trial, Verdict
from ..corpus import corpus, decode
from ..table import Numbers, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEARNT, READ, SIZE = 300_000, 20_000, 8_000  # characters, characters, tokens
UNUSUAL = "  naïve\tcafé\n\n東京 is 2× “big”; 👩‍👩‍👧  "
USUAL = ("byte-level BPE (GPT-2)", "SentencePiece, unigram", "SentencePiece, BPE")
UNSPLIT = "byte-level BPE, unsplit"


def crosses(token: str) -> bool:
    """Whether a token has a blank between two other characters: it spans words."""
    return any(c.isspace() for c in token.strip())


def measure(trial: Trial) -> Numbers:
    """Each seed learns from and reads another stretch of the corpus."""
    kind, options = trial.arm
    learnt = 5_000 if trial.mode == "smoke" else LEARNT
    text = corpus()
    start = trial.seed * (len(text.train) - learnt) // 8
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a smoke run's text has fewer tokens to offer
        made = Tokenizer.train([decode(text.train[start : start + learnt])], kind, SIZE, **options)
    begin = trial.seed * (len(text.held) - READ) // 8
    held = decode(text.held[begin : begin + READ])
    pieces = [made.decode([i]) for i in made.encode(held)]
    joined = "".join(held.split())
    return {
        "crossing": sum(map(crosses, pieces)) / len(pieces), "characters_per_token": len(held) / len(pieces),
        "without_blanks": len(joined) / len(made.encode(joined)),
        "lossless": float(all(made.decode(made.encode(one)) == one for one in (held, joined, UNUSUAL))),
    }  # fmt: skip


def rule(table: Table) -> Ruling:
    crossing = {arm: table.interval(arm, "crossing") for arm in table.arms}
    across = [arm for arm in USUAL if crossing[arm].mean > 0.01]
    words = (
        "Tokens that span a blank between words: "
        + ", ".join(f"{crossing[arm].mean:.1%} ({arm})" for arm in table.arms)
        + f". Without any splitting a token holds {table.mean(UNSPLIT, 'characters_per_token'):.2f} characters, with GPT-2's "
        f"{table.mean(USUAL[0], 'characters_per_token'):.2f}; all give the text back exactly: {all(table.mean(arm, 'lossless') == 1 for arm in table.arms)}."
    )
    if crossing[UNSPLIT].low < 0.05:
        return Ruling(Verdict.OPEN, words)
    if len(across) == len(USUAL):
        return Ruling(Verdict.HOLDS, words)
    return Ruling(Verdict.CONDITION if across else Verdict.WRONG, words)


def draw(table: Table) -> Figure:
    fig, axes = style.figure(columns=2)
    names = {arm: arm.replace(", ", "\n").replace(" (", "\n(").replace("byte-level ", "byte-level\n") for arm in table.arms}
    style.bars(axes[0], table, "crossing", names, format="{:.1%}")
    axes[0].set_ylabel("share of tokens that span words")
    style.bars(axes[1], table, "characters_per_token", names, format="{:.2f}")
    axes[1].set_ylabel("characters per token")
    for panel in axes:
        panel.tick_params(axis="x", labelsize=7.5)
    return fig


CLAIM = Claim(
    id="C63",
    title="Do SentencePiece and byte-level tokenizers do without whitespace?",
    topic="tokens",
    kind="trained",
    statement="SentencePiece and byte-level encodings work directly on raw text, without relying on whitespace.",
    notes=("001 Q17",),
    literature="SentencePiece treats blanks as a symbol and offers both BPE and unigram models (Kudo & Richardson 2018, arXiv 1808.06226); by default its pieces "
    "do not cross blanks (split_by_whitespace). GPT-2's byte-level BPE first cuts text with a regular expression at blanks (Radford et al. 2019 and "
    "its code), so that no merge crosses words.",
    method="8000 tokens are learnt from 300 000 characters of the demo's corpus: byte-level BPE with GPT-2's expression and without any splitting, SentencePiece's "
    "unigram and BPE with its default. Counted on 20 000 held-out characters: tokens with a blank between other characters; characters per token, "
    "also with all blanks removed; whether text comes back exactly.",
    decides="Wrong if in none of the three usual tokenizers more than 1% of tokens span a blank, while without splitting more than 5% do; holds if in all three, with a "
    "condition if in some. Not decided if tokens learnt without splitting span none.",
    expected=Verdict.WRONG,
    arms={
        USUAL[0]: ("byte_bpe", {}), UNSPLIT: ("byte_bpe", {"pretokenize": False}), USUAL[1]: ("sentencepiece", {"backend": "unigram"}),
        USUAL[2]: ("sentencepiece", {"backend": "bpe"}),
    },
    measure=measure,
    rule=rule,
    draw=draw,
    units={"crossing": "share of tokens", "characters_per_token": "characters", "without_blanks": "characters per token"},
    corpus=True,
    limits="All of them read raw text and give it back exactly; that half of the sentence is true. SentencePiece can be told not to split.",
)  # fmt: skip
