"""polyhead demo: its corpus, its run, and what it does with one that is there."""

from __future__ import annotations

import json
import sysconfig
from pathlib import Path

import pytest

from polyhead.commands import demo
from polyhead.data import library


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Path:
    """The demo with little text and a tiny model."""
    settings = demo.SETTINGS | {"training.batch": 2, "training.context": 32, "training.sample_tokens": 8, "training.threads": 1,
                                "model.decoder.layers": 1, "model.decoder.width": 32}  # fmt: skip
    monkeypatch.setattr(demo, "SETTINGS", settings)
    monkeypatch.setattr(library.select, "__defaults__", (300_000,))
    return folder


def test_the_corpus_is_this_pythons_library_and_always_the_same(tmp_path: Path) -> None:
    size, count = library.write_corpus(tmp_path / "a/corpus.jsonl")
    assert library.write_corpus(tmp_path / "b/corpus.jsonl") == (size, count)
    assert (tmp_path / "a/corpus.jsonl").read_bytes() == (tmp_path / "b/corpus.jsonl").read_bytes()
    rows = [json.loads(line) for line in (tmp_path / "a/corpus.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(rows) == count > 50 and 2_000_000 < size <= 6_000_000
    stdlib = Path(sysconfig.get_path("stdlib"))
    assert rows[0]["text"] == (stdlib / rows[0]["name"]).read_text(encoding="utf-8")
    assert not [row["name"] for row in rows if {"test", "site-packages", "idlelib", "lib2to3"} & set(Path(row["name"]).parts)]


def test_a_python_without_its_source_says_so(tmp_path: Path) -> None:
    from polyhead.errors import DataError

    with pytest.raises(DataError, match="too little source"):
        library.write_corpus(tmp_path / "corpus.jsonl", tmp_path)


def test_the_demo_trains_tells_and_reports(polyhead, small: Path) -> None:
    result = polyhead("demo", "--steps", "5")
    assert result.code == 0, result.err
    for part in ("corpus", "bits/byte", "ETA", "written at step 5", "validation loss", "runs/demo/report.html", 'polyhead run runs/demo "def "', "polyhead chat runs/demo"):
        assert part in result.out, part
    assert (small / "runs/demo/report.html").exists()


def test_a_finished_demo_is_told_and_done_again_when_asked(polyhead, small: Path) -> None:
    polyhead("demo", "-o", "d", "--steps", "5")
    before = (small / "d/metrics.jsonl").read_text()
    result = polyhead("demo", "-o", "d")
    assert result.code == 0 and "--again" in result.out and (small / "d/metrics.jsonl").read_text() == before
    assert json.loads(polyhead("demo", "-o", "d", "--json").out)["finished"] is True
    assert polyhead("demo", "-o", "d", "--steps", "3", "--again").code == 0
    assert len((small / "d/metrics.jsonl").read_text().splitlines()) < len(before.splitlines())


def test_an_interrupted_demo_goes_on(polyhead, small: Path) -> None:
    from polyhead.errors import Stopped
    from polyhead.train import build_config, train_run

    library.write_corpus(small / "d" / demo.CORPUS)
    config = build_config("gpt-nano", str(Path("d") / demo.CORPUS), demo.SETTINGS | {"training.steps": 6, "training.save_every": 2})

    def stop(name: str, fields: dict) -> None:
        if name == "save":
            raise Stopped(2)

    with pytest.raises(Stopped):
        train_run(config, small / "d", tell=stop)
    result = polyhead("demo", "-o", "d")
    assert result.code == 0 and "going on after step 2" in result.out and "written at step 6" in result.out


@pytest.mark.parametrize("words", [[], ["--again"]])
def test_other_peoples_folders_are_left_alone(polyhead, small: Path, words: list[str]) -> None:
    (small / "mine").mkdir()
    (small / "mine/thesis.txt").write_text("years of work")
    result = polyhead("demo", "-o", "mine", *words)
    assert result.code == 2 and (small / "mine/thesis.txt").read_text() == "years of work"


@pytest.mark.slow
def test_the_demo_as_it_is_improves_visibly(polyhead, folder: Path) -> None:
    """The shipped settings, whole; the time is measured in benchmarks, on a quiet machine."""
    found = json.loads(polyhead("demo", "--json").out)
    rows = [json.loads(line) for line in (folder / "runs/demo/metrics.jsonl").read_text().splitlines()]
    held = [row["val_loss"] for row in rows if "val_loss" in row]
    assert held == sorted(held, reverse=True) and found["val_bpb"] < 2.2
