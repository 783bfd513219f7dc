"""Real checkpoints and reference answers, where this machine has them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[2]
_PLACES = [Path(os.environ["PH_DATA"])] if "PH_DATA" in os.environ else [_ROOT / "data", _ROOT.parent / "shared" / "data"]


def reference_data(name: str) -> Path:
    """A folder of $PH_DATA, or of the usual places; skips the test where there is none."""
    for place in _PLACES:
        if (place / name).exists():
            return place / name
    pytest.skip(f"no {name} in {_PLACES}: set PH_DATA")
