"""polyhead lab: what its verbs print, for people and for programs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from polyhead.lab import results, running
from polyhead.lab.finding import package


@pytest.fixture
def mine(polyhead, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A claim that `lab new` wrote, measured in this process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(running, "_measured", lambda units, jobs, stop: running.here(list(units), stop))
    assert polyhead("lab", "new", "my_claim.py").code == 0
    return "my_claim.py"


def test_list_has_every_claim_with_its_verdict(polyhead, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = json.loads(polyhead("lab", "list", "--json").out)
    assert [row["id"] for row in rows] == list(package()) and {"id", "statement", "verdict", "title", "topic", "kind", "expected"} <= set(rows[0])
    assert {row["verdict"] for row in rows} <= {"holds", "holds with a condition", "wrong as stated", "not decided here", None}
    seventeen = next(row for row in rows if row["id"] == "C17")
    assert seventeen["verdict"] == "wrong as stated"
    lines = polyhead("lab", "list").out.splitlines()
    assert len(lines) == len(rows) + 1 and any(line.split() == ["C17", *"wrong as stated".split(), *seventeen["title"].split()] for line in lines)


def test_ones_own_result_goes_before_that_of_the_package(polyhead, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    own = results.read(results.SHIPPED / "C17.json") | {"verdict": "not decided here"}  # as if measured by the user
    results.write(Path("runs/lab/C17.json"), own)
    assert next(row["verdict"] for row in json.loads(polyhead("lab", "list", "--json").out) if row["id"] == "C17") == "not decided here"
    assert json.loads(polyhead("lab", "list", "--json", "-o", "elsewhere").out)[0] is not None
    stale = [run | {"code": "of another version"} for run in own["runs"]]
    for other in ({"verdict": None}, {"runs": stale}):
        results.write(Path("runs/lab/C17.json"), own | other)
        assert json.loads(polyhead("lab", "show", "C17", "--json").out)["result"]["verdict"] == "wrong as stated"


def test_show_tells_the_claim_and_what_was_measured(polyhead) -> None:
    out = polyhead("lab", "show", "c17").out
    for words in ("C17  Is self-attention permutation invariant?", "what is said", "literature", "rule", "verdict      wrong as stated",
                  "quick, seeds 0–2", "equivariance (share of the largest output)"):  # fmt: skip
        assert words in out
    told = json.loads(polyhead("lab", "show", "C17", "--json").out)
    assert told["arms"] == ["neither", "causal mask", "positions added"] and told["result"]["runs"][0]["intervals"]


def test_show_draws(polyhead, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "the figure: a.svg" in polyhead("lab", "show", "C17", "--figure", "a.svg").out
    assert polyhead("lab", "show", "C17", "--figure", "a.png", "--dark", "--json").code == 0
    assert "sinusoids added" in Path("a.svg").read_text(encoding="utf-8") and Path("a.png").read_bytes().startswith(b"\x89PNG")
    assert polyhead("lab", "show", "C17", "--figure", "a.txt").code == 2
    assert polyhead("lab", "new", "mine.py").code == 0 and "not measured yet" in polyhead("lab", "show", "mine.py", "--figure", "b.svg").err


def test_a_new_claim_runs_as_it_is(polyhead, mine: str) -> None:
    assert "not measured yet" in polyhead("lab", "show", mine).out
    first = polyhead("lab", "run", mine)
    assert first.code == 0 and "MY-CLAIM  holds: The spread of the mean is" in first.out and "6 measurements of 1 claim" in first.out
    assert "verdict      holds" in polyhead("lab", "show", mine).out
    told = json.loads(polyhead("lab", "run", mine, "--again", "--json").out)
    assert told[0]["verdict"] == "holds" and told[0]["runs"] == 2 and told[0]["faults"] == []
    assert len(json.loads(Path("runs/lab/MY-CLAIM.json").read_text(encoding="utf-8"))["runs"]) == 2


def test_a_failure_is_said_and_leaves_with_1(polyhead, mine: str) -> None:
    source = Path(mine).read_text(encoding="utf-8")
    Path(mine).write_text(source.replace("    draw = torch", "    assert trial.seed != 1\n    draw = torch"), encoding="utf-8")
    done = polyhead("lab", "run", mine)
    assert done.code == 1 and "failed: MY-CLAIM, 4 numbers, seed 1: my_claim.py, line " in done.out and "no verdict: 2 of its" in done.out
    told = polyhead("lab", "run", mine, "--json")
    assert told.code == 1 and len(json.loads(told.out)[0]["faults"]) == 2


@pytest.mark.parametrize(("words", "said"), [
    (("run", "C999"), "there is no such claim"), (("show", "nowhere.py"), "there is no such file"), (("new", "claim.txt"), "a file of Python"),
    (("new", "c17.py"), "the name of a claim of the package"), (("run", "C17", "--jobs", "0"), ""), (("run", "C17", "--seeds", "0"), ""),
])  # fmt: skip
def test_what_is_wrong_is_said(polyhead, tmp_path, monkeypatch, words, said) -> None:
    monkeypatch.chdir(tmp_path)
    done = polyhead("lab", *words)
    assert done.code == 2 and said in done.err and "Traceback" not in done.err and not list(tmp_path.iterdir())


def test_new_overwrites_nothing(polyhead, mine: str) -> None:
    Path(mine).write_text("mine")
    assert polyhead("lab", "new", mine).code == 2 and Path(mine).read_text() == "mine"
