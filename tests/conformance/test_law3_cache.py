"""Law 3: prefill + steps = one full forward, 1e-12 in fp64."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from polyhead import nn as ph

from . import laws, specs

RELEVANT = "content relative pattern absolute heads kinds seq2seq window residual-first experts norm-batch sharing typed factor"


@pytest.mark.parametrize("spec", specs.cases(RELEVANT, specs.CACHED))
def test_prefill_and_steps_equal_the_full_forward(spec):
    laws.law_cache(spec)


@pytest.mark.parametrize(
    "spec", specs.cases("relative-a relative-b relative-rotary_d pattern seq2seq kinds", specs.CACHED)
)
def test_unequal_prompts_padded_left_and_right(spec):
    laws.law_cache_unequal(spec)


@pytest.mark.parametrize(
    "spec", specs.cases("pattern-causal pattern-w kinds window-", {f"r:{n}": s for n, s in specs.DECODERS.items()})
)
def test_a_rolled_back_draft_leaves_no_trace(spec):
    laws.law_cache_rollback(spec)


@pytest.mark.parametrize("spec", specs.cases("pattern-window pattern-causal seq2seq kinds first", specs.CACHED))
def test_beams_reorder_the_cache(spec):
    laws.law_cache_reorder(spec)


@pytest.mark.parametrize("name", ["pattern-causal", "pattern-window", "kinds-local_full"])
def test_every_split_into_prefill_and_steps(name):
    length = 9
    cuts = [tuple(range(prefill, length)) for prefill in range(1, length)]
    laws.law_cache(specs.DECODERS[name], cuts, length)


def test_every_split_into_two_chunks_of_a_ring():
    laws.law_cache(specs.DECODERS["pattern-window"], [(n,) for n in range(1, 16)], 16)


@pytest.mark.parametrize("cut", [5, 12])
@pytest.mark.parametrize("name", ["prefix", "window_globals"])
def test_marks_are_remembered_by_the_cache(name, cut):
    model, ids = specs.build(specs.DECODERS[f"pattern-{name}"]), laws.random_ids(2, 14)
    tokens = ph.Tokens(ids, mark=torch.arange(14).repeat(2, 1) < torch.tensor([[5], [3]]))
    with torch.no_grad():
        laws.close(laws.in_chunks(model, tokens, (cut, cut + 1)), model(tokens))
        assert (model(tokens) - model(ph.Tokens(ids))).abs().max() > 1e-3


def test_marks_of_a_ring_go_with_their_tokens():
    """Marked tokens are seen for longer than others, but not for ever: in a ring they are forgotten together."""
    longer = ph.Or(parts=(ph.Window(back=1), ph.Marked(queries=False)))
    marked = ph.And(parts=(ph.Window(back=5), longer))
    model, ids = specs.build(specs.decoder(pattern=marked)), laws.random_ids(2, 20)
    tokens = ph.Tokens(ids, mark=torch.arange(20).repeat(2, 1) < torch.tensor([[5], [3]]))
    with torch.no_grad():
        laws.close(laws.in_chunks(model, tokens, (5, 7, 8, 12, 13)), model(tokens))
        assert (model(tokens) - model(ph.Tokens(ids))).abs().max() > 1e-3


def test_beams_take_their_marks_with_them():
    model, ids = specs.build(specs.DECODERS["pattern-window_globals"]), laws.random_ids(2, 9)
    mark = torch.arange(9).repeat(2, 1) < torch.tensor([[3], [0]])
    with torch.no_grad():
        cache = model.new_cache(2, 9)
        model(ph.Tokens(ids[:, :8], mark=mark[:, :8]), cache=cache)
        cache.reorder(torch.tensor([1, 0]))
        out = model(ph.Tokens(ids[[1, 0], 8:]), cache=cache)
        laws.close(out, model(ph.Tokens(ids, mark=mark))[[1, 0], 8:])


def test_a_mark_after_the_first_call_is_refused():
    model, ids = specs.build(specs.DECODERS["pattern-prefix"]), laws.random_ids(1, 6)
    cache = model.new_cache(1, 6)
    model(ph.Tokens(ids[:, :3]), cache=cache)
    with pytest.raises(ValueError, match="first call"):
        model(ph.Tokens(ids[:, 3:], mark=torch.ones(1, 3, dtype=torch.bool)), cache=cache)


@pytest.mark.parametrize("slack", [0, 1, 4])
def test_rings_of_any_slack_over_a_long_run(slack):
    """40 tokens through a ring of 4 + slack slots: single steps, then chunks of the slack's size and larger ones."""
    model, ids = specs.build(specs.DECODERS["pattern-window"]), laws.random_ids(2, 40)
    with torch.no_grad():
        full = model(ph.Tokens(ids))
        laws.close(laws.in_chunks(model, ph.Tokens(ids), tuple(range(1, 40)), slack=slack), full)
        laws.close(laws.in_chunks(model, ph.Tokens(ids), (7, 10, 11, 29, 30), slack=slack), full)


def test_dynamic_rotation_breaks_the_law_unless_the_length_is_fixed():
    """Declared: the table depends on the length, which the cache fixes at its start."""
    spec = specs.DECODERS["relative-rotary_dynamic"]
    model, ids = specs.build(spec), laws.random_ids(1, 14)
    with torch.no_grad():
        laws.law_cache(spec)
        cache = model.new_cache(1, 40)
        other = torch.cat([model(ph.Tokens(ids[:, i : i + 1]), cache=cache) for i in range(14)], 1)
        assert (other - model(ph.Tokens(ids))).abs().max() > 1e-3


def test_batch_norm_breaks_the_law_while_training():
    model, ids = specs.build(specs.DECODERS["norm-batch"]).train(), laws.random_ids(2, 10)
    with torch.no_grad():
        assert (model(ph.Tokens(ids[:, :5])) - model(ph.Tokens(ids))[:, :5]).abs().max() > 1e-3


def test_an_encoder_and_a_two_sided_pattern_are_not_cached():
    with pytest.raises(ValueError, match="only a decoder"):
        specs.build(specs.ENCODERS["pattern-full"]).new_cache(1, 8)
    with pytest.raises(ValueError, match="looks ahead"):
        specs.build(specs.decoder(pattern=ph.Window(back=2, ahead=1))).new_cache(1, 8)
    for pattern in (specs.TWO_SIDED["globals"], specs.TWO_SIDED["chunked"], specs.BLOCKS["seeded"]):
        with pytest.raises(ValueError, match="looks ahead"):
            specs.build(specs.decoder(pattern=pattern)).new_cache(1, 8)


def test_a_full_cache_says_so():
    model, cache = (m := specs.build(specs.DECODERS["pattern-causal"])), m.new_cache(1, 4)
    with pytest.raises(ValueError, match="holds 4 tokens"):
        model(ph.Tokens(laws.random_ids(1, 5)), cache=cache)


@specs.draws(20)
@given(st.one_of(specs.decoders(), specs.seq2seqs()), st.lists(st.integers(1, 11), max_size=5, unique=True).map(sorted))
def test_combinations_in_any_chunks(spec, cuts):
    laws.law_cache(spec, [cuts])
