"""AXIS embedding: the sum's order, factorised tables, gradients of the table, ties."""

import pytest
import torch

from polyhead.nn import DropoutSpec, EmbeddingSpec, LayerNormSpec, LearnedSpec, ModelSpec, SinusoidalSpec, Tokens
from polyhead.nn.at import At

from ..conformance import laws, specs
from .tiny import randn, same, shake

STILL = DropoutSpec()
IDS = torch.tensor([[3, 1, 3, 0]])


def run(module, tokens=None):
    tokens = tokens or Tokens(IDS)
    return module(tokens, At.of(tokens))


def test_a_lookup_is_a_product_with_one_hot_rows_bit_for_bit():
    module = shake(EmbeddingSpec(vocab=5).build(4, STILL))
    assert torch.equal(run(module), torch.nn.functional.one_hot(IDS, 5).double() @ module.token)


def test_the_table_s_gradient_adds_up_over_repeats_and_is_0_elsewhere():
    module, mix = shake(EmbeddingSpec(vocab=5).build(4, STILL)), randn(1, 4, 4)
    (run(module) * mix).sum().backward()
    same(module.token.grad[3], mix[0, 0] + mix[0, 2])
    assert (module.token.grad[[2, 4]] == 0).all()


def test_scale_type_position_norm_in_this_order():
    spec = EmbeddingSpec(vocab=5, scale=3.0, types=2, position=LearnedSpec(length=8), norm=LayerNormSpec())
    module = shake(spec.build(4, STILL))
    types = torch.tensor([[0, 1, 1, 0]])
    expected = module.token[IDS] * 3 + module.types[types] + module.position.weight[:4]
    same(run(module, Tokens(IDS, types=types)), module.norm(expected))
    assert torch.equal(run(module), run(module, Tokens(IDS, types=torch.zeros_like(IDS)))), "no types are type 0"


def test_sum_projects_after_the_norm_and_token_before_the_sum():
    albert = shake(
        EmbeddingSpec(vocab=5, width=3, project="sum", position=LearnedSpec(length=8), norm=LayerNormSpec()).build(6, STILL)
    )
    same(run(albert), albert.project(albert.norm(albert.token[IDS] + albert.position.weight[:4])))
    opt = shake(EmbeddingSpec(vocab=5, width=3, project="token", position=LearnedSpec(length=8)).build(6, STILL))
    same(
        run(opt),
        albert.norm(torch.zeros(1, 4, 3).double())[..., :0].new_zeros(1, 4, 6)
        + opt.token[IDS] @ opt.project.weight.T
        + opt.position.weight[:4],
    )
    assert opt.project.bias is None and albert.project.bias is not None


def test_adding_is_concatenating_with_a_stacked_matrix():
    x, p, w = randn(3, 4), randn(3, 4, seed=1), randn(4, 5, seed=2)
    same((x + p) @ w, torch.cat([x, p], -1) @ torch.cat([w, w]))


@pytest.mark.parametrize("name", specs.EMBEDDINGS)
@pytest.mark.parametrize("position", ["none", "learned_offset", "sinusoidal"])
def test_params(name, position):
    spec = EmbeddingSpec(vocab=11, position=specs.ABSOLUTE[position], **specs.EMBEDDINGS[name])
    assert spec.params(8) == sum(p.numel() for p in spec.build(8, STILL).parameters())


def test_tied_tables_get_both_gradients_and_save_one_matrix():
    tied, loose = specs.decoder(head=specs.OUTPUTS["lm_tied"]), specs.decoder()
    assert loose.params().total - tied.params().total == specs.VOCAB * specs.WIDTH
    model = specs.build(tied)
    ids, mix = laws.random_ids(1, 5), randn(1, 5, specs.VOCAB)
    x, _ = model.hidden(Tokens(ids))
    (out,) = torch.autograd.grad((torch.nn.functional.linear(x.detach(), model.table) * mix).sum(), model.table)
    (inner,) = torch.autograd.grad((torch.nn.functional.linear(x, model.table.detach()) * mix).sum(), model.table)
    (both,) = torch.autograd.grad((model(Tokens(ids)) * mix).sum(), model.table)
    same(both, out + inner, 1e-11)


def test_shared_embeddings_are_one_parameter():
    model = specs.build(specs.SEQ2SEQS["rotary"])
    assert model.encoder.embed.token is model.decoder.embed.token
    assert sum(p.numel() for p in model.parameters()) == specs.SEQ2SEQS["rotary"].params().total


def test_b25_the_scale_does_not_round_the_table():
    """√d in bf16 is wrong for odd sizes; ours multiplies by the exact number and rounds the product once."""
    module = EmbeddingSpec(vocab=5, scale=3072**0.5).build(4, STILL)
    module.token.data = randn(5, 4).float()
    exact = (module.token[IDS].bfloat16().double() * 3072**0.5).bfloat16()
    assert torch.equal(run(module.bfloat16()), exact)


def test_gemma_rounds_the_scale_itself_to_the_weights_dtype_first():
    module = EmbeddingSpec(vocab=5, scale=3072**0.5, round_scale=True).build(4, STILL)
    module.token.data = randn(5, 4).float()
    rounded = torch.tensor(3072**0.5).bfloat16().double()
    assert rounded != 3072**0.5
    exact = (module.token[IDS].bfloat16().double() * rounded).bfloat16()
    assert torch.equal(run(module.bfloat16()), exact)


def test_a_sum_may_be_projected_before_its_norm():
    """DeBERTa-v2 with a narrower table."""
    spec = EmbeddingSpec(vocab=5, width=3, project="sum_first", types=2, norm=LayerNormSpec())
    module = shake(spec.build(6, STILL))
    same(run(module), module.norm((module.token[IDS] + module.types[0]) @ module.project.weight.T))
    assert module.project.bias is None and module.norm.weight.shape == (6,)


def test_source_and_target_may_have_tables_of_their_own_size():
    spec = specs.seq2seq(share=False, head=specs.OUTPUTS["lm"])
    wide = spec.encoder.embedding.model_copy(update={"vocab": 41})
    spec = spec.model_copy(update={"encoder": spec.encoder.model_copy(update={"embedding": wide})})
    laws.law_params(spec)
    model = specs.build(spec)
    assert model(Tokens(IDS), Tokens(torch.tensor([[40, 1, 2]]))).shape == (1, 4, specs.VOCAB)
    with pytest.raises(ValueError, match="one shape"):
        ModelSpec(**{**dict(spec), "share_embeddings": True})


def test_a_factorised_table_must_be_projected():
    with pytest.raises(ValueError, match="projected"):
        EmbeddingSpec(vocab=4, width=3)
    assert EmbeddingSpec(vocab=4, position=SinusoidalSpec()).params(8) == 32
