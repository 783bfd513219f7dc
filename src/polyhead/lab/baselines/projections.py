"""Attention with fewer projections: queries and keys by one matrix, or vectors taken as they are."""

from __future__ import annotations

from typing import Literal

from torch import nn

from polyhead.nn import Transformer
from polyhead.nn.heads import Grouped

Missing = Literal["none", "tied", "raw"]


def with_projections(model: Transformer, missing: Missing) -> Transformer:
    """The same model, changed in place. tied: queries and keys by one matrix (Reformer, Kitaev et al. 2020, arXiv 2001.04451,
    §2); raw: both are the normalised input itself. Every query head must have a key head of its own."""
    for heads in model.modules():
        if isinstance(heads, Grouped) and missing != "none":
            assert heads.kv == heads.heads, "tied and raw projections need a key for every query head"
            if missing == "tied":
                heads.k = heads.q
            else:
                heads.q, heads.k = nn.Identity(), nn.Identity()  # type: ignore[assignment]
    return model
