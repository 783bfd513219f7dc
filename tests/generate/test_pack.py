"""The prepared network answers as the plain one does, and a changed weight is never decoded from a stale copy."""

import copy

import pytest
import torch

import polyhead as ph
from polyhead.families import override, with_vocab
from polyhead.generate import Engine, Model, pack
from polyhead.generate.pack import PackedLinear, prepare, worth_packing
from polyhead.nn.ffn import GatedSpec, PlainSpec

SMALL = {"decoder.layers": 2, "decoder.width": 48, "context": 64}
SPECS = {
    "tied, biases, learned positions": override(
        with_vocab(ph.preset("gpt2"), 97), SMALL | {"decoder.blocks.layer.attention.heads.heads": 4}
    ),
    "gated, grouped": override(with_vocab(ph.preset("llama-nano"), 97), SMALL),
    "value residual, capped head": override(with_vocab(ph.preset("gpt-nano"), 97), SMALL),
    "latent heads": override(
        with_vocab(ph.preset("llama-nano"), 97),
        SMALL | {"decoder.blocks.layer.attention.heads": {
            "kind": "latent", "heads": 4, "q_rank": 16, "kv_rank": 24, "nope": 8, "rope": 4, "value": 8,
        }},
    ),
}  # fmt: skip


def jittered(spec):
    net = spec.build(0).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in net.parameters():
            p.add_(torch.randn(p.shape, generator=generator) * 0.1)
    return net


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_prepared_equals_plain(spec):
    net = jittered(spec)
    before = {name: p.clone() for name, p in net.named_parameters()}
    plain, packed = Engine(net), Engine(net, prepare(net))
    prompts = torch.randint(0, 97, (3, 11), generator=torch.Generator().manual_seed(2)).tolist()
    (a, x), (b, y) = plain.prefill(prompts, 6), packed.prefill(prompts, 6)
    for _ in range(5):
        torch.testing.assert_close(x, y, atol=2e-5, rtol=0)
        ids = x.argmax(-1)
        x, y = plain.step(a, ids), packed.step(b, ids)
    assert all(torch.equal(before[name], p) for name, p in net.named_parameters()), "preparing changed the model"


def test_prepared_encoder_decoder_equals_plain():
    spec = override(with_vocab(ph.preset("transformer-nano"), 97), {"encoder.layers": 2, "decoder.layers": 2})
    net = jittered(spec)
    source = [[5, 6, 7, 8], [9, 10]]
    x = Engine(net).prefill([[1], [1]], 4, source)[1]
    y = Engine(net, prepare(net)).prefill([[1], [1]], 4, source)[1]
    torch.testing.assert_close(x, y, atol=2e-5, rtol=0)


def test_packs_on_this_cpu_and_leaves_doubles_alone():
    net = jittered(SPECS["gated, grouped"])
    if worth_packing(net):
        assert any(isinstance(m, PackedLinear) for m in prepare(net).modules())
    assert not worth_packing(copy.deepcopy(net).double())


def test_a_changed_weight_is_seen():
    model = Model(jittered(SPECS["gated, grouped"]))
    first = model.generate(ids=[1, 2, 3], max_tokens=8, temperature=0).ids
    prepared = model.prepared
    assert model.prepared is prepared, "an unchanged model must not be packed twice"
    with torch.no_grad():
        for p in model.net.parameters():
            p.mul_(-1.7)
    plain = Model(model.net)
    plain.engine = Engine(model.net)
    second = model.generate(ids=[1, 2, 3], max_tokens=8, temperature=0).ids
    assert second == plain.generate(ids=[1, 2, 3], max_tokens=8, temperature=0).ids != first
    assert model.prepared is not prepared or prepared is model.net


@pytest.mark.parametrize("rows", [1, pack.FEW + 1])
@pytest.mark.parametrize("act", ["relu", "relu2", "gelu", "gelu_tanh", "quick_gelu", "silu", "tanh"])
@pytest.mark.parametrize("kind", ["plain", "gated"])
def test_few_rows_and_many_give_the_same(kind: str, act: str, rows: int) -> None:
    """Both products, and every activation in place."""
    net = jittered(SPECS["gated, grouped"])
    block = net.decoder.layers[0]
    block.ffn = {"plain": PlainSpec, "gated": GatedSpec}[kind](act=act, inner=24).build(net.spec.decoder.width)
    x = torch.randn(rows, net.spec.decoder.width)
    with torch.inference_mode():
        before = x.clone()
        found = prepare(net).decoder.layers[0].ffn(x)
        torch.testing.assert_close(found, block.ffn(x), atol=1e-5, rtol=1e-5)
        assert torch.equal(x, before)


def test_a_model_in_training_answers_with_its_own_weights() -> None:
    model = Model(jittered(SPECS["gated, grouped"]).train())
    assert model.prepared is model.net
