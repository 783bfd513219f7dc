"""Every rule can come out more than one way, and an experiment whose arms are all alike does not confirm what it foretells.

The numbers are synthetic, in rules/cNN.py: CASES = [(verdict, {arm: {name: number, or three, one per seed}}), …], the first the
expected one; SABOTAGED, where arms made equal make no sense, what a broken experiment would give.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from polyhead.lab.claim import Verdict
from polyhead.lab.finding import load, package
from polyhead.lab.table import Table

SEEDS = 3
CLAIMS = list(package())


def rules(id: str) -> ModuleType:
    return importlib.import_module(f"tests.lab.rules.{id.lower()}")


def table(numbers: dict[str, dict[str, Any]]) -> Table:
    def of(value: Any, seed: int) -> Any:
        return value[seed] if isinstance(value, list) and len(value) == SEEDS else value

    return Table({arm: {seed: {name: of(value, seed) for name, value in given.items()} for seed in range(SEEDS)} for arm, given in numbers.items()})


def sabotaged(module: ModuleType) -> dict[str, dict[str, Any]]:
    """All arms with the first one's numbers."""
    given = module.CASES[0][1]
    return getattr(module, "SABOTAGED", dict.fromkeys(given, next(iter(given.values()))))


def test_every_claim_has_synthetic_numbers_and_nothing_else_has() -> None:
    assert {path.stem.upper() for path in (Path(__file__).parent / "rules").glob("c*.py")} == set(CLAIMS)


@pytest.mark.parametrize("id", CLAIMS)
def test_a_rule_comes_out_as_the_numbers_say(id: str) -> None:
    claim, cases = load(id), rules(id).CASES
    assert cases[0][0] == claim.expected
    assert len({verdict for verdict, _ in cases}) >= 2, "at least two verdicts"
    for verdict, numbers in cases:
        assert set(numbers) <= set(claim.arms)
        ruling = claim.rule(table(numbers))
        assert ruling.verdict == verdict, (numbers, ruling.because)
        assert any(c.isdigit() for c in ruling.because), "because has the numbers"


@pytest.mark.parametrize("id", CLAIMS)
def test_arms_that_are_all_alike_do_not_give_the_expected_verdict(id: str) -> None:
    assert load(id).rule(table(sabotaged(rules(id)))).verdict != load(id).expected


def test_the_words_are_all_there() -> None:
    for id in CLAIMS:
        claim = load(id)
        empty = [word for word in ("title", "statement", "literature", "method", "decides") if len(getattr(claim, word)) < 12]
        assert not empty and isinstance(claim.expected, Verdict), (id, empty)
        assert claim.notes, f"{id}: where the notes say it"
