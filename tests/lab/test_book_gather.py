"""What the book is made of: claims' files, a user's results before those of the package, and what runs on other seeds said."""

from __future__ import annotations

from pathlib import Path

import pytest

from polyhead.errors import ConfigError
from polyhead.lab import finding, results
from polyhead.lab.book.gather import gather
from polyhead.lab.claim import Verdict


@pytest.fixture(autouse=True)
def no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finding, "package", lambda: {})


def run(name: str, seeds: list[int], gap: float = 1.0) -> dict:
    claim = finding.load(name)
    made = {
        "mode": "full", "seeds": seeds, "code": "c", "arms": {arm: {str(s): {"x": i * gap, "list": [1.0, "NaN"]} for s in seeds} for i, arm in enumerate(("one", "two"))},
        "intervals": {}, "verdict": None, "because": None, "seconds": 75.2, "machine": {"cpu": "a core", "cores": 2, "os": "Linux"}, "versions": {"torch": "2.13.0"},
        "corpus": "f" * 64, "created": "2026-01-02T03:04:05+00:00",
    }  # fmt: skip
    results.judge(claim, made)
    return made


def write_result(name: str, *runs: dict) -> None:
    result = results.begin(finding.load(name))
    result["runs"] += runs
    results.settle(result)
    results.write(Path("mine") / f"{result['id']}.json", result)


def test_a_claim_of_ones_own_with_its_result(write) -> None:
    name = write("a.py", verdict="Verdict.HOLDS if gap.low > 0 else Verdict.WRONG")
    write_result(name, run(name, [0, 1, 2]), run(name, [3, 4, 5]))
    told = gather(Path("mine"), [name]).by_id["A"]
    assert told.verdict is Verdict.HOLDS and told.again == "the same" and told.flag == " --full"
    assert told.finding.facts == {
        "measured": "2026-01-02, full, seeds 0–2", "other seeds": "3–5: holds", "time": "1 min 15 s of one core", "machine": "a core, 2 cores, Linux",
        "versions": "torch 2.13.0", "text": "the demo's corpus, sha256 ffffffffffffffff",
    }  # fmt: skip
    assert told.finding.table.seeds == [0, 1, 2] and told.shown_file == "a.py" and "A claim for tests" in told.source


def test_runs_that_differ_are_said_to(write) -> None:
    name = write("a.py", verdict="Verdict.HOLDS if gap.low > 0 else Verdict.WRONG")
    write_result(name, run(name, [0, 1, 2]), run(name, [3, 4, 5], gap=-1.0))
    told = gather(Path("mine"), [name]).by_id["A"]
    assert told.verdict is Verdict.OPEN and told.again == "differ" and "Runs on other seeds differ" in told.finding.ruling.because


def test_what_is_not_measured_and_what_is_no_claim(write) -> None:
    told = gather(Path("mine"), [write("a.py")]).by_id["A"]
    assert told.finding is None and told.verdict is None and told.again == ""
    Path("b.py").write_text("x = 1\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="has no claim"):
        gather(Path("mine"), ["b.py"])
