"""The seam: prefill and step equal the full forward pass, whatever the cache, the padding and the company."""

from __future__ import annotations

import pytest
import torch

from polyhead.errors import ConfigError, OutOfMemory, UserError
from polyhead.generate import Engine, Sampling, write
from polyhead.generate.stop import Limits, Row
from polyhead.nn import Cache, Full, HeadSpec, LearnedSpec, RotarySpec, Tokens, Transformer

from .nets import CONTEXT, SPECS, decoder, lively, seq2seq, stack

PROMPTS = [[3, 1, 4, 1, 5, 9, 2, 6], [2, 7], [1, 8, 2, 8, 1]]
SOURCES = [[5, 6, 7, 8, 9, 10], [11, 12, 2], [4, 4, 13, 2]]


def split(net: Transformer, prompts: list[list[int]]) -> dict:
    """Decoders read the prompts themselves; encoder–decoders start from token 1 over a source."""
    if net.spec.encoder is None:
        return {"prompts": prompts, "source": None}
    return {"prompts": [[1]] * len(prompts), "source": SOURCES[: len(prompts)]}


def greedy(net: Transformer, prompts: list[list[int]], source: list[list[int]] | None, n: int, eos=()) -> list[Row]:
    rows = [Row(Limits(max_tokens=n, eos=frozenset(eos))) for _ in prompts]
    for _ in write(Engine(net), rows, prompts, Sampling(temperature=0), [0] * len(rows), source=source):
        pass
    return rows


def uncached(net: Transformer, prompt: list[int], source: list[int] | None, n: int) -> list[int]:
    """The answer by whole forward passes alone."""
    ids = list(prompt)
    encoder = None if source is None else Tokens(torch.tensor([source]))
    with torch.no_grad():
        for _ in range(n):
            ids.append(int(net(Tokens(torch.tensor([ids])), encoder)[0, -1].argmax()))
    return ids[len(prompt) :]


@pytest.mark.parametrize("name", SPECS)
def test_cached_equals_uncached_and_batch_equals_single(name: str) -> None:
    net = lively(SPECS[name])
    given = split(net, PROMPTS)
    together = [row.ids for row in greedy(net, **given, n=20)]
    assert len({number for ids in together for number in ids}) > 2  # one token for ever would prove nothing
    for i, prompt in enumerate(given["prompts"]):
        source = given["source"][i] if given["source"] else None
        alone = uncached(net, prompt, source, 20)
        assert together[i] == alone
        assert greedy(net, [prompt], [source] if source else None, 20)[0].ids == alone


@pytest.mark.parametrize("name", SPECS)
def test_logits_of_unequal_rows_are_those_of_each_alone(name: str) -> None:
    net = lively(SPECS[name])
    engine, given = Engine(net), split(net, PROMPTS)
    state, logits = engine.prefill(given["prompts"], 6, given["source"])
    alone = []
    for i, prompt in enumerate(given["prompts"]):
        alone.append(engine.prefill([prompt], 6, [given["source"][i]] if given["source"] else None))
    for t in range(6):
        torch.testing.assert_close(logits, torch.cat([row for _, row in alone]), rtol=0, atol=1e-12)
        if t < 5:
            ids = torch.tensor([t + 2, t + 3, t + 4])
            logits = engine.step(state, ids)
            alone = [(s, engine.step(s, ids[i : i + 1])) for i, (s, _) in enumerate(alone)]


def test_b16_left_padded_rows_count_their_own_positions() -> None:
    """A shared position vector would shift the short row's learned positions by its padding."""
    net = lively(SPECS["learned"])
    engine = Engine(net)
    state, logits = engine.prefill([[3, 1, 4, 1, 5], [2, 7]], 4)
    assert state.pos is not None and state.pos.tolist() == [[5], [2]]
    for ids in ([2, 7], [2, 7, 9]):
        with torch.no_grad():
            wanted = net(Tokens(torch.tensor([ids])))[0, -1]
        torch.testing.assert_close(logits[1], wanted, rtol=0, atol=1e-12)
        logits = engine.step(state, torch.tensor([6, 9]))
    assert state.pos.tolist() == [[7], [4]]


def test_b14_an_id_used_as_padding_is_a_token_like_any_other() -> None:
    """Padding is a position, never an id: a prompt full of the pad id, or of the eos, is read and continued."""
    net = lively(SPECS["rotary"])
    alone = uncached(net, [0, 0, 5, 0], None, 8)
    assert greedy(net, [[0, 0, 5, 0], [1] * 9], None, 8)[0].ids == alone
    stopper = alone[3]
    row = greedy(net, [[0, 0, 5, 0], [1] * 9], None, 8, eos=[stopper])[0]
    assert row.reason == "eos" and row.ids == alone[: alone.index(stopper)]


def test_b20_a_step_after_a_prefill_sees_every_earlier_token() -> None:
    """A causal flag aligned top-left would let the new query see the first key alone."""
    engine = Engine(lively(SPECS["rotary"]))
    answers = []
    for prompt in ([3, 1, 4, 1], [3, 1, 9, 1]):
        state, _ = engine.prefill([prompt], 2)
        answers.append(engine.step(state, torch.tensor([6])))
    assert (answers[0] - answers[1]).abs().max() > 1e-3


def test_equal_lengths_take_the_path_without_masks() -> None:
    net = lively(SPECS["rotary"])
    engine = Engine(net)
    state, _ = engine.prefill([[1, 2, 3], [4, 5, 6]], 4)
    assert state.pos is None and "flag" in net.decoder.last_why["main"]
    engine.step(state, torch.tensor([1, 2]))
    assert "no mask" in net.decoder.last_why["main"]


def test_the_cache_is_static_and_windows_get_a_ring(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Cache] = []
    net = lively(SPECS["local_and_full"])
    new = net.new_cache
    monkeypatch.setattr(net, "new_cache", lambda *a, **k: made.append(new(*a, **k)) or made[-1])
    greedy(net, PROMPTS, None, 20)
    assert {kind: (line.capacity, line.ring) for kind, line in made[0].lines.items()} == {
        "near": (5, True),
        "main": (8 + 19, False),  # the last new token is never read
    }


def test_only_the_last_position_goes_through_the_head(monkeypatch: pytest.MonkeyPatch) -> None:
    net = lively(SPECS["rotary"])
    seen = []
    logits = net.logits
    monkeypatch.setattr(net, "logits", lambda x, head: seen.append(tuple(x.shape)) or logits(x, head))
    Engine(net).prefill(PROMPTS, 2)
    assert seen == [(3, 16)]


def test_ended_rows_leave_the_batch_and_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    net = lively(SPECS["rotary"])
    free = [row.ids for row in greedy(net, PROMPTS, None, 20)]
    sizes = []
    step = Engine.step
    monkeypatch.setattr(Engine, "step", lambda self, s, ids: sizes.append(len(ids)) or step(self, s, ids))
    stops = [frozenset([free[0][2]]), frozenset(), frozenset([free[2][5]])]
    rows = [Row(Limits(max_tokens=20, eos=eos)) for eos in stops]
    for _ in write(Engine(net), rows, PROMPTS, Sampling(temperature=0), [0, 0, 0]):
        pass
    for row, ids, eos in zip(rows, free, stops, strict=True):
        cut = min((ids.index(number) for number in eos), default=20)
        assert row.ids == ids[:cut] and row.reason == ("eos" if eos else "length")
    assert sizes[0] == 3 and sizes[-1] == 1


def test_rows_draw_and_are_penalised_as_alone_while_others_leave() -> None:
    net = lively(SPECS["rotary"], scale=0.2)
    sampling = Sampling(temperature=1.5, frequency_penalty=0.7, repetition_penalty=1.2)
    prompts, seeds = [PROMPTS[i % 3] for i in range(6)], list(range(6))

    def run(which: list[int]) -> list[list[int]]:
        rows = [Row(Limits(max_tokens=30, eos=frozenset(range(4)))) for _ in which]
        chosen = [prompts[i] for i in which]
        for _ in write(Engine(net), rows, chosen, sampling, [seeds[i] for i in which]):
            pass
        return [row.ids for row in rows]

    together = run(seeds)
    assert len({len(ids) for ids in together}) > 3  # they leave at different times
    for i in seeds:
        assert run([i])[0] == together[i]


def test_a_strong_presence_penalty_repeats_nothing() -> None:
    rows = [Row(Limits(max_tokens=20)) for _ in PROMPTS]
    sampling = Sampling(temperature=0, presence_penalty=100.0)
    for _ in write(Engine(lively(SPECS["rotary"])), rows, PROMPTS, sampling, [0, 0, 0]):
        pass
    assert all(len(set(row.ids)) == 20 for row in rows)


def test_reorder_repeats_and_drops_rows() -> None:
    engine = Engine(lively(SPECS["seq2seq_window"]))
    state, logits = engine.prefill([[1], [1, 2]], 4, SOURCES[:2])
    engine.reorder(state, torch.tensor([1, 1, 0]))
    moved = engine.step(state, torch.tensor([5, 6, 5]))
    for place, (row, number) in enumerate([(1, 5), (1, 6), (0, 5)]):
        alone, _ = engine.prefill([[[1], [1, 2]][row]], 4, [SOURCES[row]])
        torch.testing.assert_close(
            moved[place : place + 1], engine.step(alone, torch.tensor([number])), rtol=0, atol=1e-12
        )


def test_a_prepared_network_does_the_work() -> None:
    net, other = lively(SPECS["rotary"]), lively(SPECS["rotary"], seed=5)
    _, wanted = Engine(other).prefill(PROMPTS, 2)
    _, got = Engine(net, prepared=other).prefill(PROMPTS, 2)
    assert torch.equal(got, wanted)


def test_a_network_in_training_is_read_without_dropout_and_given_back() -> None:
    net = lively(decoder(position=RotarySpec(), dropout=0.5))
    wanted = greedy(net, PROMPTS, None, 8)
    net.train()
    net.heads.eval()  # what a user froze stays so
    assert [r.ids for r in greedy(net, PROMPTS, None, 8)] == [r.ids for r in wanted]
    assert net.training and net.decoder.layers[0].training and not net.heads.training
    net(Tokens(torch.tensor([[1, 2]]))).sum().backward()  # nothing of inference mode stays behind


def test_h98_the_context_is_kept_unless_asked_otherwise() -> None:
    net = lively(SPECS["rotary"])
    engine = Engine(net)
    engine.prefill([[1] * CONTEXT], 1)
    engine.prefill([[1] * (CONTEXT - 9)], 10)
    for length, budget, change in ((CONTEXT, 2, "max_tokens to 1"), (CONTEXT + 1, 1, "shorten"), (2, 10**18, "63")):
        with pytest.raises(UserError) as error:
            engine.prefill([[1], [1] * length], budget)
        assert str(CONTEXT) in error.value.expected and str(length) in error.value.received
        assert change in error.value.change and "extrapolate" in error.value.change
    assert engine.prefill([[1] * 100], 10, extrapolate=True)[1].isfinite().all()


def test_learned_positions_end_with_their_table() -> None:
    net = lively(decoder(absolute=LearnedSpec(length=40), context=32))
    engine = Engine(net)
    engine.prefill([[1] * 30], 11, extrapolate=True)
    with pytest.raises(UserError, match="learned") as error:
        engine.prefill([[1] * 30], 12, extrapolate=True)
    assert "extrapolate" not in error.value.change


def test_a_long_source_is_refused_too() -> None:
    with pytest.raises(UserError, match="the prompt is longer"):
        Engine(lively(SPECS["seq2seq"])).prefill([[1]], 5, [[3] * (CONTEXT + 1)])


def test_a_cache_that_does_not_fit_is_an_error_with_its_size() -> None:
    with pytest.raises(OutOfMemory, match="cache for 1 rows"):
        Engine(lively(SPECS["rotary"])).prefill([[1]], 10**15, extrapolate=True)


def test_models_that_cannot_generate_say_why() -> None:
    encoder = stack(pattern=Full())
    base = decoder()
    faults = {
        "an encoder alone": base.model_copy(update={"decoder": None, "encoder": encoder}),
        "no lm head": base.model_copy(update={"heads": {"tags": HeadSpec(task="tag", output=3)}}),
        "no encoder": base.model_copy(update={"decoder": seq2seq().decoder}),
        "look ahead: main": base.model_copy(update={"decoder": encoder}),
    }
    for fault, spec in faults.items():
        with pytest.raises(ConfigError) as error:
            Engine(spec.build(0))
        assert fault in error.value.received
