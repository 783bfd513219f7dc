"""C27: does RoPE make scores depend on relative position?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from polyhead.nn import At, BucketsSpec, LearnedSpec, RotarySpec, SinusoidalSpec, Tokens
from polyhead.nn.position import Position

from .. import style
from ..claim import Claim, Ruling, Trial, Verdict
from ..small import small
from ..table import Numbers, Table
from ..training import train

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HEAD, TOKENS, SHIFTS = 64, 64, (1, 10, 100, 1_000, 10_000, 100_000)
VOCAB, LENGTH, BATCH, LIMIT = 16, 32, 16, 600
ABSOLUTE, RELATIVE = ("sinusoidal", "learned"), ("rotary", "T5 buckets")
INSIDE = "decoder.blocks.layer.attention.position"
BELOW = "decoder.embedding.position"


def scores(arm: str, q: Tensor, k: Tensor, maps: tuple[Tensor, Tensor], shift: int) -> Tensor:
    """(T, T) scores of TOKENS tokens at positions shift, shift + 1, …; q and k (T, HEAD) are what the tokens hold. Rotary:
    q and k turned; else q and k are maps of the content with the position added."""
    pos = (torch.arange(TOKENS) + shift).unsqueeze(0)
    module: Position
    if arm == "rotary":
        module = RotarySpec().build(HEAD, 1, HEAD)
        table = module.prepare(At(pos), shift + TOKENS)
        q, k = (module.rotate(x[None, None], table)[0, 0] for x in (q, k))
        return q @ k.T
    if arm == "none":
        return q @ k.T
    if arm == "T5 buckets":
        buckets = BucketsSpec(two_sided=True).build(HEAD, 1)
        torch.nn.init.normal_(buckets.weight, generator=torch.Generator().manual_seed(0))
        bias = buckets.bias(None, torch.zeros(1, 1, 1, 1, dtype=torch.long), At(pos).rows(), At(pos).cols())
        return q @ k.T + bias[0, 0].to(q.dtype)
    if arm == "rotary, fp64 angles":
        return turned(q.double(), pos[0]) @ turned(k.double(), pos[0]).T
    module = (SinusoidalSpec() if arm == "sinusoidal" else LearnedSpec(length=SHIFTS[-1] + TOKENS)).build(HEAD, 1, HEAD)
    for number, p in enumerate(module.parameters()):
        torch.nn.init.normal_(p, generator=torch.Generator().manual_seed(number))
    q, k = (module.embed(x[None], pos)[0].to(x.dtype) @ m for x, m in zip((q, k), maps, strict=True))
    return q @ k.T


def turned(x: Tensor, pos: Tensor) -> Tensor:
    """The rotation of Su et al. 2021, eq. 34, in fp64."""
    angle = pos.double()[:, None] * 10000.0 ** (-torch.arange(0, HEAD, 2, dtype=torch.float64) / HEAD)
    a, b = x[:, : HEAD // 2], x[:, HEAD // 2 :]
    return torch.cat([a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()], 1)


@torch.no_grad()
def changes(arm: str, seed: int, dtype: torch.dtype = torch.float64) -> list[float]:
    """The largest change of a score when all positions grow by each of SHIFTS, in deviations of the scores."""
    generator = torch.Generator().manual_seed(seed)
    q, k = (torch.randn(TOKENS, HEAD, generator=generator, dtype=torch.float64).to(dtype) for _ in range(2))
    maps = tuple((torch.randn(HEAD, HEAD, generator=generator, dtype=torch.float64) * HEAD**-0.5).to(dtype) for _ in range(2))
    still = scores(arm, q, k, (maps[0], maps[1]), 0).double()
    return [float((scores(arm, q, k, (maps[0], maps[1]), s).double() - still).abs().max() / still.std()) for s in SHIFTS]


def steps_to_copy(arm: str, trial: Trial) -> int:
    """Training steps until 95% of tokens are copied from one place before; LIMIT if never."""
    changed: dict[str, dict[str, Any]] = {
        "none": {}, "sinusoidal": {BELOW: {"kind": "sinusoidal"}, "decoder.embedding.scale": 50.0}, "learned": {BELOW: {"kind": "learned", "length": LENGTH}},
        "rotary": {INSIDE: {"kind": "rotary"}}, "T5 buckets": {INSIDE: {"kind": "buckets", "two_sided": False}},
    }  # fmt: skip
    model = small(VOCAB, context=LENGTH, changes=changed[arm]).build(trial.seed)
    generator, reached = torch.Generator().manual_seed(trial.seed), [LIMIT]

    def draw_ids() -> Tensor:
        return torch.randint(VOCAB, (BATCH, LENGTH), generator=generator)

    def loss(step: int) -> Tensor:
        if reached[0] < LIMIT:
            return torch.tensor(torch.nan)  # ends training
        ids = draw_ids()
        logits = model(Tokens(ids=ids))[:, 1:]
        right = (logits.argmax(-1) == ids[:, :-1]).float().mean()
        if right >= 0.95:
            reached[0] = min(reached[0], step)
        return F.cross_entropy(logits.flatten(0, 1), ids[:, :-1].flatten())

    train(model, loss, trial.steps(LIMIT, LIMIT), warmup=20)
    return reached[0]


def measure(trial: Trial) -> Numbers:
    arm = trial.arm
    numbers = {"shift": list(SHIFTS), "change": changes(arm, trial.seed), "change_at_1000": changes(arm, trial.seed)[3]}
    exact = changes("rotary, fp64 angles", trial.seed) if arm == "rotary" else numbers["change"]
    return {
        **numbers, "change_exact": exact, "change_bf16": changes(arm, trial.seed, torch.bfloat16),
        "copy_steps": steps_to_copy(arm, trial),
    }  # fmt: skip


def rule(table: Table) -> Ruling:
    rotary = table.mean("rotary", "change_at_1000")
    absolute = min(table.mean(arm, "change_at_1000") for arm in ABSOLUTE)
    steps = {arm: table.interval(arm, "copy_steps") for arm in table.arms}
    words = (
        f"Moving all tokens by 1000 places changes a score by {rotary:.0e} of their deviation with RoPE ({float(table.curve('rotary', 'change_exact')[3]):.0e} "
        f"with fp64 angles), by {absolute:.1f} or more with absolute positions. The previous token is copied after "
        + ", ".join(f"{steps[arm].mean:.0f} steps ({arm})" for arm in table.arms)
        + "."
    )
    faster = max(steps[arm].high for arm in RELATIVE) < min(steps[arm].low for arm in ABSOLUTE)
    words += "" if faster else " So relative encodings as a kind are not faster to learn it: one of them is not."
    if absolute < 0.1:
        return Ruling(Verdict.OPEN, words)
    if rotary > 0.01:
        return Ruling(Verdict.WRONG, words)
    return Ruling(Verdict.HOLDS if faster else Verdict.CONDITION, words)


def draw(table: Table) -> Figure:
    fig, axes = style.figure(columns=2)
    left, right = axes
    names = list(table.arms)
    for arm in ("rotary", *ABSOLUTE):
        left.plot(SHIFTS, table.curve(arm, "change"), marker="o", color=style.colour(names.index(arm)), label=arm)
    for name, label, line in (("change_exact", "rotary, fp64 angles", ":"), ("change_bf16", "rotary in bf16", "--")):
        left.plot(SHIFTS, table.curve("rotary", name), linestyle=line, marker=".", color=style.colour(0), label=label)
    left.set_xscale("log")
    left.set_yscale("log")
    left.set_ylim(1e-23, 1e4)
    left.set_xlabel("all positions moved by (tokens)")
    left.set_ylabel("largest change of a score (deviations)")
    style.legend(left, loc="lower left", fontsize=8, ncols=2)
    style.bars(right, table, "copy_steps", format="{:.0f}")
    right.set_ylabel("steps until 95% copied")
    right.set_title("Copy the previous token")
    right.tick_params(axis="x", labelrotation=20)
    return fig


CLAIM = Claim(
    id="C27",
    title="Does RoPE make scores depend on relative position?",
    topic="positions",
    kind="exact",
    statement="RoPE rotates Q and K by their positions, so that scores depend on relative position, and makes patterns like \"previous token\" "
    "more natural than absolute encodings do.",
    notes=("000 §9", "000 §11", "001 Q8", "004:75"),
    literature="Su et al. 2021 (arXiv 2104.09864) §3.2: the rotation is absolute, the inner product of two rotated vectors holds the difference of "
    "their positions alone. It says nothing of deeper layers: causal masks tell positions apart by themselves (Haviv et al. 2022, arXiv 2203.16634).",
    method="Exact: 64 queries and keys of 64 features; all positions are moved by 1 … 100 000 and the largest change of a score is taken, with the "
    "package's own position modules (fp32 angles), with angles in fp64, and in bf16. Trained: a causal model of two layers (width 64) learns "
    "to say the previous token; steps until 95% are right, at most 600. "
    "Token vectors have deviation 0.02, and 1 where sinusoids are added, as in 2017: else those would drown them.",
    decides="Wrong if moving by 1000 changes RoPE's scores by more than 1% of their deviation; not decided if it changes absolute encodings' by less than "
    "10%. Holds if, besides, both relative encodings learn to copy in fewer steps than both absolute ones (95% intervals apart); else with a condition.",
    expected=Verdict.HOLDS,
    arms={arm: arm for arm in ("rotary", "T5 buckets", "sinusoidal", "learned", "none")},
    measure=measure,
    rule=rule,
    draw=draw,
    units={"shift": "tokens", "change": "deviations", "copy_steps": "steps"},
    limits="Scores of one layer; the copying model is tiny and its task is the friendliest one for relative positions.",
)
