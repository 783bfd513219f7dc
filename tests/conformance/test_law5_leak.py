"""Law 5: d state[t] / d embedding[s] is exactly 0 where t may not see s, and not 0 where it may."""

import pytest
import torch
from hypothesis import given

from polyhead import nn as ph

from . import laws, specs

ONE_LAYER = {f"decoder:{n}": specs.decoder(pattern=p, layers=1) for n, p in specs.CAUSAL.items()}
ONE_LAYER |= {f"encoder:{n}": specs.encoder(pattern=p, layers=1) for n, p in specs.TWO_SIDED.items()}


@pytest.mark.parametrize("spec", specs.cases("coder", ONE_LAYER))
def test_every_pattern_in_every_form_of_batch(spec):
    laws.law_leak(spec, forms=range(6), backends=("auto", "banded"))


@pytest.mark.parametrize("spec", specs.cases("coder", ONE_LAYER))
def test_every_pattern_on_the_reference_backend(spec):
    laws.law_leak(spec, forms=(0, 2, 3), backends=("reference",))


@pytest.mark.parametrize("name", specs.BLOCKS)
def test_blocks_of_every_kind(name):
    """At 10 tokens some patterns see everything, at 22 none does."""
    spec = specs.encoder(pattern=specs.BLOCKS[name], layers=1)
    laws.law_leak(spec, 10, forms=(0, 2))
    laws.law_leak(spec, 22, forms=(3,), backends=("reference",))
    laws.law_leak(spec, 22, forms=(2, 3), backends=("banded",))


def test_global_heads_show_marked_tokens_all_and_others_the_window():
    """Longformer's exact visibility, and which projections each pair goes through."""
    spec = specs.encoder(pattern=specs.TWO_SIDED["globals"], layers=1, global_heads=True)
    laws.law_leak(spec, length=9, forms=range(6), backends=("auto", "reference", "banded"))
    model, ids = specs.build(spec), laws.random_ids(1, 9)
    mark = torch.zeros(1, 9, dtype=torch.bool)
    mark[0, [0, 6]] = True
    states, _ = model.hidden(ph.Tokens(ids, mark=mark))
    named = dict(model.encoder.layers[0].attention.named_parameters())
    for t in range(9):
        own = torch.autograd.grad(states[0, t].square().sum(), list(named.values()), retain_graph=True, allow_unused=True)
        used = {n for n, g in zip(named, own, strict=True) if g is not None and g.abs().max() > 0}
        side = "global_heads" if mark[0, t] else "heads"
        assert used == {f"{side}.{p}.weight" for p in "qkv"} | {"heads.o.weight"}


@pytest.mark.parametrize(
    "spec", specs.cases("heads norm residual experts kinds seq2seq alibi buckets content sharing ffn-gated_silu")
)
def test_every_axis_through_two_layers(spec):
    laws.law_leak(spec, length=7, forms=(0, 2))


@specs.draws(10)
@given(specs.models())
def test_combinations(spec):
    laws.law_leak(spec, length=6, forms=(2, 3))


@pytest.mark.parametrize("name", ["pattern-causal", "pattern-window", "kinds-local_full"])
def test_b15_packed_documents_do_not_see_each_other(name):
    """Resetting positions alone does not help: without segments the second document does see the first."""
    spec, ids = specs.DECODERS[name], laws.random_ids(1, 8)
    model, restart = specs.build(spec), torch.tensor([[0, 1, 2, 3, 0, 1, 2, 3]])
    segment = torch.tensor([[0, 0, 0, 0, 1, 1, 1, 1]])
    packed = laws.influence(model, ph.Tokens(ids, restart, segment=segment), 0)
    assert (packed[4:, :4] == 0).all() and (packed[:4, 4:] == 0).all()
    unmarked = laws.influence(model, ph.Tokens(ids, restart), 0)
    assert (unmarked[4:, :4] > 0).any()


@pytest.mark.parametrize(
    "name", ["relative-rotary", "relative-alibi", "relative-buckets", "absolute-learned", "pattern-window"]
)
def test_b15_a_packed_document_is_the_document_alone(name):
    """Packing with restarting positions changes nothing, 1e-12."""
    model, ids = specs.build(specs.DECODERS[name]), laws.random_ids(2, 12)
    restart = torch.cat([torch.arange(5), torch.arange(7)]).repeat(2, 1)
    segment = (torch.arange(12) >= 5).long().repeat(2, 1)
    with torch.no_grad():
        packed = model(ph.Tokens(ids, restart, segment=segment))
        alone = torch.cat([model(ph.Tokens(ids[:, :5])), model(ph.Tokens(ids[:, 5:]))], 1)
    laws.close(packed, alone)


@pytest.mark.parametrize("back", [1, 3])
def test_the_receptive_field_of_a_window_grows_by_its_reach_per_layer(back):
    """L layers of a window that sees `back` others reach exactly L·back tokens back."""
    layers, length = 3, 14
    model = specs.build(specs.decoder(pattern=ph.Window(back=back), layers=layers))
    seen = laws.influence(model, ph.Tokens(laws.random_ids(1, length)), 0)[-1] > 0
    assert seen.sum() == layers * back + 1 and seen[-(layers * back + 1) :].all()


@pytest.mark.parametrize("ffn", ["plain_gelu", "gated_silu", "experts", "experts_shared"])
def test_the_feed_forward_never_mixes_tokens(ffn):
    model = specs.build(specs.decoder(pattern=ph.Window(back=0), ffn=specs.FFNS[ffn]))
    seen = laws.influence(model, ph.Tokens(laws.random_ids(1, 6)), 0)
    assert ((seen > 0) == torch.eye(6, dtype=torch.bool)).all()


def test_batch_norm_breaks_the_law_while_training():
    model = specs.build(specs.decoder(norm=specs.NORMS["batch"])).train()
    with pytest.raises(AssertionError, match="another row"):
        laws.influence(model, ph.Tokens(laws.random_ids(2, 6)), 0)
    seen = laws.influence(model, ph.Tokens(laws.random_ids(1, 6)), 0)
    assert (seen.triu(1) > 0).any(), "the future reaches the past through the statistics"


def test_a_cached_step_cannot_leak_what_is_not_there_yet():
    """A token's logits in a cached run do not change with what comes after it."""
    model, ids = specs.build(specs.DECODERS["kinds-local_full"]), laws.random_ids(1, 10)
    other = ids.clone()
    other[:, 6:] = (other[:, 6:] + 1) % specs.VOCAB
    with torch.no_grad():
        runs = [laws.in_chunks(model, ph.Tokens(i), (3, 6)) for i in (ids, other)]
    assert torch.equal(runs[0][:, :6], runs[1][:, :6])
