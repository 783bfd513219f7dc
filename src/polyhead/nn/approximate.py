"""AXIS mixing, the choices that never look at all pairs: they replace attend(), at a cost linear in the length.

Contract of a choice, beside that of weights.py
    lower(pattern, at, backend) -> Lowered     once per call and kind of layer
    build(kv, dim) -> module                   module(q, k, v, view, how, store) -> (B, h, T, d); how: attend()'s own arguments
    flops(heads, width, tokens, length)        of `tokens` tokens in rows of `length`, in place of the scores' own
    state(heads, width) -> shape or None       what a decoder's step needs of all tokens before, per row
What a choice cannot do it refuses when the spec is made (`fault`). Shapes: q (B, h, T, d), k and v (B, kv, T, d).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from .at import At
from .attend import Backend, Lowered, Scoring, attend
from .cache import Running, Store
from .heads import GroupedSpec
from .pattern import Causal, Full, Pattern, allowed
from .weights import EntmaxSpec, MixingSpec, ReluSpec, SigmoidSpec, SoftmaxSpec, SparsemaxSpec

if TYPE_CHECKING:
    from .attention import AttentionSpec

CHUNK = 64  # tokens whose pairs are computed between two sums; no effect on the result


class ApproximateSpec(MixingSpec):
    approximate = True

    def fault(self, spec: AttentionSpec) -> str | None:
        kind, heads = self.kind, spec.heads  # type: ignore[attr-defined]
        if not isinstance(heads, GroupedSpec):
            return f"mixing {kind} works on keys per head: expected heads of kind grouped, got {heads.kind}"
        if spec.position.kind not in self.positions():
            may = " or ".join(self.positions())
            return f"mixing {kind} has no scores of pairs to add to: expected position {may}, got {spec.position.kind}; put learned positions in the embedding"
        if spec.global_heads:
            return f"mixing {kind} lets everybody see everybody: set global_heads false"
        return None

    def positions(self) -> tuple[str, ...]:
        return ("none", "rotary")

    def state(self, heads: GroupedSpec, width: int) -> tuple[int, int, int] | None:
        return None


# ---------------------------------------------------------------- Linformer


class LinformerSpec(ApproximateSpec):
    """Keys and values projected along the length to `rank` rows, softmax over those (Wang et al. 2020, arXiv 2006.04768, eq. 7).

    For self-attention of encoders: a projection over the length mixes what comes later into every row, so there is no causal
    form. length: positions the projections have columns for. share: "none" gives a layer one projection for keys and one
    for values, for all its heads (the paper's headwise sharing), "kv" one for both, "layers" one for the stack. Column j
    belongs to position j, and padding is 0 before it is projected, so that padding changes nothing.
    """

    kind: Literal["linformer"] = "linformer"
    rank: int = Field(gt=0)
    length: int = Field(gt=0)
    share: Literal["none", "kv", "layers"] = "none"

    @property
    def shared(self) -> bool:  # type: ignore[override]
        return self.share == "layers"

    def fault(self, spec: AttentionSpec) -> str | None:
        if not isinstance(spec.pattern, Full):
            return f"mixing linformer mixes all keys, later ones too: expected pattern full, got {spec.pattern.kind}; take performer or linear for causal attention"
        return super().fault(spec)

    def positions(self) -> tuple[str, ...]:
        return ("none",)

    def params(self) -> int:
        return self.rank * self.length * (2 if self.share == "none" else 1)

    def flops(self, heads: GroupedSpec, width: int, tokens: int, length: int) -> int:
        """Both projections, and every query with `rank` keys."""
        return 4 * tokens * self.rank * heads.kv * heads.dim(width) + heads.score_flops(width, tokens * self.rank)

    def lower(self, pattern: Pattern, at: At, backend: Backend) -> Lowered:
        if at.segment is not None:
            raise ValueError("linformer mixes all tokens of a row: expected one document per row, got segments; set documents false")
        if at.pos.shape[1] > self.length:
            raise ValueError(f"linformer has {self.length} columns: expected rows of at most that, got {at.pos.shape[1]} tokens")
        path = "reference" if backend == "reference" else "sdpa"
        return Lowered(path, why=f"linformer: keys and values projected to {self.rank} rows")

    def build(self, kv: int, dim: int) -> Linformer:
        return Linformer(self)


class Linformer(nn.Module):
    def __init__(self, spec: LinformerSpec) -> None:
        super().__init__()
        self.e = nn.Parameter(torch.empty(spec.rank, spec.length))
        self.f = nn.Parameter(torch.empty(spec.rank, spec.length)) if spec.share == "none" else None

    def forward(self, q: Tensor, k: Tensor, v: Tensor, view: Any, how: Scoring, store: Store | None = None) -> Tensor:
        at: At = view.q
        own = [F.embedding(at.pos.clamp(min=0), p.T) for p in (self.e, self.e if self.f is None else self.f)]  # (B|1, T, rank)
        if at.padded:
            own = [p * (at.pos >= 0).unsqueeze(-1) for p in own]
            k, v = (t * (at.pos >= 0)[:, None, :, None] for t in (k, v))
        k, v = (p.to(t.dtype).transpose(1, 2).unsqueeze(1) @ t for p, t in zip(own, (k, v), strict=True))
        return attend(q, k, v, view.lowered, scale=how.scale, softcap=how.softcap, sinks=how.sinks, dropout=how.dropout)


# ---------------------------------------------------------------- products of features


class FeatureSpec(ApproximateSpec):
    """Weights φ(q)·φ(k) / Σ φ(q)·φ(k): keys and values are summed first, Σ φ(k)·vᵀ, then asked by φ(q). Causal attention is the
    same with running sums (Katharopoulos et al. 2020, arXiv 2006.16236, eq. 4–12), which are all that a cache must hold; it
    cannot be rolled back. Tokens of a row stand in the order of their positions. Rows of several documents are computed
    over all pairs. Statistics are in fp32 at least."""

    def fault(self, spec: AttentionSpec) -> str | None:
        kind = self.kind  # type: ignore[attr-defined]
        if not isinstance(spec.pattern, Full | Causal):
            return f"mixing {kind} sums all keys, or all before: expected pattern full or causal, got {spec.pattern.kind}"
        fault = super().fault(spec)
        if fault is None and isinstance(spec.heads, GroupedSpec):
            if spec.heads.softcap is not None or spec.heads.sinks:
                return f"mixing {kind} has no scores to cap and no softmax to join: expected heads.softcap null and heads.sinks false"
        return fault

    def width(self, dim: int) -> int:
        """Features that a head of `dim` has."""
        raise NotImplementedError

    def flops(self, heads: GroupedSpec, width: int, tokens: int, length: int, causal: bool = True) -> int:
        """Sums and their products; causal, also the pairs inside chunks. A column of ones beside the values gives the divisor."""
        if length == 0:
            return 0
        d, rows = heads.dim(width), tokens // length
        f, (n, size) = self.width(d), chunks(length) if causal else (1, length)
        sums = 2 * rows * n * size * f * (d + 1) * (heads.heads + heads.kv)
        return sums + (2 * rows * n * size**2 * heads.heads * (f + d + 1) if causal else 0)

    def state(self, heads: GroupedSpec, width: int) -> tuple[int, int, int]:
        d = heads.dim(width)
        return heads.kv, self.width(d), d + 1

    def lower(self, pattern: Pattern, at: At, backend: Backend) -> Lowered:
        causal = isinstance(pattern, Causal) or (not isinstance(pattern, Full) and pattern.reach()[1] == 0)
        kind = self.kind  # type: ignore[attr-defined]
        if at.segment is not None:
            return Lowered("pairs", causal, allowed(pattern, at, at), why=f"{kind}: several documents in a row, over all pairs")
        return Lowered("sums", causal, why=f"{kind}: {'running ' if causal else ''}sums, linear in length")


class LinearSpec(FeatureSpec):
    """φ(x) = elu(x) + 1 (Katharopoulos et al. 2020, arXiv 2006.16236, eq. 7)."""

    kind: Literal["linear"] = "linear"

    def fault(self, spec: AttentionSpec) -> str | None:
        if getattr(spec.heads, "scale", None) is not None:
            return "mixing linear has no scores to scale: expected heads.scale null"
        return super().fault(spec)

    def width(self, dim: int) -> int:
        return dim

    def build(self, kv: int, dim: int) -> Linear:
        return Linear()


class PerformerSpec(FeatureSpec):
    """FAVOR+: e^(q·k) as the mean over directions w of e^(w·q − |q|²/2) · e^(w·k − |k|²/2), positive and unbiased; directions are
    orthogonal in groups of head_dim, with the lengths of Gaussian vectors (Choromanski et al. 2021, arXiv 2009.14794, lemma 1
    and §2.4). They are drawn once per layer, for all heads, and kept in a buffer with the weights; they are not drawn anew."""

    kind: Literal["performer"] = "performer"
    features: int = Field(gt=0)

    def width(self, dim: int) -> int:
        return self.features

    def flops(self, heads: GroupedSpec, width: int, tokens: int, length: int, causal: bool = True) -> int:
        made = 2 * tokens * heads.dim(width) * self.features * (heads.heads + heads.kv) if length else 0
        return made + super().flops(heads, width, tokens, length, causal)

    def build(self, kv: int, dim: int) -> Performer:
        return Performer(self.features, dim)


class Linear(nn.Module):
    """Also the frame of all whose weights are products of features."""

    def features(self, x: Tensor, scale: float, asks: bool) -> Tensor:
        return F.elu(x) + 1

    def forward(self, q: Tensor, k: Tensor, v: Tensor, view: Any, how: Scoring, store: Store | None = None) -> Tensor:
        lowered, at = view.lowered, view.q
        wide = torch.float64 if q.dtype == torch.float64 else torch.float32
        with torch.autocast("cpu" if q.is_meta else q.device.type, enabled=False):
            q, k = self.features(q.to(wide), how.scale, True), self.features(k.to(wide), how.scale, False)
            v = F.pad(v.to(wide), (0, 1), value=1.0)
            if at.padded:
                k = k * (at.pos >= 0)[:, None, :, None]
            if lowered.path == "pairs":
                out = grouped(grouped(q, k.transpose(-1, -2)) * lowered.mask, v)
            elif lowered.causal:
                before = store.slots[0] if isinstance(store, Running) else None
                out, after = running(q, k, v, before)
                if isinstance(store, Running):
                    store.slots = [after]
            else:
                out = grouped(q, k.transpose(-1, -2) @ v)
            total = out[..., -1:]
            return out[..., :-1] / total.masked_fill(total == 0, 1.0)


class Performer(Linear):
    directions: Tensor

    def __init__(self, features: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("directions", torch.empty(features, dim))

    def draw(self, generator: torch.Generator) -> None:
        """Directions (features, dim): groups of orthogonal ones, each as long as a Gaussian vector."""
        m, d = self.directions.shape
        turned = []
        for _ in range(-(-m // d)):
            square, r = torch.linalg.qr(torch.randn(d, d, generator=generator, dtype=torch.float64))
            turned.append((square * r.diagonal().sign()).T)  # as they come, the signs are not drawn evenly
        lengths = torch.randn(m, d, generator=generator, dtype=torch.float64).norm(dim=-1, keepdim=True)
        self.directions.copy_(torch.cat(turned)[:m] * lengths)

    def features(self, x: Tensor, scale: float, asks: bool) -> Tensor:
        """A factor per query cancels, so the largest feature is 1; one for all keys must not depend on any of them."""
        x = x * scale**0.5
        made = x @ self.directions.to(x.dtype).T - x.square().sum(-1, keepdim=True) / 2
        return torch.exp(made - (made.detach().amax(-1, keepdim=True) if asks else x.shape[-1] / 4))


def grouped(a: Tensor, b: Tensor) -> Tensor:
    """a (B, h, …, T, n) times b (B, kv, …, n, m), each of b's heads for h / kv of a's."""
    if a.shape[1] == b.shape[1]:
        return a @ b
    return (a.unflatten(1, (b.shape[1], -1)) @ b.unsqueeze(2)).flatten(1, 2)


def running(q: Tensor, k: Tensor, v: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Σ_{j ≤ i} (q_i·k_j)·v_j for features q (B, h, T, f), k (B, kv, T, f) and v (B, kv, T, e), after a state (B, kv, f, e) of
    tokens before; and the state behind the last. Pairs inside chunks, sums across them (Katharopoulos et al., eq. 9–12)."""
    length = q.shape[2]
    n, size = chunks(length)
    q, k, v = (F.pad(t, (0, 0, 0, n * size - length)).unflatten(2, (n, size)) for t in (q, k, v))
    keys = k.transpose(-1, -2)
    sums = (keys @ v).cumsum(2)
    first = torch.zeros_like(sums[:, :, :1]) if state is None else state.unsqueeze(2)
    sums = torch.cat([first, first + sums], 2)
    out = grouped(grouped(q, keys).tril(), v) + grouped(q, sums[:, :, :-1])
    return out.flatten(2, 3)[:, :, :length], sums[:, :, -1]


def chunks(length: int) -> tuple[int, int]:
    """(how many, tokens of each): as even as it gets."""
    n = -(-length // CHUNK)
    return n, -(-length // n)


Approximate = LinformerSpec | PerformerSpec | LinearSpec
Mixing = Annotated[
    SoftmaxSpec | SigmoidSpec | ReluSpec | EntmaxSpec | SparsemaxSpec | LinformerSpec | PerformerSpec | LinearSpec,
    Field(discriminator="kind"),
]
