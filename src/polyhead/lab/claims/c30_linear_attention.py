"""C30: what linear cost costs."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from pydantic import ValidationError
from torch import Tensor

from polyhead.lab import style
from polyhead.lab.claim import Claim, Ruling, Trial, Verdict
from polyhead.lab.counting import flops
from polyhead.lab.small import small
from polyhead.lab.table import Numbers, Table
from polyhead.lab.training import train
from polyhead.nn import AttentionSpec, Causal, GroupedSpec, Tokens, Transformer
from polyhead.nn.approximate import Performer
from polyhead.nn.attend import Lowered, attend

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KEYS, VALUES, ASKED, WIDTH, HEADS = 64, 8, 8, 32, 2
PAIRS = (4, 16, 48)
LONGEST = 1024
COUNTED = (256, 512, LONGEST)
FEATURES = (16, 64, 256, 1024, 4096)
ARMS: dict[str, dict[str, Any]] = {
    "softmax": {"kind": "softmax"},
    "Linformer": {"kind": "linformer", "rank": 16, "length": LONGEST},
    "Performer": {"kind": "performer", "features": 32},
    "linear (elu + 1)": {"kind": "linear"},
}
OTHERS = tuple(ARMS)[1:]


def build(mixing: dict[str, Any], seed: int) -> Transformer:
    """An encoder of one layer without positions: ids are keys, types are values, the last type is "which?"."""
    changes = {"encoder.embedding.types": VALUES + 1, "encoder.blocks.layer.attention.mixing": mixing}
    return small(KEYS, "encoder", width=WIDTH, layers=1, heads=HEADS, context=LONGEST, output=VALUES, changes=changes).build(seed)


def rows(n: int, pairs: int, generator: torch.Generator) -> tuple[Tokens, Tensor]:
    """n rows of `pairs` (key, value) and ASKED keys of them with no value; the values asked for (n, ASKED)."""
    keys = torch.rand(n, KEYS, generator=generator).argsort(-1)[:, :pairs]
    values = torch.randint(VALUES, (n, pairs), generator=generator)
    which = torch.randint(pairs, (n, ASKED), generator=generator)
    types = torch.cat([values, torch.full((n, ASKED), VALUES)], 1)
    return Tokens(torch.cat([keys, keys.gather(1, which)], 1), types=types), values.gather(1, which)


def off(features: int, generator: torch.Generator) -> float:
    """‖ô − o‖ / ‖o‖ of a Performer's answer to softmax's, for 256 Gaussian queries, keys and values of 32 numbers."""
    q, k, v = torch.randn(3, 4, 1, 256, 32, generator=generator)
    module = Performer(features, 32)
    module.draw(generator)
    raised = [module.features(x, 32**-0.5, asks) for x, asks in ((q, True), (k, False))]
    weights = raised[0] @ raised[1].transpose(-1, -2)
    exact = attend(q, k, v, Lowered("reference"), scale=32**-0.5)
    return float((weights / weights.sum(-1, keepdim=True) @ v - exact).norm() / exact.norm())


def causal(mixing: dict[str, Any]) -> float:
    """1 if attention that must not look ahead can be built with it."""
    try:
        AttentionSpec(heads=GroupedSpec(heads=HEADS), pattern=Causal(), mixing=mixing)  # type: ignore[arg-type]
    except ValidationError:
        return 0.0
    return 1.0


def measure(trial: Trial) -> Numbers:
    """trial.arm: how values are mixed."""
    model, generator = build(trial.arm, trial.seed), torch.Generator().manual_seed(trial.seed)
    model.use("reference")
    with torch.no_grad():
        cost = []
        for n in COUNTED:
            tokens = Tokens(torch.zeros(1, n, dtype=torch.long))
            rest = n * (8 + 16) * WIDTH**2 + 2 * n * WIDTH * VALUES  # projections, feed-forward, head
            cost.append(flops(partial(model, tokens)) - rest)
    slopes = torch.tensor(cost, dtype=torch.float64).log2().diff()

    def loss(step: int) -> Tensor:
        tokens, values = rows(32, PAIRS[step % len(PAIRS)], generator)
        return F.cross_entropy(model.use("auto")(tokens)[:, -ASKED:].flatten(0, 1), values.flatten())

    train(model, loss, trial.steps(480, 3000), lr=6e-3, warmup=30)
    right = []
    with torch.no_grad():
        for pairs in PAIRS:
            tokens, values = rows(256, pairs, generator)
            right.append(float((model(tokens)[:, -ASKED:].argmax(-1) == values).float().mean()))
    error = [off(m, generator) for m in FEATURES] if trial.arm["kind"] == "performer" else []
    return {
        "cost": cost, "exponent": float(slopes[-1]), "right": right, "right at 48": right[-1], "causal": causal(trial.arm),
        **({"error": error} if error else {}),
    }  # fmt: skip


def rule(table: Table) -> Ruling:
    grows = {arm: table.mean(arm, "exponent") for arm in table.arms}
    exact = table.interval("softmax", "right at 48")
    gaps = {arm: table.gap(arm, "softmax", "right at 48") for arm in OTHERS}
    right = ", ".join(f"{arm} {table.mean(arm, 'right at 48'):.0%}" for arm in OTHERS)
    errors = table.curve("Performer", "error") if "error" in table.arms["Performer"][table.seeds[0]] else [float("nan")] * len(FEATURES)
    numbers = (
        f"FLOPs in place of the scores grow like n^{grows['softmax']:.2f} with softmax and n^{max(grows[arm] for arm in OTHERS):.2f} at most without. Asked "
        f"for one of {PAIRS[-1]} pairs, softmax is right {exact.mean:.0%} of the time; {right}. A Performer's answer on Gaussian input of 256 tokens is "
        f"{errors[2]:.0%} off with 256 features of 32 numbers, {errors[-1]:.0%} with {FEATURES[-1]}. Causal: "
        + ", ".join(f"{arm} {'yes' if table.mean(arm, 'causal') == 1 else 'no'}" for arm in OTHERS)
        + "."
    )
    if max(grows[arm] for arm in OTHERS) > 1.2 or grows["softmax"] < 1.8:
        return Ruling(Verdict.WRONG, numbers)
    if exact.low < 0.9:
        return Ruling(Verdict.OPEN, f"Softmax did not learn to recall. {numbers}")
    if max(gap.low for gap in gaps.values()) > 0.1:
        return Ruling(Verdict.CONDITION, numbers)
    return Ruling(Verdict.HOLDS if max(gap.high for gap in gaps.values()) < 0.05 else Verdict.OPEN, numbers)


def draw(table: Table) -> Figure:
    fig, (left, middle, right) = style.figure(columns=3)
    style.lines(left, table, "cost", COUNTED)
    left.set(xscale="log", yscale="log", xlabel="tokens n", ylabel="FLOPs, all heads", title="In place of the scores", ylim=(None, 4e9))
    left.set_xticks(COUNTED, [str(n) for n in COUNTED])
    left.minorticks_off()
    style.lines(middle, table, "right", PAIRS)
    middle.set(xlabel="pairs to remember", ylabel="values told right", title="Recall, heads of 16", ylim=(0, 1.05))
    middle.set_xticks(PAIRS)
    style.reference(middle, 1 / VALUES, "chance")
    style.lines(right, table, "error", FEATURES, {"Performer": "Performer"})
    right.set(xscale="log", xlabel="features m", ylabel="‖ô − o‖ / ‖o‖", title="Against softmax, n = 256, d = 32", ylim=(0, None))
    right.axvline(256, color=style.MUTED(), linestyle=":")
    right.set_xticks(FEATURES, [str(m) for m in FEATURES])
    right.minorticks_off()
    style.legend(left, loc="upper left")
    return fig


CLAIM = Claim(
    id="C30", title="Are Linformer and Performer O(n) attention?", topic="efficiency", kind="trained",
    statement="Linformer, Performer: linear attention, O(n).",
    notes=("003 §6", "001 Q13"),
    literature=(
        "Wang et al. 2020 (arXiv 2006.04768); Choromanski et al. 2021 (arXiv 2009.14794); Katharopoulos et al. 2020 (arXiv 2006.16236). A state of a "
        "fixed size bounds what can be recalled: Schlag et al. 2021 (arXiv 2102.11174), Arora et al. 2023 (arXiv 2312.04927)."
    ),
    method=(
        f"One axis, how values are mixed, in encoders of one layer, {WIDTH} wide, {HEADS} heads of 16. FLOPs are counted over {COUNTED[0]} to {COUNTED[-1]} "
        f"tokens. Trained: {PAIRS[0]}, {PAIRS[1]} or {PAIRS[2]} pairs of a key and a value, a token each, then keys whose value is asked for. A Performer's "
        "answer is compared with softmax's on Gaussian queries, keys and values, without training."
    ),
    decides=(
        "Wrong if one of the three grows with an exponent above 1.2, or softmax below 1.8. Else decided if softmax recalls at least 90 % of 48 "
        "pairs: with a condition if one of the three is more than 10 points worse, holds if all are within 5 points (intervals)."
    ),
    expected=Verdict.CONDITION,
    arms=ARMS, measure=measure, rule=rule, draw=draw,
    units={"cost": "FLOPs", "right": "accuracy", "error": "of the norm", "exponent": ""},
    limits="One layer, small heads, short training: more features, a higher rank or more layers recall more, at more cost.",
)  # fmt: skip
