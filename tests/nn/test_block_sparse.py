"""BigBird: blocks, its random ones as transformers computes them outside training, and as they are drawn for training."""

import math

import pytest
import torch

from polyhead import nn as ph

from .bert_peers import apart, bert_like, copied, shaken

VOCAB = 99


def spec_of(**choices) -> ph.ModelSpec:
    pattern = ph.BlockSparse(**{"block": 4, "random": 2, "draw": "block0", **choices})
    attention = ph.AttentionSpec(heads=ph.GroupedSpec(heads=4, bias="qkvo"), pattern=pattern)
    spec = bert_like({"main": attention}, ("main", "main"), ph.LearnedSpec(length=64), VOCAB, act="gelu_tanh", types=2)
    embedding = spec.encoder.embedding.model_copy(update={"scale": math.sqrt(32)})
    return spec.model_copy(update={"encoder": spec.encoder.model_copy(update={"embedding": embedding})})


def bigbird():
    """A new one for every case: one short input turns it to full attention for good."""
    from transformers import BigBirdConfig, BigBirdModel

    config = BigBirdConfig(
        vocab_size=VOCAB, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48,
        max_position_embeddings=64, block_size=4, num_random_blocks=2, rescale_embeddings=True, attention_type="block_sparse",
    )  # fmt: skip
    return shaken(BigBirdModel(config, add_pooling_layer=False))


@torch.no_grad()
@pytest.mark.parametrize("backend", ["auto", "banded"])
@pytest.mark.parametrize("length", [45, 48, 37, 36, 20])
def test_bigbird_equals_transformers(length, backend):
    """Whole last blocks and cut ones; up to 36 = (5 + 2·2)·4 tokens everything is seen; padding on either side."""
    ids = torch.randint(3, VOCAB, (3, length), generator=torch.Generator().manual_seed(length))
    pos = torch.arange(length).repeat(3, 1)
    pos[1, length - 5 :], pos[2] = -1, (pos[2] - 5).clamp(min=-1)
    theirs = bigbird()
    expected = theirs(ids, attention_mask=(pos >= 0).long(), position_ids=pos.clamp(min=0)).last_hidden_state
    ours = copied(spec_of(), theirs).use(backend)
    found = ours.hidden(ph.Tokens(ids, pos, padded=True))[0]
    assert apart(found, expected, pos >= 0) < 2e-5
    assert ("banded" in ours.encoder.last_why["main"]) == (backend == "banded" and length > 36)


@torch.no_grad()
@pytest.mark.parametrize("wrong", [{"random": 1}, {"block": 5}, {"draw": "seeded"}])
def test_another_pattern_is_another_network(wrong):
    ids, theirs = torch.randint(3, VOCAB, (1, 48)), bigbird()
    expected = theirs(ids).last_hidden_state
    right, other = (copied(spec_of(**choices), theirs).hidden(ph.Tokens(ids))[0] for choices in ({}, wrong))
    assert (right - expected).abs().max() < 2e-5 < 1e-2 < (other - expected).abs().max()


def test_one_pattern_is_one_function_in_training_and_evaluation():
    """Seeded blocks are those of the seed whenever they are asked for; no generator's state is read or moved."""
    model = spec_of(draw="seeded", seed=7).build(0)
    tokens, seen = ph.Tokens(torch.randint(3, VOCAB, (1, 48))), []
    with torch.no_grad():
        for mode in (True, False):
            torch.manual_seed(int(mode))
            before = torch.get_rng_state()
            seen.append(model.train(mode).hidden(tokens)[0])
            assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(*seen)
    other = spec_of(draw="seeded", seed=8).build(0)
    assert not torch.equal(other.hidden(tokens)[0], seen[0]), "the seed chooses"


def test_each_layer_may_draw_blocks_of_its_own():
    """Kinds with other seeds, and what they lead to together: more blocks within reach than one drawing gives."""
    heads, blocks = ph.GroupedSpec(heads=4), {}
    for i in range(2):
        pattern = ph.BlockSparse(block=2, random=2, seed=i)
        blocks[f"layer{i}"] = ph.AttentionSpec(heads=heads, pattern=pattern)
    own = bert_like(blocks, ("layer0", "layer1"), ph.LearnedSpec(length=64), VOCAB)
    model = own.build(0)
    model.hidden(ph.Tokens(torch.randint(3, VOCAB, (1, 60))))
    assert set(model.encoder.last_why) == {"layer0", "layer1"}


def test_a_decoder_of_blocks_is_not_cached():
    attention = ph.AttentionSpec(
        heads=ph.GroupedSpec(heads=2), pattern=ph.And(parts=(ph.Causal(), ph.BlockSparse(block=2, random=1)))
    )
    stack = bert_like({"main": attention}, ("main",), ph.LearnedSpec(length=64), VOCAB).encoder
    model = ph.ModelSpec(decoder=stack, heads={"out": ph.HeadSpec(output=VOCAB)}, context=64).build()
    with pytest.raises(ValueError, match="cannot be cached"):
        model.new_cache(1, 32)
