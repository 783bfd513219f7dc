"""One step and one evaluation: what is summed, divided, clipped, averaged, and refused."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from polyhead.data import Masked, Seq2Seq, open_source, pack
from polyhead.errors import CheckpointError, NonFiniteError
from polyhead.families import preset, with_vocab
from polyhead.nn import Batch, Tokens
from polyhead.text import Tokenizer
from polyhead.train import Trainer, evaluate
from polyhead.train.loop import Rate, load_weights, mixed, move

from .tiny import causal, config, gpt, raw

V, T = 263, 16
MOE = {
    "decoder.blocks.layer.ffn": {"kind": "experts", "experts": 4, "top_k": 2, "inner": 8, "balance": 0.05},
}


def batch(rows: int = 4, seed: int = 0, ragged: bool = False) -> Batch:
    g = torch.Generator().manual_seed(seed)
    weights = torch.ones(rows, T)
    if ragged:
        weights = (torch.arange(T) < torch.randint(1, T, (rows, 1), generator=g)).float()
    ids = torch.randint(7, V, (rows, T + 1), generator=g)
    return Batch(Tokens(ids[:, :-1]), ids[:, 1:], weights)


def cut(whole: Batch, *sizes: int) -> list[Batch]:
    parts = zip(*(t.split(sizes) for t in (whole.inputs.ids, whole.targets, whole.weights)), strict=True)
    return [Batch(Tokens(ids), targets, weights) for ids, targets, weights in parts]


def trainer(spec: Any = None, **changes: Any) -> Trainer:
    return Trainer((spec or gpt()).build(3), config(**changes), seed=1)


def gradients(t: Trainer, micros: list[Batch], step: int = 0) -> dict[str, Tensor]:
    """What reaches the optimizer; no update is made."""
    seen: dict[str, Tensor] = {}
    t.optimizer.step = lambda *_: seen.update({n: p.grad.clone() for n, p in t.net.named_parameters()})  # type: ignore[method-assign]
    t.step(micros, step)
    return seen


def state(t: Trainer) -> dict[str, bytes]:
    return {f"{g}/{n}": raw(v) for g, named in t.tensors().items() for n, v in named.items()}


# ---------------------------------------------------------------- what a step divides by


def test_b1_b3_ragged_micro_batches_and_a_short_last_one_give_the_whole_batch() -> None:
    whole = batch(ragged=True)
    expected = gradients(trainer(), [whole])
    for sizes in ((2, 2), (3, 1), (1, 1, 1, 1)):
        found = gradients(trainer(), cut(whole, *sizes))
        for name, grad in expected.items():
            torch.testing.assert_close(found[name], grad, rtol=1e-4, atol=1e-7, msg=name)


def test_the_loss_told_is_nats_per_trained_token() -> None:
    t, whole = trainer(), batch(ragged=True)
    with torch.no_grad():
        logits = t.net(whole.inputs)
        nll = F.cross_entropy(logits.flatten(0, 1), whole.targets.flatten(), reduction="none")
    expected = (nll * whole.weights.flatten()).sum() / whole.weights.sum()
    done = t.step(cut(whole, 3, 1), 0)
    assert done.loss == pytest.approx(expected.item(), rel=1e-6)
    assert done.tokens == 4 * T


def test_label_smoothing_and_z_loss_reach_the_gradient() -> None:
    t, whole = trainer(label_smoothing=0.2, z_loss=0.01), batch()
    logits = t.net(whole.inputs).flatten(0, 1)
    expected = F.cross_entropy(logits, whole.targets.flatten(), label_smoothing=0.2)
    expected = expected + 0.01 * logits.logsumexp(-1).square().mean()
    wanted = dict(zip([n for n, _ in t.net.named_parameters()], torch.autograd.grad(expected, t.params), strict=True))
    for name, grad in gradients(t, [whole]).items():
        torch.testing.assert_close(grad, wanted[name], rtol=1e-4, atol=1e-6, msg=name)


def test_b12_a_step_without_a_trained_token_changes_nothing_but_the_moments() -> None:
    t, whole = trainer(), batch()
    before = {n: raw(p) for n, p in t.net.named_parameters()}
    done = t.step([whole._replace(weights=torch.zeros(4, T))], 0)
    assert (done.loss, done.norm) == (0.0, 0.0)
    assert before == {n: raw(p) for n, p in t.net.named_parameters()}


def test_the_balance_loss_is_a_mean_over_micro_batches_and_not_in_the_loss_told() -> None:
    spec, parts = gpt(**{k.replace(".", "__"): v for k, v in MOE.items()}), cut(batch(), 2, 2)
    net = spec.build(3).train()
    weight, total = sum(p.weights.sum() for p in parts), torch.zeros(())
    loss = torch.zeros(())
    for part in parts:
        x, balance = net.hidden(part.inputs)
        assert balance is not None and balance.item() > 0
        nats = F.cross_entropy(net.logits(x).flatten(0, 1), part.targets.flatten(), reduction="sum")
        loss = loss + nats / weight
        total = total + nats / weight + balance / len(parts)
    names = [n for n, _ in net.named_parameters()]
    wanted = dict(zip(names, torch.autograd.grad(total, list(net.parameters())), strict=True))
    t = trainer(spec)
    found = gradients(t, parts)
    for name in names:
        torch.testing.assert_close(found[name], wanted[name], rtol=1e-4, atol=1e-6, msg=name)
    assert any(found[name].abs().sum() > 0 for name in names if "router" in name)
    assert t.step(parts, 0).loss == pytest.approx(loss.item(), rel=1e-5)


@pytest.mark.parametrize("clip", [0.0, 0.05, 1e6])
def test_clipping_scales_what_the_optimizer_sees_and_tells_the_norm_before(clip: float) -> None:
    free = gradients(trainer(), [batch()])
    norm = torch.stack([g.norm() for g in free.values()]).norm().item()
    t = trainer(clip=clip)
    seen = gradients(t, [batch()])
    assert t.step([batch()], 0).norm == pytest.approx(norm, rel=1e-5)
    wanted = min(1.0, clip / norm) if clip else 1.0
    for name, grad in seen.items():
        torch.testing.assert_close(grad, free[name] * wanted, rtol=1e-4, atol=1e-9)


# ---------------------------------------------------------------- refused before the weights are touched


@pytest.mark.parametrize("kind", ["adamw", "muon"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("where", ["loss", "gradient", "overflow"])
def test_t13_nan_and_infinity_stop_before_the_weights(where: str, value: float, kind: str) -> None:
    t = trainer(clip=1.0, ema=0.9, optimizer={"kind": kind})
    t.step([batch()], 0)
    before, name = state(t), "decoder.layers.1.ffn.up.weight"
    parameter = dict(t.net.named_parameters())[name]
    if where == "loss":
        forward = t.forward
        t.forward = lambda b: (forward(b)[0] * value, None)
    else:

        def spoil(grad: Tensor) -> Tensor:
            grad = grad.clone()
            grad.view(-1)[5] = value if where == "gradient" else 1e30
            return grad

        parameter.register_hook(spoil)
    with pytest.raises(NonFiniteError) as caught:
        t.step([batch()], 6)
    assert state(t) == before
    assert all(p.grad is None for p in t.params)
    text = str(caught.value)
    assert caught.value.exit_code == 1 and "step 7" in text
    assert {"loss": "the loss", "gradient": f"the gradient of {name}", "overflow": "too large for fp32"}[where] in text
    if where == "gradient":
        assert "more" not in text and text.count("decoder.") == 1, "one parameter is to blame"


def test_a_nan_weight_is_noticed_at_the_next_step() -> None:
    t = trainer()
    with torch.no_grad():
        dict(t.net.named_parameters())["decoder.layers.0.attention.heads.q.weight"][0, 0] = math.nan
    with pytest.raises(NonFiniteError):
        t.step([batch()], 0)


def test_a_step_that_failed_half_way_leaves_no_gradient_to_the_next() -> None:
    a, b, parts = trainer(), trainer(), cut(batch(), 2, 2)
    forward, calls = a.forward, []

    def fail(part: Batch) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise RuntimeError("half-way")
        return forward(part)

    a.forward = fail
    with pytest.raises(RuntimeError, match="half-way"):
        a.step(parts, 0)
    a.step(parts, 0)
    b.step(parts, 0)
    assert state(a) == state(b)


# ---------------------------------------------------------------- ways to compute


def test_b11_bf16_keeps_weights_and_moments_in_fp32_and_stays_finite() -> None:
    a, b = trainer(precision="bf16"), trainer()
    for step in range(6):
        low, full = a.step([batch(seed=step)], step), b.step([batch(seed=step)], step)
        assert math.isfinite(low.loss) and low.loss == pytest.approx(full.loss, rel=0.02)
        assert low.loss != full.loss, "bf16 was not used"
    assert {p.dtype for p in a.net.parameters()} == {torch.float32}
    assert {v.dtype for v in a.optimizer.state_tensors().values()} == {torch.float32}
    t = trainer(precision="bf16", optimizer={"kind": "adamw", "lr": 1e-6, "weight_decay": 0.0})
    before = {n: p.detach().clone() for n, p in t.net.named_parameters()}
    t.step([batch()], 0)
    moved = [(p != before[n]).float().mean().item() for n, p in t.net.named_parameters() if "ffn" in n]
    assert min(moved) > 0.9, "an update of a millionth reaches the weights"


def test_recomputed_layers_give_the_same_bits_with_dropout() -> None:
    spec = gpt(dropout__residual=0.2, dropout__attention=0.2)
    found = [gradients(trainer(spec, checkpointing=on), cut(batch(), 2, 2)) for on in (False, True)]
    assert {n: raw(g) for n, g in found[0].items()} == {n: raw(g) for n, g in found[1].items()}
    other = gradients(trainer(spec), cut(batch(), 2, 2), step=1)
    assert any(not torch.equal(other[n], g) for n, g in found[0].items()), "another step, another mask"


def test_dropout_differs_between_micro_batches_and_is_off_in_evaluation() -> None:
    spec = gpt(dropout__residual=0.5)
    one, two = batch(2), batch(2)
    t = trainer(spec)
    seen = []
    forward = t.forward
    t.forward = lambda b: seen.append(forward(b)) or seen[-1]  # type: ignore[func-returns-value]
    t.step([one, two], 0)
    assert seen[0][0].item() != seen[1][0].item()
    assert t.net.training


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{}, {"ema": 0.9, "precision": "bf16"}], ids=["fp32", "bf16"])
def test_compiled_equals_eager(changes: dict[str, Any]) -> None:
    tolerance = 1e-5 if not changes else 2e-2
    a, b = (Trainer(gpt().build(3), config(**changes), seed=1, compiled=on) for on in (False, True))
    for step in range(3):
        parts = cut(batch(seed=step), 2, 2)
        x, y = a.step(parts, step), b.step(parts, step)
        assert y.loss == pytest.approx(x.loss, rel=tolerance)
        assert y.norm == pytest.approx(x.norm, rel=max(tolerance, 1e-4))


def test_the_average_follows_its_formula_and_is_what_is_evaluated(data, tmp_path: Path) -> None:
    t = trainer(ema=0.5)
    name, p = next(iter(t.net.named_parameters()))
    expected = p.detach().clone()
    for step in range(4):
        t.step([batch(seed=step)], step)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * p.detach()
    assert t.ema is not None
    torch.testing.assert_close(t.ema[name], expected, rtol=1e-5, atol=1e-7)
    objective, _ = causal(data, tmp_path)
    live = {n: raw(q) for n, q in t.net.named_parameters()}
    found = t.evaluate(objective, 4).loss
    assert {n: raw(q) for n, q in t.net.named_parameters()} == live, "the trained weights are back"
    with t.averaged():
        assert evaluate(t.net, objective, 4).loss == found
        with pytest.raises(ZeroDivisionError), t.averaged():
            1 / 0  # noqa: B018
    assert evaluate(t.net, objective, 4).loss != found


# ---------------------------------------------------------------- evaluation


@pytest.mark.parametrize("rows", [1, 3, 4, 64])
def test_evaluation_counts_every_target_once(rows: int, data, tmp_path: Path) -> None:
    objective, file = causal(data, tmp_path)
    net = gpt().build(3)
    found = evaluate(net, objective, rows)
    assert found.weight == len(file) - 1
    tokens, nats, done = torch.from_numpy(file.tokens.astype("int64")), 0.0, set()
    with torch.no_grad():
        for start in range(0, len(file) - 1, T):  # windows one after another; the last one ends at the end
            at = min(start, len(file) - 1 - T)
            nll = F.cross_entropy(net(Tokens(tokens[None, at : at + T]))[0], tokens[at + 1 : at + T + 1], reduction="none")
            for offset, value in enumerate(nll.tolist()):
                if at + offset not in done:
                    done.add(at + offset)
                    nats += value
    assert found.nats == pytest.approx(nats, rel=1e-6)
    assert found.bits_per_byte(file.bytes) == pytest.approx(nats / math.log(2) / file.bytes, rel=1e-6)


def test_evaluation_is_without_dropout(data, tmp_path: Path) -> None:
    objective, _ = causal(data, tmp_path)
    still, noisy = trainer(), trainer(gpt(dropout__residual=0.5, dropout__embedding=0.5))
    assert noisy.net.training
    assert still.evaluate(objective, 4) == noisy.evaluate(objective, 4)


def test_the_optimizer_is_told_the_update_and_its_factor() -> None:
    t, told = trainer(schedule={"kind": "linear", "warmup": 3}), []
    t.optimizer.step = lambda factor, step: told.append((factor, step))  # type: ignore[method-assign]
    for step in (0, 1, 7):
        t.step(cut(batch(), 2, 2), step)
    assert told == [(t.config.schedule.factor(step, 10), step) for step in (0, 1, 7)]


def test_evaluation_keeps_the_mode_and_ignores_smoothing(data, tmp_path: Path) -> None:
    objective, _ = causal(data, tmp_path)
    a, b = trainer(label_smoothing=0.3, z_loss=0.1), trainer()
    assert a.evaluate(objective, 4) == b.evaluate(objective, 4)
    a.net.eval()
    a.evaluate(objective, 4)
    assert not a.net.training
    assert a.evaluate(objective, 4, limit=2).weight == 2 * 4 * T
    assert math.isnan(a.evaluate(objective, 4, limit=0).loss)


# ---------------------------------------------------------------- small parts


def test_tokens_are_counted_without_padding_and_alike_for_every_split(data, tmp_path: Path) -> None:
    tokenizer = Tokenizer.train(["a"], "bytes")
    pairs = Seq2Seq(pack(open_source(data["pairs"], columns=["source", "target"]), tokenizer, tmp_path / "p"), T, T)
    spec = with_vocab(preset("transformer-nano"), tokenizer.vocab_size)
    numbers, wanted = [3, 9, 20, 31], 0
    for n in numbers:
        one = pairs.make(np.array([n]), 0, 0)
        assert one.source is not None
        wanted += one.source.ids.numel() + one.targets.numel()
    for sizes in ((4,), (2, 2), (1, 1, 1, 1)):
        parts, at = [], 0
        for size in sizes:
            parts.append(pairs.make(np.array(numbers[at : at + size]), 0, 0))
            at += size
        assert Trainer(spec.build(0), config(), seed=0).step(parts, 0).tokens == wanted


def test_masked_and_seq2seq_overfit_one_batch(data, tmp_path: Path) -> None:
    tokenizer = Tokenizer.train(["a"], "bytes")
    text = pack(open_source(data["text"], split="blank"), tokenizer, tmp_path / "t")
    pairs = pack(open_source(data["pairs"], columns=["source", "target"]), tokenizer, tmp_path / "p")
    for name, objective in (("bert-nano", Masked(text, T, tokenizer)), ("transformer-nano", Seq2Seq(pairs, T, T))):
        net = with_vocab(preset(name), tokenizer.vocab_size).build(0)
        t = Trainer(net, config(steps=60, optimizer={"kind": "adamw", "lr": 3e-3}), seed=0)
        part = objective.make(np.arange(4), 0, 0)
        losses = [t.step([part], step).loss for step in range(60)]
        assert losses[0] == pytest.approx(math.log(tokenizer.vocab_size), rel=0.02)
        assert losses[-1] < 0.1, name


def test_weights_that_do_not_fit_are_refused_whole() -> None:
    net, other = gpt().build(0), gpt(**{"decoder.layers": 1}).build(1)
    before = {n: raw(p) for n, p in net.named_parameters()}
    with pytest.raises(CheckpointError, match="do not fit"):
        load_weights(net, dict(other.named_parameters()))
    assert {n: raw(p) for n, p in net.named_parameters()} == before


def test_mixed_seeds_differ_and_stay_positive() -> None:
    seeds = {mixed(a, b, c, d) for a in range(4) for b in range(20) for c in range(3) for d in range(3)}
    assert len(seeds) == 4 * 20 * 3 * 3 and min(seeds) >= 0 and max(seeds) < 2**63
    assert mixed(1, 2) == mixed(1, 2) != mixed(2, 1)


def test_move_and_rate() -> None:
    part = batch()
    assert move(part, torch.device("cpu")) is part
    moved = move(part, torch.device("meta"))
    assert moved.targets.device.type == moved.inputs.ids.device.type == "meta" and moved.inputs.padded is False
    rate = Rate(window=0.0)
    assert rate.add(1000) > 0 and rate.tokens == 500, "old times count half"
