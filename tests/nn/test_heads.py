"""AXIS heads: shapes, grouping, packed against separate products, qk-norm, scale."""

import math

import pytest
import torch

from polyhead.nn import BatchNormSpec, Causal, GroupedSpec
from polyhead.nn.at import At
from polyhead.nn.attend import Lowered, attend, lower

from ..conformance import specs
from .tiny import at, randn, same, shake

CAUSAL = Lowered("sdpa", causal=True)


def still(t):
    return t


def attention(module, x, lowered=CAUSAL):
    q, entry = module.project(x, still)
    q, k, v = module.expand(q, entry)
    how = {"scale": module.scale, "softcap": module.softcap, "sinks": module.sinks}
    return module.output(attend(q, k, v, lowered, **how))


@pytest.mark.parametrize("bias", ["", "qkvo", "qv"])
def test_packed_products_equal_separate_heads(bias):
    """Concat(H_1 … H_h) W_O with one small matrix per head is one product per role."""
    h, d, width = 4, 4, 16
    module, x = shake(GroupedSpec(heads=h, bias=bias).build(width)), randn(2, 5, width)
    heads = []
    for i in range(h):
        rows = slice(i * d, (i + 1) * d)

        def part(linear, rows=rows):
            y = x @ linear.weight[rows].T
            return y if linear.bias is None else y + linear.bias[rows]

        scores = part(module.q) @ part(module.k).transpose(1, 2) / math.sqrt(d)
        scores = scores.masked_fill(torch.ones(5, 5).triu(1).bool(), float("-inf"))
        heads.append(scores.softmax(-1) @ part(module.v))
    expected = torch.cat(heads, -1) @ module.o.weight.T
    same(attention(module, x), expected if module.o.bias is None else expected + module.o.bias)


@pytest.mark.parametrize("backend", ["sdpa", "reference"])
@pytest.mark.parametrize("kv", [1, 2, 4])
def test_grouped_heads_are_multi_head_with_repeated_keys(kv, backend):
    """Query heads i·h/kv … (i+1)·h/kv − 1 share key head i; kv = h is plain multi-head, kv = 1 multi-query."""
    grouped, plain = shake(GroupedSpec(heads=4, kv_heads=kv).build(16)), shake(GroupedSpec(heads=4).build(16))
    for name in ("k", "v"):
        weight = getattr(grouped, name).weight.unflatten(0, (kv, 4)).repeat_interleave(4 // kv, 0).flatten(0, 1)
        getattr(plain, name).weight.data = weight.data
    plain.q.weight, plain.o.weight = grouped.q.weight, grouped.o.weight
    x, lowered = randn(2, 5, 16), Lowered(backend, causal=True)
    same(attention(grouped, x, lowered), attention(plain, x, lowered))
    assert grouped.shapes() == ((kv, 4), (kv, 4))


@pytest.mark.parametrize("name", specs.HEADS)
def test_project_is_query_and_entry_and_fused_is_the_same(name):
    spec = specs.HEADS[name]
    module, x = shake(spec.build(16)), randn(2, 3, 16)
    q, entry = module.project(x, still)
    same(q, module.query(x, still))
    for a, b in zip(entry, module.entry(x, still), strict=True):
        same(a, b)
    assert [tuple(t.shape[1::2]) for t in entry] == list(spec.build(16).shapes())
    module.fuse()
    fused, other = module.project(x, still)
    same(fused, q)
    for a, b in zip(entry, other, strict=True):
        same(a, b)


@pytest.mark.parametrize("over", ["head", "all"])
def test_qk_norm_stands_before_the_rotation_and_spares_values(over):
    module = shake(GroupedSpec(heads=4, kv_heads=2, qk_norm=specs.NORMS["rms_bare"], qk_norm_over=over).build(16))
    x = randn(1, 3, 16)
    q, (k, v) = module.project(x, lambda t: t * 2)
    size = 1 if over == "head" else 4
    norms = q.square().mean(-1) if over == "head" else q.square().mean((1, 3))
    same(norms, torch.full_like(norms, 4.0), 1e-4)
    assert size and torch.equal(v, module._split(module.v(x)))
    assert (module.query(100 * x, still) - module.query(x, still)).abs().max() < 1e-4


def test_zero_queries_average_the_values_and_one_head_is_plain_attention():
    module, x = shake(GroupedSpec(heads=1).build(8)), randn(1, 4, 8)
    q, k, v = module.expand(*module.project(x, still))
    same(attend(q * 0, k, v, Lowered("sdpa"), scale=1.0), v.mean(2, keepdim=True).expand_as(q), 1e-15)
    same(
        attend(q, k, v, CAUSAL, scale=module.scale),
        torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True),
    )


@pytest.mark.parametrize("backend", ["reference", "sdpa", "banded", "flex"])
def test_b26_every_backend_honours_the_scale(backend):
    """GPT-2's scale options were ignored by one backend; GPT-Neo has none by design."""
    q, k, v = (randn(1, 2, 6, 4, seed=i) for i in range(3))
    pattern, where = specs.CAUSAL["window_cut"], at(*range(6))
    lowered = lower(pattern, where, where, heads=2, fresh=True, packed=False, dtype=q.dtype, backend=backend)
    outs = {s: attend(q, k, v, lowered, scale=s) for s in (1.0, 0.5, 0.1)}
    mask = torch.ones(6, 6).tril().bool() & torch.ones(6, 6).triu(-4).bool()
    for s, out in outs.items():
        scores = (s * q @ k.transpose(-1, -2)).masked_fill(~mask, float("-inf"))
        same(out, scores.softmax(-1) @ v)


@pytest.mark.parametrize("backend", ["reference", "sdpa", "flex"])
def test_a_sink_takes_its_share_of_the_weight_and_gives_nothing(backend):
    """One key of score s and value 1 beside a sink of score t: e^s / (e^s + e^t); a query that sees nobody gives 0."""
    where = At(torch.tensor([[0, 1, -1]]), padded=True)
    lowered = lower(Causal(), where, where, heads=2, fresh=True, packed=False, dtype=torch.float64, backend=backend)
    q, k, v = torch.zeros(1, 2, 3, 4).double(), randn(1, 2, 3, 4), torch.ones(1, 2, 3, 4).double()
    sinks = torch.tensor([0.7, -1.3], dtype=torch.float64)
    out = attend(q, k, v, lowered, scale=0.3, sinks=sinks)
    keys = torch.tensor([1.0, 2.0, 0.0]).double()
    share = keys / (keys + sinks.exp().unsqueeze(-1))
    same(out, share[None, :, :, None].expand_as(out), 1e-12)
    same(attend(q, k, v, lowered, scale=0.3, sinks=sinks - 80), attend(q, k, v, lowered, scale=0.3))


def test_scores_of_unit_variance_keep_it_at_every_width():
    for d in (4, 64, 1024):
        q, k = randn(400, d), randn(400, d, seed=1)
        scores = (q @ k.T) * GroupedSpec(heads=1).build(d).scale
        assert abs(scores.var().item() - 1) < 0.1


def test_attention_is_stable_at_huge_scores():
    q, k, v = (randn(1, 1, 4, 4, seed=i).float() * 1e4 for i in range(3))
    for backend in ("reference", "sdpa"):
        leaf = q.clone().requires_grad_()
        out = attend(leaf, k, v, Lowered(backend, causal=True), scale=1.0)
        out.sum().backward()
        assert torch.isfinite(out).all() and torch.isfinite(leaf.grad).all()


@pytest.mark.parametrize("name", ["grouped", "biased", "qk_norm", "qk_norm_all", "softcap", "sinks", "head_dim"])
def test_gradients(name):
    module, x = (
        shake(specs.HEADS[name].build(8 if name != "head_dim" else 6)),
        randn(1, 3, 8 if name != "head_dim" else 6),
    )
    path = Lowered("reference", causal=True)
    leaves = (x.requires_grad_(), *module.parameters())
    assert torch.autograd.gradcheck(lambda x, *_: attention(module, x, path), leaves)


@pytest.mark.parametrize("name", specs.HEADS)
def test_params(name):
    spec = specs.HEADS[name]
    assert spec.params(16) == sum(p.numel() for p in spec.build(16).parameters())


def test_multi_head_has_4d2_parameters_whatever_the_number_of_heads():
    assert {GroupedSpec(heads=h).params(64) for h in (1, 2, 8, 64)} == {4 * 64 * 64}


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: GroupedSpec(heads=4, kv_heads=3), "kv_heads must divide heads"),
        (lambda: specs.decoder(heads=GroupedSpec(heads=3)), "heads must divide the width"),
        (lambda: GroupedSpec(heads=4, bias="xy"), "pattern"),
        (lambda: GroupedSpec(heads=4, qk_norm=BatchNormSpec()), "token by token"),
    ],
)
def test_impossible_choices_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_the_pattern_is_no_business_of_heads():
    assert not hasattr(GroupedSpec(heads=2).build(4), "pattern") and Causal().kind == "causal"
