"""The examples of docs/data.md run."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "data.md"


def test_every_example_runs(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("book.txt").write_text("".join(f"This is line {i} of the book.\n" for i in range(800)))
    examples = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(examples) >= 6
    names: dict[str, object] = {}
    for example in examples:
        exec(compile(example, str(PAGE), "exec"), names)
