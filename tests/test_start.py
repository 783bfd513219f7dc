"""start.py: readable by an old Python, clear when something is missing, and it installs once."""

from __future__ import annotations

import ast
import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

START = Path(__file__).parents[1] / "start.py"


@pytest.fixture
def start(tmp_path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("start_under_test", START)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.ROOT = tmp_path
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    return module


def test_an_old_python_can_read_it_and_is_told(start: ModuleType, monkeypatch, capsys) -> None:
    ast.parse(START.read_text(encoding="utf-8"), feature_version=(3, 6))
    monkeypatch.setattr(start.sys, "version_info", (3, 9, 2))
    with pytest.raises(SystemExit) as caught:
        start.main(["demo"])
    assert "3.11 or newer is needed, this is 3.9" in str(caught.value)


def test_without_a_word_it_explains_itself() -> None:
    done = subprocess.run([sys.executable, str(START)], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "start.py demo" in done.stdout


def test_a_python_without_venv_is_told_what_to_install(start: ModuleType, monkeypatch) -> None:
    monkeypatch.setattr(start.sys, "prefix", start.sys.base_prefix)
    monkeypatch.setitem(sys.modules, "venv", None)
    with pytest.raises(SystemExit) as caught:
        start.environment()
    assert "python3-venv" in str(caught.value)


def test_a_failed_installation_is_told(start: ModuleType, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(start.subprocess, "call", lambda *_, **__: 1)
    with pytest.raises(SystemExit) as caught:
        start.install(tmp_path / "bin/python", "[test]")
    assert "network" in str(caught.value)


def test_it_installs_once_and_again_when_the_project_changes(start: ModuleType, monkeypatch, tmp_path: Path) -> None:
    calls: list[list[str]] = []
    monkeypatch.setattr(start.subprocess, "call", lambda command, **_: calls.append(command) or 0)
    (tmp_path / "env/bin").mkdir(parents=True)
    python = tmp_path / "env/bin/python"
    start.install(python, "[test]")
    start.install(python, "[test]")
    assert len(calls) == 1 and calls[0][-1] == f"{tmp_path}[test]"
    start.install(python, "")
    assert len(calls) == 2
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'y'\n")
    start.install(python, "[test]")
    assert len(calls) == 3


@pytest.mark.parametrize(("verb", "tail"), [("demo", ["polyhead", "demo", "--again"]), ("test", ["pytest", "-n", str(os.cpu_count()), "--dist", "worksteal", "--again"])])
def test_words_after_the_verb_are_passed_on(start: ModuleType, monkeypatch, verb: str, tail: list[str]) -> None:
    calls: list[list[str]] = []
    monkeypatch.setattr(start, "environment", lambda: Path("python"))
    monkeypatch.setattr(start, "install", lambda *_: None)
    monkeypatch.setattr(start.subprocess, "call", lambda command, **_: calls.append(command) or 3)
    assert start.main([verb, "--again"]) == 3 and calls[0][2:] == tail
