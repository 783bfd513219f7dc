"""Global tokens: Longformer's window with tokens that see and are seen from far, with heads of their own."""

import pytest
import torch

from polyhead import nn as ph

from .bert_peers import apart, bert_like, copied, shaken

VOCAB, LENGTH = 99, 23


def attention(side: int, own: bool = True) -> ph.AttentionSpec:
    pattern = ph.Or(parts=(ph.Window(back=side, ahead=side), ph.Marked()))
    return ph.AttentionSpec(heads=ph.GroupedSpec(heads=4, bias="qkvo"), pattern=pattern, global_heads=own)


@pytest.fixture(scope="module")
def longformers():
    """(theirs, ours) with windows of 4 and 8 tokens, and the same weights."""
    from transformers import LongformerConfig, LongformerModel

    config = LongformerConfig(
        vocab_size=VOCAB, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48,
        attention_window=[4, 8], max_position_embeddings=66, type_vocab_size=1, pad_token_id=1, sep_token_id=2,
        layer_norm_eps=1e-5,
    )  # fmt: skip
    theirs = shaken(LongformerModel(config, add_pooling_layer=False))
    spec = bert_like(
        {"near": attention(2), "far": attention(4)}, ("near", "far"), ph.LearnedSpec(length=64, offset=2), VOCAB, eps=1e-5
    )
    return theirs, copied(spec, theirs)


def batch(seed: int = 0):
    """(ids, mask of real tokens, marks): a full row and a padded one, each with its own global tokens."""
    ids = torch.randint(3, VOCAB, (2, LENGTH), generator=torch.Generator().manual_seed(seed))
    real = torch.arange(LENGTH) < torch.tensor([[LENGTH], [LENGTH - 5]])
    mark = torch.zeros(2, LENGTH, dtype=torch.bool)
    mark[0, [0, 13]], mark[1, [0]] = True, True
    return ids.masked_fill(~real, 1), real, mark


def ours_of(model, ids, real, mark, backend="auto"):
    pos = torch.arange(LENGTH).expand(2, -1).masked_fill(~real, -1)
    return model.use(backend).hidden(ph.Tokens(ids, pos, mark=mark, padded=True))[0]


@torch.no_grad()
@pytest.mark.parametrize("backend", ["auto", "reference", "sdpa", "banded", "flex"])
def test_longformer_equals_transformers(longformers, backend):
    theirs, ours = longformers
    ids, real, mark = batch()
    expected = theirs(ids, attention_mask=real.long(), global_attention_mask=mark.long()).last_hidden_state
    assert apart(ours_of(ours, ids, real, mark, backend), expected, real) < 2e-5


@torch.no_grad()
def test_without_marks_it_is_a_plain_window(longformers):
    theirs, ours = longformers
    ids, real, mark = batch()
    expected = theirs(ids, attention_mask=real.long(), global_attention_mask=torch.zeros_like(ids)).last_hidden_state
    assert apart(ours_of(ours, ids, real, None), expected, real) < 2e-5
    assert torch.equal(ours_of(ours, ids, real, None), ours_of(ours, ids, real, torch.zeros_like(mark)))


def test_what_global_heads_cannot_go_with_is_refused():
    grouped, globals_ = ph.GroupedSpec(heads=4), attention(2).pattern
    with pytest.raises(ValueError, match="expected a pattern with marked queries"):
        ph.AttentionSpec(heads=grouped, pattern=ph.Window(back=2, ahead=2), global_heads=True)
    latent = ph.LatentSpec(heads=2, kv_rank=4, nope=4, rope=2, value=4)
    with pytest.raises(ValueError, match="global heads are grouped"):
        ph.AttentionSpec(heads=latent, pattern=globals_, global_heads=True)
    with pytest.raises(ValueError, match="one set of heads"):
        ph.AttentionSpec(heads=grouped, pattern=globals_, position=ph.ShawSpec(distance=4), global_heads=True)
    with pytest.raises(ValueError, match="no value residual"):
        ph.BlockSpec(attention=attention(2), ffn=ph.PlainSpec(inner=8), residual=ph.ResidualSpec(values=True))
    with pytest.raises(ValueError, match="sees the whole source"):
        ph.BlockSpec(attention=attention(2), cross=attention(2), ffn=ph.PlainSpec(inner=8))


def test_global_heads_are_projections_without_an_output():
    names = {n for n, _ in attention(2).heads.build(32, output=False).named_parameters()}
    assert names == {f"{p}.{kind}" for p in "qkv" for kind in ("weight", "bias")}
