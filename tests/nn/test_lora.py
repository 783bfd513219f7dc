"""Low-rank updates: every path that multiplies with a weight multiplies with W + s·B·A, and back again to the bit."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from torch import Tensor

from polyhead import nn as ph
from polyhead.generate import Model, load
from polyhead.generate.pack import prepare
from polyhead.nn.lora import LoRALinear, clone, effective, ends, find, merge, merged, unmerge

from ..conformance import laws, specs

ALL = ph.LoraSpec(rank=3, alpha=5.0, targets="all")
PLAIN = {name: spec for name, spec in specs.EVERY.items() if "experts" not in name}
QUICK = "heads-latent heads-biased heads-qk_norm content-dis global_heads albert seq2seq:t5 ffn-plain_relu factor_sum head-mlm first"


def with_lora(spec: ph.ModelSpec, lora: ph.LoraSpec = ALL) -> ph.ModelSpec:
    return spec.model_copy(update={"lora": lora})


def oracle(net: ph.Transformer) -> ph.Transformer:
    """The network written out: W + s·B·A in plain Linears, by the formula of the paper."""
    new = net.spec.model_copy(update={"lora": None}).build(None).to(next(net.parameters()).dtype)
    values = net.state_dict()
    lora = net.spec.lora
    assert lora is not None
    scale = lora.alpha / lora.rank
    plain = {n: t for n, t in values.items() if ".lora_" not in n}
    for name in [n for n in values if n.endswith(".lora_a")]:
        stem = name.removesuffix(".lora_a")
        plain[f"{stem}.weight"] = plain[f"{stem}.weight"] + scale * values[f"{stem}.lora_b"] @ values[name]
    new.load_state_dict(plain)
    return new.eval()


def tiny(dtype: torch.dtype = torch.float64, seed: int = 0, **choices: Any) -> ph.Transformer:
    return specs.build(with_lora(specs.decoder(**choices)), dtype, seed)


def ids(rows: int = 2, length: int = 9) -> ph.Tokens:
    return ph.Tokens(laws.random_ids(rows, length))


# ---------------------------------------------------------------- the formula, on every path


@pytest.mark.parametrize("spec", specs.cases(QUICK, PLAIN))
def test_every_map_of_the_layers_multiplies_with_the_sum(spec):
    net = specs.build(with_lora(spec))
    tokens = ids(length=12)._replace(mark=torch.arange(12).repeat(2, 1) < 2)
    source = (tokens,) if net.decoder is not None and net.encoder is not None else ()
    with torch.no_grad():
        laws.close(net(tokens, *source), oracle(net)(tokens, *source))
        laws.close(merged(net)(tokens, *source), net(tokens, *source))
    assert {n.removesuffix(".lora_a") for n in net.state_dict() if n.endswith(".lora_a")} == set(find(net, "all"))
    assert all(isinstance(m, LoRALinear) for m in find(net, "all").values())


@pytest.mark.parametrize("spec", specs.cases("heads-latent heads-biased content-shaw seq2seq:t5", {n: s for n, s in specs.CACHED.items() if "experts" not in n}))
def test_cached_decoding_multiplies_with_the_sum(spec):
    laws.law_cache(with_lora(spec))


@pytest.mark.parametrize(
    ("heads", "where"),
    [("biased", ("v",)), *(pytest.param(h, w, marks=pytest.mark.slow) for h, w in (("grouped", "all"), ("grouped", ("q", "k")), ("latent_low_rank", "all")))],
)
def test_a_compiled_step_is_the_eager_one(heads, where):
    net = specs.build(with_lora(specs.decoder(heads=specs.HEADS[heads]), ALL.model_copy(update={"targets": where})))
    tokens = ids()

    def gradients(forward: Any) -> dict[str, Tensor]:
        net.zero_grad()
        forward(tokens).square().mean().backward()
        return {n: p.grad.clone() for n, p in net.named_parameters() if p.grad is not None}

    torch._dynamo.reset()
    compiled = torch.compile(net, backend="eager", dynamic=False)
    eager, found = gradients(net), gradients(compiled)
    laws.close(compiled(tokens), net(tokens))
    assert eager.keys() == found.keys()
    for name in eager:
        torch.testing.assert_close(found[name], eager[name], rtol=1e-9, atol=1e-12, msg=name)


@pytest.mark.parametrize("heads", ["grouped", "latent"])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_gradients_reach_exactly_the_factors_with_checkpointing_too(heads, dropout):
    lora = ALL.model_copy(update={"dropout": dropout})
    net = specs.build(with_lora(specs.decoder(heads=specs.HEADS[heads]), lora)).train()
    for name, p in net.named_parameters():
        p.requires_grad_(".lora_" in name)

    def gradients(checkpoint: bool) -> dict[str, Tensor]:
        net.use(checkpoint=checkpoint).zero_grad()
        torch.manual_seed(4)
        net(ids()).square().mean().backward()
        return {n: p.grad.clone() for n, p in net.named_parameters() if p.grad is not None}

    plain, again = gradients(False), gradients(True)
    assert plain.keys() == again.keys() == {n for n, _ in net.named_parameters() if ".lora_" in n}
    assert all(g.abs().sum() > 0 for g in plain.values())
    for name in plain:
        torch.testing.assert_close(again[name], plain[name], rtol=1e-12, atol=1e-14, msg=name)


def test_the_gradient_of_the_factors_is_that_of_the_formula():
    """dA = s·Bᵀ·dW, dB = s·dW·Aᵀ."""
    net = tiny()
    plain = oracle(net)
    net(ids()).square().mean().backward()
    plain(ids()).square().mean().backward()
    for name, linear in find(net, "all").items():
        dw = plain.get_submodule(name).weight.grad
        torch.testing.assert_close(linear.lora_a.grad, linear.scale * linear.lora_b.T @ dw, rtol=1e-9, atol=1e-12, msg=name)
        torch.testing.assert_close(linear.lora_b.grad, linear.scale * dw @ linear.lora_a.T, rtol=1e-9, atol=1e-12, msg=name)


def test_dropout_is_the_updates_alone_and_trainings_alone():
    net = specs.build(with_lora(specs.decoder(), ALL.model_copy(update={"dropout": 0.5})))
    base = clone(net)
    linear = find(net, ("q",))["decoder.layers.0.attention.heads.q"]
    x = torch.randn(500, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    torch.manual_seed(0)
    update = linear.train()(x) - F.linear(x, linear.weight, linear.bias)
    torch.manual_seed(0)
    torch.testing.assert_close(update, linear.scale * F.dropout(x, 0.5) @ linear.lora_a.T @ linear.lora_b.T)
    linear.eval()
    laws.close(net.eval()(ids()), base.eval()(ids()))
    laws.close(net(ids()), oracle(net)(ids()))


# ---------------------------------------------------------------- where training starts


def test_training_starts_from_the_base_model_itself():
    spec = specs.decoder(heads=specs.HEADS["biased"])
    plain, net = spec.build(5), with_lora(spec).build(5)
    bits = {n: t for n, t in net.state_dict().items() if ".lora_" not in n}
    assert bits.keys() == plain.state_dict().keys()
    assert all(torch.equal(bits[n], t) for n, t in plain.state_dict().items())
    assert torch.equal(net(ids()), plain(ids()))
    for linear in find(net, "all").values():
        bound = linear.in_features**-0.5
        assert not linear.lora_b.any()
        assert linear.lora_a.abs().max() <= bound
        assert linear.lora_a.std().item() == pytest.approx(bound / 3**0.5, rel=0.35)
    ours = ph.ModelSpec.model_validate(specs.decoder(width=64).model_dump() | {"lora": {"rank": 64, "targets": ["q"]}}).build(0)
    theirs = torch.nn.init.kaiming_uniform_(torch.empty(64, 64), a=5**0.5, generator=torch.Generator().manual_seed(0))
    mine = find(ours, ("q",))["decoder.layers.0.attention.heads.q"].lora_a
    assert mine.std().item() == pytest.approx(theirs.std().item(), rel=0.05)  # 4,096 draws: three errors are 0.03


def test_seeds_and_scales():
    a, b, c = (with_lora(specs.decoder()).build(seed).state_dict() for seed in (1, 1, 2))
    name = "decoder.layers.1.attention.heads.v.lora_a"
    assert torch.equal(a[name], b[name]) and not torch.equal(a[name], c[name])
    assert not torch.equal(a[name], a["decoder.layers.0.attention.heads.v.lora_a"])
    assert ph.LoraSpec(rank=16, alpha=8).scale == 0.5
    assert ph.LoraSpec(rank=16, alpha=8, rslora=True).scale == 2.0


def test_half_precision_keeps_its_factors_in_fp32():
    spec = specs.decoder()
    net = spec.build(0).to(torch.bfloat16)
    ph.adapt(net, ALL, 0)
    linear = find(net, ("q",))["decoder.layers.0.attention.heads.q"]
    assert (linear.weight.dtype, linear.lora_a.dtype, linear.lora_b.dtype) == (torch.bfloat16, torch.float32, torch.float32)
    x = torch.randn(4, 16, dtype=torch.bfloat16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        linear.lora_b.normal_()
    assert linear(x).dtype == torch.bfloat16
    linear(x).float().sum().backward()
    assert linear.lora_a.grad.dtype == torch.float32
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert linear(x.float()).dtype == torch.bfloat16


# ---------------------------------------------------------------- merging


def test_merging_and_back_changes_no_bit():
    net = tiny(torch.float32)
    before = {n: t.clone() for n, t in net.state_dict().items()}
    with torch.no_grad():
        apart = net(ids())
        merge(net)
        together = net(ids())
        assert {n: t.tolist() for n, t in net.state_dict().items()} == {n: t.tolist() for n, t in before.items()}
        unmerge(net)
        assert torch.equal(net(ids()), apart)
    assert all(torch.equal(t, before[n]) for n, t in net.state_dict().items())
    assert not torch.equal(together, apart), "the sums were not used"
    torch.testing.assert_close(together, apart, rtol=1e-5, atol=1e-5)


def test_the_sum_is_rounded_once():
    net = tiny(torch.float32)
    for linear in find(net, "all").values():
        exact = linear.weight.double() + linear.scale * linear.lora_b.double() @ linear.lora_a.double()
        assert torch.equal(linear.total(), exact.float())
        assert torch.equal(effective(linear), linear.total())


def test_training_takes_the_sum_apart():
    net = tiny()
    merge(net)
    assert all(m.merged is not None for m in net.modules() if isinstance(m, LoRALinear))
    net.train()
    assert all(m.merged is None for m in net.modules() if isinstance(m, LoRALinear))
    net(ids()).sum().backward()
    assert net.decoder.layers[0].attention.heads.q.lora_a.grad is not None


def test_a_merged_copy_shares_all_but_the_sums():
    spec = with_lora(specs.decoder(head=specs.OUTPUTS["lm_tied"], heads=specs.HEADS["biased"]), ph.LoraSpec(rank=2))
    net = specs.build(spec)
    new = merged(net)
    mine, theirs = dict(new.named_parameters()), dict(net.named_parameters())
    assert new.spec == spec.model_copy(update={"lora": None})
    assert net.spec.lora is not None and isinstance(net.decoder.layers[0].attention.heads.q, LoRALinear)
    assert mine.keys() == {n for n in theirs if ".lora_" not in n}
    other = {n for n in mine if mine[n] is not theirs[n]}
    assert other == {f"decoder.layers.{i}.attention.heads.{p}.weight" for i in (0, 1) for p in "qv"}
    assert new.table is net.table
    assert merged(new) is new


# ---------------------------------------------------------------- files and inference


@pytest.mark.parametrize("heads", ["grouped", "latent"])
def test_a_prepared_network_multiplies_with_the_sum(heads):
    net = tiny(torch.float32, heads=specs.HEADS[heads])
    fast = prepare(net)
    with torch.no_grad():
        torch.testing.assert_close(fast(ids()), net(ids()), rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(fast(ids()), oracle(net)(ids()), rtol=1e-5, atol=1e-5)
    assert not any(isinstance(m, LoRALinear) for m in fast.modules())


def test_answers_follow_the_factors():
    """A prepared copy is made anew when a factor changes."""
    model = Model(tiny(torch.float32))
    before = model.score(ids=[1, 2, 3, 4, 5])
    with torch.no_grad():
        model.net.decoder.layers[0].attention.heads.q.lora_b.add_(1.0)
    assert not torch.equal(model.score(ids=[1, 2, 3, 4, 5]), before)


def test_our_own_format_keeps_both(tmp_path):
    net = tiny(torch.float32)
    merge(net)
    Model(net).save(tmp_path / "a", to="native")
    again = load(tmp_path / "a").net
    assert again.spec == net.spec
    assert {n: t.tolist() for n, t in again.state_dict().items()} == {n: t.tolist() for n, t in net.state_dict().items()}
    assert torch.equal(again(ids()), net.train().eval()(ids()))


def test_a_hugging_face_folder_gets_the_sums(tmp_path):
    from polyhead.families import override, preset

    spec = override(preset("llama-2-7b"), {"decoder.layers": 2, "decoder.width": 16, "decoder.blocks.layer.attention.heads.heads": 2,
                    "decoder.blocks.layer.attention.heads.kv_heads": 2, "decoder.blocks.layer.ffn.inner": 24, "vocab": 23, "context": 64})  # fmt: skip
    net = specs.build(with_lora(spec), torch.float32)
    Model(net).save(tmp_path / "hf", to="hf")
    again = load(tmp_path / "hf").net
    assert again.spec.lora is None and net.spec.lora is not None
    with torch.no_grad():
        torch.testing.assert_close(again(ids()), net(ids()), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["heads-latent", "content-disentangled", "embedding-factor_sum"])
def test_parameters_are_counted(name):
    net = with_lora(specs.DECODERS[name]).build()
    assert net.spec.params().total == sum(p.numel() for p in net.parameters())
    assert net.spec.params().parts["lora"] == sum(p.numel() for n, p in net.named_parameters() if ".lora_" in n)


# ---------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("targets", "error"),
    [
        ("all", "experts take no low-rank update"),
        (("up",), "experts take no low-rank update: expected targets without them, got 'up'; there are q, k, v, o"),
        (("*.ffn.*",), "experts take no low-rank update"),
        (("q", "w_q"), "'w_q' names no linear map: there are q, k, v, o"),
        (("router",), "names no linear map"),
        (("heads.out",), "names no linear map"),
    ],
)
def test_what_has_no_update_is_refused_by_name(targets, error):
    spec = specs.decoder(ffn=specs.FFNS["experts"])
    with pytest.raises(ValueError, match=error.replace(".", r"\.").replace("*", r"\*")):
        with_lora(spec, ph.LoraSpec(targets=targets)).build()


def test_experts_are_passed_by():
    net = with_lora(specs.decoder(ffn=specs.FFNS["experts_shared"]), ph.LoraSpec(targets=("q", "ffn.shared.up"))).build()
    found = {n.removesuffix(".lora_a") for n, _ in net.named_parameters() if n.endswith(".lora_a")}
    assert found == {f"decoder.layers.{i}.{p}" for i in (0, 1) for p in ("attention.heads.q", "ffn.shared.up")}


def test_targets_are_names_ends_and_patterns():
    spec = specs.seq2seq()
    net = spec.build()
    assert {n.split(".")[-3] for n in find(net, ("q",))} == {"attention", "cross"}
    assert set(find(net, ("cross.heads.q",))) == {f"decoder.layers.{i}.cross.heads.q" for i in (0, 1)}
    assert set(find(net, ("decoder.layers.1.*.v",))) == {"decoder.layers.1.attention.heads.v", "decoder.layers.1.cross.heads.v"}
    assert len(find(net, "all")) == 2 * 7 + 2 * 11
    assert not ends("a.xq", "q") and ends("a.q", "q") and ends("q", "q")
    with pytest.raises(ValueError, match="low-rank updates already"):
        ph.adapt(with_lora(spec).build(), ALL)


def test_heads_maps_can_be_named():
    net = with_lora(specs.encoder(head=specs.OUTPUTS["mlm"]), ph.LoraSpec(targets=("heads.out.dense",))).build()
    assert [n for n, _ in net.named_parameters() if "lora" in n] == ["heads.out.dense.lora_a", "heads.out.dense.lora_b"]


def test_a_spec_is_refused_before_it_is_built():
    """As it stands in a file: in the words of validation, not as a crash later."""
    text = specs.decoder().model_dump() | {"lora": {"targets": ["w_q"]}}
    with pytest.raises(ValidationError, match="'w_q' names no linear map: there are q, k, v, o, gate, up, down"):
        ph.ModelSpec.model_validate(text)


def test_the_dense_layer_of_a_sentence_head_is_merged_too(tmp_path):
    from polyhead.families import override, preset

    head = ph.HeadSpec(task="embed", pool="mean", dense=8, normalise=True)
    spec = override(preset("bert-base"), {"encoder.layers": 1, "encoder.width": 16, "encoder.blocks.layer.attention.heads.heads": 2,
                    "encoder.blocks.layer.ffn.inner": 24, "vocab": 23}).model_copy(update={"heads": {"embed": head}})  # fmt: skip
    net = specs.build(with_lora(spec, ph.LoraSpec(rank=2, targets=("q", "heads.embed.dense"))), torch.float32)
    Model(net, objective="masked").save(tmp_path / "hf", to="hf")
    again = load(tmp_path / "hf").net
    assert again.spec.lora is None
    with torch.no_grad():
        torch.testing.assert_close(again(ids()), net(ids()), rtol=1e-5, atol=1e-5)
