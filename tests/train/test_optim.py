"""Optimizers against closed forms: groups, AdamW, Muon (by SVD), clipping, state."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor, nn

from polyhead.errors import CheckpointError, ConfigError
from polyhead.train.muon import BAND, REACH, orthogonalise, quintics
from polyhead.train.optim import AdamWSpec, MuonSpec, Optimizer, OptimizerSpec, param_groups, role

FAST = MuonSpec(
    lr=0.03,
    adamw=AdamWSpec(
        lr=0.01, betas=(0.8, 0.95), eps=1e-10, weight_decay=0.0, embedding_scale=3, head_scale=0.5, scalar_scale=2
    ),
)


class Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.q, self.up, self.down = nn.Linear(8, 8, bias=False), nn.Linear(8, 20), nn.Linear(20, 8, bias=False)
        self.experts = nn.Parameter(torch.randn(3, 8, 6))
        self.router = nn.Linear(8, 3, bias=False)
        self.q_norm = nn.Module()
        self.q_norm.gain = nn.Parameter(torch.ones(2, 4))
        self.relative = nn.Embedding(5, 2)


class Model(nn.Module):
    """The names of a real model, with every kind of parameter."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.embed = nn.ModuleDict(
            {"token": nn.Embedding(11, 8), "position": nn.Embedding(4, 8), "norm": nn.LayerNorm(8)}
        )
        self.layers = nn.ModuleList([Layer(), Layer()])
        self.heads = nn.ModuleDict({"lm": nn.Linear(8, 11)})
        self.scale = nn.Parameter(torch.tensor(1.0))


def with_grads(model: nn.Module, seed: int) -> None:
    g = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=g, dtype=torch.float64).to(parameter.dtype)


def run(optimizer: Optimizer, model: nn.Module, steps: range, factor: float = 0.5) -> None:
    for step in steps:
        with_grads(model, step)
        optimizer.step(factor, step)


def spectrum(rows: int, columns: int, values: Tensor, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """A matrix with the given singular values, and its singular vectors."""
    g = torch.Generator().manual_seed(seed)
    k = min(rows, columns)
    u = torch.linalg.qr(torch.randn(rows, k, generator=g, dtype=torch.float64))[0]
    v = torch.linalg.qr(torch.randn(columns, k, generator=g, dtype=torch.float64))[0]
    return u @ torch.diag(values) @ v.T, u, v


def polynomial(x: Tensor, steps: int) -> Tensor:
    """What `orthogonalise` does to one matrix, by SVD: normalise by Schatten 8, map each singular value."""
    u, s, vt = torch.linalg.svd(x, full_matrices=False)
    f = s.norm() + 1e-7
    s = s / f
    s = s / (s**8).sum() ** 0.125
    for a, b, c in quintics(steps):
        s = a * s + b * s**3 + c * s**5
    return u @ torch.diag(s) @ vt


# groups


def test_every_parameter_has_its_role_rule_rate_and_decay() -> None:
    model, want = Model(), {
        "embed.token.weight": "embedding", "embed.position.weight": "embedding", "embed.norm.weight": "scalar",
        "embed.norm.bias": "scalar", "scale": "scalar", "heads.lm.weight": "head", "heads.lm.bias": "scalar",
        "layers.0.q.weight": "matrix", "layers.0.up.weight": "matrix", "layers.0.up.bias": "scalar",
        "layers.0.down.weight": "matrix", "layers.0.experts": "matrix", "layers.0.router.weight": "router",
        "layers.0.q_norm.gain": "scalar", "layers.0.relative.weight": "embedding",
    }  # fmt: skip
    named = dict(model.named_parameters())
    assert {name: role(name, named[name]) for name in want} == want
    spec = FAST.model_copy(update={"weight_decay": 0.02, "adamw": FAST.adamw.model_copy(update={"weight_decay": 0.1})})
    groups = {group.role: group for group in param_groups(model, spec)}
    assert sorted(name for group in groups.values() for name in group.names) == sorted(named)
    rules = {kind: (g.method, round(g.lr, 9), g.weight_decay) for kind, g in groups.items()}
    assert rules == {
        "embedding": ("adamw", 0.03, 0.1), "head": ("adamw", 0.005, 0.1), "router": ("adamw", 0.01, 0.1),
        "scalar": ("adamw", 0.02, 0.0), "matrix": ("muon", 0.03, 0.02),
    }  # fmt: skip
    plain = {group.role: group for group in param_groups(model, AdamWSpec(lr=1.0, weight_decay=0.1))}
    assert {kind: (g.method, g.weight_decay) for kind, g in plain.items()} == {
        kind: ("adamw", 0.0 if kind == "scalar" else 0.1) for kind in groups
    }


def test_vectors_in_two_dimensions_are_not_matrices() -> None:
    for name, shape in (("layers.0.experts.bias", (4, 8)), ("layers.0.gain", (1, 8)), ("layers.0.gain", (8, 1))):
        assert role(name, torch.empty(shape)) == "scalar"


def test_tied_parameters_count_once_and_frozen_ones_not() -> None:
    model = Model()
    model.heads["lm"].weight = model.embed["token"].weight
    model.layers[0].requires_grad_(False)
    names = [name for group in param_groups(model, FAST) for name in group.names]
    assert "embed.token.weight" in names and "heads.lm.weight" not in names
    assert not any(name.startswith("layers.0") for name in names)
    with pytest.raises(ConfigError, match="nothing to train"):
        param_groups(model.requires_grad_(False), FAST)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_b11_half_precision_parameters_are_refused_and_small_updates_arrive(dtype: torch.dtype) -> None:
    with pytest.raises(ConfigError) as caught:
        Optimizer(Model().to(dtype), FAST)
    assert caught.value.exit_code == 2 and "float32" in str(caught.value.expected)
    model = nn.Linear(768, 1, bias=False)
    nn.init.ones_(model.weight)
    model.weight.grad = torch.ones_like(model.weight)
    Optimizer(model, AdamWSpec(lr=1e-5, weight_decay=0.0)).step(1.0, 0)
    assert (model.weight != 1).sum() == 768
    assert (model.weight.to(torch.bfloat16) == 1).all()  # where the refused dtype would have stayed


def test_frozen_half_precision_parameters_are_allowed() -> None:
    model = Model()
    model.embed.to(torch.bfloat16).requires_grad_(False)
    run(Optimizer(model, FAST), model, range(1))


# AdamW


def test_r14_adamw_equals_its_closed_form() -> None:
    model = Model().double()
    spec = AdamWSpec(
        lr=0.01, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.1, embedding_scale=3, head_scale=0.5, scalar_scale=2
    )
    weights = {name: p.detach().clone() for name, p in model.named_parameters()}
    m = {name: torch.zeros_like(w) for name, w in weights.items()}
    v = copy.deepcopy(m)
    optimizer, scales = Optimizer(model, spec), {"embedding": 3, "head": 0.5, "scalar": 2}
    for t in range(1, 6):
        with_grads(model, t)
        for name, parameter in model.named_parameters():
            kind, g = role(name, parameter), parameter.grad
            lr, decay = 0.01 * scales.get(kind, 1) * 0.1 * t, 0.0 if kind == "scalar" else 0.1
            m[name] = 0.8 * m[name] + 0.2 * g
            v[name] = 0.95 * v[name] + 0.05 * g**2
            update = (m[name] / (1 - 0.8**t)) / ((v[name] / (1 - 0.95**t)).sqrt() + 1e-6)
            weights[name] = weights[name] * (1 - lr * decay) - lr * update
        optimizer.step(0.1 * t, t - 1)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.detach(), weights[name], rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("spec", [AdamWSpec(), FAST], ids=["adamw", "muon"])
def test_b38_layout_in_memory_changes_nothing(spec: AdamWSpec | MuonSpec) -> None:
    """Gradients and parameters that are transposed, expanded or strided get the same update."""
    results = []
    for odd in (False, True):
        model = Model()
        if odd:
            model.layers[0].q.weight = nn.Parameter(model.layers[0].q.weight.detach().T.contiguous().T)
            holder = torch.zeros(20, 16)
            holder[:, ::2] = model.layers[0].up.weight.detach()
            model.layers[0].up.weight = nn.Parameter(holder[:, ::2])
            assert not any(w.is_contiguous() for w in (model.layers[0].q.weight, model.layers[0].up.weight))
        optimizer = Optimizer(model, spec)
        for step in range(3):
            with_grads(model, step)
            model.heads["lm"].bias.grad = torch.tensor(0.5).expand(11) if odd else torch.full((11,), 0.5)
            for parameter in model.parameters() if odd else ():
                if parameter.ndim >= 2 and parameter.is_contiguous():
                    parameter.grad = parameter.grad.mT.contiguous().mT
            optimizer.step(0.5, step)
        results.append([p.detach().clone() for p in model.parameters()])
    for got, want in zip(*results, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-6, atol=1e-7)


# Muon


@pytest.mark.parametrize("steps", [2, 3, 4, 5])
def test_the_quintics_end_in_their_band_from_their_reach_on(steps: int) -> None:
    x = torch.logspace(math.log10(REACH[steps]), 0, 20_001, dtype=torch.float64)
    small = torch.linspace(0, REACH[steps], 1001, dtype=torch.float64)
    large = torch.linspace(0.2, 1, 1001, dtype=torch.float64)
    for a, b, c in quintics(steps):
        x, small, large = (a * y + b * y**3 + c * y**5 for y in (x, small, large))
        assert large.min() > 0.3  # far above what bf16 rounds off 2
    assert 1 - BAND <= x.min() and x.max() <= 1 + BAND + 1e-6  # coefficients of six decimals
    assert (small.diff() > 0).all() and small[0] == 0


@pytest.mark.parametrize("steps", [2, 3, 4, 5])
@pytest.mark.parametrize("shape", [(16, 16), (16, 20), (20, 16), (12, 50), (50, 12)])
def test_orthogonalise_maps_singular_values_and_keeps_the_vectors(steps: int, shape: tuple[int, int]) -> None:
    x = torch.stack([spectrum(*shape, torch.logspace(0, -low, min(shape), dtype=torch.float64), seed)[0]
                     for seed, low in enumerate((0.5, 2, 6))])  # fmt: skip
    want = torch.stack([polynomial(matrix, steps) for matrix in x])
    torch.testing.assert_close(orthogonalise(x.clone(), steps), want, rtol=0, atol=1e-9)
    single = orthogonalise(x.float(), steps).double()
    # fp32: singular values below 1e-3 (in the last matrix) come out of a Gram matrix known to 1e-7
    torch.testing.assert_close(single[:2], want[:2], rtol=0, atol=2e-3)
    assert torch.linalg.matrix_norm(single, 2).max() < 1 + BAND + 0.05


@pytest.mark.parametrize("shape", [(24, 24), (16, 64), (64, 16)])
def test_orthogonalise_is_near_the_svds_factor(shape: tuple[int, int]) -> None:
    """‖O − UVᵀ‖₂ ≤ 0.3: all singular values lie in the reach, so each ends within 0.3 of 1."""
    x, u, v = spectrum(*shape, torch.linspace(1, 0.02, min(shape), dtype=torch.float64))
    for steps in (3, 4, 5):
        got = orthogonalise(x.float()[None].clone(), steps)[0].double()
        assert torch.linalg.matrix_norm(got - u @ v.T, 2) <= BAND + 2e-3


@pytest.mark.parametrize("shape", [(32, 32), (16, 64), (64, 16)])
@pytest.mark.parametrize("steps", [3, 4, 5])
def test_half_precision_products_stay_in_the_band(shape: tuple[int, int], steps: int) -> None:
    """bf16 rounds a singular value of size 1 by up to 2^-8 per step: a band wider by steps · 2^-8; below reach only bounded."""
    for seed, low in enumerate((0.5, 1, 1.5, 4, 8)):
        x, u, v = spectrum(*shape, torch.logspace(0, -low, min(shape), dtype=torch.float64), seed)
        got = orthogonalise(x.float()[None].clone(), steps, half=True)[0].double()
        assert torch.linalg.matrix_norm(got, 2) < 1 + BAND + steps / 256
        if low <= 1.5:
            assert torch.linalg.svdvals(got).min() > 1 - BAND - steps / 256
            assert (u.T @ got @ v).diagonal().min() > 1 - BAND - steps / 256


def test_orthogonalise_special_matrices() -> None:
    rank_one = torch.outer(torch.arange(1.0, 9), torch.arange(1.0, 9))
    zero, tiny = torch.zeros(8, 8), torch.randn(8, 8, generator=torch.Generator().manual_seed(0))
    for half in (False, True):
        got = orthogonalise(torch.stack([rank_one, zero, tiny * 1e-5, tiny * 1e12, tiny]), 4, half)
        assert torch.linalg.matrix_norm(got[0].float(), 2) < 1.5
        assert (got[1] == 0).all()
        torch.testing.assert_close(got[3].float(), got[4].float(), rtol=0, atol=0.15 if half else 1e-4)
        torch.testing.assert_close(got[2].float(), got[4].float(), rtol=0, atol=0.15 if half else 2e-2)


@pytest.mark.parametrize("shape", [(128, 128), (24, 96), (96, 24)])
def test_batched_equals_one_at_a_time(shape: tuple[int, int]) -> None:
    x = torch.randn(7, *shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    alone = torch.cat([orthogonalise(matrix[None].clone()) for matrix in x])
    torch.testing.assert_close(orthogonalise(x.clone()), alone, rtol=0, atol=1e-12)
    single = torch.cat([orthogonalise(matrix[None].float()) for matrix in x])
    torch.testing.assert_close(orthogonalise(x.float()), single, rtol=0, atol=1e-5)


@pytest.mark.parametrize("nesterov", [True, False])
@pytest.mark.parametrize("scale", ["spectral", "rms"])
def test_muon_equals_a_naive_matrix_by_matrix_one(nesterov: bool, scale: str) -> None:
    model = Model().double()
    spec = MuonSpec(
        lr=0.02, momentum=0.9, momentum_start=0.5, momentum_warmup=4, nesterov=nesterov, weight_decay=0.3, scale=scale
    )
    hidden = {n: p for n, p in model.named_parameters() if role(n, p) == "matrix"}
    assert len(hidden) == 8
    weights = {name: p.detach().clone() for name, p in hidden.items()}
    momenta = {name: torch.zeros_like(p) for name, p in weights.items()}
    optimizer = Optimizer(model, spec)
    for step in range(6):
        with_grads(model, step)
        mu, lr = (0.5, 0.6, 0.7, 0.8, 0.9, 0.9)[step], 0.02 * 0.25
        for name, parameter in hidden.items():
            momenta[name] = mu * momenta[name] + (1 - mu) * parameter.grad
            x = mu * momenta[name] + (1 - mu) * parameter.grad if nesterov else momenta[name]
            out, into = x.shape[-2:]
            update = torch.stack([polynomial(one, spec.steps) for one in x.view(-1, out, into)]).view(x.shape)
            size = max(1, out / into) ** 0.5 if scale == "spectral" else 0.2 * max(out, into) ** 0.5
            weights[name] = weights[name] * (1 - lr * 0.3) - lr * size * update
        optimizer.step(0.25, step)
    for name, parameter in hidden.items():
        torch.testing.assert_close(parameter.detach(), weights[name], rtol=0, atol=1e-9)


@pytest.mark.parametrize("spec", [AdamWSpec(), FAST], ids=["adamw", "muon"])
def test_a_parameter_without_gradient_is_left_alone(spec: AdamWSpec | MuonSpec) -> None:
    model, mates = Model(), Model()
    optimizer, other = Optimizer(model, spec), Optimizer(mates, spec)
    run(optimizer, model, range(2))
    run(other, mates, range(2))
    before = {key: t.clone() for key, t in optimizer.state_tensors().items()}
    idle = ("layers.1.q.weight", "layers.0.experts", "layers.1.experts", "embed.norm.bias")
    weights = {name: p.detach().clone() for name, p in model.named_parameters()}
    with_grads(model, 9)
    with_grads(mates, 9)
    for name in idle:
        model.get_parameter(name).grad = None
    optimizer.step(0.5, 2)
    other.step(0.5, 2)
    for name, parameter in model.named_parameters():
        want = weights[name] if name in idle else mates.get_parameter(name).detach()
        torch.testing.assert_close(parameter.detach(), want, rtol=0, atol=0 if name in idle else 1e-6)
    for key, tensor in optimizer.state_tensors().items():
        if key.rsplit("/", 1)[0] in idle:
            assert torch.equal(tensor, before[key])


@pytest.mark.parametrize("spec", [AdamWSpec(), FAST], ids=["adamw", "muon"])
def test_a_factor_of_zero_changes_no_weight(spec: AdamWSpec | MuonSpec) -> None:
    model, still = Model(), Model()
    run(Optimizer(model, spec), model, range(2), factor=0.0)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), still.parameters(), strict=True))


# gradients


def test_b5_the_norm_is_that_of_all_gradients_together() -> None:
    model = Model()
    optimizer = Optimizer(model, FAST)
    with_grads(model, 0)
    want = torch.cat([p.grad.flatten().double() for p in model.parameters()]).norm().item()
    assert optimizer.grad_norm().item() == pytest.approx(want, rel=1e-6)
    model.scale.grad = None
    assert optimizer.grad_norm().item() < want
    optimizer.zero_grad()
    assert all(p.grad is None for p in model.parameters())
    assert optimizer.grad_norm().item() == 0


def test_r14_clipping_keeps_the_direction() -> None:
    model = Model()
    optimizer = Optimizer(model, FAST)
    with_grads(model, 0)
    before = torch.cat([p.grad.flatten() for p in model.parameters()]).clone()
    norm = optimizer.clip(0.5)
    after = torch.cat([p.grad.flatten() for p in model.parameters()])
    assert norm.item() == pytest.approx(before.norm().item(), rel=1e-6)
    assert after.norm().item() == pytest.approx(0.5, rel=1e-5)
    assert torch.cosine_similarity(before.double(), after.double(), dim=0) > 1 - 1e-12
    optimizer.clip(0.45)  # just above its limit
    assert optimizer.grad_norm().item() == pytest.approx(0.45, rel=1e-5)
    after = torch.cat([p.grad.flatten() for p in model.parameters()])
    optimizer.clip(0.46)
    assert torch.equal(after, torch.cat([p.grad.flatten() for p in model.parameters()]))


def test_a_norm_that_is_not_finite_is_reported() -> None:
    model = Model()
    optimizer = Optimizer(model, FAST)
    with_grads(model, 0)
    model.scale.grad = torch.tensor(float("nan"))
    assert not optimizer.clip(1.0).isfinite()


# state


@pytest.mark.parametrize("spec", [AdamWSpec(), FAST], ids=["adamw", "muon"])
def test_state_resumes_bit_for_bit(spec: AdamWSpec | MuonSpec) -> None:
    model = Model()
    optimizer = Optimizer(model, spec)
    run(optimizer, model, range(3))
    saved = {key: tensor.clone() for key, tensor in optimizer.state_tensors().items()}
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    run(optimizer, model, range(3, 6))
    again = Model(seed=5)
    again.load_state_dict(weights)
    resumed = Optimizer(again, spec)
    resumed.load_state_tensors(saved)
    run(resumed, again, range(3, 6))
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))
    assert all(torch.equal(t, optimizer.state_tensors()[key]) for key, t in resumed.state_tensors().items())


def test_state_is_keyed_by_parameter_name_in_its_shape() -> None:
    model = Model()
    tensors, named = Optimizer(model, FAST).state_tensors(), dict(model.named_parameters())
    hidden = {n for n, p in named.items() if role(n, p) == "matrix"}
    want = {f"{n}/momentum" for n in hidden}
    want |= {f"{n}/{key}" for n in named.keys() - hidden for key in ("exp_avg", "exp_avg_sq", "step")}
    assert tensors.keys() == want
    for key, tensor in tensors.items():
        name, what = key.rsplit("/", 1)
        assert tensor.shape == (() if what == "step" else named[name].shape) and tensor.dtype == torch.float32


def test_state_that_does_not_fit_is_refused_and_changes_nothing() -> None:
    model = Model()
    optimizer = Optimizer(model, FAST)
    run(optimizer, model, range(1))
    live = {key: t.clone() for key, t in optimizer.state_tensors().items()}
    other = {key: torch.zeros_like(t) for key, t in live.items()}
    first = min(other)
    bad = {
        "lacks": {key: t for key, t in other.items() if key != first},
        "unknown": other | {"layers.9.q.weight/momentum": torch.zeros(8, 8)},
        "does not fit": other | {first: torch.zeros(3, 3, 3)},
        r"fit": other | {first: other[first].double()},
    }
    for message, tensors in bad.items():
        with pytest.raises(CheckpointError, match=message):
            optimizer.load_state_tensors(tensors)
    assert all(torch.equal(t, live[key]) for key, t in optimizer.state_tensors().items())


def test_specs_are_closed_and_round_trip() -> None:
    adapter = TypeAdapter(OptimizerSpec)
    for spec in (AdamWSpec(), FAST):
        assert adapter.validate_json(spec.model_dump_json()) == spec
    for bad in (
        {"kind": "adam"},
        {"kind": "muon", "steps": 7},
        {"kind": "adamw", "betas": [0.9, 1.0]},
        {"kind": "muon", "wd": 0},
    ):
        with pytest.raises(ValidationError):
            adapter.validate_python(bad)
    assert [MuonSpec(momentum_warmup=2).momentum_at(s) for s in (0, 1, 2, 9)] == pytest.approx([0.85, 0.9, 0.95, 0.95])
    assert MuonSpec(momentum_warmup=0).momentum_at(0) == 0.95


# ---------------------------------------------------------------- rates by layer


class Stacks(nn.Module):
    """The names of an encoder–decoder: two layers and three, with what stands below and above them."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = self._stack(2), self._stack(3)
        self.decoder.embed.token = self.encoder.embed.token
        self.heads = nn.ModuleDict({"lm": nn.Linear(4, 4)})

    def _stack(self, layers: int) -> nn.Module:
        stack = nn.Module()
        stack.embed = nn.Module()
        stack.embed.token = nn.Parameter(torch.ones(5, 4))
        stack.layers = nn.ModuleList(nn.ModuleDict({"q": nn.Linear(4, 4)}) for _ in range(layers))
        stack.relative = nn.ModuleList([nn.Embedding(3, 2)])
        stack.final_norm = nn.LayerNorm(4)
        return stack


def rates(model: nn.Module, spec: AdamWSpec | MuonSpec) -> dict[str, float]:
    return {name: group.lr for group in param_groups(model, spec) for name in group.names}


def test_layer_decay_multiplies_once_per_layer_below_the_output() -> None:
    found = rates(Stacks(), AdamWSpec(lr=1.0, layer_decay=0.5))
    assert {n: found[f"encoder.{n}"] for n in ("embed.token", "layers.0.q.weight", "layers.1.q.bias", "relative.0.weight", "final_norm.weight")} == {
        "embed.token": 0.5**3, "layers.0.q.weight": 0.5**2, "layers.1.q.bias": 0.5, "relative.0.weight": 0.5**3, "final_norm.weight": 1.0,
    }  # fmt: skip
    assert [found[f"decoder.layers.{i}.q.weight"] for i in range(3)] == [0.5**3, 0.5**2, 0.5]
    assert found["heads.lm.weight"] == found["heads.lm.bias"] == found["decoder.final_norm.bias"] == 1.0


def test_layer_decay_counts_frozen_layers_and_keeps_the_scales() -> None:
    model = Stacks()
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(not name.startswith("decoder.layers.2"))
    found = rates(model, AdamWSpec(lr=1.0, layer_decay=0.5, embedding_scale=3.0, scalar_scale=2.0))
    assert found["decoder.layers.1.q.weight"] == 0.25
    assert found["decoder.layers.1.q.bias"] == 0.5
    assert found["encoder.embed.token"] == 3 * 0.5**3


def test_without_a_decay_the_groups_are_by_role_alone() -> None:
    groups = param_groups(Stacks(), AdamWSpec())
    assert [group.role for group in groups] == ["embedding", "matrix", "scalar", "head"]


def test_one_decayed_step_by_hand() -> None:
    """The first step of Adam is lr · sign(gradient)."""
    model = Stacks()
    with_grads(model, 3)
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    spec = AdamWSpec(lr=0.1, layer_decay=0.5, weight_decay=0.0, eps=1e-12)
    Optimizer(model, spec).step(1.0, 0)
    for name, rate in rates(model, spec).items():
        parameter = dict(model.named_parameters())[name]
        torch.testing.assert_close(before[name] - parameter.detach(), rate * parameter.grad.sign(), rtol=1e-4, atol=1e-6, msg=name)


def test_muon_has_one_rate() -> None:
    with pytest.raises(ValidationError, match="layer_decay is AdamW's"):
        MuonSpec(adamw=AdamWSpec(layer_decay=0.9))
    for bad in (0.0, 1.1):
        with pytest.raises(ValidationError):
            AdamWSpec(layer_decay=bad)


def test_the_factors_of_low_rank_updates_are_adamws() -> None:
    q = "decoder.layers.0.attention.heads.q"
    assert role(f"{q}.lora_a", torch.ones(1, 4)) == role(f"{q}.lora_b", torch.ones(4, 2)) == "lora"
    model = Stacks()
    model.lora_a = nn.Parameter(torch.ones(2, 4))
    found = {group.role: group for group in param_groups(model, FAST)}
    assert (found["lora"].method, found["lora"].lr, found["matrix"].method) == ("adamw", FAST.adamw.lr, "muon")
