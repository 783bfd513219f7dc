"""AXIS position: values, invariances, precision, every scaling."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from polyhead.nn import AlibiSpec, BucketsSpec, LearnedSpec, RotarySpec, SinusoidalSpec
from polyhead.nn.at import At
from polyhead.nn.position import alibi_slopes
from polyhead.nn.rotary import Dynamic, Linear, Llama3, LongRope, Yarn, rotary_frequencies

from ..conformance import oracle
from ..conformance.specs import draws
from .tiny import at, randn, same


def rotary(dim=8, **fields):
    module = RotarySpec(dim=dim, **fields).build(0, 0)
    return lambda x, *pos, length=64: module.rotate(x, module.prepare(at(*pos), length))


# ---------------------------------------------------------------- sinusoidal

PAPER = [(0.8415, 0.5403, 0.0100, 1.0000), (0.9093, -0.4161, 0.0200, 0.9998), (0.1411, -0.9900, 0.0300, 0.9996)]


@pytest.mark.parametrize("pos, values", list(enumerate(PAPER, 1)))
def test_sinusoids_have_the_paper_s_values(pos, values):
    table = SinusoidalSpec().build(4, 1).table(torch.tensor([[pos]]), 4)[0, 0]
    same(table, torch.tensor(values), 5e-5)


@pytest.mark.parametrize("width", [2, 5, 7, 64, 65])
@pytest.mark.parametrize("layout", ["pairs", "halves"])
@pytest.mark.parametrize("step", ["half", "half-1"])
def test_sinusoids_of_any_width_are_the_formula(width, layout, step):
    spec = SinusoidalSpec(layout=layout, step=step)
    if width == 2 and step == "half-1":
        return  # one frequency only: there is no step between frequencies
    table = spec.build(width, 1).table(torch.arange(50)[None], width)
    assert table.shape == (1, 50, width) and table.dtype == torch.float32
    exact = torch.stack([oracle.Oracle.absolute(None, spec, "", p, width) for p in range(50)])
    same(table[0].double(), exact, 2e-5)


def test_sinusoids_have_constant_norm_and_move_by_rotation():
    d, table = 64, SinusoidalSpec().build(64, 1).table(torch.arange(300)[None], 64)[0].double()
    same(table.square().sum(-1), torch.full((300,), d / 2).double(), 1e-4)
    pairs = table.view(300, d // 2, 2)  # PE(p + k) = M_k PE(p), one 2 × 2 rotation per pair
    k = 17
    w = torch.tensor([k / 10000 ** (2 * i / d) for i in range(d // 2)], dtype=torch.float64)
    sin, cos = pairs[:-k].unbind(-1)
    moved = torch.stack([sin * w.cos() + cos * w.sin(), cos * w.cos() - sin * w.sin()], -1)
    same(moved, pairs[k:], 1e-4)


def test_sinusoids_ignore_the_model_s_dtype_until_the_sum():
    module = SinusoidalSpec().build(8, 1)
    x = torch.zeros(1, 1, 8, dtype=torch.bfloat16)
    far = torch.tensor([[5001]])
    same(module.embed(x, far).float(), module.table(far, 8), 1e-2)


# ---------------------------------------------------------------- learned


def test_sinusoids_with_an_offset_start_there_and_padding_gets_zeros():
    module = SinusoidalSpec(layout="halves", step="half-1", offset=2).build(8, 1)
    x, pos = torch.zeros(1, 3, 8), torch.tensor([[-1, 0, 5]])
    plain = SinusoidalSpec(layout="halves", step="half-1").build(8, 1)
    out = module.embed(x, pos)
    assert (out[0, 0] == 0).all()
    assert torch.equal(out[0, 1:], plain.embed(x[:, 1:], torch.tensor([[2, 7]]))[0])


@pytest.mark.parametrize("offset", [0, 2])
def test_b27_a_table_with_an_offset_holds_its_whole_length(offset):
    """RoBERTa and OPT start at row 2: 514 rows for 512 positions, and the last one is reachable."""
    spec = LearnedSpec(length=512, offset=offset)
    module = spec.build(4, 1)
    module.weight.data = randn(512 + offset, 4)
    assert spec.params(4, 1) == module.weight.numel() == (512 + offset) * 4
    out = module.embed(torch.zeros(1, 2, 4).double(), torch.tensor([[0, 511]]))
    same(out[0], module.weight[[offset, 511 + offset]].detach())
    with pytest.raises(IndexError):
        module.embed(torch.zeros(1, 1, 4).double(), torch.tensor([[512]]))
    pad = module.embed(torch.zeros(1, 1, 4).double(), torch.tensor([[-1]]))
    same(pad[0, 0], module.weight[max(offset - 1, 0)].detach())


# ---------------------------------------------------------------- rotary


@pytest.mark.parametrize("interleaved", [False, True])
def test_rotation_keeps_norms_is_nothing_at_0_and_sees_distances_only(interleaved):
    turn, q, k = rotary(interleaved=interleaved), randn(1, 2, 1, 8), randn(1, 2, 1, 8, seed=1)
    same(turn(q, 37).norm(dim=-1), q.norm(dim=-1), 1e-6)
    assert torch.equal(turn(q, 0), q)
    for shift in (0, 1, 50):
        score = (turn(q, 3 + shift) * turn(k, 9 + shift)).sum(-1)
        same(score, (turn(q, 3) * turn(k, 9)).sum(-1), 1e-5)
    assert ((turn(q, 3) * turn(k, 9)).sum() - (turn(q, 3) * turn(k, 10)).sum()).abs() > 1e-3


def test_b24_interleaved_is_half_split_up_to_one_permutation():
    """Row 2k of the interleaved form is row k of the half-split one, row 2k + 1 is row k + d/2; for q and k alike."""
    x, d = randn(2, 3, 5, 8), 8
    order = torch.cat([torch.arange(0, d, 2), torch.arange(1, d, 2)])
    positions = (0, 3, 7, 100, 4000)
    a = rotary(interleaved=True)(x, *positions)
    b = rotary()(x[..., order], *positions)
    assert torch.equal(a[..., order], b)
    assert (a - rotary()(x, *positions)).abs().max() > 0.1, "without the permutation they differ"


def test_a_partial_rotation_leaves_the_rest_alone():
    x = randn(1, 1, 3, 12)
    out = rotary(dim=8)(x, 1, 2, 3)
    assert torch.equal(out[..., 8:], x[..., 8:])
    assert torch.equal(out[..., :8], rotary(dim=8)(x[..., :8].contiguous(), 1, 2, 3))


@pytest.mark.parametrize("pos, tolerance", [(8192, 1e-3), (131072, 1e-2)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_b23_angles_are_fp32_whatever_the_model_s_dtype(pos, tolerance, dtype):
    """Angles in bf16 make positions above 256 collide. Compared here with fp64, at long context."""
    module = RotarySpec(dim=64).build(0, 0).to(dtype)
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        cos, sin = module.prepare(At(torch.tensor([[pos, pos + 1]])), pos + 2)
    assert cos.dtype == torch.float32
    exact = torch.tensor([[p * 10000 ** (-2 * k / 64) for k in range(32)] for p in (pos, pos + 1)], dtype=torch.float64)
    same(cos[0, 0].double(), exact.cos(), tolerance)
    same(sin[0, 0].double(), exact.sin(), tolerance)
    assert not torch.equal(cos[0, 0, 0], cos[0, 0, 1]), "two neighbours have one angle"


def test_b23_no_two_positions_of_a_long_context_are_equal():
    cos, sin = RotarySpec(dim=8).build(0, 0).prepare(At(torch.arange(20_000)[None]), 20_000)
    table = torch.cat([cos, sin], -1)[0, 0]
    assert torch.unique(table, dim=0).shape[0] == 20_000


NEUTRAL = {
    "linear": Linear(factor=1.0),
    "dynamic": Dynamic(factor=4.0, original=4096),
    "llama3": Llama3(factor=1.0, original=4096),
    "yarn": Yarn(factor=1.0, original=4096),
    "longrope": LongRope(original=4096, short=(1.0,) * 32, long=(1.0,) * 32),
}


@pytest.mark.parametrize("name", NEUTRAL)
def test_a_neutral_scaling_changes_not_one_bit(name):
    plain, _ = rotary_frequencies(RotarySpec(dim=64), 64, 4096)
    scaled, factor = rotary_frequencies(RotarySpec(dim=64, scaling=NEUTRAL[name]), 64, 4096)
    assert torch.equal(plain, scaled) and factor == 1.0


SCALINGS = {
    "none": None,
    "linear": Linear(factor=8.0),
    "dynamic": Dynamic(factor=2.0, original=1024),
    "llama3": Llama3(factor=8.0, original=8192),
    "yarn": Yarn(factor=32.0, original=4096),
    "yarn-gpt-oss": Yarn(factor=32.0, original=4096, truncate=False),
    "yarn-given": Yarn(factor=4.0, original=2048, fast=16.0, slow=2.0, attention=0.9),
    "longrope": LongRope(
        original=4096, short=tuple(1 + i / 32 for i in range(32)), long=tuple(2.0 + i for i in range(32)), attention=1.19
    ),
}  # fmt: skip


@pytest.mark.parametrize("theta", [10_000.0, 500_000.0])
@pytest.mark.parametrize("length", [512, 5000])
@pytest.mark.parametrize("name", SCALINGS)
def test_every_scaling_is_its_formula(name, length, theta):
    spec = RotarySpec(dim=64, theta=theta, scaling=SCALINGS[name])
    got, factor = rotary_frequencies(spec, 64, length)
    expected, other = oracle.frequencies(spec, 64, length)
    torch.testing.assert_close(got.double(), torch.tensor(expected, dtype=torch.float64), rtol=2e-6, atol=0)
    assert factor == pytest.approx(other, rel=1e-12)


def test_position_interpolation_maps_stretched_positions_to_the_old_angles():
    x = randn(1, 1, 1, 8)
    same(rotary(scaling=Linear(factor=4.0))(x, 40), rotary()(x, 10), 1e-6)


def test_yarn_leaves_fast_frequencies_alone_and_divides_slow_ones():
    plain, _ = rotary_frequencies(RotarySpec(dim=64), 64, 1)
    got, factor = rotary_frequencies(RotarySpec(dim=64, scaling=Yarn(factor=16.0, original=4096)), 64, 1)
    assert torch.equal(got[:5], plain[:5]) and factor == pytest.approx(0.1 * math.log(16) + 1)
    same(got[-3:], plain[-3:] / 16, 1e-7)


def test_dynamic_and_longrope_switch_at_their_length_only():
    for scaling in (Dynamic(factor=2.0, original=64), LongRope(original=64, short=(1.0,) * 4, long=(3.0,) * 4)):
        spec = RotarySpec(dim=8, scaling=scaling)
        assert torch.equal(rotary_frequencies(spec, 8, 64)[0], rotary_frequencies(spec, 8, 3)[0])
        assert not torch.equal(rotary_frequencies(spec, 8, 65)[0], rotary_frequencies(spec, 8, 64)[0])
        assert spec.build(0, 0).fixed_length
    assert not RotarySpec(dim=8).build(0, 0).fixed_length


# ---------------------------------------------------------------- ALiBi


def test_slopes_of_8_heads_are_halves():
    assert alibi_slopes(8).tolist() == [2.0**-i for i in range(1, 9)]


@pytest.mark.parametrize("heads", [1, 2, 3, 6, 12, 16, 20, 71])
def test_slopes_of_any_number_of_heads_follow_the_authors_rule(heads):
    got = alibi_slopes(heads)
    assert len(got) == heads
    same(got.double(), torch.tensor(oracle.slopes(heads), dtype=torch.float64), 1e-7)


def alibi(spec, heads, query, keys):
    module = spec.build(0, heads)
    q, k = at(query).rows(), at(*keys).cols()
    head = torch.arange(heads).view(1, -1, 1, 1)
    return module.bias(module.prepare(at(query), 64), head, q, k)[0, :, 0]


def test_the_bias_is_0_on_the_diagonal_and_symmetric():
    out = alibi(AlibiSpec(), 4, 5, range(11))
    assert (out[:, 5] == 0).all() and torch.equal(out, out.flip(-1)) and (out[:, [0, 10]] < 0).all()


def test_the_key_form_is_the_relative_one_under_softmax():
    relative, key = (alibi(AlibiSpec(form=f), 4, 9, range(10)).softmax(-1) for f in ("relative", "key"))
    same(relative, key, 1e-6)


def test_trap9_the_rounded_form_rounds_slope_position_and_product_and_scales_afterwards():
    """Falcon's ALiBi: bf16 slopes alone, in the relative form, are off by 8e-3; positions beyond 256 are rounded too."""
    heads, keys, scale = 12, range(0, 1200, 7), 8.3**-0.5
    got = alibi(AlibiSpec(form="key", rounded=True, scale=scale), heads, 0, keys)
    expected = (alibi_slopes(heads).bfloat16()[:, None] * torch.tensor(list(keys))[None]).float() * scale
    assert torch.equal(got, expected)
    assert (got - alibi(AlibiSpec(form="key", scale=scale), heads, 0, keys)).abs().max() > 8e-3
    with pytest.raises(ValueError, match="expected form key"):
        AlibiSpec(rounded=True)


# ---------------------------------------------------------------- buckets


@draws(60)
@given(st.sampled_from([(32, 128), (8, 16), (16, 40), (32, 20)]), st.booleans(), st.integers(0, 300))
def test_buckets_are_the_brute_force(size, two_sided, query):
    spec = BucketsSpec(buckets=size[0], distance=size[1], two_sided=two_sided)
    keys = torch.arange(0, 300, 3)
    got = spec.build(0, 1).bucket(torch.tensor(query), keys)
    expected = [oracle.bucket(spec, query, int(k)) for k in keys]
    # a distance that falls on a bucket's edge may round either way in fp32: nowhere else
    for g, e, k in zip(got.tolist(), expected, keys.tolist(), strict=True):
        assert g == e or abs(_exact(spec, query, k) - round(_exact(spec, query, k))) < 1e-5


def _exact(spec, query, key):
    n = spec.buckets // (2 if spec.two_sided else 1)
    far = abs(query - key)
    return math.log(max(far, 1) / (n // 2)) / math.log(spec.distance / (n // 2)) * (n - n // 2)


def test_buckets_of_t5_are_exact_below_16_and_end_at_128():
    one = BucketsSpec(two_sided=False).build(0, 1)
    got = one.bucket(torch.tensor(1000), 1000 - torch.arange(0, 400))
    assert got[:16].tolist() == list(range(16)) and (got.diff() >= 0).all()
    assert (got[128:] == 31).all() and got[100] < 31
    assert (one.bucket(torch.tensor(5), torch.arange(5, 50)) == 0).all(), "the future is one bucket"
    two = BucketsSpec(two_sided=True).build(0, 1)
    back, ahead = (two.bucket(torch.tensor(500), 500 + s * torch.arange(1, 400)) for s in (-1, 1))
    assert (back < 16).all() and torch.equal(ahead, back + 16)


def test_the_bias_is_learned_per_head_and_unscaled():
    module = BucketsSpec(buckets=8, distance=16, two_sided=False).build(0, 3)
    module.weight.data = randn(8, 3)
    head = torch.arange(3).view(1, 3, 1, 1)
    out = module.bias(None, head, at(4, 9).rows(), at(2, 4).cols())
    assert out.shape == (1, 3, 2, 2)
    same(out[0, :, 0, 0], module.weight[2].detach())


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: RotarySpec(dim=5), "even"),
        (lambda: BucketsSpec(buckets=7, two_sided=True), "even"),
        (lambda: BucketsSpec(buckets=32, distance=16, two_sided=False), "distance"),
        (lambda: RotarySpec(dim=8, scaling=LongRope(original=4, short=(1.0,), long=(1.0,))), "4 factors"),
    ],
)
def test_impossible_choices_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
