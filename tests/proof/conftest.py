"""Tiny Hugging Face folders, each made once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import polyhead
from tests.parity.cases import BY_NAME

__all__ = ["polyhead"]


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """made(name): the checkpoint of a case of the parity table. Not to be changed."""
    pytest.importorskip("transformers", minversion="5.0")
    from tests.parity import reference

    root = tmp_path_factory.mktemp("proved")

    def make(name: str) -> Path:
        if not (root / name).exists():
            reference.build(BY_NAME[name]).save_pretrained(root / name)
        return root / name

    return make
