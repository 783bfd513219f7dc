"""Initial values: a first loss of ln V, biases at zero, seeds, DeepNorm's β, and that training works from there."""

import math

import pytest
import torch

from polyhead import nn as ph
from polyhead.nn import NormalInit, XavierInit, ZeroOutInit

from ..conformance import laws, specs
from ..conformance.common import crossed
from .tiny import same

INITS = {
    "normal": NormalInit(),
    "normal_flat": NormalInit(residual=False),
    "xavier": XavierInit(),
    "zero_out": ZeroOutInit(),
}
SHAPES = [(32, 65, 2), (64, 1000, 4), (256, 300, 2), (768, 256, 1), (128, 8000, 2)]


def first_loss(spec: ph.ModelSpec, vocab: int) -> float:
    model = spec.build(0).eval()
    ids = torch.randint(0, vocab, (4, 33), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        logits = model(ph.Tokens(ids[:, :-1]), ph.Tokens(ids) if crossed(spec) else None)
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten()).item()


@pytest.mark.parametrize("width, vocab, layers", SHAPES)
@pytest.mark.parametrize("init", INITS)
@pytest.mark.parametrize("tied", [False, True])
def test_the_first_loss_is_ln_v_within_2_percent(init, width, vocab, layers, tied):
    if tied and init == "zero_out":
        return  # its zero output matrix is the point: a tied one cannot be zero
    spec = specs.decoder(width=width, vocab=vocab, layers=layers, head=ph.HeadSpec(output=vocab, tied=tied))
    spec = spec.model_copy(update={"init": INITS[init]})
    assert abs(first_loss(spec, vocab) / math.log(vocab) - 1) < 0.02


@pytest.mark.parametrize(
    "residual", ["pre", "post", "sandwich", "inner", "one_norm", "layer_scale", "rezero", "deepnorm", "first"]
)
@pytest.mark.parametrize("init", ["normal", "xavier"])
def test_the_first_loss_is_ln_v_for_every_placement(init, residual):
    spec = specs.decoder(residual=specs.RESIDUALS[residual], vocab=97, width=64, layers=3)
    assert abs(first_loss(spec.model_copy(update={"init": INITS[init]}), 97) / math.log(97) - 1) < 0.02


def test_the_first_loss_of_an_encoder_decoder_is_ln_v():
    for spec in (specs.SEQ2SEQS["vaswani"], specs.SEQ2SEQS["t5"]):
        assert abs(first_loss(spec, specs.VOCAB) / math.log(specs.VOCAB) - 1) < 0.02


@pytest.mark.parametrize(
    "name",
    ["decoder:heads-biased", "decoder:ffn-experts_one", "decoder:ffn-gated_bias", "encoder:albert", "seq2seq:vaswani"],
)
@pytest.mark.parametrize("init", INITS)
def test_every_value_is_set_biases_are_0_and_gains_1(name, init):
    model = specs.EVERY[name].model_copy(update={"init": INITS[init]}).build(seed=None)
    with torch.no_grad():
        for p in model.parameters():
            p.fill_(float("nan"))
    from polyhead.nn.init import initialise

    initialise(model, 0)
    for path, p in model.named_parameters():
        assert torch.isfinite(p).all(), f"{path} is not set"
        normed = "norm" in path or ".ins." in path or ".outs." in path or ".after" in path
        if path.endswith("bias"):
            assert (p == 0).all(), path
        elif normed:
            assert (p == 1).all(), path


def test_seeds_decide_and_repeat():
    spec = specs.DECODERS["pattern-causal"]
    a, b, c = spec.build(1), spec.build(1), spec.build(2)
    assert all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))
    assert not all(torch.equal(x, y) for x, y in zip(a.parameters(), c.parameters(), strict=True))


def test_the_stream_s_writers_are_scaled_by_depth():
    """GPT-2: matrices that write into the stream are divided by √(sublayers)."""
    model = specs.decoder(layers=8, width=64, ffn=ph.PlainSpec(ratio=4)).build(0)
    layer = model.decoder.layers[0]
    assert layer.attention.heads.q.weight.std().item() == pytest.approx(0.02, rel=0.05)
    for writer in (layer.attention.heads.o.weight, layer.ffn.down.weight):
        assert writer.std().item() == pytest.approx(0.02 / math.sqrt(16), rel=0.05)


def test_deepnorm_scales_values_outputs_and_feed_forwards_by_beta():
    base = specs.decoder(residual=specs.RESIDUALS["post"], ffn=specs.FFNS["plain_relu"]).build(0)
    deep = specs.decoder(residual=specs.RESIDUALS["deepnorm"], ffn=specs.FFNS["plain_relu"]).build(0)
    for (name, p), (_, q) in zip(
        base.decoder.layers[0].named_parameters(), deep.decoder.layers[0].named_parameters(), strict=True
    ):
        if p.dim() > 1:
            scaled = any(part in name for part in (".v.", ".o.", ".up.", ".down."))
            same(q, p * (0.6 if scaled else 1.0), 1e-6)


def test_zero_out_blocks_and_rezero_start_as_the_identity():
    for changes in ({"init": INITS["zero_out"]}, {}):
        residual = specs.RESIDUALS["rezero" if not changes else "pre"]
        model = specs.decoder(residual=residual).model_copy(update=changes).build(0)
        stack, ids = model.decoder, laws.random_ids(1, 6)
        with torch.no_grad():
            x = stack(ph.Tokens(ids))[0]
            same(x, stack.final_norm(stack.embed.token[ids]), 1e-6)


# ---------------------------------------------------------------- training from there


def losses(spec: ph.ModelSpec, steps: int, rate: float = 3e-3, rows: int = 4, length: int = 12) -> list[float]:
    model = spec.build(0).train()
    ids = laws.random_ids(rows, length + 1, seed=5)
    optimizer, found = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.0), []
    for _ in range(steps):
        source = ph.Tokens(ids) if crossed(spec) else None
        x, balance = model.hidden(ph.Tokens(ids[:, :-1]), source)
        loss = torch.nn.functional.cross_entropy(model.logits(x).flatten(0, 1), ids[:, 1:].flatten())
        found.append(loss.item())
        (loss if balance is None else loss + balance).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    return found


BATCH = {
    "gpt": specs.decoder(absolute=specs.ABSOLUTE["learned"], relative=ph.NoPosition(), norm=ph.LayerNormSpec(), ffn=ph.PlainSpec(ratio=4)),
    "llama": specs.decoder(ffn=ph.GatedSpec(ratio=3)),
    "experts": specs.DECODERS["ffn-experts_balance"],
    "t5": specs.SEQ2SEQS["t5"],
    "fast": specs.decoder(residual=specs.RESIDUALS["first"], ffn=ph.PlainSpec(ratio=4, act="relu2")).model_copy(update={"init": ZeroOutInit()}),
}  # fmt: skip


@pytest.mark.parametrize("name", BATCH)
def test_one_batch_can_be_overfitted(name):
    found = losses(BATCH[name], 100, rate=1e-2)
    assert found[-1] < 0.3 * found[0], f"{found[0]:.2f} to {found[-1]:.2f}"


def deep(kind: str, layers: int = 100) -> ph.ModelSpec:
    residual = {
        "pre": ph.ResidualSpec(),
        "rezero": ph.ResidualSpec(placement="none", gain=ph.ReZero()),
        "deepnorm": ph.ResidualSpec(
            placement="post", gain=ph.DeepNorm(alpha=(2 * layers) ** 0.25, beta=(8 * layers) ** -0.25)
        ),
    }[kind]
    norm = ph.NoNormSpec() if kind == "rezero" else ph.LayerNormSpec()
    spec = specs.decoder(layers=layers, width=32, residual=residual, norm=norm, ffn=ph.PlainSpec(ratio=2))
    stack = spec.decoder.model_copy(update={"final_norm": ph.LayerNormSpec()})
    return spec.model_copy(update={"decoder": stack, "init": XavierInit() if kind == "deepnorm" else NormalInit()})


def trains(kind: str, steps: int) -> None:
    model = deep(kind).build(0)
    ids = laws.random_ids(2, 9)
    model(ph.Tokens(ids)).square().mean().backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
    found = losses(deep(kind), steps, rate=1e-3, rows=2, length=8)
    assert all(map(math.isfinite, found)) and found[-1] < found[0] - 0.3, f"{found[0]:.2f} to {found[-1]:.2f}"


def test_a_hundred_layers_train():
    trains("pre", 16)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["pre", "deepnorm", "rezero"])
def test_a_hundred_layers_train_in_60_steps(kind):
    trains(kind, 60)
