"""`import polyhead as ph`: every public name is there, heavy or not, in whatever order things are imported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import polyhead as ph
from tests.processes import Process


def test_every_public_name_resolves_twice() -> None:
    for name in ph.__all__:
        assert callable(getattr(ph, name)) and callable(getattr(ph, name)), name
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        ph.trian  # noqa: B018


@pytest.mark.skipif(os.name == "nt", reason="forks")
@pytest.mark.parametrize("first", ["import polyhead.train", "from polyhead.train import build_config", "polyhead.train"])
def test_train_can_be_called_whatever_was_imported_first(first: str, tmp_path: Path) -> None:
    code = f"import polyhead; {first}; assert callable(polyhead.train); import polyhead.train as t; assert callable(t.train_run)"
    if first == "polyhead.train":
        code = "import polyhead; polyhead.train; assert callable(polyhead.train)"
    ended, words = Process(tmp_path, exec, f"import sys; assert 'polyhead' not in sys.modules; {code}").wait()
    assert ended == 0, words


def test_importing_polyhead_imports_nothing_heavy() -> None:
    code = "import sys, polyhead; assert not {'torch', 'numpy', 'pydantic'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
