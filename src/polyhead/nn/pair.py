"""Two models that meet in one space of unit vectors: an image tower and a text tower (CLIP).

    logits = exp(logit_scale) · text vectors · image vectorsᵀ
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from .inputs import Patches
from .model import ModelSpec
from .spec import Counts, Spec
from .tokens import Tokens


class PairSpec(Spec):
    """Radford et al. 2021 (arXiv 2103.00020, figure 3). The first head of each tower pools and gives its vector; lengths
    are divided out here whatever the heads do. scale: the learned factor's logarithm at the start, ln(1/0.07) in §2.5."""

    version: int = Field(1, ge=1, description="format of this spec; a newer one than the program knows is refused")
    family: str = ""
    image: ModelSpec
    text: ModelSpec
    scale: float = 2.6592

    @model_validator(mode="after")
    def _meet(self) -> PairSpec:
        for name, tower in (("image", self.image), ("text", self.text)):
            if len(tower.stacks) != 1:
                raise ValueError(f"the {name} tower is one stack: expected an encoder or a decoder, got both")
            reads = tower.top.embedding.input.kind
            if (reads == "tokens") != (name == "text"):
                raise ValueError(f"the {name} tower reads {name}s: expected input of that kind, got {reads}")
            if not next(iter(tower.heads.values())).pools:
                raise ValueError(f"the {name} tower gives one vector per row: set pool of its first head")
        if self.vector(self.image) != self.vector(self.text):
            got = f"{self.vector(self.image)} and {self.vector(self.text)}"
            raise ValueError(f"both towers must give vectors of one width: got {got}")
        return self

    @staticmethod
    def vector(tower: ModelSpec) -> int:
        """Width of the vectors of a tower's first head."""
        head = next(iter(tower.heads.values()))
        return head.output or head.last_width(tower.top.width)

    def params(self) -> Counts:
        total = Counts({"scale": 1})
        for name, tower in (("image", self.image), ("text", self.text)):
            total += Counts({f"{name}.{part}": n for part, n in tower.params().parts.items()})
        return total

    def flops(self, tokens: int, images: int = 1, texts: int = 1) -> Counts:
        """Forward FLOPs of `images` images of the stated size against `texts` texts of `tokens` tokens."""
        pixels = self.image.top.embedding.input
        assert isinstance(pixels, Patches)
        patches = pixels.positions
        total = Counts({"scores": 2 * images * texts * self.vector(self.text)})
        for name, one in (("image", self.image.flops(patches, images)), ("text", self.text.flops(tokens, texts))):
            total += Counts({f"{name}.{part}": n for part, n in one.parts.items()})
        return total

    def build(self, seed: int | None = 0) -> Pair:
        """The module with its initial values (seed None: the towers' are left unset, for weights about to be loaded)."""
        return Pair(self, seed)


class Pair(nn.Module):
    def __init__(self, spec: PairSpec, seed: int | None = 0) -> None:
        super().__init__()
        self.spec = spec
        self.image = spec.image.build(seed)
        self.text = spec.text.build(None if seed is None else seed + 1)
        self.logit_scale = nn.Parameter(torch.tensor(spec.scale))

    def forward(self, tokens: Tokens, images: Tokens) -> Tensor:
        """Every text against every image: (texts, images), in at least fp32."""
        return self.logits(*self.vectors(tokens, images))

    def vectors(self, tokens: Tokens, images: Tokens) -> tuple[Tensor, Tensor]:
        """Unit vectors (texts, width) and (images, width)."""
        return self.of_texts(tokens), self.of_images(images)

    def of_texts(self, tokens: Tokens) -> Tensor:
        return F.normalize(self.text(tokens), dim=-1)

    def of_images(self, images: Tokens) -> Tensor:
        return F.normalize(self.image(images), dim=-1)

    def logits(self, text: Tensor, image: Tensor) -> Tensor:
        """Unit vectors → (texts, images)."""
        return self.logit_scale.to(text.dtype).exp() * (text @ image.T)
