"""AXIS position, choices that meet queries and keys: DeBERTa's disentangled scores, Shaw's vectors on keys."""

import math

import pytest
import torch

from polyhead.nn import BatchNormSpec, DisentangledSpec, GroupedSpec, LayerNormSpec, ShawSpec, Tokens, Window
from polyhead.nn.attend import Lowered, attend, with_scores

from ..conformance import laws, specs
from .tiny import at, randn, same, shake


def test_buckets_are_exact_near_by_and_logarithmic_far_away():
    """DeBERTa-v3: 256 buckets up to 512. Signed, odd, never decreasing, and the last one is 255."""
    bucket = DisentangledSpec(span=256, distance=512).build(8, 1, 8).bucket
    far = torch.arange(-511, 512)
    got = bucket(far)
    assert torch.equal(got[far.abs() <= 128], far[far.abs() <= 128])
    assert torch.equal(got, -got.flip(0)) and (got.diff() >= 0).all() and got.max() == 255
    expected = [128 + math.ceil(math.log(d / 128) / math.log(511 / 128) * 127 - 1e-5) for d in (129, 200, 300, 511)]
    assert bucket(torch.tensor([129, 200, 300, 511])).tolist() == expected
    assert torch.equal(DisentangledSpec(span=4).build(8, 1, 8).bucket(far), far)


def test_the_largest_distance_falls_into_the_last_bucket_however_its_logarithm_rounds():
    for span in (4, 8, 32, 256):
        for distance in range(span // 2 + 2, 700, 9):
            bucket = DisentangledSpec(span=span, distance=distance).build(8, 1, 8).bucket
            assert bucket(torch.tensor([1 - distance, distance - 1])).tolist() == [1 - span, span - 1], (span, distance)


def test_disentangled_scores_are_both_terms_through_the_layer_s_own_products():
    heads = shake(GroupedSpec(heads=2, bias="qk", scale=0.3).build(8))
    module = shake(DisentangledSpec(span=3, norm=LayerNormSpec()).build(8, 2, 4), seed=5)
    where, x = at(*range(6)), randn(1, 6, 8)
    q, (k, _) = heads.project(x, lambda t: t)
    table = module.prepare(where, 6)
    got = module.content(table, module.index(where, where), q, k, heads)
    rows = module.norm(module.weight)
    for n in range(2):
        part = slice(4 * n, 4 * n + 4)
        keys = (rows @ heads.k.weight.T + heads.k.bias)[:, part]
        queries = (rows @ heads.q.weight.T + heads.q.bias)[:, part]
        for i in range(6):
            for j in range(6):
                row = min(max(i - j + 3, 0), 5)
                same(got[0, n, i, j], 0.3 * (q[0, n, i] @ keys[row] + k[0, n, j] @ queries[row]))


def test_disentangled_scores_of_packed_products_are_the_same():
    heads = shake(GroupedSpec(heads=4, kv_heads=2, bias="qkvo", qk_norm=specs.NORMS["rms"]).build(16))
    table = randn(5, 16)
    plain = heads.rows(table)
    heads.fuse()
    for a, b in zip(heads.rows(table), plain, strict=True):
        same(a, b)


def test_shaw_s_vectors_are_added_to_the_keys():
    """softmax(q·(k + a_{j−i})) with one key vector per pair, written out."""
    module = shake(ShawSpec(distance=2).build(8, 2, 4))
    q, k, v, where = randn(1, 2, 5, 4), randn(1, 2, 5, 4, seed=1), randn(1, 2, 5, 4, seed=2), at(*range(5))
    heads = GroupedSpec(heads=2).build(8)
    moved = torch.arange(5)[None, :] - torch.arange(5)[:, None]
    keys = k[:, :, None] + module.weight[moved.clamp(-2, 2) + 2]
    expected = ((q[:, :, :, None] * keys).sum(-1) * heads.scale).softmax(-1) @ v
    scores = module.content(None, module.index(where, where), q, k, heads)
    for backend in ("sdpa", "reference"):
        same(attend(q, k, v, with_scores(Lowered(backend), scores), scale=heads.scale), expected)


def test_scores_join_a_flag_a_mask_and_a_bias():
    scores = randn(1, 1, 3, 3)
    causal = torch.ones(3, 3, dtype=torch.bool).tril()
    bias = torch.zeros(1, 1, 3, 3).masked_fill(~causal, float("-inf")).double()
    expected = scores.masked_fill(~causal, float("-inf"))
    for lowered in (Lowered("sdpa", causal=True), Lowered("sdpa", mask=causal), Lowered("sdpa", mask=bias)):
        found = with_scores(lowered, scores)
        assert torch.equal(found.mask, expected) and not found.causal
    assert torch.equal(with_scores(Lowered("sdpa"), scores).mask, scores)


def test_one_table_serves_the_layers_of_a_stack_and_kinds_of_equal_choice():
    spec = specs.encoder(relative=specs.CONTENT["disentangled"], layers=3)
    names = [n for n, _ in spec.build(0).named_parameters() if "relative" in n]
    assert names == ["encoder.relative.0.weight", "encoder.relative.0.norm.weight", "encoder.relative.0.norm.bias"]
    weights = dict(spec.build(0).named_parameters())
    assert weights[names[0]].shape == (12, 16)
    shaw = dict(specs.encoder(relative=ShawSpec(distance=3)).build(0).named_parameters())
    assert shaw["encoder.relative.0.weight"].shape == (7, 4)


def test_a_band_asked_for_is_computed_as_a_mask():
    """Scores of all pairs stand before blocks could be cut."""
    model = specs.build(specs.encoder(relative=specs.CONTENT["shaw"], pattern=Window(back=2, ahead=2)), torch.float32)
    with torch.no_grad():
        model.use("banded")(Tokens(laws.random_ids(1, 90)))
    assert model.encoder.last_why["block"].startswith("sdpa")


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: DisentangledSpec(span=8, distance=5), "exceed the 4 exact buckets"),
        (lambda: DisentangledSpec(span=8, norm=BatchNormSpec()), "no tokens"),
        (lambda: specs.decoder(heads=specs.HEADS["latent"], relative=ShawSpec(distance=2)), "keys per head"),
        (lambda: specs.decoder(heads=specs.HEADS["softcap"], relative=ShawSpec(distance=2)), "uncapped"),
    ],
)
def test_what_they_cannot_do_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
