"""A key–value cache. What is asked: polyhead lab exercise cache. Is it right? polyhead lab grade cache FILE"""

from __future__ import annotations

from .given import Tensor, full, join, rotate, split, torch  # noqa: F401, I001 - its text, in the file that is written out

# ---------------------------------------------------------------- given above, to be written below


class Cache:
    """Keys and values of the tokens so far."""

    def __init__(self) -> None:
        self.length = 0

    def rewind(self, n: int) -> None:
        """Forget all but the first n tokens."""
        raise NotImplementedError("write Cache.rewind here")


def step(x: Tensor, w: dict[str, Tensor], heads: int, cache: Cache, rotary: bool = True) -> Tensor:
    """x (B, n, D), the next n tokens. Returns (B, n, D), and the cache holds n tokens more."""
    raise NotImplementedError("write step here")
