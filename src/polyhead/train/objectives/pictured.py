"""Pictures: the class of each (ViT, Dosovitskiy et al. 2021, arXiv 2010.11929)."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from polyhead.data import Augment, Objective, Pictures
from polyhead.errors import ConfigError
from polyhead.families import check_shape, override, with_head
from polyhead.nn import At, Batch, ModelSpec, Patches, Transformer

from .base import Given, Learner, ObjectiveSpec, Sums, accuracy


class ImageSpec(ObjectiveSpec):
    """The class of a picture; a preset takes the size and channels of the data. crop: pixels put around it before a piece of the
    old size is cut out at random; flip: mirrored in half of the cases; cutout: side of a square that is blanked; mixup: α of
    the share at which another picture is laid over (see data.Augment). Pixels are normalised by the training part's mean."""

    kind: Literal["image"] = "image"
    tokens: ClassVar[bool] = False
    asks: ClassVar[str] = "the class of a picture"
    crop: int = Field(0, ge=0)
    flip: bool = False
    cutout: int = Field(0, ge=0)
    mixup: float = Field(0.0, ge=0)
    takes: ClassVar[tuple[str, ...]] = ("images",)
    reads: ClassVar[Literal["pictures"]] = "pictures"
    figures: ClassVar[tuple[str, ...]] = ("accuracy",)

    def spec(self, spec: ModelSpec, facts: dict[str, Any]) -> ModelSpec:
        check_shape(spec, "images", self.kind)
        reads, size = spec.top.embedding.input, tuple(facts["size"])
        assert isinstance(reads, Patches), "it reads images"
        if size[0] != size[1]:
            raise ConfigError("the pictures are not square", expected="one side", received=f"{size[0]} × {size[1]} pixels", change=f"data.image_size={max(size)}")
        if (reads.image, reads.channels) != (size[0], facts["channels"]):
            form = reads.model_copy(update={"image": size[0], "channels": facts["channels"]})
            changes: dict[str, Any] = {"encoder.embedding.input.image": size[0], "encoder.embedding.input.channels": facts["channels"], "context": form.positions}
            if spec.top.embedding.position.kind == "learned":
                changes["encoder.embedding.position.length"] = form.positions
            spec = override(spec, changes, f"pictures of {size[0]} pixels")
        return with_head(spec, "image", len(facts["labels"]))

    def datasets(self, train: Any, held: Any, given: Given) -> tuple[Objective, Objective]:
        first = Pictures(train, Augment(self.crop, self.flip, self.cutout, self.mixup))
        return first, Pictures(held, mean=first.mean, std=first.std)

    def meta(self, train: Objective, given: Given) -> dict[str, Any]:
        assert isinstance(train, Pictures)
        return {"preprocessor": train.preprocessor()}

    def learner(self, net: Transformer, config: Any) -> Learner:
        return ImageLearner(net, config)


class ImageLearner(Learner):
    """targets (B,) classes, or (B, C) shares of mixed pictures."""

    counts: ClassVar[tuple[str, ...]] = ("right",)

    def loss(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        logits, balance = self._logits(batch)
        nats = F.cross_entropy(logits, batch.targets, reduction="none", label_smoothing=self.smoothing)
        return (nats * batch.weights).sum(), balance

    def _logits(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        x, balance = self.net.hidden(batch.inputs)
        return self.net.logits(x, at=At.of(batch.inputs, x.shape[1])), balance

    def measure(self, batch: Batch) -> Sums:
        logits, _ = self._logits(batch)
        nats = F.cross_entropy(logits, batch.targets, reduction="none") * batch.weights
        right = ((logits.argmax(-1) == batch.targets) & (batch.weights > 0)).sum()
        return {"nats": nats.sum(), "weight": batch.weights.sum(), "right": right}

    def figures(self, sums: dict[str, float]) -> dict[str, float]:
        return accuracy(sums)
