"""The cache: slots, rings, bin, rollback, and the traps that a wrong one falls into. Equality with the full forward is law 3."""

import pytest
import torch

from polyhead import nn as ph
from polyhead.nn.at import At
from polyhead.nn.cache import Line, Store

from ..conformance import laws, specs
from .tiny import randn, same

RING, LONG = specs.DECODERS["pattern-window"], specs.DECODERS["pattern-causal"]


def at(*positions):
    return At(torch.tensor([positions]))


def test_slots_are_positions_modulo_the_capacity_and_padding_goes_to_the_bin():
    line = Line(2, 4, ring=True)
    plan = line.advance(At(torch.tensor([[-1, 0, 1], [0, 1, 2]]), padded=True))
    assert plan.slots.tolist() == [[4, 0, 1], [0, 1, 2]] and plan.mode == "fresh"
    assert line.pos[:, :4].tolist() == [[0, 1, -1, -1], [0, 1, 2, -1]] and (line.pos[:, 4] == -1).all()
    plan = line.advance(At(torch.tensor([[2], [3]])))
    assert plan.slots.tolist() == [[2], [3]] and plan.mode == "append" and line.count == 4
    plan = line.advance(At(torch.tensor([[3], [4]])))
    assert plan.slots.tolist() == [[3], [0]]
    assert plan.keys.pos.tolist() == [[0, 1, 2, 3], [4, 1, 2, 3]] and plan.keys.padded


def test_trap1_a_ring_with_slack_is_not_maskless_and_one_without_is():
    """The newest of n keys sees them all only when n is at most the window."""
    for slack, maskless in ((0, True), (2, False)):
        model = specs.build(RING)
        cache = model.new_cache(1, 30, slack)
        with torch.no_grad():
            model(ph.Tokens(laws.random_ids(1, 12)), cache=cache)
            model(ph.Tokens(laws.random_ids(1, 1)), cache=cache)
        assert ("no mask" in model.decoder.last_why["block"]) is maskless
    laws.law_cache(RING, [tuple(range(3, 12))])


def test_trap1_a_window_in_a_cache_shorter_than_its_ring_is_masked():
    """length < back + 1 + slack: no ring, yet the window still hides the far past."""
    spec = specs.decoder(pattern=ph.Window(back=3))
    model, ids = specs.build(spec), laws.random_ids(2, 8)
    with torch.no_grad():
        full = model(ph.Tokens(ids))
        laws.close(laws.in_chunks(model, ph.Tokens(ids), (2, 5, 6, 7), slack=20), full)
        assert not model.new_cache(2, 8, 20).lines["block"].ring


def test_trap1_a_truncated_ring_keeps_its_position_test():
    laws.law_cache_rollback(RING, slack=2)
    line = Line(1, 6, ring=True)
    line.advance(at(0, 1, 2, 3, 4))
    line.truncate(3)
    assert not line.even and line.level and line.pos[0].tolist() == [0, 1, 2, -1, -1, -1, -1] and line.count == 3
    assert line.advance(at(3)).keys.padded


def test_trap2_a_chunk_does_not_overwrite_what_its_first_queries_need():
    line = Line(1, 4, ring=True)
    line.advance(at(0, 1, 2, 3))
    plan = line.advance(at(4, 5, 6))
    assert plan.mode == "chunk" and plan.keys.pos.tolist() == [[0, 1, 2, 3, 4, 5, 6]]
    laws.law_cache(RING, [(4, 7, 10), (1, 11)])


def test_trap2_a_chunk_longer_than_the_ring_writes_only_its_last_tokens():
    """Two tokens of one slot in one scatter are undefined: the older ones go to the bin."""
    line = Line(1, 4, ring=True)
    plan = line.advance(at(*range(10)))
    kept = plan.slots[0][plan.slots[0] < 4]
    assert sorted(kept.tolist()) == [0, 1, 2, 3] and line.pos[0, :4].sort().values.tolist() == [6, 7, 8, 9]
    plan = line.advance(at(*range(10, 19)))
    assert (plan.slots == 4).sum() == 5 and line.pos[0, :4].sort().values.tolist() == [15, 16, 17, 18]


def test_trap3_b20_the_top_left_flag_is_used_only_where_keys_are_the_queries():
    """SDPA's is_causal is aligned top-left: wrong when the query is shorter than the cache."""
    model = specs.build(LONG)
    cache, ids = model.new_cache(1, 12), laws.random_ids(1, 12)
    with torch.no_grad():
        model(ph.Tokens(ids[:, :5]), cache=cache)
        assert "flag" in model.decoder.last_why["block"]
        out = model(ph.Tokens(ids[:, 5:9]), cache=cache)
        assert "flag" not in model.decoder.last_why["block"]
        laws.close(out, model(ph.Tokens(ids[:, :9]))[:, 5:])


def test_trap4_slots_start_as_zeros_and_stay_finite():
    store = Store(2, 5, ((2, 4), (2, 4)), torch.float32, torch.device("cpu"))
    assert all((s == 0).all() and s.shape == (2, 2, 6, 4) for s in store.slots)


def test_trap6_counters_are_python_numbers_and_positions_tensors():
    line = Line(1, 8, ring=False)
    plan = line.advance(at(0, 1))
    assert isinstance(line.count, int) and isinstance(plan.live, int) and isinstance(plan.slots, torch.Tensor)


def test_b16_unequal_rows_need_their_own_positions():
    """One shared position vector for a left-padded batch is the famous bug: a step without positions is refused."""
    model = specs.build(LONG)
    cache = model.new_cache(2, 12)
    prompt = laws.pad([laws.random_ids(1, n)[0] for n in (3, 6)], "left", 6)
    with torch.no_grad():
        model(prompt, cache=cache)
        with pytest.raises(ValueError, match="different positions"):
            model(ph.Tokens(laws.random_ids(2, 1)), cache=cache)
        model(ph.Tokens(laws.random_ids(2, 1), torch.tensor([[3], [6]])), cache=cache)
    laws.law_cache_unequal(specs.DECODERS["absolute-learned"])
    laws.law_cache_unequal(specs.DECODERS["absolute-sinusoidal"])


def test_b28_cache_and_mask_agree_on_the_window():
    for back in (0, 1, 4):
        spec = specs.decoder(pattern=ph.Window(back=back))
        assert specs.build(spec).new_cache(1, 30).lines["block"].capacity == back + 1
        laws.law_cache(spec, [(5,), tuple(range(1, 12))])


def test_layers_of_one_capacity_share_a_line_and_each_has_a_store():
    cache = specs.build(specs.local_full()).new_cache(2, 20)
    assert {k: line.capacity for k, line in cache.lines.items()} == {"local": 4, "full": 20}
    assert [s.slots[0].shape[2] for s in cache.stores] == [5, 5, 21]
    same_length = specs.build(specs.local_full()).new_cache(2, 4)
    assert same_length.lines["local"] is same_length.lines["full"]
    shared = specs.build(specs.decoder(sharing=ph.Groups(), layers=3)).new_cache(1, 4)
    assert len(shared.stores) == 3, "one store per executed layer, whoever owns the weights"


def test_a_cache_refuses_documents():
    model = specs.build(LONG)
    ids = laws.random_ids(1, 4)
    with pytest.raises(ValueError, match="one document per row"):
        model(ph.Tokens(ids, segment=torch.zeros_like(ids)), cache=model.new_cache(1, 4))


def test_the_source_is_read_once():
    spec = specs.SEQ2SEQS["rotary"]
    model, calls = specs.build(spec), []
    model.encoder.register_forward_hook(lambda *a: calls.append(1))
    cache, ids = model.new_cache(1, 8), laws.random_ids(1, 8)
    with torch.no_grad():
        model(ph.Tokens(ids[:, :3]), laws.source_of(spec, 1), cache=cache)
        held = [t.clone() for t in cache.memory[0]]
        for i in range(3, 8):
            model(ph.Tokens(ids[:, i : i + 1]), cache=cache)
    assert len(calls) == 1
    for a, b in zip(held, cache.memory[0], strict=True):
        assert torch.equal(a, b)
    with pytest.raises(ValueError, match="expected a source"):
        model(ph.Tokens(ids))


def test_zeroing_the_memory_changes_the_output():
    spec = specs.SEQ2SEQS["vaswani"]
    model, ids = specs.build(spec), laws.random_ids(1, 4)
    source = laws.source_of(spec, 1)
    with torch.no_grad():
        memory, _ = model.encoder(source)
        full = model.decoder(ph.Tokens(ids), None, memory, At.of(source))[0]
        without = model.decoder(ph.Tokens(ids), None, memory * 0, At.of(source))[0]
    assert (full - without).abs().max() > 1e-2


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", ["pattern-causal", "pattern-window", "relative-alibi"])
def test_b30_cached_decode_in_16_bit_differs_by_rounding_only(name, dtype, record_property):
    """Measured, not assumed: the cached run is no further from fp64 than a few times what the full run is."""
    ids = laws.random_ids(2, 24)
    exact_model, model = specs.build(specs.DECODERS[name]), specs.build(specs.DECODERS[name], dtype)
    exact_model.load_state_dict(model.state_dict())
    with torch.no_grad():
        exact = exact_model(ph.Tokens(ids))
        full = model(ph.Tokens(ids)).double()
        cached = laws.in_chunks(model, ph.Tokens(ids), tuple(range(4, 24))).double()
    errors = [(t - exact).abs().max().item() / exact.abs().max().item() for t in (full, cached)]
    record_property("relative errors, full and cached", errors)
    assert errors[1] < 4 * errors[0] + 1e-3 and errors[1] < {torch.float16: 0.01, torch.bfloat16: 0.08}[dtype]


def test_trap10_bands_hold_for_padding_and_documents():
    """Index distance = position distance within a row and a document: true for pads and packed rows."""
    laws.law_backends(RING, 35, ("left", "right", "restarting"), flex=())


def test_trap11_additive_biases_are_built_once_per_kind_and_call(monkeypatch):
    from polyhead.nn import attend

    calls, original = [], attend._mask
    monkeypatch.setattr(attend, "_mask", lambda *a: calls.append(1) or original(*a))
    model = specs.build(specs.decoder(relative=specs.RELATIVE["buckets"], layers=4))
    with torch.no_grad():
        model(ph.Tokens(laws.random_ids(1, 6)))
    assert len(calls) == 1, "four layers, one table"


def test_trap7_training_keeps_separate_parameters_and_fusing_changes_no_name():
    names = {n for n, _ in specs.build(LONG).named_parameters()}
    for part in ("attention.heads.q", "attention.heads.k", "attention.heads.v", "ffn.gate", "ffn.up"):
        assert f"decoder.layers.0.{part}.weight" in names


def test_reorder_to_fewer_and_more_rows():
    line = Line(2, 4, ring=False)
    line.advance(At(torch.tensor([[0, 1], [0, -1]]), padded=True))
    line.reorder(torch.tensor([1, 1, 0]))
    assert line.pos[:, :2].tolist() == [[0, -1], [0, -1], [0, 1]]
    store = Store(2, 4, ((1, 2),), torch.float64, torch.device("cpu"))
    store.slots = [randn(2, 1, 5, 2)]
    before = store.slots[0].clone()
    store.reorder(torch.tensor([1]))
    same(store.slots[0], before[1:])


def test_reorder_passes_over_layers_that_do_not_look_at_the_source():
    spec = specs.SEQ2SEQS["vaswani"]
    block = spec.decoder.blocks["block"]
    two = {"block": block, "alone": block.model_copy(update={"cross": None})}
    decoder = spec.decoder.model_copy(update={"blocks": two, "layout": ("block", "alone")})
    spec = ph.ModelSpec.model_validate(spec.model_copy(update={"decoder": decoder}).model_dump())
    model, ids, source = specs.build(spec), laws.random_ids(2, 5), laws.source_of(spec, 2)
    cache, swap = model.new_cache(2, 5), torch.tensor([1, 0])
    with torch.no_grad():
        full = model(ph.Tokens(ids), source)
        model(ph.Tokens(ids[:, :4]), source, cache=cache)
        assert cache.bytes() > 0
        cache.reorder(swap)
        laws.close(model(ph.Tokens(ids[swap, 4:]), cache=cache), full[swap, 4:])
