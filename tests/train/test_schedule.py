"""Schedules against their closed forms, at the endpoints and in between (L1–L5)."""

from __future__ import annotations

import math

import pytest
from pydantic import TypeAdapter, ValidationError

from polyhead.train.schedule import WSD, Constant, Cosine, InverseSqrt, Linear, Noam, Schedule

ALL = [
    Constant(warmup=10),
    Linear(warmup=10, final=0.1),
    Cosine(warmup=10, final=0.1),
    InverseSqrt(warmup=10),
    WSD(warmup=10, cooldown=0.3, final=0.1),
    WSD(warmup=10, cooldown=0.3, shape="sqrt", final=0.1),
    Noam(warmup=10, d_model=64),
]


def test_l1_noam_peak_formula_and_continuity() -> None:
    noam = Noam(d_model=512, warmup=4000)
    factors = [noam.factor(step, 100_000) for step in range(20_000)]
    assert max(factors) == factors[3999] == (512 * 4000) ** -0.5
    assert f"{factors[3999]:.3e}" == "6.988e-04"
    for step in (0, 1, 17, 3998, 3999, 4000, 12_345):
        t = step + 1
        assert factors[step] == pytest.approx(512**-0.5 * min(t**-0.5, t * 4000**-1.5), rel=1e-14)
    assert factors[0] > 0 and math.isfinite(factors[0])
    assert factors[4000] == pytest.approx(factors[3999], rel=2e-4)
    assert Noam(d_model=512, warmup=4000, scale=2).factor(7, 1) == 2 * noam.factor(7, 1)


@pytest.mark.parametrize("spec", ALL, ids=lambda s: f"{s.kind}-{getattr(s, 'shape', '')}")
def test_l2_warmup_is_linear_and_exact_at_its_ends(spec: Schedule) -> None:
    peak = spec.factor(9, 100)
    assert peak == (1.0 if spec.kind != "noam" else 640**-0.5)
    assert all(spec.factor(step, 100) == pytest.approx(peak * (step + 1) / 10, rel=1e-15) for step in range(10))
    assert spec.factor(0, 100) > 0
    assert spec.factor(10, 100) <= peak


@pytest.mark.parametrize(
    "spec", [Linear(final=0.25, warmup=5), Cosine(final=0.25, warmup=5), WSD(final=0.25, warmup=5)]
)
def test_l3_decay_reaches_its_final_value_at_the_last_update_and_keeps_it(spec: Schedule) -> None:
    assert spec.factor(99, 100) == 0.25
    assert spec.factor(98, 100) > 0.25
    assert spec.factor(500, 100) == 0.25


def test_l3_linear_is_a_straight_line() -> None:
    spec = Linear(warmup=20, final=0.2)
    for t in (20, 21, 50, 99, 100):
        assert spec.factor(t - 1, 100) == pytest.approx(1 - 0.8 * (t - 20) / 80, rel=1e-15)


def test_l4_cosine_is_half_a_period() -> None:
    spec = Cosine(warmup=20, final=0.0)
    for t in (20, 40, 60, 80, 100):
        assert spec.factor(t - 1, 100) == pytest.approx(math.cos(math.pi * (t - 20) / 160) ** 2, abs=1e-15)
    assert spec.factor(59, 100) == pytest.approx(0.5, abs=1e-15)


def test_l5_constant_inverse_sqrt_and_wsd() -> None:
    assert {Constant().factor(step, 50) for step in range(60)} == {1.0}
    assert InverseSqrt(warmup=25).factor(99, 1000) == 0.5
    for shape, half in (("linear", 0.5), ("sqrt", 1 - math.sqrt(0.5))):
        wsd = WSD(warmup=10, cooldown=0.2, shape=shape)
        assert {wsd.factor(step, 100) for step in range(9, 80)} == {1.0}
        assert wsd.factor(80, 100) < 1
        assert wsd.factor(89, 100) == pytest.approx(half, rel=1e-15)
        assert wsd.factor(99, 100) == 0.0
    assert {WSD(cooldown=0).factor(step, 100) for step in range(120)} == {1.0}


def test_without_warmup_the_first_update_has_the_full_rate() -> None:
    for spec in (Constant(), Linear(), Cosine(), InverseSqrt(), WSD(), Constant(warmup=1)):
        assert spec.factor(0, 100) == 1.0


def test_warmup_below_one_is_a_share_of_the_run() -> None:
    for step in range(100):
        assert Linear(warmup=0.2).factor(step, 100) == Linear(warmup=20).factor(step, 100)


def test_runs_shorter_than_their_warmup_or_of_one_update_are_defined() -> None:
    for spec in ALL:
        for total in (1, 2, 5, 10, 11):
            factors = [spec.factor(step, total) for step in range(total + 3)]
            assert all(math.isfinite(f) and 0 < f <= 1 for f in factors)
    assert Linear().factor(0, 1) == Cosine().factor(0, 1) == 1.0


def test_b4_the_factor_is_a_pure_function_of_the_update() -> None:
    """Called out of order, twice, or once per micro-batch, it gives the same: nothing is stepped."""
    for spec in ALL:
        forward = [spec.factor(step, 64) for step in range(64)]
        assert [spec.factor(step, 64) for step in reversed(range(64))] == forward[::-1]


def test_specs_are_closed_frozen_and_round_trip() -> None:
    adapter = TypeAdapter(Schedule)
    for spec in ALL:
        assert adapter.validate_json(spec.model_dump_json()) == spec
    for bad in (
        {"kind": "cosine", "min": 0.1},
        {"kind": "cos"},
        {"kind": "linear", "warmup": 2.5},
        {"kind": "wsd", "final": 2},
    ):
        with pytest.raises(ValidationError):
            adapter.validate_python(bad)
    with pytest.raises(ValidationError):
        ALL[0].warmup = 3
