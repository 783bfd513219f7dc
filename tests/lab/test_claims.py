"""The claims themselves: their code runs, and what the package says was measured is what these files measure."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from polyhead.lab import results, style
from polyhead.lab.claim import Trial
from polyhead.lab.finding import code, facts, load, package
from polyhead.lab.pool import Unit, measure
from polyhead.lab.table import Table

CLAIMS = list(package())
SHIPPED = [id for id in CLAIMS if (results.SHIPPED / f"{id}.json").exists()]
RUN_AGAIN = [id for id in SHIPPED if facts(id).kind in ("exact", "counting", "published") and results.read(results.SHIPPED / f"{id}.json")["runs"][0]["seconds"] < 20]


@pytest.mark.parametrize("id", CLAIMS)
def test_what_a_list_shows_is_what_the_claim_says(id: str) -> None:
    claim, told = load(id), facts(id)
    assert told == tuple(getattr(claim, name) for name in told._fields)


@pytest.mark.slow
@pytest.mark.parametrize("id", CLAIMS)
def test_every_arm_runs_and_its_numbers_can_be_judged_and_drawn(id: str) -> None:
    claim = load(id)
    arms: dict[str, dict[int, Any]] = {}
    for arm in claim.arms:
        done = measure(Unit(id, arm, 0, "smoke", claim.alone))
        assert done.numbers is not None, done.fault
        arms[arm] = {0: json.loads(json.dumps(done.numbers))}
    table = Table(arms)
    assert claim.rule(table).because
    for dark in (False, True):
        assert style.render(claim, table, dark=dark) == style.render(claim, table, dark=dark)


@pytest.mark.parametrize("id", SHIPPED)
def test_a_shipped_result_is_of_this_code_and_its_rule_still_says_so(id: str) -> None:
    claim, result = load(id), results.read(results.SHIPPED / f"{id}.json")
    assert {run["code"] for run in result["runs"]} == {code(package()[id])}, "measured with another code: run it again"
    for run in result["runs"]:
        assert run["seeds"] and list(run["arms"]) == list(claim.arms)
        assert claim.rule(results.table(run)) == (run["verdict"], run["because"])
    said = dict(result)
    results.settle(said)
    results.describe(said, claim)
    assert said == result


@pytest.mark.slow
@pytest.mark.parametrize("id", RUN_AGAIN)
def test_an_exact_claim_gives_its_shipped_numbers_again(id: str) -> None:
    claim, run = load(id), results.read(results.SHIPPED / f"{id}.json")["runs"][0]
    if claim.alone:
        pytest.skip("it measures time")
    for arm in claim.arms:
        now = claim.measure(Trial(claim.arms[arm], run["seeds"][0], run["mode"]))
        then = results.unpacked(run["arms"][arm][str(run["seeds"][0])])
        assert set(now) == set(then)
        assert not {name: (now[name], then[name]) for name in then if not alike(now[name], then[name])}


def alike(now: Any, then: Any) -> bool:
    """Equal but for what another machine rounds: numbers below 1e-9 are roundings themselves."""
    if isinstance(then, list):
        return len(now) == len(then) and all(map(alike, now, then))
    if isinstance(then, str) or then is None:
        return now == then
    return math.isclose(now, then, rel_tol=1e-3, abs_tol=1e-9) or math.isnan(then) and math.isnan(now)


@pytest.mark.slow
@pytest.mark.parametrize("id", SHIPPED)
def test_shipped_figures_draw(id: str) -> None:
    claim, run = load(id), results.deciding(results.read(results.SHIPPED / f"{id}.json"))[0]
    svg = style.render(claim, results.table(run)).decode()
    assert svg.count("<text") >= 4, "labels"
