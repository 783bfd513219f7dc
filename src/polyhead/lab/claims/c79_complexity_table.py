"""C79: is the complexity table of the 2017 paper right?"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from polyhead.nn import At, AttentionSpec, Full, GroupedSpec, Window
from polyhead.nn.attend import lower
from polyhead.nn.attention import Attention, View

from .. import style
from ..baselines.convolution import Convolution
from ..baselines.recurrent import Recurrent
from ..claim import Claim, Ruling, Trial, Verdict
from ..table import Numbers, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Layer = Callable[[Tensor], Tensor]
SIZES, WIDTHS, NEAR = (256, 512, 1024), (32, 64, 128), (33, 65, 129)  # of the counts; the middle one is held
EQUAL = (64, 128, 256)  # n and d of a whole layer, around n = d, where the paper weighs attention against recurrence
CHAIN, ROUTE = (32, 64, 128), (32, 64, 128)  # lengths of the chains of operations and of the routes
KERNEL, REACH, WIDER = 3, 5, (5, 9, 17)  # neighbours in the routes
SOFTCAP = 1e6  # takes the products out of the fused kernel, where nothing counts them, and changes nothing else


class Row(NamedTuple):
    """Exponents of n, d and the neighbourhood r (or kernel k) in the operations; of n in the longest chain of operations;
    of n (None: logarithmic), and of r less the position itself, in the longest route between two positions."""

    n: float
    d: float
    r: float
    chain: float
    route: float | None
    route_r: float | None


TABLE = {  # Vaswani et al. 2017, Table 1
    "self-attention": Row(2, 1, 0, 0, 0, 0),
    "restricted": Row(1, 1, 1, 0, 1, -1),
    "recurrent": Row(1, 2, 0, 1, 1, 0),
    "convolution": Row(1, 2, 1, 0, 1, -1),
    "dilated": Row(1, 2, 1, 0, None, None),
}


def attention(width: int, near: int | None) -> Layer:
    """The package's attention alone: everybody by plain products, or `near` neighbours as blocks of them."""
    pattern = Full() if near is None else Window(back=near // 2, ahead=near // 2)
    spec = AttentionSpec(heads=GroupedSpec(heads=1, softcap=SOFTCAP), pattern=pattern)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = Attention(spec, width).double()

    def layer(x: Tensor) -> Tensor:
        at = At(torch.arange(x.shape[1]).unsqueeze(0))
        lowered = lower(
            pattern, at, at, heads=1, fresh=True, packed=True, dtype=x.dtype, softcap=SOFTCAP,
            backend="reference" if near is None else "banded",
        )  # fmt: skip
        return module(x, View(at, lowered, lambda t: t))[0]

    return layer


def layer_of(kind: str, width: int, near: int, level: int = 0) -> Layer:
    """level: how many layers are below it; a dilated convolution's steps grow with it."""
    if kind in ("self-attention", "restricted"):
        return attention(width, None if kind == "self-attention" else near)
    if kind == "recurrent":
        return Recurrent(width, seed=0).double()
    if kind == "dilated":
        return Convolution(width, near, near**level, causal=True).double()
    return Convolution(width, near).double()


@contextmanager
def unfused() -> Iterator[None]:
    """An LSTM as its single operations, not as one that nothing can look into."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch speaks of GPUs that are not there
        with torch.backends.mkldnn.flags(enabled=False):
            yield


def operations(kind: str, n: int, width: int, near: int) -> tuple[int, int]:
    """(those that Table 1 counts, all) of one layer over n positions: of attention the table leaves the projections out."""
    layer, x = layer_of(kind, width, near), torch.zeros(1, n, width, dtype=torch.float64)
    with torch.no_grad(), unfused(), FlopCounterMode(display=False) as counter:
        layer(x)
    by_kind = {str(op): int(count) for op, count in counter.get_flop_counts()["Global"].items()}
    total = sum(by_kind.values())
    return by_kind["aten.bmm"] if kind in ("self-attention", "restricted") else total, total


def chain(kind: str, n: int) -> int:
    """The longest chain of operations, each waiting for the one before, in the graph that torch records."""
    x = torch.zeros(1, n, 8, dtype=torch.float64, requires_grad=True)
    with unfused():
        root = layer_of(kind, 8, REACH)(x).grad_fn
    depth: dict[Any, int] = {}
    waiting: list[tuple[Any, bool]] = [(root, False)]
    while waiting:
        node, known = waiting.pop()
        below = [after for after, _ in node.next_functions if after is not None]
        if known:
            depth[node] = 1 + max((depth[after] for after in below), default=0)
        elif node not in depth:
            waiting += [(node, True), *((after, False) for after in below if after not in depth)]
    return depth[root]


@torch.no_grad()
def connected(layer: Layer, n: int, width: int) -> Tensor:
    """(n, n) bool: does output (row) change when input (column) does?"""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(n, width, generator=generator, dtype=torch.float64)
    moved = x.repeat(n, 1, 1)
    moved[torch.arange(n), torch.arange(n)] += 1
    return ((layer(moved) - layer(x[None])).abs().amax(-1) > 1e-9).T


def route(kind: str, n: int, near: int) -> int:
    """The longest of the shortest routes between two positions: layers that must be stacked, or steps of a recurrence."""
    width = 4
    if kind == "recurrent":
        return steps_apart(Recurrent(width, seed=0), n, width)
    reached, layers = torch.eye(n, dtype=torch.bool), 0
    wanted = torch.ones(n, n).tril() > 0 if kind == "dilated" else reached == reached  # dilated ones are causal
    while not reached[wanted].all():
        one = connected(layer_of(kind, width, near, layers), n, width)
        reached, layers = (one.float() @ reached.float()) > 0, layers + 1
    return layers


@torch.no_grad()
def steps_apart(layer: Recurrent, n: int, width: int) -> int:
    """Step by step: each step's state is changed alone; how many states a change of the first input goes through until the
    last output."""
    generator = torch.Generator().manual_seed(0)
    x, state, hops = torch.randn(1, n, width, generator=generator), (), 0
    for t in range(n):
        out, new = layer.cells(x[:, t : t + 1], state or None)
        if state:
            other, _ = layer.cells(x[:, t : t + 1], tuple(part + 1 for part in state))
            hops += int(bool((out - other).abs().max() > 1e-9))
        state = new
    return hops + 1  # the first step reads the first input


def exponent(x: tuple[int, ...], y: list[int]) -> float:
    """Slope of log y against log x."""
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def measure(trial: Trial) -> Numbers:
    kind = trial.arm

    def points(sizes: tuple[int, ...]) -> tuple[int, ...]:
        return sizes[:2] if trial.mode == "smoke" else sizes

    def counts(which: int, sizes: tuple[int, ...], middle: tuple[int, int, int]) -> tuple[float, list[int], list[int]]:
        """(exponent, counts, of the whole layer) when n, d or r, by `which`, runs over sizes."""
        places = [tuple(size if i == which else held for i, held in enumerate(middle)) for size in points(sizes)]
        runs = [operations(kind, *place) for place in places]
        table, whole = [one for one, _ in runs], [every for _, every in runs]
        return exponent(points(sizes), table), table, whole

    middle = (SIZES[1], WIDTHS[1], NEAR[1])
    n, by_n, whole = counts(0, SIZES, middle)
    d, r = counts(1, WIDTHS, middle)[0], counts(2, NEAR, middle)[0]
    equal = (EQUAL[1], EQUAL[1], NEAR[0])
    whole_n, whole_d = (exponent(points(EQUAL), counts(i, EQUAL, equal)[2]) for i in range(2))
    chains = [chain(kind, size) for size in points(CHAIN)]
    routes = [route(kind, size, REACH if kind == "restricted" else KERNEL) for size in points(ROUTE)]
    wider = [route(kind, ROUTE[1], near) for near in points(WIDER)]
    return {
        "n": n, "d": d, "r": r, "whole_n": whole_n, "whole_d": whole_d, "chain": exponent(points(CHAIN), chains),
        "route": exponent(points(ROUTE), routes), "route_r": exponent(tuple(near - 1 for near in points(WIDER)), wider),
        "operations": by_n, "whole": whole, "chains": chains, "routes": routes,
    }  # fmt: skip


def misses(table: Table, arm: str, row: Row) -> list[str]:
    """Which entries of a row the counts contradict."""
    found = []
    for name, want in row._asdict().items():
        got = table.mean(arm, name)
        fits = 0.05 < abs(got) < 0.5 if want is None else abs(got - want) < 0.1  # a logarithm's slope: near 0, not 0
        found += [] if fits else [f"{name} of {arm}: {got:.2f}"]
    return found


def rule(table: Table) -> Ruling:
    wrong = [miss for kind, row in TABLE.items() for miss in misses(table, ARMS[kind], row)]
    if wrong:
        return Ruling(Verdict.WRONG, f"Counted exponents that Table 1 has otherwise: {', '.join(wrong)}.")
    name = ARMS["self-attention"]
    whole_n, whole_d = table.mean(name, "whole_n"), table.mean(name, "whole_d")
    words = (
        f"Every exponent of the table is found within 0.1 when attention is counted as the paper counts it, its products of scores and values alone. "
        f"With its four projections a layer grows as n^{whole_n:.2f}·d^{whole_d:.2f} around n = d."
    )
    off = max(abs(whole_n - 2), abs(whole_d - 1))
    return Ruling(Verdict.CONDITION if off > 0.1 else Verdict.HOLDS, words)


def draw(table: Table) -> Figure:
    fig, axes = style.figure(columns=3)
    panels = [("operations", "whole", SIZES, "operations of a layer"), ("chains", None, CHAIN, "longest chain of operations"),
              ("routes", None, ROUTE, "longest route (layers or steps)")]  # fmt: skip
    for panel, (name, dotted, x, label) in zip(axes, panels, strict=True):
        for index, arm in enumerate(table.arms):
            curve = table.curve(arm, name)
            panel.plot(x[: len(curve)], curve, linewidth=4.4 - 0.8 * index, color=style.colour(index), label=arm)  # equal lines stay visible
            if dotted and index < 2:
                panel.plot(x[: len(curve)], table.curve(arm, dotted), linestyle=":", color=style.colour(index))
        panel.set_xscale("log", base=2)
        panel.set_yscale("log")
        panel.set_xlabel("length n")
        panel.set_title(label)
    axes[0].set_xlabel("length n (dotted: with projections)")
    style.legend(axes[2], fontsize=7.5, loc="upper left")
    axes[2].set_ylim(top=axes[2].get_ylim()[1] * 30)
    return fig


ARMS = {kind: kind.replace("restricted", "restricted self-attention").replace("dilated", "dilated convolution") for kind in TABLE}
ARMS["recurrent"] = "recurrent (LSTM)"
CLAIM = Claim(
    id="C79",
    title="Is the complexity table of the 2017 paper right?",
    topic="efficiency",
    kind="counting",
    statement="Per layer, self-attention costs O(n²·d), recurrence O(n·d²), convolution O(k·n·d²), restricted self-attention O(r·n·d); sequential operations O(1), O(n), "
    "O(1), O(1); longest path O(1), O(n), O(n/k) or log_k n, O(n/r).",
    notes=("003 §6", "003 §9", "000 §6", "complexity table"),
    literature="Vaswani et al. 2017 (arXiv 1706.03762), Table 1 and §4. The table counts the products of scores and values of self-attention and leaves out its four "
    "projections of n·d² each, which are most of the work while n < 2·d. For convolutions it gives n/k layers for contiguous kernels, "
    "log_k n for dilated ones (Kalchbrenner et al. 2016, arXiv 1610.10099).",
    method="The package's attention (all, and a window as blocks) and small baselines run on real inputs. Operations: counted while they run, at n, d and r (k) doubled "
    "twice; the exponent is the slope of logarithms. Sequential operations: the longest chain in the graph that torch records. Path: which output moves "
    "when one input does, and how many layers (steps, in the LSTM) until every pair is connected.",
    decides="Wrong if a counted exponent is more than 0.1 from the table's (the slopes of the dilated path must lie between 0.05 and 0.5). With a condition if they all "
    "agree but those of a whole attention layer, projections included, do not (around n = d = 128); else holds.",
    expected=Verdict.CONDITION,
    arms={ARMS[kind]: kind for kind in TABLE},
    measure=measure,
    rule=rule,
    draw=draw,
    units={"n": "exponent", "d": "exponent", "r": "exponent", "chain": "exponent", "route": "exponent", "operations": "operations"},
    seeds=(1, 1),
    limits="It says what grows how, not how long anything takes; one chain of operations may be slower than another of the same length.",
)
