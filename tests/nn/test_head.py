"""AXIS head: the pipeline, pooling under padding, precision, refusals."""

import pytest
import torch

from polyhead.nn import HeadSpec
from polyhead.nn.at import At
from polyhead.nn.head import pool

from ..conformance import specs
from .tiny import randn, same, shake


@pytest.mark.parametrize("name", specs.OUTPUTS)
def test_params_and_gradients(name):
    spec = specs.OUTPUTS[name]
    module, table = shake(spec.build(16)), randn(specs.VOCAB, 16, seed=3).requires_grad_()
    assert spec.params(16) == sum(p.numel() for p in module.parameters())
    x = (randn(1, 2, 16) * 0.5).requires_grad_()
    leaves = (x, *module.parameters(), *((table,) if spec.tied else ()))
    assert torch.autograd.gradcheck(lambda x, *_: module(x, None, table), leaves, fast_mode=True)


def test_the_whole_pipeline_in_order():
    spec = HeadSpec(
        task="classify", pool="mean", input_norm=specs.NORMS["layer"], dense=6, act="tanh", norm=specs.NORMS["rms"],
        output=3, bias=True, scale=2.0, softcap=1.5, normalise=True,
    )  # fmt: skip
    h, x = shake(spec.build(8)), randn(2, 4, 8)
    y = h.norm(torch.tanh(h.dense(h.input_norm(x.mean(1))))) @ h.weight.T + h.bias
    y = 1.5 * torch.tanh(y * 2 / 1.5)
    same(h(x), y / y.norm(dim=-1, keepdim=True))


def test_pooling_reads_real_tokens_on_either_side():
    x, valid = randn(3, 4, 2), torch.tensor([[0, 0, 1, 1], [1, 1, 1, 0], [0, 0, 0, 0]]).bool()
    same(pool(x, "first", valid)[:2], torch.stack([x[0, 2], x[1, 0]]))
    same(pool(x, "last", valid)[:2], torch.stack([x[0, 3], x[1, 2]]))
    same(pool(x, "mean", valid), torch.stack([x[0, 2:].mean(0), x[1, :3].mean(0), torch.zeros(2).double()]))
    for kind in ("first", "last", "mean"):
        same(pool(x, kind, torch.ones(1, 4).bool()), pool(x, kind, None))


def test_logits_are_fp32_in_a_16_bit_model():
    head = shake(HeadSpec(output=7).build(8)).bfloat16()
    assert head(randn(1, 2, 8).bfloat16()).dtype == torch.float32
    assert HeadSpec(output=7, softcap=30.0).build(8).double()(randn(1, 2, 8)).dtype == torch.float64


def test_a_batch_norm_in_a_head_sees_real_tokens_only():
    head = shake(HeadSpec(task="tag", norm=specs.NORMS["batch"], output=3).build(4)).train()
    x = randn(2, 5, 4)
    pos = torch.tensor([[0, 1, 2, 3, 4], [0, 1, -1, -1, -1]])
    other = x.masked_fill((pos < 0)[..., None], 50.0)
    same(head(x, At(pos, padded=True))[pos >= 0], head(other, At(pos, padded=True))[pos >= 0])


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"task": "lm", "pool": "first", "output": 3}, "every token"),
        ({"task": "classify", "output": 3}, "once per row"),
        ({"task": "tag"}, "needs output"),
        ({"task": "span", "output": 3}, "2 logits"),
    ],
)
def test_impossible_choices_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        HeadSpec(**fields)


def test_a_tied_head_must_fit_the_table():
    with pytest.raises(ValueError, match="vocabulary"):
        specs.decoder(head=HeadSpec(output=5, tied=True))
    with pytest.raises(ValueError, match="width"):
        specs.decoder(head=HeadSpec(output=specs.VOCAB, tied=True), embedding=specs.EMBEDDINGS["factor_sum"])
