"""C51: what attention shares with convolutions and recurrent networks, by construction, and what it does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from polyhead.lab import style
from polyhead.lab.claim import Claim, Ruling, Trial, Verdict
from polyhead.lab.small import small
from polyhead.lab.table import Numbers, Table
from polyhead.nn.attend import Lowered, attend

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TOKENS, WIDTH, TAPS = 32, 16, 5
SHARP = (1, 2, 4, 8, 16, 32)  # α of the scores −α (j − i − Δ)²
LENGTHS = (16, 32, 64, 128, 256)


def convolution_by_attention(x: Tensor, kernel: Tensor, alpha: float) -> Tensor:
    """x (1, T, D), kernel (D out, D in, taps) → (1, T, D): a head per tap, whose scores see only how far the key is."""
    taps, places = kernel.shape[-1], torch.arange(x.shape[1])
    shift = torch.arange(taps) - taps // 2
    away = (places[None, :] - places[:, None])[None] - shift[:, None, None]
    scores = (-alpha * away.square()).to(x.dtype)[None]
    values = x.unsqueeze(1).expand(-1, taps, -1, -1)
    nothing = torch.zeros_like(values)
    heads = attend(nothing, nothing, values, Lowered("reference", mask=scores), scale=1.0, softcap=None, sinks=None, dropout=0.0)
    return torch.einsum("bhtd,edh->bte", heads, kernel)


def features(x: Tensor) -> Tensor:
    """elu(x) + 1, which is above 0 (Katharopoulos et al. 2020, eq. 7)."""
    return F.elu(x) + 1


def all_at_once(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Causal linear attention as products of all tokens with all: (T, D) each."""
    weights = (features(q) @ features(k).T).tril()
    return (weights @ v) / weights.sum(-1, keepdim=True)


def token_by_token(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """The same as a recurrent network whose state is a (D, D) matrix and a sum of D numbers."""
    state, total, out = q.new_zeros(q.shape[1], v.shape[1]), q.new_zeros(q.shape[1]), []
    for query, key, value in zip(features(q), features(k), v, strict=True):
        state, total = state + key[:, None] * value, total + key
        out.append((query @ state) / (query @ total))
    return torch.stack(out)


def measure(trial: Trial) -> Numbers:
    generator = torch.Generator().manual_seed(trial.seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    x, kernel = normal(1, TOKENS, WIDTH), normal(WIDTH, WIDTH, TAPS)
    convolved = F.conv1d(x.transpose(1, 2), kernel, padding=TAPS // 2).transpose(1, 2)
    inner = slice(TAPS // 2, TOKENS - TAPS // 2)  # at the ends a convolution reads zeros, a head the nearest token
    errors = [
        float((convolution_by_attention(x, kernel, alpha) - convolved)[:, inner].abs().max() / convolved.abs().max()) for alpha in SHARP
    ]
    q, k, v = normal(TOKENS, WIDTH), normal(TOKENS, WIDTH), normal(TOKENS, WIDTH)
    ranks: dict[str, list[int]] = {"softmax": [], "linear": []}
    cache = []
    for n in LENGTHS:
        asks, keys = normal(n, WIDTH), normal(n, WIDTH)
        ranks["softmax"].append(rank(torch.exp(asks @ keys.T / WIDTH**0.5)))
        ranks["linear"].append(rank(features(asks) @ features(keys).T))
        cache.append(small(8, width=WIDTH, layers=1, heads=1).build().new_cache(1, n).bytes())
    return {
        "convolution_error": errors,
        "recurrence_error": float((all_at_once(q, k, v) - token_by_token(q, k, v)).abs().max()),
        "rank_softmax": ranks["softmax"],
        "rank_linear": ranks["linear"],
        "cache_bytes": cache,
        "linear_state_bytes": 4 * (WIDTH * WIDTH + WIDTH),
    }


def rank(matrix: Tensor) -> int:
    """Singular values above 1e-10 of the largest: how many numbers per value a state must at least hold."""
    values = torch.linalg.svdvals(matrix)
    return int((values > 1e-10 * values[0]).sum())


def rule(table: Table) -> Ruling:
    error, first = float(table.values("attention", "convolution_error")[:, -1].max()), table.curve("attention", "convolution_error")[0]
    same = float(table.values("attention", "recurrence_error").max())
    softmax, linear = table.curve("attention", "rank_softmax"), table.curve("attention", "rank_linear")
    numbers = (
        f"Heads whose scores see only distance come within {error:.0e} of a convolution of {TAPS} taps at α = {SHARP[-1]} ({first:.0e} "
        f"at {SHARP[0]}). Linear attention equals its recurrent form within {same:.0e}, with a state of rank {linear[-1]:.0f}. "
        f"Softmax needs rank {softmax[-1]:.0f} for {LENGTHS[-1]} tokens: its state, the cache, grows with them."
    )
    if error > 1e-9 or same > 1e-10:
        return Ruling(Verdict.WRONG, numbers)
    grows = softmax[-1] > 0.9 * LENGTHS[-1] and linear[-1] <= WIDTH
    return Ruling(Verdict.HOLDS if grows else Verdict.CONDITION, numbers)


def draw(table: Table) -> Figure:
    fig, (left, right) = style.figure(columns=2)
    arm = "attention"
    style.line(left, SHARP, table.values(arm, "convolution_error").clip(1e-17), "heads of fixed distance")
    left.set(xscale="log", yscale="log", xlabel="sharpness α of the scores −α(distance − Δ)²", ylabel="largest error, share of the output",
             title="A convolution by attention")  # fmt: skip
    left.set_xticks(SHARP, [str(a) for a in SHARP])
    for index, (name, label) in enumerate({"rank_softmax": "softmax: the cache", "rank_linear": "linear: a fixed state"}.items()):
        style.line(right, LENGTHS, table.values(arm, name), label, index)
    right.set(xscale="log", yscale="log", xlabel="tokens read", ylabel="numbers to keep per feature of v", title="What must be remembered")
    for ticks in (right.set_xticks, right.set_yticks):
        ticks(LENGTHS, [str(n) for n in LENGTHS])
    right.minorticks_off()
    style.legend(right)
    return fig


CLAIM = Claim(
    id="C51", title="How is attention different from a convolution or a recurrent network?", topic="attention", kind="exact",
    statement=(
        "With scores of fixed distances attention is a convolution, and with a kernel in place of its softmax a recurrent network "
        "with a fixed state; with the softmax it is neither: its state grows with the text."
    ),
    notes=("004:135", "000 §6"),
    literature=(
        "Cordonnier et al. 2020 (arXiv 1911.03584, theorem 1): multi-head attention with quadratic relative scores expresses any "
        "convolution with as many taps as heads, exactly as α → ∞. Katharopoulos et al. 2020 (arXiv 2006.16236, §3.4): causal "
        "linear attention is a recurrent network."
    ),
    method=(
        "Direct constructions in double precision: a head per tap with scores −α(j − i − Δ)² against conv1d away from the ends; "
        "linear attention as products and token by token; the rank of the table of weights before normalisation, over random queries "
        "and keys of 16 features, for 16 to 256 tokens. A state of m numbers per feature of v can give only tables of rank m."
    ),
    decides=(
        "Wrong if at α = 32 the convolution is missed by more than 1e-9, or the two forms of linear attention differ by more than 1e-10. "
        "Holds if, besides, the softmax's table of 256 tokens has a rank above 230 and linear attention's at most 16; else with a condition."
    ),
    expected=Verdict.HOLDS,
    arms={"attention": None},
    measure=measure, rule=rule, draw=draw,
    units={"convolution_error": "share of the largest output", "cache_bytes": "bytes", "linear_state_bytes": "bytes"},
    limits=(
        "Of the other differences (weights made from the input, one step between any two tokens, parameters that know no length) this "
        "shows only that attention can imitate; C06 and C50 measure which it learns. Ranks are of random tables, to 1e-10."
    ),
)  # fmt: skip
