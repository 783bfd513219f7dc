"""The typed batch: what goes into a model and what is asked of it. Masks are derived from it, never passed beside it."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Tokens(NamedTuple):
    """One stream of tokens, B rows of T; or of images or audio, as a signal.

    ids: (B, T) long, None with a signal. pos: (B, T) or (1, T) long, −1 = padding; None = 0..T−1 and no padding at all.
    segment: (B, T) long document number; a token attends only within its own document. None = one document.
    mark: (B, T) bool, prefix tokens (prefix LM). types: (B, T) long token types (BERT's sentence A/B).
    padded: a Python fact, true if some pos may be −1; a batch without padding keeps the mask-free path.
    signal: pixels (B, C, H, W) or spectrum (B, bands, frames), alone: it has no padding, its T comes from the stack that
    reads it. masked: (B, patches) bool, patches hidden behind the mask vector.
    """

    ids: Tensor | None = None
    pos: Tensor | None = None
    segment: Tensor | None = None
    mark: Tensor | None = None
    types: Tensor | None = None
    padded: bool = False
    signal: Tensor | None = None
    masked: Tensor | None = None


class Batch(NamedTuple):
    """What one training step sees.

    targets: (B, T) long, aligned with `inputs` (already shifted for causal objectives).
    weights: (B, T) float32, 0 = not trained. source: the encoder's input of an encoder–decoder. labels: (B,) long, what
    the pair head is asked beside the masked tokens: 0 = the second segment follows, or both are in order; 1 = not.
    """

    inputs: Tokens
    targets: Tensor
    weights: Tensor
    source: Tokens | None = None
    labels: Tensor | None = None
