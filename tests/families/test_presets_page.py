"""docs/presets.md: its table is current, its examples run, its error is the one that is given."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shutil
from pathlib import Path

import pytest

from polyhead.errors import ConfigError
from polyhead.families import preset, resolve
from polyhead.families.__main__ import MARKS, main, table

PAGE = Path(__file__).parents[2] / "docs" / "presets.md"
TEXT = PAGE.read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return [body for kind, body in re.findall(r"^```(\w*)\n(.*?)^```$", TEXT, re.M | re.S) if kind == language]


def test_the_table_is_current(tmp_path: Path) -> None:
    """If this fails: python -m polyhead.families docs/presets.md"""
    assert f"{MARKS[0]}\n{table()}\n{MARKS[1]}" in TEXT
    copy = shutil.copy(PAGE, tmp_path / "presets.md")
    main([str(copy)])
    assert Path(copy).read_text(encoding="utf-8") == TEXT


def test_the_examples_run_and_print_what_they_say() -> None:
    printed = io.StringIO()
    for example in blocks("python"):
        with contextlib.redirect_stdout(printed):
            exec(compile(example, str(PAGE), "exec"), {})  # noqa: S102 - our own page
    lines = printed.getvalue().splitlines()
    assert "124439808" in lines and "{'kind': 'bytes', 'vocab_size': None}" in lines and "masked" in lines and "768" in lines


def test_the_yaml_file_resolves(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(blocks("yaml")[0], encoding="utf-8")
    spec = resolve(tmp_path / "mine.yaml")
    assert (spec.decoder.layers, spec.context, spec.heads["lm"].output) == (8, 512, 4096)
    assert spec.decoder.blocks["layer"].attention.position.theta == 1e5


def test_the_error_is_the_one_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = preset("gpt2").model_dump(mode="json")
    data["decoder"]["blocks"]["layer"]["ffn"]["raito"] = 3
    monkeypatch.chdir(tmp_path)
    Path("my.json").write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        resolve("my.json")
    assert str(caught.value) == blocks("")[0].rstrip()
