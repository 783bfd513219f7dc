"""AXIS residual and the Block: every placement against its formula, torch's own layer, dropout, stochastic depth."""

import pytest
import torch
from torch import nn

from polyhead import nn as ph
from polyhead.nn.at import At
from polyhead.nn.attend import Lowered
from polyhead.nn.attention import View
from polyhead.nn.block import Block, BlockSpec, DropoutSpec
from polyhead.nn.residual import Join, keep_samples

from ..conformance import laws, specs
from .tiny import randn, same, shake

WIDTH = 8


def still(t):
    return t


def view(length, batch=1, path="sdpa", causal=False, valid=None):
    return View(At(torch.arange(length)[None]), Lowered(path, causal=causal), still, None, valid)


def join(sublayers=1, norm=None, dropout=0.0, **fields):
    return shake(Join(ph.ResidualSpec(**fields), norm or ph.LayerNormSpec(), WIDTH, dropout, sublayers)).eval()


F, G = (lambda x: x @ randn(WIDTH, WIDTH, seed=1)), (lambda x: torch.tanh(x @ randn(WIDTH, WIDTH, seed=2)))


def test_pre_is_x_plus_f_of_norm():
    j, x = join(placement="pre"), randn(2, 3, WIDTH)
    same(j(x, F), x + F(j.ins[0](x)))


def test_post_is_norm_of_x_plus_f():
    j, x = join(placement="post"), randn(2, 3, WIDTH)
    same(j(x, F), j.after(x + F(x)))


def test_sandwich_is_x_plus_norm_of_f_of_norm():
    j, x = join(placement="sandwich"), randn(2, 3, WIDTH)
    same(j(x, F), x + j.outs[0](F(j.ins[0](x))))


def test_inner_is_x_plus_norm_of_f():
    j, x = join(placement="inner"), randn(2, 3, WIDTH)
    same(j(x, F), x + j.outs[0](F(x)))


def test_none_is_x_plus_f():
    j, x = join(placement="none"), randn(2, 3, WIDTH)
    same(j(x, F), x + F(x))
    assert torch.equal(j(x, torch.zeros_like), x), "f = 0 is the identity"


@pytest.mark.parametrize("parallel, norms", [("one_norm", 1), ("two_norms", 2)])
def test_parallel_sublayers_read_the_same_x(parallel, norms):
    j, x = join(2, parallel=parallel), randn(2, 3, WIDTH)
    assert len(j.ins) == norms
    same(j(x, F, G), x + F(j.ins[0](x)) + G(j.ins[-1](x)))


def test_a_skipped_first_norm_leaves_attention_bare_and_no_other_join():
    spec = BlockSpec(
        attention=ph.AttentionSpec(heads=ph.GroupedSpec(heads=2)),
        ffn=ph.PlainSpec(inner=4),
        residual=ph.ResidualSpec(skip_first_norm=True),
    )
    module = Block(spec, WIDTH, DropoutSpec(), 0)
    assert [n for n, _ in module.named_parameters() if "join" in n] == ["join_ffn.ins.0.weight", "join_ffn.ins.0.bias"]
    for wrong in ({"placement": "post"}, {"parallel": "two_norms"}):
        with pytest.raises(ValueError, match="skip_first_norm needs placement pre"):
            ph.ResidualSpec(skip_first_norm=True, **wrong)


def test_gains_multiply_the_branch_and_alpha_the_stream():
    x = randn(2, 3, WIDTH)
    for gain in (ph.LayerScale(), ph.ReZero()):
        j = join(placement="pre", gain=gain)
        same(j(x, F), x + j.gains[0] * F(j.ins[0](x)))
    j = join(placement="post", gain=ph.DeepNorm(alpha=2.5, beta=0.5))
    same(j(x, F), j.after(2.5 * x + F(x)))


@pytest.mark.parametrize("name", [n for n in specs.RESIDUALS if n != "stochastic_depth"])
def test_gradients_of_a_block(name):
    heads = ph.GroupedSpec(heads=2)
    spec = BlockSpec(attention=ph.AttentionSpec(heads=heads), ffn=ph.PlainSpec(inner=4), residual=specs.RESIDUALS[name])
    block, x = shake(Block(spec, 4, DropoutSpec(), 1)), randn(1, 2, 4).requires_grad_()
    from polyhead.nn.attention import First

    first = First(randn(1, 2, 4, seed=5), randn(1, 2, 2, 2, seed=6))
    where = view(2, path="reference")
    leaves = (x, *block.parameters())
    assert torch.autograd.gradcheck(lambda x, *_: block(x, where, first=first)[0], leaves)


@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 1e-5), (torch.float64, 1e-12)])
@pytest.mark.parametrize("pre", [False, True])
@pytest.mark.parametrize("act", ["relu", "gelu"])
def test_one_block_is_torch_s_encoder_layer(pre, act, dtype, tolerance):
    width, heads, inner = 16, 4, 40
    theirs = nn.TransformerEncoderLayer(width, heads, inner, 0.0, act, batch_first=True, norm_first=pre, dtype=dtype)
    shake(theirs, dtype=dtype)
    spec = BlockSpec(
        attention=ph.AttentionSpec(heads=ph.GroupedSpec(heads=heads, bias="qkvo")),
        ffn=ph.PlainSpec(inner=inner, act=act),
        residual=ph.ResidualSpec(placement="pre" if pre else "post"),
    )
    ours = Block(spec, width, DropoutSpec(), 0).to(dtype)
    w = theirs.state_dict()
    side = "ins.0" if pre else "after"
    names = {"linear1": "ffn.up", "linear2": "ffn.down", "norm1": f"join_attention.{side}", "norm2": f"join_ffn.{side}"}
    state = {f"{b}.{kind}": w[f"{a}.{kind}"] for a, b in names.items() for kind in ("weight", "bias")}
    for kind in ("weight", "bias"):
        packed = w[f"self_attn.in_proj_{kind}"].chunk(3)
        state |= {f"attention.heads.{n}.{kind}": t for n, t in zip("qkv", packed, strict=True)}
        state[f"attention.heads.o.{kind}"] = w[f"self_attn.out_proj.{kind}"]
    ours.load_state_dict(state)
    x = randn(3, 7, width, dtype=torch.float64).to(dtype)
    theirs.train()  # the plain path, not the fused one of eval mode
    expected = theirs(x)
    scale = max(1.0, expected.abs().max().item())
    same(ours(x, view(7))[0] / scale, expected / scale, tolerance)
    mask = torch.ones(7, 7).triu(1).bool()
    same(ours(x, view(7, causal=True))[0] / scale, theirs(x, src_mask=mask) / scale, tolerance)


def test_a_decoder_block_is_torch_s_decoder_layer():
    width, heads = 16, 4
    theirs = shake(nn.TransformerDecoderLayer(width, heads, 24, 0.0, batch_first=True, dtype=torch.float64))
    grouped = ph.AttentionSpec(heads=ph.GroupedSpec(heads=heads, bias="qkvo"))
    spec = BlockSpec(
        attention=grouped, cross=grouped, ffn=ph.PlainSpec(inner=24, act="relu"), residual=specs.RESIDUALS["post"]
    )
    ours, w = Block(spec, width, DropoutSpec(), 0).double(), theirs.state_dict()
    names = {"linear1": "ffn.up", "linear2": "ffn.down"}
    names |= {f"norm{i}": f"join_{n}.after" for i, n in enumerate(("attention", "cross", "ffn"), 1)}
    state = {f"{b}.{kind}": w[f"{a}.{kind}"] for a, b in names.items() for kind in ("weight", "bias")}
    for module, name in (("self_attn", "attention"), ("multihead_attn", "cross")):
        for kind in ("weight", "bias"):
            packed = w[f"{module}.in_proj_{kind}"].chunk(3)
            state |= {f"{name}.heads.{n}.{kind}": t for n, t in zip("qkv", packed, strict=True)}
            state[f"{name}.heads.o.{kind}"] = w[f"{module}.out_proj.{kind}"]
    ours.load_state_dict(state)
    x, memory = randn(2, 5, width), randn(2, 9, width, seed=3)
    entry = ours.cross.heads.entry(memory, still)
    got = ours(x, view(5, causal=True), cross=view(5), memory=entry)[0]
    same(got, theirs.train()(x, memory, tgt_mask=torch.ones(5, 5).triu(1).bool()), 1e-12)


# ---------------------------------------------------------------- dropout

PLACES = ("embedding", "token", "attention", "residual", "activation", "head")


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("backend", ["sdpa", "reference", "banded"])
def test_b21_dropout_is_off_in_eval_and_on_in_training_at_each_place(place, backend):
    model = specs.build(specs.decoder(pattern=ph.Window(back=2), dropout=DropoutSpec(**{place: 0.5}))).use(backend)
    tokens = ph.Tokens(laws.random_ids(2, 8))
    with torch.no_grad():
        plain = specs.build(specs.decoder(pattern=ph.Window(back=2))).use(backend)(tokens)
        assert torch.equal(model(tokens), plain) and torch.equal(model(tokens), plain)
        model.train()
        assert not torch.equal(model(tokens), model(tokens))


@pytest.mark.parametrize("backend", ["sdpa", "reference"])
def test_dropout_on_weights_keeps_their_expectation(backend):
    from polyhead.nn.attend import attend

    torch.manual_seed(0)
    q, k, v = (randn(1, 1, 6, 4, seed=i).expand(4000, 1, 6, 4) for i in range(3))
    out = attend(q, k, v, Lowered(backend), scale=0.5, dropout=0.3)
    exact = attend(q[:1], k[:1], v[:1], Lowered(backend), scale=0.5)[0]
    error = out.std(0) / 4000**0.5
    assert ((out.mean(0) - exact).abs() < 4 * error).all() and out.std(0).min() > 0


def test_a_dropped_token_goes_whole_and_the_expectation_stays():
    torch.manual_seed(0)
    embed = ph.EmbeddingSpec(vocab=5).build(4, DropoutSpec(token=0.3)).train()
    torch.nn.init.ones_(embed.token)
    tokens = ph.Tokens(torch.zeros(200, 100, dtype=torch.long))
    x = embed(tokens, At.of(tokens))
    assert ((x == 0).all(-1) | (x > 1).all(-1)).all(), "a whole vector or nothing"
    assert abs((x[..., 0] == 0).float().mean().item() - 0.3) < 0.015 and abs(x.mean().item() - 1) < 0.02


def test_dropout_of_a_sublayer_keeps_its_expectation_and_spares_the_stream():
    torch.manual_seed(0)
    j, x = join(placement="none", dropout=0.25).train(), randn(1, 1, WIDTH).expand(20_000, 1, WIDTH)
    branch = j(x, lambda h: torch.ones_like(h)) - x
    assert set(branch.round(decimals=6).unique().tolist()) == {0.0, round(1 / 0.75, 6)}
    assert abs(branch.mean().item() - 1) < 0.01


def test_stochastic_depth_drops_rows_in_proportion_and_keeps_the_expectation():
    torch.manual_seed(0)
    out = keep_samples(torch.ones(20_000, 2, 3), 0.4)
    rows = out.flatten(1)
    assert ((rows == 0).all(1) | (rows > 1).all(1)).all(), "a whole row or nothing"
    assert abs((rows[:, 0] == 0).float().mean().item() - 0.4) < 0.015
    assert abs(out.mean().item() - 1) < 0.02


def test_stochastic_depth_grows_linearly_with_depth_and_ends_at_eval():
    """Layer i of L is dropped with probability p·(i + 1)/L: expected executed sublayers = Σ (1 − p_i)."""
    torch.manual_seed(0)
    model = specs.build(specs.decoder(residual=ph.ResidualSpec(stochastic_depth=0.8), layers=4)).train()
    seen = []
    handles = [
        layer.join_ffn.register_forward_hook(
            lambda m, a, out: seen.append((out == a[0]).flatten(1).all(1).double().mean())
        )
        for layer in model.decoder.layers
    ]
    with torch.no_grad():
        model(ph.Tokens(laws.random_ids(3000, 1)))
        same(torch.stack(seen), torch.tensor([0.2, 0.4, 0.6, 0.8]).double(), 0.04)
        for handle in handles:
            handle.remove()
        model.eval()
        plain = specs.build(specs.decoder(layers=4))
        assert torch.equal(model(ph.Tokens(laws.random_ids(2, 5))), plain(ph.Tokens(laws.random_ids(2, 5))))


def test_recomputed_layers_give_the_same_gradient_with_dropout_on():
    spec = specs.decoder(
        dropout=DropoutSpec(residual=0.3, attention=0.2, activation=0.1), residual=specs.RESIDUALS["first"]
    )
    grads = []
    for recompute in (False, True):
        model = specs.build(spec).use(checkpoint=recompute).train()
        torch.manual_seed(7)
        model(ph.Tokens(laws.random_ids(2, 6))).square().sum().backward()
        grads.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    same(grads[1], grads[0], 1e-12)


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: ph.ResidualSpec(parallel="one_norm", placement="post"), "parallel"),
        (lambda: ph.ResidualSpec(gain=ph.DeepNorm(alpha=1, beta=1)), "post"),
        (lambda: specs.decoder(residual=specs.RESIDUALS["first"], sharing=ph.Groups()), "first layer of their own"),
        (lambda: specs.seq2seq(residual=specs.RESIDUALS["one_norm"]), "cross-attention"),
        (
            lambda: BlockSpec(
                attention=ph.AttentionSpec(heads=specs.HEADS["grouped"]), ffn=ph.PlainSpec(inner=4),
                cross=ph.AttentionSpec(heads=specs.HEADS["grouped"], pattern=ph.Window(back=3)),
            ),
            "window",
        ),
    ],
)  # fmt: skip
def test_impossible_choices_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
