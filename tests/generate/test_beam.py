"""Beam search against enumeration, greedy decoding and itself."""

from __future__ import annotations

import itertools

import pytest
import torch

from polyhead.errors import ConfigError
from polyhead.generate import Beam, Engine, Limits, Row, Sampling, beam_search, write
from polyhead.generate.beam import _Search
from polyhead.nn import RotarySpec, Tokens, Transformer

from .nets import SPECS, decoder, lively, seq2seq
from .test_engine import PROMPTS, SOURCES

EOS = 0


def logps(
    net: Transformer, prompt: list[int], answers: list[list[int]], source: list[int] | None = None
) -> list[float]:
    """log P(answer | prompt, source) of answers of one length, by one whole forward pass."""
    encoder = None if source is None else Tokens(torch.tensor([source] * len(answers)))
    with torch.no_grad():
        rows = net(Tokens(torch.tensor([prompt + a for a in answers])), encoder).log_softmax(-1)
    wanted = torch.tensor(answers)[..., None]
    return rows[:, len(prompt) - 1 : -1].gather(-1, wanted).sum((1, 2)).tolist()


def lp(length: int, alpha: float) -> float:
    return ((5 + length) / 6) ** alpha


def enumerated(net, prompt, source, vocab: int, budget: int, alpha: float) -> tuple[list[int], float]:
    """The best of all answers: those that end with eos within the budget, and the unfinished ones of full length."""
    scored = []
    for length in range(1, budget + 1):
        bodies = list(itertools.product(range(1, vocab), repeat=length - 1))
        answers = [[*body, last] for body in bodies for last in range(vocab if length == budget else 1)]
        found = logps(net, prompt, answers, source)
        scored += [(logp / lp(length, alpha), answer) for logp, answer in zip(found, answers, strict=True)]
    score, best = max(scored)
    return [number for number in best if number != EOS], score


@pytest.mark.parametrize("alpha", [0.0, 0.6, 1.0, 5.0, -1.0])
@pytest.mark.parametrize("shape", ["decoder", "seq2seq"])
def test_an_exhaustive_beam_finds_the_best_of_all_answers(shape: str, alpha: float) -> None:
    net = lively(decoder(4, position=RotarySpec()) if shape == "decoder" else seq2seq(4), scale=0.3)
    prompts, sources = [[1, 2, 3], [3]], None
    if shape == "seq2seq":
        prompts, sources = [[1], [1]], [[2, 3, 0], [3, 0]]
    limits = Limits(max_tokens=4, eos=frozenset([EOS]))
    found = beam_search(Engine(net), prompts, Beam(beams=256, length_penalty=alpha), limits, source=sources)
    for i, prompt in enumerate(prompts):
        ids, score = enumerated(net, prompt, sources[i] if sources else None, 4, 4, alpha)
        assert found[i].ids == ids and found[i].score == pytest.approx(score, rel=1e-9)
        assert found[i].reason == ("eos" if len(ids) < 4 else "length")


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("alpha", [0.0, 2.0])
def test_a_beam_of_one_is_greedy(name: str, alpha: float) -> None:
    net = lively(SPECS[name], scale=0.3)
    engine = Engine(net)
    prompts, source = (PROMPTS, None) if net.spec.encoder is None else ([[1]] * 3, SOURCES)
    free = [Row(Limits(max_tokens=12)) for _ in prompts]
    for _ in write(engine, free, prompts, Sampling(temperature=0), [0] * 3, source=source):
        pass
    for eos in (frozenset(), frozenset([free[0].ids[4]])):
        limits = Limits(max_tokens=12, eos=eos)
        rows = [Row(limits) for _ in prompts]
        for _ in write(engine, rows, prompts, Sampling(temperature=0), [0] * 3, source=source):
            pass
        found = beam_search(engine, prompts, Beam(beams=1, length_penalty=alpha), limits, source=source)
        assert [(h.ids, h.reason) for h in found] == [(row.ids, row.reason) for row in rows]


@pytest.mark.parametrize("name", ["rotary", "window_ring", "seq2seq_window"])
def test_a_row_finds_the_same_alone_and_in_a_batch(name: str) -> None:
    net = lively(SPECS[name], scale=0.3)
    engine, beam = Engine(net), Beam(beams=4)
    prompts, source = (PROMPTS, None) if net.spec.encoder is None else ([[1]] * 3, SOURCES)
    limits = Limits(max_tokens=10, eos=frozenset([EOS, 7, 11]))
    together = beam_search(engine, prompts, beam, limits, source=source)
    for i, prompt in enumerate(prompts):
        (alone,) = beam_search(engine, [prompt], beam, limits, source=source[i : i + 1] if source else None)
        assert alone.ids == together[i].ids and alone.reason == together[i].reason
        assert alone.score == pytest.approx(together[i].score, abs=1e-12)
        # the score is the answer's own: prefix by prefix through the cache equals one whole pass
        for ending in [[e] for e in limits.eos] if alone.reason == "eos" else [[]]:
            answer = [*alone.ids, *ending]
            (whole,) = logps(net, prompt, [answer], source[i] if source else None)
            if whole / lp(len(answer), 0.6) == pytest.approx(alone.score, abs=1e-10):
                break
        else:
            raise AssertionError("the score is no answer's")


def test_b35_prompt_and_padding_do_not_count_as_length() -> None:
    """With α > 0 a length that counts the prompt, or grows with the batch, ranks short answers differently."""
    net = lively(decoder(4, position=RotarySpec()), scale=0.3)
    limits, beam = Limits(max_tokens=3, eos=frozenset([EOS])), Beam(beams=64, length_penalty=3.0)
    prompts = [[2], [1, 2, 3, 1, 2, 3, 1, 2, 3, 1]]
    found = beam_search(Engine(net), prompts, beam, limits)
    for prompt, hypothesis in zip(prompts, found, strict=True):
        ids, score = enumerated(net, prompt, None, 4, 3, 3.0)
        assert hypothesis.ids == ids and hypothesis.score == pytest.approx(score, rel=1e-9)


def test_a_wider_beam_finds_more_probable_answers() -> None:
    """Not a theorem for every model; for these seeds a wide beam is never behind greedy, and often ahead."""
    ahead = 0
    for seed in range(6):
        net = lively(SPECS["rotary"], seed=seed, scale=0.3)
        scores = []
        for beams in (1, 8):
            found = beam_search(Engine(net), PROMPTS, Beam(beams=beams, length_penalty=0.0), Limits(max_tokens=8))
            scores.append([h.score for h in found])
        assert all(wide >= narrow - 1e-12 for narrow, wide in zip(*scores, strict=True))
        ahead += sum(wide > narrow + 1e-9 for narrow, wide in zip(*scores, strict=True))
    assert ahead >= 6


def test_larger_penalties_prefer_longer_answers() -> None:
    net = lively(SPECS["rotary"], scale=0.2)
    limits = Limits(max_tokens=10, eos=frozenset(range(0, 23, 3)))
    lengths = [
        [len(h.ids) for h in beam_search(Engine(net), PROMPTS, Beam(beams=16, length_penalty=alpha), limits)]
        for alpha in (-5.0, 0.0, 9.0)
    ]
    assert sum(lengths[0]) <= sum(lengths[1]) < sum(lengths[2])


def test_a_row_that_cannot_be_overtaken_ends_early(monkeypatch: pytest.MonkeyPatch) -> None:
    net = lively(decoder(6, position=RotarySpec()), scale=0.2)
    net.heads["lm"].weight.data.zero_()
    net.heads["lm"].bias = torch.nn.Parameter(torch.tensor([9.0, 0, 0, 0, 0, 0], dtype=torch.float64))
    steps = []
    step = Engine.step
    monkeypatch.setattr(Engine, "step", lambda self, s, ids: steps.append(1) or step(self, s, ids))
    (found,) = beam_search(Engine(net), [[1, 2]], Beam(beams=4), Limits(max_tokens=40, eos=frozenset([EOS])))
    assert found.ids == [] and found.reason == "eos" and len(steps) <= 1


def test_forbidden_tokens_leave_the_other_probabilities_alone() -> None:
    net = lively(SPECS["rotary"])
    allowed = torch.ones(23, dtype=torch.bool)
    allowed[:12] = False
    (found,) = beam_search(
        Engine(net), [[1, 2]], Beam(beams=3, length_penalty=0.0), Limits(max_tokens=5), allowed=allowed
    )
    assert min(found.ids) >= 12 and [found.score] == pytest.approx(logps(net, [1, 2], [found.ids]), abs=1e-10)


def test_a_finished_hypothesis_keeps_its_place_in_the_beam() -> None:
    search = _Search(0, Beam(beams=3, length_penalty=0.0), Limits(max_tokens=9, eos=frozenset([EOS])))
    search.advance([-1.0, -2.0, -3.0], [0, 0, 0], [5, EOS, 6])
    assert search.trail[-1] == [(0, 5), (0, 6)] and search.best.ids == []
    search.advance([-1.1, -1.2, -1.3], [0, 1, 0], [7, 8, 9])
    assert search.trail[-1] == [(0, 7), (1, 8)]  # two places are left
    search.advance([-1.2, -1.4], [1, 0], [EOS, 4])
    assert search.best.ids == [6, 8] and search.best.score == -1.2 and search.trail[-1] == [(0, 4)]
    assert search.done  # −1.4 can only fall, and −1.2 stands


@pytest.mark.parametrize("options", [{"beams": 0}, {"beams": 1000}, {"length_penalty": float("nan")}, {"beams": 2.5}])
def test_settings_out_of_range_are_refused(options: dict) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        Beam(**options)
