"""C35: do padding and masks make a model ignore what fills its rows?"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from polyhead.nn import Tokens, Transformer
from polyhead.nn.attend import Lowered, attend

from .. import style
from ..claim import Claim, Ruling, Trial, Verdict
from ..small import small
from ..table import Numbers, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

VOCAB, LENGTHS, LONGEST = 32, (5, 9, 12, 16), 16
FAMILIES = ("encoder", "decoder", "encoder–decoder")
CONTROL, BATCHNORM = "encoder, no mask", "encoder, BatchNorm"
POLICIES, TYPES = ("−∞", "−1e9", "least of its type", "this package"), (torch.float32, torch.bfloat16, torch.float16)
MISSING = -1.0  # written where the answer is not a number


def build(arm: str, seed: int) -> Transformer:
    shape: Any = arm if arm == "decoder" else "encoder-decoder" if arm == "encoder–decoder" else "encoder"
    stacks = ["encoder", "decoder"] if shape == "encoder-decoder" else [shape]
    changes: dict[str, Any] = {f"{stack}.blocks.layer.attention.position": {"kind": "rotary"} for stack in stacks}
    if arm == BATCHNORM:
        changes |= {"encoder.blocks.layer.norm": {"kind": "batch"}, "encoder.final_norm": {"kind": "batch"}}
    model = small(VOCAB, shape, width=32, heads=2, context=LONGEST, changes=changes).build(seed).double()
    return model.train(arm == BATCHNORM)


def padded(rows: list[Tensor], fill: Tensor, left: bool, mask: bool) -> Tokens:
    """Rows side by side in one batch, what is missing taken from `fill` (rows, LONGEST), before them or after them."""
    ids, pos = fill.clone(), torch.full_like(fill, -1)
    for number, row in enumerate(rows):
        place = slice(LONGEST - len(row), None) if left else slice(len(row))
        ids[number, place], pos[number, place] = row, torch.arange(len(row))
    return Tokens(ids=ids, pos=pos, padded=True) if mask else Tokens(ids=ids)


def answers(model: Transformer, arm: str, rows: list[Tensor], fill: Tensor) -> list[Tensor]:
    """The logits of each row's own tokens; of an encoder–decoder, those of a target beside each padded source."""
    tokens = padded(rows, fill, arm == "decoder", arm != CONTROL)
    if arm == "encoder–decoder":
        return list(model(Tokens(ids=torch.arange(8).expand(len(rows), -1)), tokens))
    logits = model(tokens)
    return [one[LONGEST - len(row) :] if arm == "decoder" else one[: len(row)] for one, row in zip(logits, rows, strict=True)]


def alone(model: Transformer, arm: str, row: Tensor) -> Tensor:
    tokens = Tokens(ids=row.unsqueeze(0))
    return model(Tokens(ids=torch.arange(8).unsqueeze(0)), tokens)[0] if arm == "encoder–decoder" else model(tokens)[0]


def empty_row(policy: str, dtype: torch.dtype) -> float:
    """The weight that a row with every key masked gives to these keys: 0 is right, 1 is an average of what is forbidden,
    MISSING is NaN."""
    q, k, v = torch.ones(1, 1, 1, 8), torch.randn(1, 1, 8, 8), torch.ones(1, 1, 8, 1)
    q, k, v = (t.to(dtype) for t in (q, k, v))
    mask = torch.zeros(1, 1, 1, 8, dtype=torch.bool)
    if policy == "this package":
        weight = float(attend(q, k, v, Lowered("reference", mask=mask), scale=1.0))
    else:
        low = {"−∞": -math.inf, "−1e9": -1e9, "least of its type": torch.finfo(dtype).min}[policy]
        added = torch.tensor(low).to(dtype)  # −1e9 is −∞ in fp16
        weight = float(((q @ k.transpose(-1, -2)) * 0 + added).softmax(-1) @ v)
    return MISSING if math.isnan(weight) else weight


def wasted(seed: int) -> list[float]:
    """Shares of computed tokens that are padding, for 4096 documents of log-normal length (median 120, at most 512) in
    batches of 32: as they come, sorted by length, packed into rows of 512 (first that fits, of the open ones)."""
    draws = torch.randn(4096, generator=torch.Generator().manual_seed(seed)) * 0.8 + math.log(120)
    lengths = draws.exp().round().clamp(1, 512)
    shares = [1 - float(order.sum() / (order.view(-1, 32).amax(1).sum() * 32)) for order in (lengths, lengths.sort()[0])]
    rows: list[float] = []
    for length in lengths.tolist():
        spot = next((i for i, used in enumerate(rows[-64:], max(len(rows) - 64, 0)) if used + length <= 512), None)
        if spot is None:
            rows.append(length)
        else:
            rows[spot] += length
    return [*shares, 1 - float(lengths.sum()) / (512 * len(rows))]


@torch.no_grad()
def measure(trial: Trial) -> Numbers:
    generator = torch.Generator().manual_seed(trial.seed)
    model = build(trial.arm, trial.seed)
    rows = [torch.randint(VOCAB, (n,), generator=generator) for n in LENGTHS]
    fills = [torch.randint(VOCAB, (len(rows), LONGEST), generator=generator) for _ in range(2)]
    first, second = (answers(model, trial.arm, rows, fill) for fill in fills)
    by_itself = [alone(model, trial.arm, row) for row in rows]
    size = float(torch.cat([t.flatten() for t in by_itself]).std())
    return {
        "content": max(float((a - b).abs().max()) for a, b in zip(first, second, strict=True)) / size,
        "alone": max(float((a - b).abs().max()) for a, b in zip(first, by_itself, strict=True)) / size,
        "empty_row": [[empty_row(policy, dtype) for dtype in TYPES] for policy in POLICIES], "wasted": wasted(trial.seed),
    }  # fmt: skip


def rule(table: Table) -> Ruling:
    content = max(table.mean(arm, "content") for arm in FAMILIES)
    ragged = max(table.mean(arm, "alone") for arm in FAMILIES)
    rows = table.values(FAMILIES[0], "empty_row")[0]
    waste = table.curve(FAMILIES[0], "wasted")
    failing = [policy for policy, answers in zip(POLICIES, rows, strict=True) if any(a != 0 for a in answers)]
    words = (
        f"With masks, other pad tokens change logits by {content:.0e} of their deviation and a row alone gives the same within {ragged:.0e} "
        f"(without: {table.mean(CONTROL, 'content'):.2g}; BatchNorm in training: {table.mean(BATCHNORM, 'alone'):.2g}). A row with every key masked is wrong "
        f"under {', '.join(failing) or 'no policy'}. Padding wastes {waste[0]:.0%} of what is computed, {waste[1]:.0%} sorted by length, packing {waste[2]:.0%}."
    )
    if table.mean(CONTROL, "content") < 1e-3:
        return Ruling(Verdict.OPEN, words)
    if content > 1e-6 or ragged > 1e-6:
        return Ruling(Verdict.WRONG, words)
    return Ruling(Verdict.CONDITION if failing else Verdict.HOLDS, words)


def draw(table: Table) -> Figure:
    fig, axes = style.figure(columns=2)
    left, right = axes
    names = list(table.arms)
    for index, (name, label) in enumerate({"content": "other pad tokens", "alone": "without padding"}.items()):
        size = [max(table.mean(arm, name), 1e-17) for arm in names]
        left.barh([p + (0.5 - index) * 0.38 for p in range(len(names))], size, 0.36, left=1e-17, color=style.colour(index), label=label)
    left.set_xscale("log")
    left.set_yticks(range(len(names)), names)
    left.invert_yaxis()
    left.set_xlim(1e-17, 1e2)
    left.set_xlabel("change of logits (deviations)")
    left.grid(axis="y", visible=False)
    style.legend(left, loc="upper right", fontsize=8)
    rows = table.values(FAMILIES[0], "empty_row")[0]
    style.heat(right, [[float("nan") if x == MISSING else x for x in row] for row in rows], POLICIES, ["fp32", "bf16", "fp16"],
               format="{:.0f}", low=0.0, high=1.0)  # fmt: skip
    right.set_title("Every key masked: weight on them")
    right.set_xlabel("– is not a number; 0 is right")
    return fig


CLAIM = Claim(
    id="C35",
    title="Do padding and masks make a model ignore what fills its rows?",
    topic="masks",
    kind="exact",
    statement="Variable lengths are handled by padding, and by masks that set the scores of padding to −∞ (a very negative value), so that it has no influence.",
    notes=("000 §8", "001 Q12", "002 Q9", "004:176"),
    literature="Vaswani et al. 2017 (arXiv 1706.03762) §3.2.3: illegal connections are set to −∞. T5 and others add a large negative number instead; both fail "
    "for a row that may look at nothing. Packing several sequences into a row avoids the padding: T5 (Raffel et al. 2020, arXiv 1910.10683) trains so.",
    method="Small models of each shape in fp64 read rows of 5, 9, 12 and 16 tokens in one batch (padded behind; the decoder before): logits of the real tokens "
    "with other pad tokens, and with each row alone. Controls: no mask, and BatchNorm in training. Then a row whose every key is masked, by policy and "
    "number type; and the tokens that padding wastes.",
    decides="Wrong if pad tokens or padding change a logit by more than 1e-6 of their deviation in any shape; holds if, besides, every policy gives a fully masked row "
    "the weight 0; with a condition if some policy does not. Not decided if the model without a mask does not change.",
    expected=Verdict.CONDITION,
    arms={arm: arm for arm in (*FAMILIES, CONTROL, BATCHNORM)},
    measure=measure,
    rule=rule,
    draw=draw,
    units={"content": "deviations", "alone": "deviations", "empty_row": "weight; −1 = not a number", "wasted": "share of tokens"},
    limits="Padding is a way to batch, not something the architecture needs: the same models read each row alone.",
)
