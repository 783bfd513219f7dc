"""AXIS feed-forward: each activation against its definition, sizes, gradients."""

import math

import pytest
import torch

from polyhead.nn import GatedSpec, PlainSpec
from polyhead.nn.ffn import ACTIVATIONS, clamped_swiglu

from ..conformance import oracle, specs
from .tiny import randn, same, shake


@pytest.mark.parametrize("act", ACTIVATIONS)
def test_activations_are_their_definitions(act):
    x = torch.linspace(-6, 6, 401, dtype=torch.float64)
    same(ACTIVATIONS[act](x), oracle.ACTS[act](x))


def test_gelu_s_two_forms_differ_by_at_most_5e_4_and_its_minimum_is_known():
    x = torch.linspace(-5, 5, 100_001, dtype=torch.float64)
    gap = (ACTIVATIONS["gelu"](x) - ACTIVATIONS["gelu_tanh"](x)).abs().max().item()
    assert gap == pytest.approx(4.7e-4, rel=0.02)
    least = ACTIVATIONS["gelu"](x).min(0)
    assert least.values.item() == pytest.approx(-0.1700, abs=1e-4)
    assert x[least.indices].item() == pytest.approx(-0.753, abs=2e-3)


def test_clamped_swiglu_limits_both_sides_of_up_and_the_top_of_the_gate():
    gate, up = torch.tensor([100.0, -100.0, 1.0]), torch.tensor([100.0, -100.0, 0.5])
    out = clamped_swiglu(gate, up)
    expected = [8 * 7 / (1 + math.exp(-1.702 * 7)), 0.0, 1.5 / (1 + math.exp(-1.702))]
    same(out, torch.tensor(expected), 1e-5)


@pytest.mark.parametrize("name", [n for n in specs.FFNS if not n.startswith("experts")])
def test_params_flops_and_gradients(name):
    spec = specs.FFNS[name]
    module, x = shake(spec.build(4)), (randn(2, 3, 4) + 0.3).requires_grad_()
    assert spec.params(4) == sum(p.numel() for p in module.parameters())
    matrices = sum(p.numel() for p in module.parameters() if p.dim() == 2)
    assert spec.flops(4, 10) == 2 * 10 * matrices
    assert torch.autograd.gradcheck(lambda x, *_: module(x), (x, *module.parameters()))


def test_gated_at_eight_thirds_costs_as_much_as_plain_at_four():
    d = 96
    gated, plain = GatedSpec(ratio=8 / 3), PlainSpec(ratio=4, bias=False)
    assert gated.params(d) == plain.params(d) == 8 * d * d


def test_a_plain_feed_forward_is_a_one_by_one_convolution():
    module, x = shake(PlainSpec(inner=12, act="relu").build(6)), randn(2, 5, 6)
    conv = [torch.nn.functional.conv1d(x.transpose(1, 2), module.up.weight[..., None], module.up.bias).relu()]
    conv.append(torch.nn.functional.conv1d(conv[0], module.down.weight[..., None], module.down.bias))
    same(module(x), conv[1].transpose(1, 2))


def test_gate_and_up_in_one_product():
    from polyhead.nn.heads import fuse_linears

    module, x = shake(GatedSpec(inner=10, bias=True).build(6)), randn(2, 3, 6)
    expected = module(x)
    module.gate_up = fuse_linears([module.gate, module.up])
    same(module(x), expected)


def test_b29_a_feed_forward_that_overflows_fp16_is_finite_in_bf16():
    """T5: 66246 > 65504 becomes infinity in fp16, then NaN. bf16 has the range; so has autocast."""
    module = PlainSpec(inner=4, act="relu", bias=False).build(4)
    with torch.no_grad():
        module.up.weight.fill_(100.0), module.down.weight.fill_(1.0)
    x = torch.full((1, 1, 4), 200.0)
    assert module(x).max() > 65504
    assert torch.isfinite(module.bfloat16()(x.bfloat16())).all()
    assert not torch.isfinite(module.half()(x.half())).all()


@pytest.mark.parametrize("make", [lambda: PlainSpec(), lambda: GatedSpec(inner=4, ratio=2)])
def test_one_size_is_asked_for(make):
    with pytest.raises(ValueError, match="exactly one"):
        make()
