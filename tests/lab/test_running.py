"""Running: what is measured is measured once, is on the disk at once, and decides as the rule says."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from polyhead.errors import DataError, Stopped
from polyhead.lab import results
from polyhead.lab.claim import Verdict
from polyhead.lab.pool import Unit, measure, processes
from polyhead.lab.running import Asked, run_claims

from .conftest import measured

FOLDER = Path("results")


def run(name: str, **asked):
    """One claim in this process → its entry, and what was told."""
    told: list[str] = []
    entries = run_claims([name], Asked(FOLDER, jobs=0)._replace(**asked), lambda what, _: told.append(what))
    return entries[0], told


def saved() -> dict:
    return json.loads((FOLDER / "A.json").read_text(encoding="utf-8"))


def test_a_result_has_every_number_and_where_it_comes_from(write) -> None:
    entry, told = run(write())
    result, (made,) = saved(), saved()["runs"]
    assert (result["verdict"], result["because"], result["expected"]) == ("holds", "1.0 apart", "holds")
    assert made["seeds"] == [0, 1, 2] and made["mode"] == "quick"
    assert made["arms"]["two"]["1"] == {"x": 2.1, "list": [1.0, "NaN"], "text": "a"}
    assert made["intervals"]["one"]["x"] == pytest.approx([1.1, 1.0, 1.2])
    assert made["machine"]["cpu"] and made["machine"]["cores"] == os.cpu_count()
    assert set(made["versions"]) == {"polyhead", "python", "torch", "numpy"} and made["corpus"] is None
    one, other = results.table(made).arms["one"][0]["list"]
    assert one == 1.0 and math.isnan(other)
    assert told == ["start", *["unit"] * 6, "claim"] and not entry.faults


def test_what_is_measured_is_not_measured_again(write) -> None:
    run(name := write())
    before = (FOLDER / "A.json").read_bytes()
    assert len(measured()) == 6
    run(name)
    assert not measured() and (FOLDER / "A.json").read_bytes() == before


def test_a_stopped_run_goes_on_where_it_was(write) -> None:
    name = write(body="import os, signal; os.kill(os.getpid(), signal.SIGINT) if trial.arm == 2 and trial.seed == 1 else None")
    with pytest.raises(Stopped, match="4 of 6") as stop:
        run(name)
    assert stop.value.exit_code == 130
    part = saved()
    assert part["verdict"] is None and sum(map(len, part["runs"][0]["arms"].values())) == 4 == len(measured())
    assert results.find("A", FOLDER) is None
    entry, told = run(name)
    assert told[0] == "resume" and measured() == ["1 2 quick", "2 2 quick"]
    assert saved()["verdict"] == "holds" and list(saved()["runs"][0]["arms"]["two"]) == ["0", "1", "2"]


def test_again_takes_other_seeds_and_a_verdict_that_changes_is_none(write) -> None:
    run(name := write(verdict="Verdict.HOLDS if 0 in table.seeds else Verdict.WRONG"))
    measured()
    run(name, again=True)
    assert [line.split()[1] for line in measured()] == list("334455")
    result = saved()
    assert [one["verdict"] for one in result["runs"]] == ["holds", "wrong as stated"]
    assert result["verdict"] == Verdict.OPEN and "seeds 3–5: wrong as stated" in result["because"]
    run(name)
    assert not measured()


def test_again_is_not_forgotten_when_it_is_stopped(write) -> None:
    stops = "import os, signal; os.kill(os.getpid(), signal.SIGINT) if trial.seed == 3 and not Path('go').exists() else None"
    names = [write(body=stops), write("b.py", id="B")]
    asked, told = Asked(FOLDER, jobs=0), []
    run_claims(names, asked, lambda *_: None)
    with pytest.raises(Stopped):
        run_claims(names, asked._replace(again=True), lambda *_: None)
    Path("go").touch()
    run_claims(names, asked._replace(again=True), lambda what, _: told.append(what))
    assert "unfinished" in told
    for id in "AB":
        assert [one["seeds"] for one in results.read(FOLDER / f"{id}.json")["runs"]] == [[0, 1, 2], [3, 4, 5]]
    run_claims(names, asked, lambda *_: None)
    assert len(measured("b.py")) == 12


@pytest.mark.parametrize("how", [{"kind": "counting"}, {"kind": "published"}, {"kind": "exact", "more": "seeds=(1, 1)"}])
def test_what_has_no_chance_in_it_is_measured_once(write, how) -> None:
    name = write(**how)
    run(name)
    assert len(measured()) == 2
    _, told = run(name, again=True)
    assert "nothing to repeat" in told and not measured()


def test_full_has_five_seeds_and_decides_over_quick(write) -> None:
    name = write(verdict="Verdict.HOLDS if len(table.seeds) == 3 else Verdict.WRONG")
    run(name)
    run(name, mode="full")
    assert [len(one["seeds"]) for one in saved()["runs"]] == [3, 5] and saved()["verdict"] == "wrong as stated"


def test_more_seeds_are_added_to_those_there(write) -> None:
    run(name := write())
    measured()
    run(name, seeds=4)
    assert measured() == ["1 3 quick", "2 3 quick"] and saved()["runs"][0]["seeds"] == [0, 1, 2, 3] and saved()["verdict"] == "holds"


def test_another_measurement_leaves_the_old_numbers_out(write) -> None:
    run(write())
    measured()
    _, told = run(write(body="trial = type(trial)(trial.arm * 2, trial.seed)"))
    assert told[0] == "changed" and len(measured()) == 6 and len(saved()["runs"]) == 1 and saved()["because"] == "2.0 apart"


def test_another_rule_or_other_words_judge_the_same_numbers(write) -> None:
    run(write())
    measured()
    run(write(verdict="Verdict.WRONG", more="limits='None.'"))
    assert not measured() and saved()["verdict"] == saved()["runs"][0]["verdict"] == "wrong as stated"


def test_a_measurement_that_fails_is_named_and_the_others_are_made(write) -> None:
    name = write(body="assert trial.seed != 1, 'one'")
    entry, _ = run(name)
    assert entry.faults == [f"A, {arm}, seed 1: a.py, line 12: AssertionError: one" for arm in ("one", "two")]
    assert saved()["verdict"] is None and len(measured()) == 6
    write()
    run(name)
    assert saved()["verdict"] == "holds"


def test_a_rule_that_fails_is_named_and_the_numbers_are_kept(write) -> None:
    entry, _ = run(write(verdict="1 / 0"))
    assert "A, its rule: a.py, line 18: ZeroDivisionError" in entry.faults[0]
    measured()
    assert run(write())[0].result["verdict"] == "holds" and not measured()


@pytest.mark.parametrize(("body", "said"), [("return 3", "must return a dict"), ("return {'x': {1}}", "returned set as 'x'")])
def test_what_is_no_number_is_refused(write, body, said) -> None:
    assert said in run(write(body=body))[0].faults[0]


def test_numbers_of_torch_and_numpy_are_taken(write) -> None:
    body = "import numpy, torch; return {'x': numpy.float32(2), 'y': torch.tensor(3), 'z': [numpy.int64(1)]}"
    assert measure(Unit(write(body=body), "one", 0, "quick", False)).numbers == {"x": 2.0, "y": 3, "z": [1]}


def test_a_file_of_something_else_is_not_overwritten(write) -> None:
    FOLDER.mkdir()
    for text in ("{}", "no json", '{"format": 99, "id": "A", "runs": []}'):
        (FOLDER / "A.json").write_text(text)
        with pytest.raises(DataError):
            run(write())
        assert (FOLDER / "A.json").read_text() == text


# ---------------------------------------------------------------- in processes

def test_processes_share_the_work_and_one_that_dies_costs_its_own_measurement(write) -> None:
    name = write(body="import os; os._exit(7) if trial.arm == 1 and trial.seed == 0 else None")
    units = [Unit(name, arm, seed, "quick", False) for seed in range(2) for arm in ("one", "two")]
    found = list(processes(units, 2, lambda: False))
    assert sorted(done.unit for done in found) == sorted(units)
    assert [done.unit for done in found if done.numbers is None] == [units[0]]
    assert next(done.fault for done in found if done.fault).startswith("its process ended with 7")


def test_what_is_alone_has_nothing_beside_it(write) -> None:
    body = "import time; since = time.time(); time.sleep(0.2); return {'since': since, 'until': time.time()}"
    units = [Unit(write(body=body), "one", seed, "quick", seed > 1) for seed in range(4)]
    spans = {done.unit.seed: done.numbers for done in processes(units, 2, lambda: False)}
    for seed in (2, 3):
        others = [span for other, span in spans.items() if other != seed]
        assert all(span["until"] <= spans[seed]["since"] or spans[seed]["until"] <= span["since"] for span in others)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals of another kind")
def test_ctrl_c_on_a_terminal_keeps_what_is_finished_and_leaves_no_process(write) -> None:
    name = write(body="import time; time.sleep(60 if trial.seed == 1 else 0)")
    words = [sys.executable, "-m", "polyhead", "lab", "run", name, "--jobs", "2", "-o", str(FOLDER)]
    process = subprocess.Popen(words, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    log = Path("a.log")
    while not (log.exists() and log.read_text().count(" 1 quick") == 2):
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all of them
    out, err = process.communicate()
    assert process.returncode == 130 and "2 of 6 measurements made; the same command goes on" in err and "Traceback" not in err
    assert sum(map(len, saved()["runs"][0]["arms"].values())) == 2
    for _ in range(300):  # multiprocessing's own tracker ends a little later
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    raise AssertionError("a process is left")
