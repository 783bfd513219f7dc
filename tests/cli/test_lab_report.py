"""polyhead lab report: the files it writes, and what it prints."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from polyhead.lab.book import gather
from tests.lab.booked import small


@pytest.fixture(autouse=True)
def one_claim(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple]:
    asked: list[tuple] = []
    monkeypatch.setattr(gather, "gather", lambda folder, own: asked.append((folder, own)) or small())
    monkeypatch.chdir(tmp_path)
    return asked


def test_it_writes_the_book_three_times(polyhead, one_claim) -> None:
    done = polyhead("lab", "report", "-o", "book", "--results", "mine", "my_claim.py")
    assert done.code == 0 and one_claim == [(Path("mine"), ["my_claim.py"])]
    assert "1 of 1 claims measured: 0 holds, 0 holds with a condition, 0 wrong as stated, 1 not decided here" in done.out
    assert Path("book/lab.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert Path("book/lab.pdf").read_bytes().startswith(b"%PDF-")
    assert {path.name for path in Path("book/markdown").rglob("*.*")} == {"README.md", "c02.md", "questions-attention.md", "c02-light.svg", "c02-dark.svg"}


def test_for_programs(polyhead) -> None:
    told = json.loads(polyhead("lab", "report", "-o", "book", "--json").out)
    assert told["claims"] == told["measured"] == told["questions"] == 1 and told["wrong"] == [] and told["verdicts"]["not decided here"] == 1
    assert all(Path(told[kind]).exists() for kind in ("html", "pdf", "markdown"))


def test_a_file_in_the_books_place_is_refused(polyhead) -> None:
    Path("book").write_text("mine", encoding="utf-8")
    done = polyhead("lab", "report", "-o", "book")
    assert done.code == 2 and "expected: a folder" in done.err and Path("book").read_text(encoding="utf-8") == "mine"
