"""AXIS heads, second choice: latent attention (MLA). Keys and values of all heads come from one small vector per token,
and that vector is what the cache keeps.

    x ─ kv_a ─▶ [c | k_rope] ─ norm(c), turn(k_rope) ─▶ entry (B, 1, T, kv_rank + rope)
    expanded    [k_nope; v] per head = kv_b · c,  k = [k_nope; k_rope]          prompts and training
    absorbed    q_nope · kv_b's key rows meets c itself; the entry is key and value, and kv_b's value rows lift what was
                read: a step touches kv_rank + rope numbers per token instead of heads · (nope + rope + value)
The two are one formula with the products taken in another order. The union of choices closes this file.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import torch
from pydantic import Discriminator, Field, Tag
from torch import Tensor, nn

from .heads import Entry, GroupedSpec, Turn, fuse_linears
from .lora import effective
from .norm import Norm, RMSNormSpec
from .spec import Spec, linear_params


class LatentSpec(Spec):
    """Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434 §2.1, eq. 9–19; V3, arXiv 2412.19437 §2.1.1).

    A head's query and key have nope features without position and rope rotated ones (one rotated key serves all heads);
    its value has `value`. q_rank None makes queries straight from x. bias: q_a, kv_a and o have one. scale None is
    (nope + rope)^−½; YaRN's temperature belongs into it. norm stands on both latent vectors.
    """

    kind: Literal["latent"] = "latent"
    heads: int = Field(gt=0)
    q_rank: int | None = Field(None, gt=0, description="width of the query's latent vector; null = a plain product")
    kv_rank: int = Field(gt=0)
    nope: int = Field(gt=0, description="features of a head's query and key that carry no position")
    rope: int = Field(gt=0, description="features of a head's query and key that turn with the position")
    value: int = Field(gt=0)
    norm: Norm = RMSNormSpec(eps=1e-6)
    bias: bool = False
    scale: float | None = Field(None, gt=0)

    @property
    def kv(self) -> int:
        """Every head has keys and values of its own, made of the shared vector."""
        return self.heads

    @property
    def softcap(self) -> None:
        return None

    def dim(self, width: int) -> int:
        return self.nope + self.rope

    def rotary_dim(self, width: int | None = None) -> int:
        return self.rope

    def _sizes(self, width: int) -> dict[str, tuple[int, int, bool]]:
        """name → (inputs, outputs, bias)."""
        h, q = self.heads, self.heads * (self.nope + self.rope)
        sizes = {"q": (width, q, False)}
        if self.q_rank is not None:
            sizes = {"q_a": (width, self.q_rank, self.bias), "q_b": (self.q_rank, q, False)}
        sizes["kv_a"] = (width, self.kv_rank + self.rope, self.bias)
        sizes["kv_b"] = (self.kv_rank, h * (self.nope + self.value), False)
        return sizes | {"o": (h * self.value, width, self.bias)}

    def params(self, width: int) -> int:
        norms = self.norm.params(self.kv_rank) + (self.norm.params(self.q_rank) if self.q_rank else 0)
        return sum(linear_params(*size) for size in self._sizes(width).values()) + norms

    def flops(self, width: int, queries: int, keys: int) -> int:
        """Projections of `queries` tokens and `keys` tokens, expanded."""
        asked = {name: queries if name.startswith(("q", "o")) else keys for name in self._sizes(width)}
        return sum(2 * asked[name] * i * o for name, (i, o, _) in self._sizes(width).items())

    def score_flops(self, width: int, pairs: int) -> int:
        """q·k and weights·v over `pairs` (query, key) pairs, expanded."""
        return 2 * pairs * self.heads * (self.nope + self.rope + self.value)

    def activations(self, width: int) -> int:
        """Numbers per token that a training step keeps: the products, and keys put together."""
        return sum(outputs for _, outputs, _ in self._sizes(width).values()) + self.heads * (self.dim(width) + self.value)

    def build(self, width: int) -> Latent:
        return Latent(self, width)


class Latent(nn.Module):
    """The contract of heads.py. `kv_b` is read by rows when absorbed, so its weight stays as it is (`unpacked`)."""

    softcap = sinks = None
    unpacked = ("kv_b",)

    def __init__(self, spec: LatentSpec, width: int) -> None:
        super().__init__()
        self.heads, self.rank, self.nope, self.rope, self.value = spec.heads, spec.kv_rank, spec.nope, spec.rope, spec.value
        self.scale = spec.scale if spec.scale is not None else (spec.nope + spec.rope) ** -0.5
        made = {name: nn.Linear(i, o, bias=bias) for name, (i, o, bias) in spec._sizes(width).items()}
        self.q, self.q_a = made.get("q"), made.get("q_a")
        self.q_a_norm = spec.norm.build(spec.q_rank) if spec.q_rank else None
        self.q_b, self.kv_a = made.get("q_b"), made["kv_a"]
        self.kv_a_norm = spec.norm.build(spec.kv_rank)
        self.kv_b, self.o = made["kv_b"], made["o"]
        self.down: nn.Linear | None = None  # set by fuse(): q_a (or q) and kv_a in one product

    def shapes(self) -> tuple[tuple[int, int], ...]:
        return ((1, self.rank + self.rope),)

    def project(self, x: Tensor, turn: Turn) -> tuple[Tensor, Entry]:
        if self.down is None:
            return self.query(x, turn), self.entry(x, turn)
        joined, narrow = self.down(x), self.rank + self.rope
        return self._query(joined[..., :-narrow], turn), self._entry(joined[..., -narrow:], turn)

    def query(self, x: Tensor, turn: Turn) -> Tensor:
        first = self.q if self.q_a is None else self.q_a
        assert first is not None
        return self._query(first(x), turn)

    def entry(self, src: Tensor, turn: Turn) -> Entry:
        return self._entry(self.kv_a(src), turn)

    def _query(self, y: Tensor, turn: Turn) -> Tensor:
        y = y if self.q_b is None or self.q_a_norm is None else self.q_b(self.q_a_norm(y))
        still, turned = y.unflatten(-1, (self.heads, -1)).transpose(1, 2).split([self.nope, self.rope], -1)
        return torch.cat([still, turn(turned)], -1)

    def _entry(self, y: Tensor, turn: Turn) -> Entry:
        c, k = y.split([self.rank, self.rope], -1)
        return (torch.cat([self.kv_a_norm(c).unsqueeze(1), turn(k.unsqueeze(1))], -1),)

    def expand(self, q: Tensor, entry: Entry) -> tuple[Tensor, Tensor, Tensor]:
        """q (B, h, T, nope + rope), k, v per head; or, absorbed, all of width kv_rank + rope, k being v."""
        (latent,) = entry
        still, turned = q.split([self.nope, self.rope], -1)
        if self._absorbs(q.shape[2], latent.shape[2]):
            return torch.cat([torch.einsum("bhtn,hnr->bhtr", still, self._rows()[0]), turned], -1), latent, latent
        c, k_rope = latent.to(q.dtype).split([self.rank, self.rope], -1)
        made = self.kv_b(c.squeeze(1)).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        k, v = made.split([self.nope, self.value], -1)
        return q, torch.cat([k, k_rope.expand(-1, self.heads, -1, -1)], -1), v

    def output(self, o: Tensor) -> Tensor:
        if o.shape[-1] != self.value:  # absorbed: what was read is still latent
            o = torch.einsum("bhtr,hvr->bhtv", o[..., : self.rank], self._rows()[1])
        return self.o(o.transpose(1, 2).flatten(2))

    def _rows(self) -> tuple[Tensor, Tensor]:
        """kv_b's weight by what its rows make: (h, nope, kv_rank) keys, (h, value, kv_rank) values."""
        return effective(self.kv_b).unflatten(0, (self.heads, -1)).split([self.nope, self.value], 1)

    def _absorbs(self, queries: int, keys: int) -> bool:
        """Whether `queries` new tokens over `keys` cached ones cost fewer multiplications absorbed. Never in training,
        where the keys are the queries; never where `output` could not tell the two widths apart."""
        wide = self.rank + self.rope
        dearer = queries * keys * (2 * wide - self.nope - self.rope - self.value)
        return queries < keys and wide != self.value and dearer < (keys - queries) * self.rank * (self.nope + self.value)

    def values(self) -> Tensor:
        """The part of the weights that makes values, as a view."""
        return self._rows()[1]

    def fuse(self) -> None:
        """One product of x for queries and entries, for inference."""
        first = self.q if self.q_a is None else self.q_a
        assert first is not None, "fused before"
        self.down = fuse_linears([first, self.kv_a])
        self.q = self.q_a = self.kv_a = None  # type: ignore[assignment]  # from here on project reads `down` alone


def _kind(heads: Any) -> str:
    """Heads without a kind are grouped."""
    return heads.get("kind", "grouped") if isinstance(heads, dict) else getattr(heads, "kind", "grouped")


Heads = Annotated[
    Annotated[GroupedSpec, Tag("grouped")] | Annotated[LatentSpec, Tag("latent")], Discriminator(_kind)
]
