"""C22: what of a Transformer, a recurrent network and a convolution can run at once, and how long each takes on one core."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from polyhead.lab import style
from polyhead.lab.claim import Claim, Ruling, Trial, Verdict
from polyhead.lab.counting import flops, milliseconds, slope, span
from polyhead.lab.small import small
from polyhead.lab.table import Numbers, Table
from polyhead.nn import At
from polyhead.nn.attend import lower
from polyhead.nn.attention import View
from polyhead.nn.pattern import Causal

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH = 256
COUNTED = (8, 16, 32, 64, 128, 512)  # tokens: work and longest chain of the forward pass
TIMED = (32, 128, 512, 1024)  # tokens: forward and backward pass, one row
ROWS, ROWS_TIMED = 16, (32, 128)  # the same with more rows
PROCESSORS = [2**i for i in range(0, 31, 2)]


class Block(nn.Module):
    """One causal block of a Transformer, 12·d² parameters."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.block = small(8, width=WIDTH, layers=1).build(seed).top.layers[0]

    def forward(self, x: Tensor, counted: bool = False) -> Tensor:
        at = At(torch.arange(x.shape[1]).unsqueeze(0))
        backend = "reference" if counted else "auto"
        seen = lower(Causal(), at, at, heads=4, fresh=True, packed=False, dtype=x.dtype, backend=backend)  # type: ignore[arg-type]
        return self.block(x, View(at, seen, lambda t: t))[0]


class Lstm(nn.Module):
    """One LSTM layer, 8·d² parameters: torch's fused one, or cell by cell, so that its operations can be counted."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.layer = nn.LSTM(WIDTH, WIDTH, batch_first=True)

    def forward(self, x: Tensor, counted: bool = False) -> Tensor:
        if not counted:
            return self.layer(x)[0]
        cell = nn.LSTMCell(WIDTH, WIDTH)
        state: tuple[Tensor, Tensor] = (x.new_zeros(len(x), WIDTH), x.new_zeros(len(x), WIDTH))
        out = []
        for t in range(x.shape[1]):
            state = cell(x[:, t], state)
            out.append(state[0])
        return torch.stack(out, 1)


class Convolution(nn.Module):
    """Two causal convolutions over three tokens with a GELU between them and a skip connection, 6·d² parameters."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.first, self.second = nn.Conv1d(WIDTH, WIDTH, 3), nn.Conv1d(WIDTH, WIDTH, 3)

    def forward(self, x: Tensor, counted: bool = False) -> Tensor:
        inner = F.gelu(self.first(F.pad(x.transpose(1, 2), (2, 0))))
        return x + self.second(F.pad(inner, (2, 0))).transpose(1, 2)


ARMS: dict[str, Callable[[int], nn.Module]] = {"Transformer block": Block, "LSTM": Lstm, "convolution": Convolution}


def measure(trial: Trial) -> Numbers:
    """trial.arm: the layer."""
    layer, generator = trial.arm(trial.seed), torch.Generator().manual_seed(trial.seed)
    cut = 2 if trial.mode == "smoke" else None

    def rows(batch: int, n: int) -> Tensor:
        return torch.randn(batch, n, WIDTH, generator=generator)

    def train_step(x: Tensor) -> None:
        layer(x).square().mean().backward()

    with torch.no_grad():
        chains = [span(partial(layer, rows(1, n), counted=True)) for n in COUNTED[:cut]]
        work = [flops(partial(layer, rows(1, n), counted=True)) for n in COUNTED[:cut]]
    one = [milliseconds(partial(train_step, rows(1, n)), repeat=trial.pick(3, 7)) for n in TIMED[:cut]]
    many = [milliseconds(partial(train_step, rows(ROWS, n)), repeat=trial.pick(3, 7)) for n in ROWS_TIMED[:cut]]
    return {
        "span": chains, "work": work, "ms": one, "ms_rows": many, "span_exponent": slope(COUNTED[:cut], chains),
        "parameters": sum(p.numel() for p in layer.parameters()),
    }  # fmt: skip


def rule(table: Table) -> Ruling:
    block, lstm = "Transformer block", "LSTM"
    grows = {arm: table.mean(arm, "span_exponent") for arm in table.arms}
    chain = {arm: table.curve(arm, "span")[-1] for arm in table.arms}
    ratio = [*(table.curve(lstm, "ms") / table.curve(block, "ms")), *(table.curve(lstm, "ms_rows") / table.curve(block, "ms_rows"))]
    numbers = (
        f"The longest chain of a forward pass over {COUNTED[-1]} tokens is {chain[block]:.0f} steps in the block, {chain['convolution']:.0f} in the "
        f"convolution and {chain[lstm]:.0f} in the LSTM; it grows like n^{grows[block]:.2f}, n^{grows['convolution']:.2f} and n^{grows[lstm]:.2f}. On one core a "
        f"training step of the LSTM takes {ratio[0]:.2f} times that of the block at {TIMED[0]} tokens, {ratio[len(TIMED) - 1]:.2f} times at {TIMED[-1]}, and "
        f"{ratio[-1]:.2f} times with {ROWS} rows of {ROWS_TIMED[-1]}."
    )
    if grows[block] > 0.3 or grows[lstm] < 0.8:
        return Ruling(Verdict.WRONG, numbers)
    return Ruling(Verdict.HOLDS if min(ratio) > 1.2 else Verdict.CONDITION, numbers)


def draw(table: Table) -> Figure:
    fig, (left, middle, right) = style.figure(columns=3)
    style.lines(left, table, "span", COUNTED)
    left.set(ylabel="longest chain of steps", title="What must wait")
    style.lines(middle, table, "ms", TIMED)
    middle.set(ylabel="milliseconds, forward and backward", title="One core, timed here")
    for ax, places in ((left, COUNTED), (middle, TIMED)):
        ax.set(xscale="log", yscale="log", xlabel="tokens n")
        ax.set_xticks(places, [str(n) for n in places])
        ax.minorticks_off()
    for index, arm in enumerate(table.arms):
        work, chain = table.curve(arm, "work")[-1], table.curve(arm, "span")[-1]
        right.plot(PROCESSORS, [work / p + chain for p in PROCESSORS], color=style.colour(index), label=arm)
    right.set(xscale="log", yscale="log", xlabel="processors p", ylabel="steps: work / p + chain", title=f"Foretold, {COUNTED[-1]} tokens")
    style.legend(left)
    return fig


CLAIM = Claim(
    id="C22", title="Are Transformers faster than recurrent networks because they are parallel?", topic="efficiency", kind="exact",
    statement="Transformers are fully parallel and train much faster than RNNs: O(1) against O(n).",
    notes=("000 §6", "001 Q6", "003 §1", "003 §9", "004:97"),
    literature=(
        "Vaswani et al. 2017 (arXiv 1706.03762) table 1: O(1) sequential operations for attention and convolution, O(n) for recurrence; per "
        "layer O(n²d), O(k·n·d²) and O(n·d²) operations. Brent 1974 (J. ACM 21(2)): time with p processors is at most work / p + longest chain."
    ),
    method=(
        f"One axis, the layer, all of width {WIDTH}: a Transformer block, an LSTM, two convolutions. Operations of the forward pass are counted, "
        "and the longest chain of them (a sum of n terms takes ⌈log₂ n⌉ steps). A training step is timed on one core (processor time), one row of 32 to 1024 "
        f"tokens and {ROWS} rows of 32 and 128; the LSTM is torch's fused one."
    ),
    decides=(
        "Wrong if the block's chain grows with an exponent above 0.3 over 8 to 512 tokens, or the LSTM's below 0.8. Else it holds if the "
        "LSTM's training step is at least 1.2 times as long as the block's at every length timed; with a condition if not."
    ),
    expected=Verdict.CONDITION,
    arms=ARMS, measure=measure, rule=rule, draw=draw,
    units={"span": "steps", "work": "FLOPs", "ms": "ms", "ms_rows": "ms", "parameters": "parameters"},
    alone=True,
    limits=(
        "No parallel hardware was used: time on many processors is Brent's bound, which leaves out memory. Layers have different sizes (12, 8, "
        "6 · d²), and this convolution sees 4 tokens back. Writing a text takes n steps whatever the model."
    ),
)  # fmt: skip
