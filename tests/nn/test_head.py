"""AXIS head: the pipeline, pooling under padding, precision, refusals."""

import pytest
import torch

from polyhead.nn import HeadSpec, Tokens
from polyhead.nn.at import At
from polyhead.nn.head import pool

from ..conformance import specs
from .tiny import randn, same, shake

IDS = torch.tensor([[4, 7, 2, 7, 0], [7, 3, 1, 0, 0]])


@pytest.mark.parametrize("name", specs.OUTPUTS)
def test_params_and_gradients(name):
    spec = specs.OUTPUTS[name]
    module, table = shake(spec.build(16)), randn(specs.VOCAB, 16, seed=3).requires_grad_()
    assert spec.params(16) == sum(p.numel() for p in module.parameters())
    x = (randn(1, 2, 16) * 0.5).requires_grad_()
    leaves = (x, *module.parameters(), *((table,) if spec.tied else ()))
    assert torch.autograd.gradcheck(lambda x, *_: module(x, None, table, Tokens(IDS[:1, :2])), leaves, fast_mode=True)


def test_the_whole_pipeline_in_order():
    spec = HeadSpec(
        task="classify", pool="mean", input_norm=specs.NORMS["layer"], dense=6, act="tanh", norm=specs.NORMS["rms"],
        output=3, bias=True, scale=2.0, softcap=1.5, normalise=True,
    )  # fmt: skip
    h, x = shake(spec.build(8)), randn(2, 4, 8)
    y = h.norm(torch.tanh(h.dense(h.input_norm(x.mean(1))))) @ h.weight.T + h.bias
    y = 1.5 * torch.tanh(y * 2 / 1.5)
    same(h(x), y / y.norm(dim=-1, keepdim=True))


def test_a_hidden_layer_may_lead_back_to_what_it_read():
    h, x = shake(HeadSpec(task="tag", dense=6, act="relu", back=True, norm=specs.NORMS["layer"], output=3).build(4)), randn(2, 3, 4)
    same(h(x), h.norm(x + h.back(torch.relu(h.dense(x)))) @ h.weight.T)
    with pytest.raises(ValueError, match="set dense"):
        HeadSpec(task="tag", back=True, output=3)


def test_pooling_reads_real_tokens_on_either_side():
    x, valid = randn(3, 4, 2), torch.tensor([[0, 0, 1, 1], [1, 1, 1, 0], [0, 0, 0, 0]]).bool()
    same(pool(x, "first", valid)[:2], torch.stack([x[0, 2], x[1, 0]]))
    same(pool(x, "last", valid)[:2], torch.stack([x[0, 3], x[1, 2]]))
    same(pool(x, "mean", valid), torch.stack([x[0, 2:].mean(0), x[1, :3].mean(0), torch.zeros(2).double()]))
    for kind in ("first", "last", "mean"):
        same(pool(x, kind, torch.ones(1, 4).bool()), pool(x, kind, None))


def test_averages_weigh_as_they_say_on_either_side():
    x, valid = randn(2, 4, 2), torch.tensor([[0, 1, 1, 1], [1, 1, 0, 0]]).bool()
    rows = [x[0, 1:], x[1, :2]]
    same(pool(x, "max", valid), torch.stack([r.amax(0) for r in rows]))
    same(pool(x, "mean_sqrt", valid), torch.stack([r.sum(0) / len(r) ** 0.5 for r in rows]))
    same(pool(x, "mean_patches", valid), torch.stack([r[1:].mean(0) for r in rows]))
    same(pool(x, "first_mean", valid), torch.stack([torch.cat([r[0], r[1:].mean(0)]) for r in rows]))
    three, two = randn(0).new_tensor([[1.0], [2], [3]]) / 6, randn(0).new_tensor([[1.0], [2]]) / 3
    same(pool(x, "weighted_mean", valid), torch.stack([(rows[0] * three).sum(0), (rows[1] * two).sum(0)]))
    nothing = torch.zeros(2, 4).bool()
    for kind in ("mean", "max", "mean_sqrt", "mean_patches", "weighted_mean"):
        same(pool(x, kind, torch.ones(1, 4).bool()), pool(x, kind, None))
        assert (pool(x, kind, nothing) == 0).all(), "a row of padding"


def test_averages_of_16_bit_states_add_up_in_fp32():
    x = (randn(1, 3000, 1) + 1).bfloat16()
    for kind in ("mean", "weighted_mean"):
        weights = torch.arange(1, 3001).double()[:, None] if kind == "weighted_mean" else torch.ones(3000, 1).double()
        same(pool(x, kind, torch.ones(1, 3000).bool()).double(), (x[0].double() * weights).sum(0)[None] / weights.sum(), 5e-3)


def test_several_pools_stand_side_by_side_in_their_order():
    head = shake(HeadSpec(task="embed", pool=("last", "max"), dense=3).build(4))
    x = randn(2, 5, 4)
    assert head.dense.weight.shape == (3, 8)
    same(head(x), head.dense(torch.cat([x[:, -1], x.amax(1)], -1)))



def test_the_end_is_found_in_the_ids():
    x, rows = randn(2, 5, 3), torch.arange(2)
    same(pool(x, "eos", None, Tokens(IDS), 7), x[rows, [1, 0]])
    same(pool(x, "last_eos", None, Tokens(IDS), 7), x[rows, [3, 0]])
    same(pool(x, "largest_id", None, Tokens(IDS)), x[rows, [1, 0]])
    pos = torch.tensor([[0, 1, 2, -1, -1], [-1, 0, 1, 2, 3]])
    padded = Tokens(IDS, pos, padded=True)
    first = padded._replace(ids=IDS[:1], pos=pos[:1])
    same(pool(x[:1], "last_eos", None, first, 7), x[:1, 1])
    same(pool(x, "largest_id", None, padded), x[rows, [1, 1]])
    with pytest.raises(ValueError, match="got none in row 1"):
        pool(x, "eos", None, padded, 7)
    nothing = padded._replace(pos=torch.full((2, 5), -1))
    assert torch.isfinite(pool(x, "eos", None, nothing, 7)).all(), "a row of padding has no end and needs none"


def test_ids_that_do_not_belong_are_refused():
    x, head = randn(2, 5, 3), shake(HeadSpec(task="classify", pool="eos", eos=7, output=2).build(3))
    for read, got in ((None, "none"), (Tokens(IDS[:, :4]), r"\(2, 4\)"), (Tokens(signal=x), "none")):
        with pytest.raises(ValueError, match=f"expected \\(2, 5\\), got {got}"):
            head(x, read=read)


def test_an_encoder_decoder_finds_the_end_in_its_source():
    """BART's classifier: the state of the decoder where the source's last end stands."""
    head = HeadSpec(task="classify", pool="last_eos", eos=7, output=3)
    model = specs.build(specs.seq2seq(head=head))
    source, ids = Tokens(torch.tensor([[5, 7, 3, 7, 1]])), torch.tensor([[9, 5, 7, 3, 7]])
    x, _ = model.hidden(Tokens(ids), source)
    same(model(Tokens(ids), source), x[:, 3] @ model.heads["out"].weight.T)


def test_clip_s_end_is_found_in_a_decoder_s_own_ids():
    model = specs.build(specs.decoder(head=HeadSpec(task="embed", pool="eos", eos=7, output=3)))
    x, _ = model.hidden(Tokens(IDS))
    same(model(Tokens(IDS)), torch.stack([x[0, 1], x[1, 0]]) @ model.heads["out"].weight.T)


def test_logits_are_fp32_in_a_16_bit_model():
    head = shake(HeadSpec(output=7).build(8)).bfloat16()
    assert head(randn(1, 2, 8).bfloat16()).dtype == torch.float32
    assert HeadSpec(output=7, softcap=30.0).build(8).double()(randn(1, 2, 8)).dtype == torch.float64


def test_a_batch_norm_in_a_head_sees_real_tokens_only():
    head = shake(HeadSpec(task="tag", norm=specs.NORMS["batch"], output=3).build(4)).train()
    x = randn(2, 5, 4)
    pos = torch.tensor([[0, 1, 2, 3, 4], [0, 1, -1, -1, -1]])
    other = x.masked_fill((pos < 0)[..., None], 50.0)
    same(head(x, At(pos, padded=True))[pos >= 0], head(other, At(pos, padded=True))[pos >= 0])


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"task": "lm", "pool": "first", "output": 3}, "every token"),
        ({"task": "classify", "output": 3}, "once per row"),
        ({"task": "tag"}, "needs output"),
        ({"task": "span", "output": 3}, "2 logits"),
        ({"task": "rtd", "output": 2}, "1 logit:"),
        ({"task": "rtd", "output": 1, "pool": "first"}, "every token"),
        ({"task": "pair", "output": 3, "pool": "first"}, "2 logits"),
        ({"task": "image", "output": 3}, "once per row"),
        ({"task": "embed", "pool": "eos"}, "go together"),
        ({"task": "embed", "pool": "last", "eos": 3}, "go together"),
        ({"task": "embed", "pool": ("last", "none")}, "pool"),
        ({"task": "pool", "pool": ()}, "once per row"),
    ],
)
def test_impossible_choices_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        HeadSpec(**fields)


def test_a_tied_head_must_fit_the_table():
    with pytest.raises(ValueError, match="vocabulary"):
        specs.decoder(head=HeadSpec(output=5, tied=True))
    with pytest.raises(ValueError, match="width"):
        specs.decoder(head=HeadSpec(output=specs.VOCAB, tied=True), embedding=specs.EMBEDDINGS["factor_sum"])
