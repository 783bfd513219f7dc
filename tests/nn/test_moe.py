"""AXIS mixture of experts: against a loop over tokens, fixed = sparse, router, groups, balance loss."""

import pytest
import torch

from polyhead.nn import ExpertsSpec

from ..conformance import oracle, specs
from .tiny import randn, same, shake

EXPERTS = {n: s for n, s in specs.FFNS.items() if n.startswith("experts")}


def build(spec, width=8):
    return shake(spec.build(width)).eval()


@pytest.mark.parametrize("name", EXPERTS)
def test_experts_are_the_loop_over_tokens(name):
    spec, module = EXPERTS[name], build(EXPERTS[name])
    naive = oracle.Oracle.__new__(oracle.Oracle)
    naive.w = {f"e.{k}": v for k, v in (*module.named_parameters(), *module.named_buffers())}
    x = randn(2, 9, 8)
    expected = torch.stack([torch.stack([naive.feed(spec, "e", t) for t in row]) for row in x])
    same(module(x)[0], expected)


@pytest.mark.parametrize("name", EXPERTS)
def test_fixed_shapes_give_what_sparse_dispatch_gives(name):
    """What torch.compile runs = what eager runs, forward and backward."""
    module, x = build(EXPERTS[name]), randn(14, 8)
    chosen, weights, _ = module.router(x)
    sparse, fixed = module._sparse(x, chosen, weights), module._fixed(x, chosen, weights)
    same(fixed, sparse)
    leaves = [p for p in module.parameters() if p.dim() == 3]
    mix = randn(14, 8, seed=4)
    for a, b in zip(
        *(torch.autograd.grad((y * mix).sum(), leaves, retain_graph=True) for y in (sparse, fixed)), strict=True
    ):
        same(a, b)


@pytest.mark.parametrize("name", ["experts", "experts_shared", "experts_one"])
def test_gradients(name):
    module, x = build(EXPERTS[name], 4), randn(1, 3, 4).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, *_: module(x)[0], (x, *module.parameters()))


@pytest.mark.parametrize("name", EXPERTS)
def test_params(name):
    spec = EXPERTS[name]
    assert spec.params(8) == sum(p.numel() for p in spec.build(8).parameters())


def test_top_k_of_all_experts_is_their_weighted_sum():
    spec = ExpertsSpec(experts=3, top_k=3, inner=6)
    module, x = build(spec), randn(5, 8)
    weights = (x @ module.router.weight.T).softmax(-1)
    every = torch.stack([module._expert(e, x) for e in range(3)], 1)
    same(module(x[None])[0][0], (weights[..., None] * every).sum(1))


def test_the_correction_selects_but_does_not_weigh():
    """DeepSeek-V3: chosen by score + bias, weighed by the bare score."""
    module = build(ExpertsSpec(experts=4, top_k=1, inner=4, router="sigmoid", correction=True, normalise=False))
    with torch.no_grad():
        module.router.correction.copy_(torch.tensor([0.0, 0, 0, 10]))
    x = randn(6, 8)
    chosen, weights, scores = module.router(x)
    assert (chosen == 3).all()
    same(weights, scores[:, 3:])


def test_groups_close_the_others():
    module = build(ExpertsSpec(experts=6, top_k=2, inner=4, groups=3, top_groups=1))
    chosen, _, scores = module.router(randn(20, 8))
    assert (chosen[:, 0] // 2 == chosen[:, 1] // 2).all()
    assert torch.equal(chosen[:, 0] // 2, scores.view(-1, 3, 2).amax(-1).argmax(-1))


def test_the_router_decides_in_fp32_in_a_bf16_model():
    module = build(ExpertsSpec(experts=4, top_k=2, inner=4)).bfloat16()
    chosen, weights, scores = module.router(randn(5, 8).bfloat16())
    assert scores.dtype == torch.float32 and weights.dtype == torch.bfloat16


def test_the_balance_loss_is_switch_s_and_least_when_even():
    spec = ExpertsSpec(experts=4, top_k=1, inner=4, balance=0.01)
    module, x = build(spec).train(), randn(1, 50, 8)
    _, loss = module(x)
    probabilities = (x[0] @ module.router.weight.T).softmax(-1)
    load = torch.nn.functional.one_hot(probabilities.argmax(-1), 4).double().mean(0)
    same(loss, 0.01 * 4 * (load * probabilities.mean(0)).sum())
    chosen = torch.arange(8).view(8, 1) % 4
    same(module._balance(chosen, torch.full((8, 4), 0.25).double(), None), torch.tensor(0.01, dtype=torch.float64))
    assert module.eval()(x)[1] is None and build(EXPERTS["experts"]).train()(x)[1] is None


def test_the_balance_loss_reads_real_tokens_only():
    spec = ExpertsSpec(experts=4, top_k=2, inner=4, balance=1.0)
    module, x = build(spec).train(), randn(2, 6, 8)
    valid = torch.arange(6)[None] < torch.tensor([[6], [2]])
    full = module(torch.cat([x[0], x[1, :2]])[None])[1]
    same(module(x, valid)[1], full)
    assert (module(x)[1] - full).abs() > 1e-6


def test_padding_visits_no_expert():
    module, x = build(EXPERTS["experts"]), randn(1, 4, 8)
    valid = torch.tensor([[True, False, True, False]])
    out = module(x, valid)[0]
    assert (out[0, [1, 3]] == 0).all()
    same(out[0, [0, 2]], module(x)[0][0, [0, 2]])


def test_every_token_to_one_expert_leaves_the_others_a_zero_gradient():
    module = build(ExpertsSpec(experts=3, top_k=1, inner=4))
    with torch.no_grad():
        module.router.weight.zero_()
        module.router.weight[1] = 100.0
    module(randn(1, 5, 8).abs())[0].sum().backward()
    assert (module.up.grad[[0, 2]] == 0).all() and (module.up.grad[1] != 0).any()


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"experts": 5, "groups": 2}, "divide into groups"),
        ({"experts": 4, "top_k": 3, "groups": 2}, "may reach"),
        ({"experts": 4, "groups": 2, "top_groups": 3}, "at most groups"),
    ],
)
def test_impossible_choices_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        ExpertsSpec(**{"top_k": 1, "inner": 4, **fields})


@pytest.mark.parametrize("autocast", [False, True])
def test_a_router_in_fp32_stays_so_in_a_half_precision_model(autocast):
    """DeepSeek: two experts whose scores differ by less than bf16 can tell are told apart."""
    fields = {"experts": 2, "top_k": 1, "inner": 4, "normalise": False}
    x = torch.full((1, 256), 1.0, dtype=torch.float32 if autocast else torch.bfloat16)
    chosen = {}
    for precise in (False, True):
        router = ExpertsSpec(**fields, router_fp32=precise).build(256).router.to(x.dtype)
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            router.weight.fill_(1.0)
            router.weight[1, 0] += 0.0078125  # 256 and 256.0078125
            chosen[precise] = router(x)
    assert chosen[True][0].item() == 1 and chosen[True][2][0, 1] > chosen[True][2][0, 0]
    assert chosen[False][2][0, 1] == chosen[False][2][0, 0]


def test_the_correction_keeps_fp32_whatever_becomes_of_the_model():
    module = shake(specs.FFNS["experts_groups"].build(8), dtype=torch.float32)
    before = module.router.correction.clone()
    module.to(torch.bfloat16)
    assert module.router.weight.dtype == torch.bfloat16
    assert torch.equal(module.router.correction, before) and module.router.correction.dtype == torch.float32
    assert module(randn(1, 3, 8).bfloat16())[0].dtype == torch.bfloat16
    assert module.double().router.correction.dtype == torch.float64
    with torch.device("meta"):
        empty = specs.FFNS["experts_groups"].build(8).to(torch.bfloat16)
    assert empty.router.correction.dtype == torch.float32 and empty.router.correction.is_meta
    assert empty.to_empty(device="cpu").router.correction.dtype == torch.float32


def test_two_best_of_a_group_of_one_are_refused():
    with pytest.raises(ValueError, match="two experts in a group"):
        ExpertsSpec(experts=4, top_k=1, inner=4, groups=4, group_score="top2")
