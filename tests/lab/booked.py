"""A small book for tests: four claims of made-up numbers, and three questions."""

from __future__ import annotations

import random
from functools import cache
from typing import Any

from polyhead.lab import style
from polyhead.lab.book.content import Book, Finding
from polyhead.lab.claim import Claim, Ruling, Trial, Verdict
from polyhead.lab.pages import Page
from polyhead.lab.table import Table

LENGTHS = [64, 80, 128, 256, 512]
HOSTILE = "<script>alert('x')</script> & \"q\" **b**"


def measure(trial: Trial) -> dict[str, Any]:
    draw = random.Random(f"{trial.arm} {trial.seed}")
    start = 1.4 + draw.random() / 10
    return {"loss": start, "by_length": [start + trial.arm * i / 3 + draw.random() / 20 for i in range(len(LENGTHS))]}


def rule(table: Table) -> Ruling:
    gap = table.gap(*list(table.arms)[:2], "loss")
    return Ruling(Verdict.WRONG if gap.low > 0 else Verdict.OPEN, f"The gap is {gap} nats.")


def curves(table: Table) -> Any:
    made, (left, right) = style.figure(2)
    style.lines(left, table, "by_length", LENGTHS)
    left.set_xscale("log", base=2)
    left.set(xlabel="length tested (tokens)", ylabel="loss (nats per character)", title="Loss by length")
    style.reference(left, 64, "trained", vertical=True)
    style.legend(left)
    style.bars(right, table, "loss")
    right.set(ylabel="loss (nats)", title="At 64")
    return made


def heat(table: Table) -> Any:
    made, axes = style.figure(1)
    style.heat(axes, [[0.1, 0.9], [0.5, 0.4]], ["a", "b"], ["x", r"$d_k$"])
    axes.set(xlabel="key", ylabel="query")
    return made


def claim(id: str, **changes: Any) -> Claim:
    return Claim(**{
        "id": id, "title": "Do sinusoidal positions extrapolate?", "topic": "positions", "kind": "trained",
        "statement": "Sinusoidal encodings extrapolate to longer sequences.", "notes": ("002 Q11", "001 Q7"),
        "literature": "Vaswani et al. 2017 (arXiv 1706.03762) only say that it **may**. See C02.", "method": "Two arms, `none` and *sinusoidal*.",
        "decides": "wrong if the loss rises by more than 0.5 nats.", "expected": Verdict.WRONG, "arms": {"sinusoidal": 2.0, "ALiBi": 0.1},
        "measure": measure, "rule": rule, "draw": curves, "units": {"loss": "nats per character"}, "limits": "Small models.",
    } | changes)  # fmt: skip


CLAIMS = [
    claim("C01"),
    claim("C02", title=f"Hostile {HOSTILE}", statement=HOSTILE, topic="attention", draw=heat, arms={"only": 0.0}, limits=HOSTILE, seeds=(1, 1)),
    claim("C03", title="Does attention see the order of tokens?", topic="attention", kind="exact", expected=Verdict.HOLDS),
    claim("C04", title="Never run", topic="masks"),
]
VERDICTS = {"C01": Verdict.WRONG, "C02": Verdict.OPEN, "C03": Verdict.HOLDS}
PAGES = [
    Page(
        id="what-is-attention", topic="attention", question="What is attention?", asked=("001 Q10", "001 Q1", "004:128"), answer=f"A weighted mean of values. {HOSTILE}",
        formula=r"\mathrm{softmax}\left(\frac{QK^\top}{\sqrt{d_k}}\right)V", basic="**Basic** words, C03 and C99.\n\n- one\n- two `x<y`", intermediate="Intermediate words.",
        advanced="Advanced words.\n\n| a | b |\n|---|---|\n| 1 | 2 |", claims=("C03", "C02"), wrong=({"said": "E[QKᵀ] grows", "where": "004:128", "why": "Its mean is 0."},),
    ),
    Page(
        id="why-divide", topic="attention", question="Why divide by √dₖ?", asked=("001 Q3",), answer="So that the variance of scores is 1.", formula=r"\mathrm{Var}[q\cdot k]=d_k",
        basic="b", intermediate="i", advanced="a", claims=("C03",),
    ),
    Page(
        id="do-sinusoids-extrapolate", topic="positions", question="Do sinusoids extrapolate?", asked=("002 Q11",), answer="No. They fail by a quarter more length.",
        basic="b", intermediate="i", advanced="a", claims=("C01",),
    ),
]  # fmt: skip


@cache
def book() -> Book:
    """Shared by the tests, so that its figures are drawn once."""
    return Book(CLAIMS, {made.id: finding(made) for made in CLAIMS[:3]}, PAGES)


def small() -> Book:
    """A new one with a single claim."""
    return Book(CLAIMS[1:2], {"C02": finding(CLAIMS[1])}, PAGES[:1])


def finding(made: Claim) -> Finding:
    table = Table({arm: {seed: measure(Trial(value, seed)) for seed in range(made.seeds[0])} for arm, value in made.arms.items()})
    facts = {"machine": "a machine", "time": "1 min 5 s", "versions": "torch 2.13.0"}
    because = f"The loss is {table.interval(next(iter(made.arms)), 'loss')}. {HOSTILE if made.id == 'C02' else ''}"
    return Finding(Ruling(VERDICTS[made.id], because), table, "quick", (VERDICTS[made.id],) * (made.id != "C02"), facts)
