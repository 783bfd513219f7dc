"""The hand-written gradients are those of the plain formulas."""

import pytest
import torch
import torch.nn.functional as F

from polyhead.nn import RotarySpec, Tokens
from polyhead.nn.at import At
from polyhead.nn.fused import CompiledGELU, CompiledTanhGELU, ReLUSquared, RotateHalf, UnitRMS, plain


def rotate_half(x, cos, sin):
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


def inputs():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 5, 3, 8, generator=generator, dtype=torch.float64).transpose(1, 2)  # not contiguous, as heads are
    angle = torch.randn(1, 1, 5, 4, generator=generator, dtype=torch.float64)
    return x.requires_grad_(), angle.cos(), angle.sin()


PAIRS = {
    "rms": (lambda x, c, s: UnitRMS.apply(x, 1e-6), lambda x, c, s: F.rms_norm(x, (8,), None, 1e-6)),
    "relu2": (lambda x, c, s: ReLUSquared.apply(x), lambda x, c, s: F.relu(x).square()),
    "rotate": (RotateHalf.apply, rotate_half),
}


@pytest.mark.parametrize("ours, formula", PAIRS.values(), ids=PAIRS)
def test_values_and_gradients(ours, formula):
    x, cos, sin = inputs()
    assert not plain(x), "the hand-written form must be the one under test"
    y, z = ours(x, cos, sin), formula(x, cos, sin)
    torch.testing.assert_close(y, z, atol=1e-14, rtol=0)
    g = torch.randn_like(y)
    torch.testing.assert_close(*(torch.autograd.grad(out, x, g)[0] for out in (y, z)), atol=1e-13, rtol=0)
    assert torch.autograd.gradcheck(lambda t: ours(t, cos, sin), (x,))


def test_rms_of_zeros_is_finite():
    x = torch.zeros(2, 4, requires_grad=True)
    y = UnitRMS.apply(x, 1e-6)
    y.sum().backward()
    assert y.isfinite().all() and x.grad.isfinite().all()


def test_rotary_takes_either_path_to_the_same_place():
    rotary = RotarySpec(dim=8).build(16, 2)
    x, *_ = inputs()
    table = rotary.prepare(At.of(Tokens(torch.zeros(2, 5, dtype=torch.long))), 5)
    with torch.no_grad():
        torch.testing.assert_close(rotary.rotate(x, table), rotary.rotate(x.detach(), table), atol=1e-15, rtol=0)
    torch.testing.assert_close(rotary.rotate(x, table).detach(), rotary.rotate(x.detach(), table), atol=1e-14, rtol=0)


@pytest.mark.parametrize("ours, form", [(CompiledGELU, "none"), (CompiledTanhGELU, "tanh")])
def test_compiled_gelu_is_gelu_to_the_last_bits_of_fp32(ours, form):
    x = torch.linspace(-12, 12, 20001, dtype=torch.float64, requires_grad=True)
    exact = F.gelu(x, approximate=form)
    slope = torch.autograd.grad(exact.sum(), x)[0]
    y = x.detach().float().requires_grad_()
    out = ours.apply(y)
    assert (out.double() - exact).abs().max() < 1e-6
    assert (torch.autograd.grad(out.sum(), y)[0].double() - slope).abs().max() < 1e-6
    huge = ours.apply(torch.tensor([-1e30, 1e4, -1e4]))
    assert torch.equal(huge, torch.tensor([0.0, 1e4, 0.0])) or huge.isfinite().all()
