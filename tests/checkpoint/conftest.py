"""The tests of this folder save thousands of times."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def quick_fsync() -> Iterator[None]:
    """Forcing bytes to a real disk takes most of the time and shows in no test: which calls are made is tested, by name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", os.fstat)
        yield
