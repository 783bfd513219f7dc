"""Published laws: their closed forms, their printed tables, and the numbers they are famous for."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from polyhead.errors import ConfigError
from polyhead.plan.scaling import (
    LAWS,
    PF_DAY,
    PRINTED,
    REFIT,
    SOURCE,
    TABLE_1,
    TABLE_2,
    TABLE_3,
    Kaplan,
    Surface,
    refit_cloud,
)
from polyhead.plan.sizing import law_of, shape, size

GOPHER = 5.76e23  # FLOPs, Hoffmann et al. 2022, §3.4
surfaces = st.builds(Surface, E=st.floats(0, 3), A=st.floats(10, 1e4), B=st.floats(10, 1e4), alpha=st.floats(0.15, 0.8), beta=st.floats(0.15, 0.8))
compute = st.floats(1e15, 1e27)
few = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@few
@given(surfaces, compute)
def test_the_closed_form_is_the_minimum_along_the_budget(surface: Surface, flops: float) -> None:
    best = surface.best(flops)
    assert best.flops == pytest.approx(flops)
    least = surface.loss(*best)
    for factor in (0.5, 0.97, 1.03, 2.0):
        assert surface.loss(best.params * factor, best.tokens / factor) >= least - 1e-12


@few
@given(surfaces, compute)
def test_a_budget_a_size_and_its_tokens_name_one_point(surface: Surface, flops: float) -> None:
    best = surface.best(flops)
    assert surface.best_of_params(best.params).tokens == pytest.approx(best.tokens, rel=1e-6)
    assert surface.best_of_tokens(best.tokens).params == pytest.approx(best.params, rel=1e-6)


@few
@given(st.sampled_from(list(LAWS)), compute)
def test_every_law_spends_its_budget_and_grows_by_its_exponent(name: str, flops: float) -> None:
    frontier = LAWS[name].frontier
    low, high = frontier.best(flops), frontier.best(10 * flops)
    assert high.params / low.params == pytest.approx(10**frontier.exponent)
    assert high.tokens / low.tokens == pytest.approx(10 ** (1 - frontier.exponent))
    again = frontier.best_of_tokens(low.tokens)
    assert (again.params, again.flops) == (pytest.approx(low.params, rel=1e-6), pytest.approx(flops, rel=1e-6))


def test_printed_digits_give_93_tokens_per_parameter_more_digits_59_the_refit_18() -> None:
    found = {name: surface.best(GOPHER) for name, surface in (("printed", PRINTED), ("source", SOURCE), ("refit", REFIT))}
    assert found["printed"].params == pytest.approx(32.2e9, rel=2e-3) and found["printed"].tokens == pytest.approx(2.98e12, rel=2e-3)
    assert [round(found[name].ratio) for name in ("printed", "source")] == [93, 59]
    assert found["refit"].params == pytest.approx(72.2e9, rel=2e-3) and found["refit"].tokens == pytest.approx(1.33e12, rel=2e-3)
    assert round(found["refit"].ratio, 1) == 18.4


def test_what_the_fits_say_of_gopher_and_chinchilla() -> None:
    gopher, chinchilla = (280e9, 300e9), (70e9, 1.4e12)
    assert [round(PRINTED.loss(*at), 3) for at in (gopher, chinchilla)] == [1.993, 1.937]
    assert [round(REFIT.loss(*at), 3) for at in (gopher, chinchilla)] == [2.000, 1.974]


@pytest.mark.parametrize(("name", "table"), [("chinchilla-1", TABLE_1), ("chinchilla-2", TABLE_2)])
def test_table_3_and_a3_come_back_from_a_line_through_their_ends(name: str, table: tuple[tuple[float, ...], ...]) -> None:
    frontier = LAWS[name].frontier
    for params, flops, tokens in table:
        best = frontier.best_of_params(params)
        # the row of 67B disagrees with itself: 6·N·D of its size and tokens is 5 % off its FLOPs (approach 1)
        near = 0.075 if params == 6.7e10 else 0.01
        assert best.flops == pytest.approx(flops, rel=near) and best.tokens == pytest.approx(tokens, rel=near)
    assert round(frontier.exponent, 2) == {"chinchilla-1": 0.50, "chinchilla-2": 0.49}[name]  # Table 2


def test_approach_3_of_table_a3_needs_more_digits_than_are_printed() -> None:
    off = {name: max(abs(surface.best_of_params(n).tokens / d - 1) for n, _, d in TABLE_3) for name, surface in (("source", SOURCE), ("printed", PRINTED))}
    assert off["source"] < 0.2 and off["printed"] > 1.0
    assert round(SOURCE.exponent, 2) == 0.46


def test_kaplan_as_printed() -> None:
    assert Kaplan.of_params(1e9) / Kaplan.of_params(1e8) == pytest.approx(0.8395, abs=1e-4)
    assert [round(Kaplan.of_params(n), 3) for n in (85e6, 1.475e9)] == [2.865, 2.306]
    assert LAWS["kaplan"].frontier.best(PF_DAY).params == pytest.approx(1.3e9)
    assert Kaplan.of_compute(3.1e8 * PF_DAY) == pytest.approx(1)
    # both alone: with data without end, N decides
    assert Kaplan.of_both(1e9, 1e30) == pytest.approx((6.4e13 / 1e9) ** 0.076, rel=1e-6)
    assert Kaplan.of_tokens(5.4e13) == pytest.approx(1)


def test_the_refits_interval_holds_the_refit_and_is_as_wide_as_its_covariance() -> None:
    cloud = refit_cloud()
    for name, (value, low, high) in cloud.constants().items():
        assert low < value < high, name
    value, low, high = cloud.constants()["alpha"]
    assert (high - low) / 2 == pytest.approx(1.96 * math.sqrt(2.15e-4), rel=0.1)
    assert np.isfinite(cloud.rows).all() and (cloud.rows > 0).all()


def test_a_size_and_its_forecast() -> None:
    found = size(flops=1e21)
    assert found.best.flops == pytest.approx(1e21) and found.around is not None
    assert found.around["params"][1] < found.best.params < found.around["params"][2]
    assert found.loss[1] < found.loss[0] < found.loss[2]
    assert size(tokens=found.best.tokens).best.params == pytest.approx(found.best.params)
    assert size(flops=1e21, law=law_of("kaplan")).best.params > 2 * found.best.params
    with pytest.raises(ConfigError, match="nothing to size by"):
        size()


@pytest.mark.parametrize(("params", "like", "vocab"), [(2.8e9, "gpt2", None), (124e6, "gpt2", None), (7e9, "llama-3-8b", None), (1e6, "llama-3-8b", 512), (3e7, "gpt-nano", None)])
def test_a_shape_is_near_the_size_and_divides(params: float, like: str, vocab: int | None) -> None:
    found = shape(params, like, vocab=vocab)
    assert found.params == found.spec.params().total == pytest.approx(params, rel=0.05)
    stack = found.spec.decoder
    assert stack is not None and all(stack.width % 16 == 0 for _ in (0,))
    for block in stack.blocks.values():
        assert block.attention.heads.heads % block.attention.heads.kv == 0


def test_a_shape_counts_what_the_law_counts() -> None:
    body = shape(1e8, "gpt2", counts="parameters without embeddings")
    assert body.spec.params().total - body.params > 50257 * 64
    assert body.params == pytest.approx(1e8, rel=0.05)


@pytest.mark.parametrize("like", ["bert-base", "t5-small", "clip-vit-base-32-image"])
def test_a_shape_like_no_decoder_is_refused(like: str) -> None:
    with pytest.raises(ConfigError, match="no decoder"):
        shape(1e8, like)


def test_a_vocabulary_larger_than_the_model_is_said() -> None:
    with pytest.raises(ConfigError, match="nothing like llama-3-8b") as caught:
        shape(3e7, "llama-3-8b")
    assert "--vocab" in str(caught.value)


def test_an_unknown_law_names_the_known() -> None:
    with pytest.raises(ConfigError, match="no scaling law chinchila"):
        law_of("chinchila")
