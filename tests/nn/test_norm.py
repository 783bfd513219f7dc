"""AXIS norm: against torch and against the formulas; precision; what each one is blind to."""

import pytest
import torch

from polyhead.nn import BatchNormSpec, DyTSpec, LayerNormSpec, RMSNormSpec

from ..conformance import specs
from .tiny import randn, same, shake


@pytest.mark.parametrize("gain, bias", [(True, True), (True, False), (False, False)])
def test_layer_norm_is_torch_s(gain, bias):
    ours = shake(LayerNormSpec(gain=gain, bias=bias).build(16))
    theirs = torch.nn.LayerNorm(16, elementwise_affine=gain, bias=bias, dtype=torch.float64)
    theirs.load_state_dict(ours.state_dict())
    x = randn(3, 5, 16) * 3 + 1
    same(ours(x), theirs(x))


def test_the_two_forms_of_layer_norm_agree_at_unit_scale_and_part_where_sigma_is_small():
    sqrt, plus = (LayerNormSpec(form=f).build(64) for f in ("sqrt", "plus"))
    x = randn(200, 64).float()
    assert (sqrt(x) - plus(x)).abs().max() < 6e-5
    assert (sqrt(x * 1e-3) - plus(x * 1e-3)).abs().max() > 1
    exact = (x - x.mean(-1, keepdim=True)) / (x.std(-1, correction=0, keepdim=True) + 1e-5)
    same(plus(x), exact, 1e-5)


def test_rms_norm_is_layer_norm_of_centred_input_and_torch_s():
    rms, layer = shake(RMSNormSpec(eps=1e-5).build(16)), LayerNormSpec(bias=False).build(16)
    layer.weight = rms.weight
    x = randn(4, 16)
    centred = x - x.mean(-1, keepdim=True)
    same(rms(centred), layer(centred))
    theirs = torch.nn.RMSNorm(16, eps=1e-5, dtype=torch.float64)
    theirs.weight = rms.weight
    same(rms(x), theirs(x))
    bare = RMSNormSpec(gain="none", eps=1e-12).build(16)
    same(bare(x * 7), bare(x), 1e-10)
    assert (bare(x + 1) - bare(x)).abs().max() > 0.1, "scale invariant, not shift invariant"


def test_one_plus_starts_as_one():
    norm = RMSNormSpec(gain="one_plus").build(8)
    assert (norm.weight == 0).all()
    x = randn(2, 8).float()
    same(norm(x), RMSNormSpec(gain="none").build(8)(x), 1e-6)


@pytest.mark.parametrize("name", ["layer", "layer_plus", "rms", "rms_one_plus"])
def test_b25_statistics_are_fp32_in_a_bf16_model(name):
    """Gemma's (1 + w) norm in fp32: one rounding at the end, so the error is one bf16 step, and large inputs are safe."""
    norm = shake(specs.NORMS[name].build(512), dtype=torch.float32)
    x = (randn(4, 512) * 300 + 50).bfloat16()
    exact = norm.double()(x.double())
    got = norm.bfloat16()(x)
    assert got.dtype == torch.bfloat16
    weights = shake(specs.NORMS[name].build(512), dtype=torch.float32).bfloat16()
    exact = weights.double()(x.double())
    torch.testing.assert_close(got.double(), exact, rtol=2**-7, atol=2**-7)


def test_batch_norm_is_torch_s_over_real_tokens():
    ours, theirs = BatchNormSpec().build(6).double(), torch.nn.BatchNorm1d(6, dtype=torch.float64)
    x, valid = randn(4, 5, 6), torch.arange(5)[None] < torch.tensor([[5], [2], [1], [4]])
    same(ours(x, valid)[valid], theirs(x[valid]))
    same(ours.mean, theirs.running_mean)
    ours.eval(), theirs.eval()
    ours.var.copy_(theirs.running_var)  # torch keeps the unbiased variance; the batch's own is used in training by both
    same(ours(x)[valid], theirs(x[valid]))
    pooled = BatchNormSpec().build(6).double()
    same(pooled(x[:, 0]), torch.nn.BatchNorm1d(6, dtype=torch.float64)(x[:, 0]))
    assert ours.mixes_tokens


def test_dyt_is_its_formula():
    norm = shake(DyTSpec().build(8))
    x = randn(3, 8)
    same(norm(x), torch.tanh(norm.alpha * x) * norm.weight + norm.bias)


@pytest.mark.parametrize("name", specs.NORMS)
def test_params_and_gradients(name):
    spec = specs.NORMS[name]
    norm = shake(spec.build(5)).eval()
    assert spec.params(5) == sum(p.numel() for p in norm.parameters())
    x = randn(2, 3, 5).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, *_: norm(x), (x, *norm.parameters()))
    if name == "batch":
        assert torch.autograd.gradcheck(lambda x, *_: norm.train()(x), (x, *norm.parameters()))


def test_a_constant_row_has_finite_gradients():
    """σ = 0: a sublayer that starts at zero, normed on its way out."""
    for name in ("layer", "layer_plus", "rms", "rms_one_plus"):
        x = torch.zeros(1, 1, 8, requires_grad=True)
        norm = specs.NORMS[name].build(8)
        norm(x).sum().backward()
        assert torch.isfinite(x.grad).all(), name
