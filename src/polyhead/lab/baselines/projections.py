"""Attention with fewer projections: queries and keys by one matrix, or vectors taken as they are."""

from __future__ import annotations

from typing import Literal

from torch import nn

from polyhead.nn import Transformer
from polyhead.nn.heads import Grouped

Missing = Literal["none", "tied", "raw", "values", "output"]


def with_projections(model: Transformer, missing: Missing) -> Transformer:
    """The same model, changed in place. tied: queries and keys by one matrix (Reformer, Kitaev et al. 2020, arXiv 2001.04451,
    §2); raw: both are the normalised input itself; values, output: without that matrix (He & Hofmann 2023, arXiv 2311.01906).
    Every head must have the width of keys that it has of queries: no grouped keys."""
    for heads in model.modules():
        if isinstance(heads, Grouped) and missing != "none":
            assert heads.kv == heads.heads, "tied and raw projections need a key for every query head"
            if missing == "tied":
                heads.k = heads.q
            elif missing == "raw":
                heads.q, heads.k = nn.Identity(), nn.Identity()  # type: ignore[assignment]
            else:
                setattr(heads, "v" if missing == "values" else "o", nn.Identity())
    return model
