"""Pictures → the columns of an ExampleFile: `image`, uint8 (n, H, W, C), and `label`, the number of its class."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DataError
from .classes import numbering, sorted_labels, two_at_least
from .examplefile import ExampleWriter
from .examples import Picture

if TYPE_CHECKING:
    from .sources import Source


def pictures(
    source: Source, tokenizer: object, given: Sequence[str] | None
) -> tuple[Callable[[ExampleWriter, list[Picture], int], int], Callable[[ExampleWriter], dict[str, Any]]]:
    """(add, done). Classes are numbered when all pictures have been seen once: decoding them twice costs more."""
    number = None if given is None else numbering(given, source)
    names: dict[str, int] = {}
    seen: list[int] = []
    shapes: set[tuple[int, ...]] = set()

    def add(writer: ExampleWriter, group: list[Picture], at: int) -> int:
        shapes.update(one.image.shape for one in group)
        if len(shapes) > 1:
            raise DataError(
                f"{source.name}: the pictures are of several sizes", expected="one, to be packed", received=" and ".join(map(str, sorted(shapes)[:2])),
                change="open them with image_size",
            )  # fmt: skip
        images = np.stack([one.image for one in group])
        writer.add("image", images[..., None] if images.ndim == 3 else images)
        for i, one in enumerate(group):
            if number is not None:
                number(one.label, at + i)
            seen.append(names.setdefault(one.label, len(names)))
        return len(group)

    def done(writer: ExampleWriter) -> dict[str, Any]:
        labels = list(given) if given is not None else sorted_labels(names, source.name)
        two_at_least(labels, source.name)
        place = {label: i for i, label in enumerate(labels)}
        table = np.array([place[name] for name in names], np.int64)
        writer.add("label", table[np.array(seen, np.int64)])
        return {"labels": labels, "problem": "single"}

    return add, done
