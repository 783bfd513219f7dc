"""The model: specs as data, what is refused, symmetries of the whole, balance losses, hidden and logits."""

import pytest
import torch
from hypothesis import given

from polyhead import nn as ph
from polyhead.nn.at import At
from polyhead.nn.rotary import Dynamic, LongRope

from ..conformance import laws, specs


@specs.draws(60)
@given(specs.models())
def test_a_spec_is_json_in_and_out_and_equal_choices_hash_alike(spec):
    again = ph.ModelSpec.model_validate_json(spec.model_dump_json())
    assert again == spec
    for name, stack in spec.stacks.items():
        for kind, block in stack.blocks.items():
            assert hash(block) == hash(again.stacks[name].blocks[kind])


def test_a_marked_prefix_may_have_two_sided_buckets():
    """Its tokens look ahead, as in T5's prefix language model."""
    laws.law_formula_of_batches(specs.decoder(pattern=ph.Prefix(), relative=specs.TWO_SIDED_BUCKETS))


def test_unknown_keys_nan_and_changes_are_refused():
    spec = specs.DECODERS["pattern-causal"]
    data = spec.model_dump()
    with pytest.raises(ValueError, match="extra"):
        ph.ModelSpec.model_validate({**data, "colour": "red"})
    with pytest.raises(ValueError):
        ph.RMSNormSpec(eps=float("nan"))
    with pytest.raises(ValueError, match="frozen"):
        spec.context = 5


def test_family_is_never_read():
    spec = specs.DECODERS["pattern-causal"]
    a, b = specs.build(spec), specs.build(spec.model_copy(update={"family": "x"}))
    tokens = ph.Tokens(laws.random_ids(1, 5))
    assert torch.equal(a(tokens), b(tokens))


def rotary_model(**fields):
    return specs.decoder(relative=ph.RotarySpec(**fields))


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: ph.ModelSpec(heads={"lm": ph.HeadSpec(output=3)}, context=4), "got neither"),
        (lambda: specs.decoder(absolute=ph.LearnedSpec(length=8)), "learned positions"),
        (lambda: rotary_model(dim=6), "at most head_dim 4"),
        (lambda: rotary_model(scaling=LongRope(original=4, short=(1.0,), long=(1.0,))), "2 factors"),
        (lambda: rotary_model(dim=2, scaling=Dynamic(factor=2.0, original=4)), "at least 4"),
        (lambda: specs.decoder(heads=ph.GroupedSpec(heads=2, head_dim=5)), "even head_dim"),
        (lambda: specs.decoder(relative=specs.TWO_SIDED_BUCKETS), "two-sided buckets"),
        (lambda: specs.decoder(head=ph.HeadSpec(output=4, tied=True)), "vocabulary"),
        (
            lambda: ph.ModelSpec(encoder=specs.stack(pattern=ph.Full()), decoder=specs.stack(), heads={"o": specs.OUTPUTS["lm"]}, context=8),
            "never looks at the encoder",
        ),
        (lambda: ph.ModelSpec(encoder=specs.stack(cross=True), heads={"o": specs.OUTPUTS["lm"]}, context=8), "belongs in a decoder"),
    ],
)  # fmt: skip
def test_impossible_models_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# ---------------------------------------------------------------- symmetries


def test_an_encoder_without_positions_is_permutation_equivariant():
    model = specs.build(specs.encoder(relative=ph.NoPosition()))
    ids, order = laws.random_ids(1, 8), torch.randperm(8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        laws.close(model(ph.Tokens(ids[:, order])), model(ph.Tokens(ids))[:, order])


def test_a_causal_decoder_without_positions_is_not():
    """It can tell order by what it sees (Haviv et al. 2022)."""
    model = specs.build(specs.decoder(relative=ph.NoPosition()))
    ids = laws.random_ids(1, 8)
    with torch.no_grad():
        assert (model(ph.Tokens(ids.flip(1))) - model(ph.Tokens(ids)).flip(1)).abs().max() > 1e-2


@pytest.mark.parametrize("relative", ["rotary", "rotary_interleaved", "alibi", "alibi_key", "buckets"])
def test_relative_positions_see_no_common_shift(relative):
    model, ids = specs.build(specs.decoder(relative=specs.RELATIVE[relative])), laws.random_ids(1, 8)
    with torch.no_grad():
        shifted = model(ph.Tokens(ids, torch.arange(8)[None] + 11))
        laws.close(shifted, model(ph.Tokens(ids)), 1e-5)


def test_a_prefix_of_the_text_has_the_prefix_of_the_logits():
    model, ids = specs.build(specs.local_full()), laws.random_ids(2, 12)
    with torch.no_grad():
        full = model(ph.Tokens(ids))
        for t in (1, 5, 11):
            laws.close(model(ph.Tokens(ids[:, :t])), full[:, :t])


def test_b16_every_row_has_its_own_positions():
    """A left-padded batch with one shared position vector gives other logits than the right ones."""
    model = specs.build(specs.DECODERS["absolute-learned"])
    batch = laws.pad([laws.random_ids(1, n)[0] for n in (3, 8)], "left", 8)
    shared = batch._replace(pos=torch.where(batch.pos >= 0, torch.arange(8), -1))
    with torch.no_grad():
        assert (model(batch)[0, 5:] - model(shared)[0, 5:]).abs().max() > 1e-2
        laws.close(model(batch)[0, 5:], model(ph.Tokens(batch.ids[:1, 5:]))[0])


def test_one_token_and_long_rows():
    model = specs.build(specs.DECODERS["pattern-window"])
    with torch.no_grad():
        assert model(ph.Tokens(laws.random_ids(3, 1))).shape == (3, 1, specs.VOCAB)
        assert torch.isfinite(model(ph.Tokens(laws.random_ids(1, 500)))).all()


# ---------------------------------------------------------------- pieces


def test_balance_losses_add_up_over_layers_and_stacks():
    for spec, stacks in (
        (specs.DECODERS["ffn-experts_balance"], 1),
        (specs.seq2seq(ffn=specs.FFNS["experts_balance"]), 2),
    ):
        model = specs.build(spec).train()
        single: list = []
        experts = [m for m in model.modules() if hasattr(m, "router")]
        for module in experts:
            module.register_forward_hook(lambda m, a, out, kept=single: kept.append(out[1]))
        _, total = model.hidden(ph.Tokens(laws.random_ids(2, 6)), laws.source_of(spec, 2, padded=True))
        assert len(single) == 2 * stacks
        laws.close(total, sum(single))


def test_logits_of_a_named_head():
    spec = specs.ENCODERS["head-mlm"]
    heads = {**spec.heads, "tag": specs.OUTPUTS["tag"], "first": specs.OUTPUTS["classify"]}
    model = specs.build(spec.model_copy(update={"heads": heads}))
    tokens = ph.Tokens(laws.random_ids(2, 5))
    x, _ = model.hidden(tokens)
    assert model.logits(x).shape == (2, 5, specs.VOCAB)
    assert model.logits(x, "tag").shape == (2, 5, 5) and model.logits(x, "first", At.of(tokens)).shape == (2, 3)


def test_why_says_which_path_was_taken():
    model = specs.build(specs.local_full())
    with torch.no_grad():
        model(ph.Tokens(laws.random_ids(1, 100)))
    assert set(model.decoder.last_why) == {"local", "full"}
    assert "band" in model.decoder.last_why["local"] and "flag" in model.decoder.last_why["full"]


def test_use_chooses_backend_and_recomputation_for_both_stacks():
    model = specs.build(specs.SEQ2SEQS["rotary"]).use("reference", checkpoint=True)
    assert model.encoder.backend == model.decoder.backend == "reference" and model.decoder.checkpoint
    assert model.use().encoder.backend == "reference"


def test_gradients_of_a_whole_tiny_model():
    spec = specs.decoder(
        width=4,
        vocab=5,
        layers=2,
        heads=ph.GroupedSpec(heads=2, kv_heads=1, bias="qkvo"),
        residual=specs.RESIDUALS["first"],
        ffn=ph.PlainSpec(inner=4),
    )
    model = specs.build(spec).use("reference")
    ids = torch.tensor([[1, 3, 0]])
    assert torch.autograd.gradcheck(lambda *_: model(ph.Tokens(ids)), tuple(model.parameters()), fast_mode=True)
