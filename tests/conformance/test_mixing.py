"""Attention that mixes values by other means than softmax over all pairs: the laws each choice keeps, and what it refuses."""

import math

import pytest
import torch
from pydantic import ValidationError

from polyhead import nn as ph
from polyhead.nn import approximate
from polyhead.nn.at import At
from polyhead.nn.attend import attend, lower

from . import laws, specs

DECODERS = {n: specs.decoder(mixing=m, heads=specs.HEADS["grouped"]) for n, m in specs.MIXINGS.items()}
ENCODERS = {n: specs.encoder(mixing=m, heads=specs.HEADS["qk_norm"]) for n, m in specs.MIXINGS.items()}
LINFORMERS = {n: specs.encoder(mixing=m, relative=ph.NoPosition()) for n, m in specs.LINFORMERS.items()}
SUMS = ("linear", "performer")
ALL = [pytest.param(s, id=f"{side}-{n}") for side, table in (("decoder", DECODERS), ("encoder", ENCODERS), ("linformer", LINFORMERS)) for n, s in table.items()]


@pytest.mark.parametrize("spec", ALL)
def test_every_choice_is_its_formula_and_its_counts_are_true(spec):
    laws.law_formula(spec, length=7)
    laws.law_params(spec)
    laws.law_flops(spec)


@pytest.mark.parametrize("spec", ALL)
def test_padding_mates_and_micro_batches_change_nothing(spec):
    laws.law_padding(spec)
    laws.law_accumulation(spec)


@pytest.mark.parametrize("spec", ALL)
def test_a_row_of_padding_is_finite(spec):
    laws.law_masked_rows(spec)


@pytest.mark.parametrize("name", DECODERS)
def test_prefill_and_steps_equal_the_full_forward(name):
    laws.law_cache(DECODERS[name])
    laws.law_cache_unequal(DECODERS[name])
    laws.law_cache_reorder(DECODERS[name])


@pytest.mark.parametrize("name", ["sigmoid", *SUMS])
def test_no_leak(name):
    laws.law_leak(specs.decoder(mixing=specs.MIXINGS[name], layers=1), forms=(0, 1, 2, 3, 4))
    laws.law_leak(specs.encoder(mixing=specs.MIXINGS[name], layers=1), forms=(0, 1, 3, 4))


@pytest.mark.parametrize("name", DECODERS)
def test_several_documents_in_a_row_are_the_documents_alone(name):
    for model, ids in ((specs.build(spec), laws.random_ids(2, 12)) for spec in (DECODERS[name], ENCODERS[name])):
        restart = torch.cat([torch.arange(5), torch.arange(7)]).repeat(2, 1)
        with torch.no_grad():
            packed = model(ph.Tokens(ids, restart, segment=(torch.arange(12) >= 5).long().repeat(2, 1)))
            alone = torch.cat([model(ph.Tokens(ids[:, :5])), model(ph.Tokens(ids[:, 5:]))], 1)
        laws.close(packed, alone)


@pytest.mark.parametrize("name", ["sigmoid", "entmax"])
def test_other_weights_over_windows_and_blocks(name):
    spec = specs.decoder(mixing=specs.MIXINGS[name], pattern=ph.Window(back=3))
    laws.law_backends(spec, 21, ("left", "restarting"))
    with pytest.raises(ValueError, match="softmax"):
        specs.build(spec).use("sdpa")(ph.Tokens(laws.random_ids(1, 4)))


def test_sums_over_many_chunks_are_the_pairs(monkeypatch):
    """Running sums, cut anywhere, and counted there; what the model says does not depend on the size of chunks."""
    for name in SUMS:
        model, ids = specs.build(DECODERS[name]), ph.Tokens(laws.random_ids(2, 23))
        whole, segments = model(ids), model(ids._replace(segment=torch.zeros(2, 23, dtype=torch.long)))
        monkeypatch.setattr(approximate, "CHUNK", 5)
        laws.close(model(ids), whole)
        laws.close(model(ids), segments)
        laws.law_flops(DECODERS[name], 23)
        monkeypatch.undo()


def test_a_linformer_of_full_rank_that_projects_nothing_is_plain_attention():
    exact = ph.LinformerSpec(rank=specs.CONTEXT, length=specs.CONTEXT, share="kv")
    spec = specs.encoder(mixing=exact, relative=ph.NoPosition())
    model, plain = specs.build(spec), specs.build(specs.encoder(relative=ph.NoPosition()))
    plain.load_state_dict({n: t for n, t in model.state_dict().items() if "mixing" not in n})
    with torch.no_grad():
        for block in model.top.layers:
            block.attention.mixing.e.copy_(torch.eye(specs.CONTEXT))
        ids = ph.Tokens(laws.random_ids(2, specs.CONTEXT))
        laws.close(model(ids), plain(ids))


def test_one_projection_serves_all_layers_and_is_stored_once():
    model = specs.build(LINFORMERS["layers"])
    first, second = (block.attention.mixing for block in model.top.layers)
    assert first is second
    assert sum("mixing" in name for name, _ in model.named_parameters()) == 1


def test_random_features_are_unbiased_orthogonal_and_drawn_from_the_seed():
    """The mean over 400 draws within four standard errors of e^(q·k); in groups of d, directions are orthogonal."""
    q, k = torch.randn(2, 1, 1, 1, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 0.7
    found = []
    for seed in range(400):
        module = approximate.Performer(16, 8).double()
        module.draw(torch.Generator().manual_seed(seed))
        w = module.directions
        features = [torch.exp(x[0, 0, 0] @ w.T - x.square().sum() / 2) for x in (q, k)]
        found.append(float((features[0] * features[1]).mean()))
    square = w[:8] @ w[:8].T
    laws.close(square, torch.diag(square.diagonal()))
    mean, error = torch.tensor(found).mean(), torch.tensor(found).std() / 20
    assert abs(mean - math.exp(float((q * k).sum()))) < 4 * error
    one, same, other = (DECODERS["performer"].build(seed).state_dict() for seed in (0, 0, 1))
    name = next(n for n in one if n.endswith("directions"))
    assert torch.equal(one[name], same[name]) and not torch.equal(one[name], other[name])


def test_many_random_features_come_near_softmax():
    at = At(torch.arange(12)[None])
    q, k, v = torch.randn(3, 1, 2, 12, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    exact = attend(q, k, v, lower(ph.Full(), at, at, heads=2, fresh=True, packed=True, dtype=q.dtype), scale=0.1)
    errors = []
    for features in (64, 4096):
        module = approximate.Performer(features, 8).double()
        module.draw(torch.Generator().manual_seed(0))
        raised = [module.features(x, 0.1, asks) for x, asks in ((q, True), (k, False))]
        weights = raised[0] @ raised[1].transpose(-1, -2)
        errors.append(((weights / weights.sum(-1, keepdim=True)) @ v - exact).norm() / exact.norm())
    assert errors[1] < 0.05 and errors[1] < errors[0] / 3


def test_sparse_weights_are_exactly_zero_and_sum_to_one():
    scores = torch.tensor([[5.0, 4.2, 0.0, -3.0]], dtype=torch.float64, requires_grad=True)
    for choice in (ph.EntmaxSpec(), ph.SparsemaxSpec()):
        weights = choice.weigh(scores, None)
        assert (weights > 0).sum() == 2 and abs(float(weights.detach().sum()) - 1) < 1e-12
        assert torch.autograd.gradcheck(lambda s, choice=choice: choice.weigh(s, None), scores)


REFUSED = {
    "later ones": dict(mixing=specs.LINFORMERS["none"], relative=ph.NoPosition()),
    "expected position none, got rotary": dict(mixing=specs.LINFORMERS["none"], pattern=ph.Full()),
    "expected pattern full or causal": dict(mixing=ph.LinearSpec(), pattern=ph.Window(back=3)),
    "to add to": dict(mixing=ph.PerformerSpec(features=4), relative=ph.AlibiSpec()),
    "to cap": dict(mixing=ph.LinearSpec(), heads=specs.HEADS["softcap"]),
    "heads.scale null": dict(mixing=ph.LinearSpec(), heads=specs.HEADS["scale"]),
    "keys per head": dict(mixing=ph.LinearSpec(), heads=specs.HEADS["latent"]),
    "sinks join a softmax": dict(mixing=ph.SigmoidSpec(), heads=specs.HEADS["sinks"]),
}


@pytest.mark.parametrize("words", REFUSED)
def test_what_a_choice_cannot_do_is_refused_when_the_spec_is_made(words):
    with pytest.raises(ValidationError, match=words):
        specs.decoder(**REFUSED[words])


def test_whole_models_refuse_dropped_weights_and_too_few_columns():
    with pytest.raises(ValidationError, match="no weights to drop"):
        specs.decoder(mixing=ph.LinearSpec(), dropout=ph.DropoutSpec(attention=0.1))
    with pytest.raises(ValidationError, match="columns"):
        specs.encoder(mixing=ph.LinformerSpec(rank=4, length=specs.CONTEXT - 1), relative=ph.NoPosition())


def test_a_linformer_refuses_documents_and_long_rows_and_sums_refuse_to_roll_back():
    model, ids = specs.build(LINFORMERS["kv"]), laws.random_ids(1, 4)
    with pytest.raises(ValueError, match="one document per row"):
        model(ph.Tokens(ids, segment=torch.zeros_like(ids)))
    with pytest.raises(ValueError, match="64 columns"):
        model(ph.Tokens(laws.random_ids(1, 65)))
    decoder = specs.build(DECODERS["linear"])
    cache = decoder.new_cache(1, 8)
    decoder(ph.Tokens(ids), cache=cache)
    with pytest.raises(ValueError, match="rolled back"):
        cache.truncate(2)
