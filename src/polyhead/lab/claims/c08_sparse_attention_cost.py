"""C08: is the attention of Longformer and BigBird O(n log n)?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from polyhead.nn import At, BlockSparse, Full, Marked, Or, Strided, Window
from polyhead.nn.pattern import placed

from .. import style
from ..claim import Claim, Ruling, Trial, Verdict
from ..table import Numbers, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROWS = 256  # queries counted at once
LENGTHS = (1024, 2048, 4096, 8192)  # from where the ends of a row are few beside its middle


class LogSparse:
    """A token sees itself and those 1, 2, 4, 8, … before it (Li et al. 2019, arXiv 1907.00235): log₂ n keys a query."""

    def allows(self, q: At, k: At) -> Tensor:
        back = q.pos - k.pos
        return (back == 0) | ((back > 0) & ((back & (back - 1)) == 0))


def pattern(name: str, n: int) -> Any:
    """Who sees whom at n tokens. The sizes of windows and blocks are held while n grows, as their papers do; a strided
    pattern's stride is √n."""
    made: dict[str, Any] = {
        "full": Full(),
        "log": LogSparse(),
        "longformer": Or(parts=(Window(back=32, ahead=32), Marked())),
        "bigbird": BlockSparse(block=32, random=3),
        "strided": Strided(stride=round(n**0.5), back=round(n**0.5)),
    }
    return made[name]


def count(chosen: Any, n: int) -> int:
    """(query, key) pairs that a pattern allows among n tokens of which two are global."""
    marks = torch.zeros(1, n, dtype=torch.bool)
    marks[:, :2] = True
    at = At(torch.arange(n).unsqueeze(0), mark=marks)
    q, k = (at, at) if isinstance(chosen, LogSparse) else placed(chosen, at, at)
    total = 0
    for start in range(0, n, ROWS):
        rows = q.take(torch.arange(start, min(start + ROWS, n)).unsqueeze(0))
        total += int(chosen.allows(rows.rows(), k.cols()).expand(1, 1, rows.pos.shape[1], n).sum())
    return total


def measure(trial: Trial) -> Numbers:
    lengths = LENGTHS[:2] if trial.mode == "smoke" else trial.pick(LENGTHS, (*LENGTHS, 16384))
    pairs = [count(pattern(trial.arm, n), n) for n in lengths]
    return {"length": list(lengths), "pairs": pairs, "per_query": [p / n for p, n in zip(pairs, lengths, strict=True)]}


GROWTHS = ("n", "n log n", "n^1.5", "n²")


def fit(lengths: np.ndarray, pairs: np.ndarray) -> tuple[str, float]:
    """Which of the growths c·g(n), each with one free constant, is nearest in logarithms; and the log-log slope."""
    logs, n = np.log(pairs), lengths
    shapes = [n, n * np.log(n), n**1.5, n**2.0]
    misfit = [float(np.std(logs - np.log(shape))) for shape in shapes]
    return GROWTHS[int(np.argmin(misfit))], float(np.polyfit(np.log(n), logs, 1)[0])


def rule(table: Table) -> Ruling:
    found = {arm: fit(table.curve(arm, "length"), table.curve(arm, "pairs")) for arm in table.arms}
    said = {arm: f"{name} (slope {slope:.2f})" for arm, (name, slope) in found.items()}
    if found["full"][0] != "n²" or found["LogSparse"][0] != "n log n":
        return Ruling(Verdict.OPEN, f"The count misjudges its controls: full {said['full']}, LogSparse {said['LogSparse']}.")
    growth = {found["Longformer"][0], found["BigBird"][0]}
    words = f"Longformer grows as {said['Longformer']}, BigBird as {said['BigBird']}; LogSparse, which is n log n, as {said['LogSparse']}."
    if growth == {"n log n"}:
        return Ruling(Verdict.HOLDS, words)
    if "n log n" in growth:
        return Ruling(Verdict.CONDITION, words)
    return Ruling(Verdict.WRONG, words)


def draw(table: Table) -> Figure:
    fig, axes = style.figure()
    for index, arm in enumerate(table.arms):
        x, y = table.curve(arm, "length"), table.curve(arm, "per_query")
        axes.plot(x, y, marker="o", color=style.colour(index))
        name = fit(x, table.curve(arm, "pairs"))[0]
        axes.annotate(f"{arm}: {name}", (x[-1], y[-1]), (8, -3), textcoords="offset points", fontsize=8.5, color=style.colour(index))
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2)
    axes.set_xlim(right=x[-1] * 4)
    axes.set_xlabel("length n (tokens)")
    axes.set_ylabel("keys per query (pairs / n)")
    axes.set_title("A flat line is O(n)")
    return fig


CLAIM = Claim(
    id="C08",
    title="Is the attention of Longformer and BigBird O(n log n)?",
    topic="efficiency",
    kind="counting",
    statement="Longformer and BigBird make attention O(n log n).",
    notes=("003 §6",),
    literature="Longformer's attention \"scales linearly with sequence length\" (Beltagy et al. 2020, arXiv 2004.05150); BigBird "
    "\"reduces this quadratic dependency to linear\" (Zaheer et al. 2020, arXiv 2007.14062). O(n log n) belongs to Reformer's hashing "
    "(Kitaev et al. 2020, arXiv 2001.04451) and to LogSparse (Li et al. 2019, arXiv 1907.00235); the Sparse Transformer is O(n√n) "
    "(Child et al. 2019, arXiv 1904.10509).",
    method="The (query, key) pairs that each pattern allows are counted one by one at n = 1024 … 8192: Longformer with a window of 32 to each "
    "side and 2 global tokens, BigBird with blocks of 32 (3 near, 2 global, 3 random), the Sparse Transformer with stride √n, LogSparse, "
    "full attention. c·n, c·n·log n, c·n^1.5 and c·n² are fitted in logarithms, each with one constant.",
    decides="Wrong if neither Longformer's nor BigBird's count is fitted best by n log n; holds if both are, with a condition if one is. Not "
    "decided if the same fit does not find n² for full attention and n log n for LogSparse.",
    expected=Verdict.WRONG,
    arms={"full": "full", "Longformer": "longformer", "BigBird": "bigbird", "Sparse Transformer": "strided", "LogSparse": "log"},
    measure=measure,
    rule=rule,
    draw=draw,
    units={"length": "tokens", "pairs": "pairs", "per_query": "keys"},
    seeds=(1, 1),
    limits="Pairs are counted, not seconds; BigBird sees everything up to 352 tokens here, and is linear only beyond that.",
)
