"""AXIS heads, latent attention: absorbed = expanded, the cache holds the latent vector alone, what it cannot do is refused."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from polyhead.errors import ConfigError
from polyhead.families import check
from polyhead.nn import AttentionSpec, GroupedSpec, LatentSpec, ModelSpec, RotarySpec, Tokens
from polyhead.nn.attend import Lowered, attend

from ..conformance import laws, specs
from .tiny import randn, same, shake

NAMES = ("latent", "latent_low_rank")


def turn(t):
    return t.roll(1, -1) * 0.9


def answer(module, x, q, entry):
    q, k, v = module.expand(q, entry)
    return module.output(attend(q, k, v, Lowered("sdpa"), scale=module.scale)), k, v


@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-12), (torch.float32, 2e-5)])
@pytest.mark.parametrize("name", NAMES)
def test_absorbed_is_expanded(name, dtype, tolerance, monkeypatch):
    module = shake(specs.HEADS[name].build(16), dtype=dtype)
    x = randn(2, 9, 16, dtype=dtype)
    q, entry = module.query(x[:, -2:], turn), module.entry(x, turn)
    assert module._absorbs(2, 9)
    absorbed, k, v = answer(module, x, q, entry)
    assert k is v is entry[0], "the entry itself is key and value"
    monkeypatch.setattr(module, "_absorbs", lambda *a: False)
    expanded, k, v = answer(module, x, q, entry)
    assert k.shape[1] == module.heads and v.shape[-1] == module.value
    same(absorbed, expanded, tolerance)


def test_a_step_absorbs_and_a_prompt_expands_whatever_costs_less():
    """DeepSeek-V3's sizes: one token over 4096, and a chunk as long as half of them."""
    heads = LatentSpec(heads=2, kv_rank=512, nope=128, rope=64, value=128).build(64)
    assert heads._absorbs(1, 4096) and heads._absorbs(100, 4096)
    assert not heads._absorbs(2048, 4096) and not heads._absorbs(64, 64)
    odd = LatentSpec(heads=2, kv_rank=6, nope=4, rope=2, value=8).build(16)
    assert not odd._absorbs(1, 100), "output() could not tell a latent answer of width 8 from values of width 8"
    laws.law_cache(specs.decoder(heads=LatentSpec(heads=2, kv_rank=6, nope=4, rope=2, value=8)))


def test_a_step_costs_no_more_for_older_tokens_than_their_scores():
    model = specs.build(specs.decoder(heads=specs.HEADS["latent"], layers=1), torch.float32).use("reference")
    costs = []
    for length in (20, 40):
        cache = model.new_cache(1, 60)
        with torch.no_grad():
            model(Tokens(laws.random_ids(1, length)), cache=cache)
            with FlopCounterMode(display=False) as counter:
                model(Tokens(laws.random_ids(1, 1)), cache=cache)
        costs.append(counter.get_total_flops())
    assert costs[1] - costs[0] == 20 * 2 * 4 * (6 + 4) * 2, "per key and head: q·k and weight·v over kv_rank + rope numbers"


@pytest.mark.parametrize("name", NAMES)
def test_the_cache_holds_one_small_vector_per_token(name):
    spec = specs.HEADS[name]
    cache = specs.build(specs.decoder(heads=spec), torch.float32).new_cache(3, 32)
    assert cache.bytes() == 4 * 2 * (spec.kv_rank + spec.rope) * 3 * (32 + 1)


@pytest.mark.parametrize("name", NAMES)
def test_project_is_query_and_entry_and_fused_is_the_same(name):
    module, x = shake(specs.HEADS[name].build(16)), randn(2, 3, 16)
    q, entry = module.project(x, turn)
    same(q, module.query(x, turn))
    same(entry[0], module.entry(x, turn)[0])
    assert [tuple(t.shape[1::2]) for t in entry] == list(module.shapes())
    module.fuse()
    fused, (other,) = module.project(x, turn)
    same(fused, q)
    same(other, entry[0])


def test_only_the_rotated_features_turn():
    module, x = shake(specs.HEADS["latent"].build(16)), randn(1, 3, 16)
    q, (entry,) = module.project(x, lambda t: t * 0)
    plain, (other,) = module.project(x, lambda t: t)
    assert (q[..., 4:] == 0).all() and torch.equal(q[..., :4], plain[..., :4]) and q[..., :4].abs().min() > 0
    assert (entry[..., 6:] == 0).all() and torch.equal(entry[..., :6], other[..., :6])


def test_a_half_precision_model_over_an_fp32_cache():
    """One query over a half-precision cache is slow on a CPU, so its cache is fp32: the entry is wider than the weights."""
    model, ids = specs.build(specs.decoder(heads=specs.HEADS["latent"]), torch.bfloat16), laws.random_ids(1, 12)
    with torch.no_grad():
        full = model(Tokens(ids))
        steps = laws.in_chunks(model, Tokens(ids), (6, 11))
    assert full.std() > 0.3 and (steps - full).abs().max() < 0.2


def test_heads_without_a_kind_are_grouped():
    attention = AttentionSpec.model_validate({"heads": {"heads": 8}})
    assert attention.heads == GroupedSpec(heads=8)
    assert AttentionSpec.model_validate_json(attention.model_dump_json()) == attention
    latent = AttentionSpec(heads=specs.HEADS["latent_low_rank"])
    assert AttentionSpec.model_validate_json(latent.model_dump_json()) == latent


@pytest.mark.parametrize(
    "heads, message",
    [
        ({"kind": "latend", "heads": 4}, r"heads\.kind is not one of its choices(.|\n)*write latent"),
        ({"heads": 4, "kv_haeds": 2}, "unknown key .*kv_haeds"),
        ({"kind": "latent", "heads": 4, "kv_rank": 6, "nope": 4, "value": 3}, r"heads\.rope is missing"),
        (8, r"heads does not fit"),
    ],
)
def test_errors_name_the_key_as_written(heads, message):
    data = specs.decoder().model_dump(mode="json")
    data["decoder"]["blocks"]["block"]["attention"]["heads"] = heads
    with pytest.raises(ConfigError) as caught:
        check(ModelSpec, data)
    assert caught.match(message)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda h: specs.decoder(heads=h, residual=specs.RESIDUALS["first"]), "value residual"),
        (lambda h: specs.decoder(heads=h, relative=RotarySpec(dim=6)), "at most the 4 features"),
        (lambda h: specs.stack(cross=True).blocks["block"].model_validate(
            {**specs.stack(cross=True).blocks["block"].model_dump(), "cross": {"heads": h.model_dump()}}
        ), "keys per head"),
    ],
)  # fmt: skip
def test_what_latent_heads_cannot_do_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make(specs.HEADS["latent"])


def test_deepnorm_scales_the_rows_that_make_values():
    spec = specs.decoder(heads=specs.HEADS["latent"], residual=specs.RESIDUALS["deepnorm"])
    plain = spec.build(0).decoder.layers[0].attention.heads
    mild = specs.RESIDUALS["deepnorm"].model_copy(update={"gain": specs.RESIDUALS["deepnorm"].gain.model_copy(update={"beta": 1.0})})
    other = specs.decoder(heads=specs.HEADS["latent"], residual=mild).build(0).decoder.layers[0].attention.heads
    same(plain.values(), other.values() * 0.6, 1e-6)
    assert torch.equal(plain._rows()[0], other._rows()[0])
