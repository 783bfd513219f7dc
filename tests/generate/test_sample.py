"""Sampling: the frequencies are the softmax's, the cuts cut where they say, and rows do not disturb each other."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from polyhead.errors import ConfigError, NonFiniteError
from polyhead.generate import Draws, History, Sampling, sample
from polyhead.generate.sample import _inverse

LOGITS = torch.tensor([1.5, 0.3, -0.7, 2.1, 0.0, -3.0, 1.1, 0.4])
ROWS, ROUNDS = 400, 50  # 20 000 draws: each row has a seed of its own, as in a batch
CHI2_999 = {1: 10.83, 2: 13.82, 3: 16.27, 4: 18.47, 5: 20.52, 6: 22.46, 7: 24.32}  # 0.999 quantiles


def frequencies(sampling: Sampling, logits: torch.Tensor = LOGITS, **more: object) -> torch.Tensor:
    draws, counts = Draws(range(ROWS)), torch.zeros(logits.shape[-1])
    for _ in range(ROUNDS):
        ids = sample(logits.expand(ROWS, -1), sampling, draws=draws, **more)
        counts += torch.bincount(ids, minlength=logits.shape[-1])
    return counts


def chi_square_fits(counts: torch.Tensor, p: torch.Tensor) -> bool:
    """p (V,) probabilities; places of probability 0 must be empty."""
    expected = counts.sum() * p
    there = p > 0
    statistic = ((counts - expected)[there] ** 2 / expected[there]).sum()
    return bool(counts[~there].sum() == 0) and statistic.item() < CHI2_999[int(there.sum()) - 1]


def kept(p: torch.Tensor, *places: int) -> torch.Tensor:
    out = torch.zeros_like(p)
    out[list(places)] = p[list(places)]
    return out / out.sum()


P = LOGITS.softmax(0)  # by probability: 3, 0, 6, 7, 1, 4, 2, 5


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, P),
        ({"temperature": 0.5}, (LOGITS / 0.5).softmax(0)),
        ({"temperature": 3.0}, (LOGITS / 3).softmax(0)),
        ({"top_k": 3}, kept(P, 3, 0, 6)),
        ({"top_k": 100}, P),
        ({"top_p": P[3].item() + 0.01}, kept(P, 3, 0)),
        ({"top_p": P[3].item() - 0.01}, kept(P, 3)),
        ({"top_p": P[[3, 0, 6, 7]].sum().item() - 0.01}, kept(P, 3, 0, 6, 7)),
        ({"top_k": 3, "top_p": 0.99}, kept(P, 3, 0, 6)),
        ({"top_k": 3, "top_p": kept(P, 3, 0, 6)[[3, 0]].sum().item() - 0.01}, kept(P, 3, 0)),
        ({"min_p": P[6].item() / P[3].item() - 0.01}, kept(P, 3, 0, 6)),
        ({"min_p": 1.0}, kept(P, 3)),
        ({"temperature": 2.0, "top_k": 4, "min_p": 0.5}, kept((LOGITS / 2).softmax(0), 3, 0, 6)),
    ],
)
def test_frequencies_are_those_of_the_distribution(options: dict, expected: torch.Tensor) -> None:
    counts = frequencies(Sampling(**options))
    if (expected > 0).sum() == 1:
        assert counts[expected > 0] == ROWS * ROUNDS
    else:
        assert chi_square_fits(counts, expected)


def test_the_chi_square_test_can_fail() -> None:
    assert not chi_square_fits(frequencies(Sampling(temperature=0.95)), P)


def test_a_draw_at_the_very_edges_takes_a_token_that_is_there() -> None:
    edge = 1 - 2.0**-53  # the largest number a generator can give
    for scale in (1.0, 3.0, 0.1, 1 / 3):
        weights = torch.tensor([[0.0, 1.0, 0.0, 2.0, 0.0]], dtype=torch.float64) * scale
        assert [int(_inverse(weights, torch.tensor([u], dtype=torch.float64))) for u in (0.0, 0.3, 0.34, edge)] == [
            1,
            1,
            3,
            3,
        ]
    many = torch.rand(500, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    many[:, -3:] = 0.0
    assert (_inverse(many, torch.full((500,), edge, dtype=torch.float64)) < 4).all()


def test_top_p_over_a_flat_distribution_wider_than_the_first_sort() -> None:
    logits = torch.linspace(0, 0.5, 1000)
    sampling = Sampling(top_p=0.9)
    p, order = logits.softmax(0).sort(descending=True)
    inside = set(order[: int((p.cumsum(0) < 0.9).sum()) + 1].tolist())
    draws = Draws(range(2000))
    ids = sample(logits.expand(2000, -1), sampling, draws=draws).tolist()
    assert set(ids) <= inside and len(set(ids)) > 600


def test_greedy_and_a_vanishing_temperature_agree() -> None:
    logits = torch.randn(200, 50, generator=torch.Generator().manual_seed(0)) * 5
    best = logits.argmax(-1)
    assert torch.equal(sample(logits, Sampling(temperature=0)), best)
    assert torch.equal(sample(logits, Sampling(temperature=0, top_p=0.5, top_k=3, min_p=0.2)), best)
    for temperature in (1e-4, 1e-30, 1e-300):
        assert torch.equal(sample(logits, Sampling(temperature=temperature), draws=Draws(range(200))), best)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("options", [{"top_p": 1e-4}, {"temperature": 1e-4}, {"top_p": 1e-300}, {"min_p": 1e-4}])
def test_b36_tiny_top_p_or_temperature_gives_numbers(options: dict, dtype: torch.dtype) -> None:
    logits = torch.tensor(
        [[3e4, -3e4, 2.9e4, 0.0], [-1e30, -1e30, 1e30, 0.0], [0.1, 0.1, 0.1, -torch.inf]], dtype=dtype
    )
    ids = sample(logits, Sampling(**options), draws=Draws([1, 2, 3]))
    assert ids[0] == 0 and ids[1] == 2 and ids[2] in (0, 1, 2)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(-1e6, 1e6, width=32), min_size=2, max_size=12),
    st.floats(0, 1e6),
    st.one_of(st.none(), st.integers(1, 12)),
    st.floats(1e-12, 1),
    st.floats(0, 1),
    st.integers(0, 2**62),
)
def test_every_setting_draws_a_token_that_is_allowed(logits, temperature, top_k, top_p, min_p, seed) -> None:
    allowed = torch.tensor([i % 2 == 0 for i in range(len(logits))])
    sampling = Sampling(temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p)
    ids = sample(torch.tensor([logits]), sampling, draws=Draws([seed]), allowed=allowed)
    assert allowed[ids[0]]


def test_a_row_draws_the_same_alone_and_in_any_company() -> None:
    g = torch.Generator().manual_seed(1)
    steps = [torch.randn(5, 30, generator=g) for _ in range(150)]
    sampling = Sampling(top_k=20)

    def run(rows: list[int], drop_at: int | None = None) -> dict[int, list[int]]:
        draws, out = Draws([100 + row for row in rows]), {row: [] for row in rows}
        for t, logits in enumerate(steps):
            if t == drop_at:
                draws.keep([1, 0])
                rows = [rows[1], rows[0]]
            for row, number in zip(rows, sample(logits[rows], sampling, draws=draws).tolist(), strict=True):
                out[row].append(number)
        return out

    everyone = run([0, 1, 2, 3, 4])
    for row in range(5):
        assert run([row])[row] == everyone[row]
    assert run([3, 1])[1] == everyone[1]
    dropped = run([0, 1, 2], drop_at=70)  # rows 0 and 1 swap places and row 2 leaves
    assert dropped[0] == everyone[0] and dropped[1] == everyone[1]
    assert len({tuple(ids) for ids in everyone.values()}) == 5


def test_repetition_penalty_divides_what_is_positive_and_multiplies_what_is_not() -> None:
    logits = torch.tensor([[2.0, -1.0, 0.5, 1.9]])
    history = History([[0, 1]], 4)
    sampling = Sampling(temperature=0, repetition_penalty=1.25)
    assert sampling.penalised and sample(logits, sampling, history) == 3  # 2.0 / 1.25 = 1.6 < 1.9
    history.add(torch.tensor([3]))
    assert sample(logits, sampling, history) == 0  # 1.6 > 1.52
    strong = Sampling(repetition_penalty=2.0)
    counts = frequencies(strong, logits[0], history=_copies(history))
    assert chi_square_fits(counts, torch.tensor([1.0, -2.0, 0.5, 0.95]).softmax(0))


def test_frequency_and_presence_penalties_count_generated_tokens_alone() -> None:
    logits = torch.tensor([[2.0, 1.0, 0.0, 1.5]])
    history = History([[0, 0, 0]], 4)  # the prompt is not held against it
    for number in (1, 1, 3):
        history.add(torch.tensor([number]))
    sampling = Sampling(frequency_penalty=0.5, presence_penalty=0.25)
    counts = frequencies(sampling, logits[0], history=_copies(history))
    assert chi_square_fits(counts, torch.tensor([2.0, 1 - 1.25, 0.0, 1.5 - 0.75]).softmax(0))


def _copies(history: History) -> History:
    history.keep(torch.zeros(ROWS, dtype=torch.long))
    return history


def test_forbidden_tokens_never_come() -> None:
    allowed = torch.ones(8, dtype=torch.bool)
    allowed[[3, 0]] = False
    assert chi_square_fits(frequencies(Sampling(), allowed=allowed), kept(P, 1, 2, 4, 5, 6, 7))
    with pytest.raises(ConfigError, match="no token is allowed"):
        sample(LOGITS[None], Sampling(), draws=Draws([0]), allowed=torch.zeros(8, dtype=torch.bool))


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_logits_that_are_not_finite_are_an_error(bad: float) -> None:
    logits = torch.stack([LOGITS, LOGITS])
    logits[1, 4] = bad
    for sampling in (Sampling(), Sampling(temperature=0)):
        with pytest.raises(NonFiniteError):
            sample(logits, sampling, draws=Draws([0, 1]))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("temperature", -0.1),
        ("temperature", math.nan),
        ("temperature", math.inf),
        ("temperature", "1"),
        ("top_k", 0),
        ("top_k", -5),
        ("top_k", 1.5),
        ("top_k", True),
        ("top_p", 0),
        ("top_p", 2),
        ("top_p", None),
        ("min_p", -0.1),
        ("min_p", 1.1),
        ("repetition_penalty", 0),
        ("frequency_penalty", 1e9),
        ("presence_penalty", math.nan),
        ("nucleus", 0.9),
    ],
)
def test_h93_settings_out_of_range_name_the_field_and_what_came(field: str, value: object) -> None:
    with pytest.raises(ConfigError) as error:
        Sampling(**{field: value})
    assert field in error.value.message and error.value.expected and repr(value) == error.value.received
