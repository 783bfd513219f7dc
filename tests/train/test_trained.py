"""What is trained: who gets a gradient, an update, optimizer state and an average, and who keeps every bit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter, ValidationError

from polyhead.checkpoint import latest
from polyhead.errors import ConfigError
from polyhead.generate import load
from polyhead.nn import DropoutSpec, LoraSpec, ModelSpec
from polyhead.train import All, Heads, Parts, TrainedSpec, Trainer, TrainingConfig, apply, parse_overrides
from polyhead.train.loss import loss_sum
from polyhead.train.memory import memory_parts
from polyhead.train.settings import place
from polyhead.train.trained import count, names, spec_for

from ..conformance import specs
from .test_loop import batch
from .tiny import config, go, gpt, raw

READ: TypeAdapter[TrainedSpec] = TypeAdapter(TrainedSpec)
CLASSIFY = specs.encoder(head=specs.OUTPUTS["classify"], norm=specs.NORMS["layer"])
LORA = {"kind": "lora", "rank": 2, "targets": ["q", "v"]}
FACTORS = [f"decoder.layers.{i}.attention.heads.{p}.lora_{f}" for i in (0, 1) for p in "qv" for f in "ab"]


def read(asked: Any) -> TrainedSpec:
    """As a recipe's file is read: strictly. A word is what the command line makes of it."""
    return READ.validate_json(json.dumps({"kind": asked} if isinstance(asked, str) else asked), strict=True)


def trained(spec: ModelSpec, asked: Any) -> list[str]:
    net = spec.build(0)
    chosen = apply(read(asked), net)
    assert chosen == [n for n, p in net.named_parameters() if p.requires_grad]
    return chosen


# ---------------------------------------------------------------- who is chosen


def test_all_is_the_default_and_words_on_the_command_line_are_kinds() -> None:
    assert TrainingConfig().trained == All()
    tree: dict[str, Any] = {}
    for key, value in parse_overrides(["training.trained=lora", "training.trained.rank=4", "training.trained.targets=[q,up]"]).items():
        place(tree, key, value)
    assert read(tree["training"]["trained"]) == LoraSpec(rank=4, targets=("q", "up"))
    place(tree, "training.trained", "heads")
    assert read(tree["training"]["trained"]) == Heads()
    assert TrainingConfig.model_validate(TrainingConfig(trained=LoraSpec(rank=3)).model_dump(mode="json")).trained == LoraSpec(rank=3)
    net = gpt().build(0)
    assert apply(All(), net) == [n for n, _ in net.named_parameters()]


def test_a_linear_probe_is_the_head() -> None:
    assert set(trained(CLASSIFY, "heads")) == {f"heads.out.{n}" for n in ("weight", "bias", "dense.weight", "dense.bias")}


def test_last_layers_take_what_is_above_them() -> None:
    found = trained(CLASSIFY, {"kind": "parts", "last": 1})
    assert {".".join(n.split(".")[:3]) for n in found if ".layers." in n} == {"encoder.layers.1"}
    assert {n.split(".")[1] for n in found if n.startswith("encoder.")} == {"layers", "final_norm"}
    assert any(n.startswith("heads.") for n in found)
    two = trained(specs.seq2seq(), {"kind": "parts", "last": 2})
    assert not [n for n in two if n.startswith("encoder.")]
    with pytest.raises(ConfigError, match="at most 2 layers"):
        trained(CLASSIFY, {"kind": "parts", "last": 3})
    albert = specs.ENCODERS["albert"]  # three layers, one set of weights
    assert [n for n in trained(albert, {"kind": "parts", "last": 1}) if ".layers.0." in n]


def test_patterns_are_beginnings_or_globs() -> None:
    spec, every = gpt(), set(names(gpt().build(0)))
    assert set(trained(spec, {"kind": "parts", "train": ["decoder.layers.1"]})) == {n for n in every if n.startswith("decoder.layers.1.")}
    assert set(trained(spec, {"kind": "parts", "train": ["*.attention.heads.?.weight"]})) == {n for n in every if n[-10:-8] == "s." and n.endswith(".weight") and ".heads." in n}
    assert set(trained(spec, {"kind": "parts", "freeze": ["decoder.embed"]})) == every - {"decoder.embed.token"}
    assert set(trained(spec, {"kind": "parts", "train": ["decoder"], "freeze": ["*.q", "decoder.embed"]})) == {
        n for n in every if n.startswith("decoder.") and ".q." not in n and ".embed." not in n
    }


def test_a_tied_table_has_two_names_and_learns_or_rests_once() -> None:
    spec = specs.seq2seq(share=True)
    for name in ("encoder.embed", "decoder.embed.token"):
        assert trained(spec, {"kind": "parts", "train": [name]}) == ["encoder.embed.token"]
        assert "encoder.embed.token" not in trained(spec, {"kind": "parts", "freeze": [name]})


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"kind": "parts", "train": ["encoder"]}, r"'encoder' fits no parameter\n.*decoder\.embed, .*decoder\.layers\.0 … decoder\.layers\.1"),
        ({"kind": "parts", "freeze": ["nothing"]}, "'nothing' fits no parameter"),
        ({"kind": "parts", "train": ["heads"], "freeze": ["heads", "decoder"]}, "nothing to train"),
        ({"kind": "lora", "targets": ["w_q"]}, r"'w_q' names no linear map: there are q, k, v, o, up, down"),
        ({"kind": "lora", "also": ["pooler"]}, r"trained\.also: 'pooler' fits no parameter"),
    ],
)
def test_what_fits_nothing_is_refused_with_the_names_there_are(asked: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        trained(gpt(), asked)
    with pytest.raises(ConfigError):
        spec_for(read(asked), gpt())  # before anything is built


def test_a_tied_head_alone_is_refused_with_the_reason() -> None:
    with pytest.raises(ConfigError, match="the output matrix is the token embedding"):
        trained(specs.decoder(head=specs.OUTPUTS["lm_tied"]), "heads")


@pytest.mark.parametrize("asked", [{"kind": "parts"}, {"kind": "parts", "last": 0}, {"kind": "lora", "rank": 0}, {"kind": "lora", "targets": []}, {"kind": "lore"}, "some"])
def test_impossible_specs(asked: Any) -> None:
    with pytest.raises(ValidationError):
        read(asked)


def test_lora_trains_the_factors_and_new_heads() -> None:
    assert trained(gpt(), LORA) == FACTORS
    found = trained(CLASSIFY, LORA)
    assert {n.rpartition(".")[2] for n in found if n.startswith("encoder.")} == {"lora_a", "lora_b"}
    assert {n for n in found if n.startswith("heads.")} == {f"heads.out.{n}" for n in ("weight", "bias", "dense.weight", "dense.bias")}
    assert not [n for n in trained(CLASSIFY, {**LORA, "also": []}) if n.startswith("heads.")]
    assert "decoder.embed.token" in trained(gpt(), {**LORA, "also": ["decoder.embed"]})


def test_updates_that_are_there_are_trained_on_and_others_refused() -> None:
    net = gpt().build(0)
    apply(LoraSpec(rank=2), net)
    with torch.no_grad():
        net.decoder.layers[0].attention.heads.q.lora_b.fill_(0.5)
    assert apply(LoraSpec(rank=2), net) == FACTORS
    assert net.decoder.layers[0].attention.heads.q.lora_b.eq(0.5).all()
    with pytest.raises(ConfigError, match="low-rank updates already"):
        apply(LoraSpec(rank=3), net)


# ---------------------------------------------------------------- what a step does


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("asked", [LORA, {"kind": "parts", "last": 1}, {"kind": "parts", "train": ["*.join_*", "*.q"]}, "heads"])
def test_exactly_the_chosen_move(asked: Any, checkpointing: bool) -> None:
    spec = gpt(decoder__blocks__layer__norm={"kind": "layer"})
    net = spec.build(3)
    chosen = set(apply(read(asked), net))
    t = Trainer(net, config(checkpointing=checkpointing, ema=0.5, optimizer={"kind": "adamw", "lr": 0.01, "weight_decay": 0.5}), seed=1)
    before = {n: raw(p) for n, p in net.named_parameters()}
    for step in range(2):
        t.step([batch(seed=step)], step)
    moved = {n for n, p in net.named_parameters() if raw(p) != before[n]}
    assert moved == chosen
    assert {n.rpartition("/")[0] for n in t.optimizer.state_tensors()} == chosen
    assert t.ema is not None and t.ema.keys() == chosen
    assert t.tensors()["model"].keys() == before.keys(), "a checkpoint holds the whole model"


def test_the_norm_and_clipping_are_of_what_learns() -> None:
    full = gpt().build(3)
    every = Trainer(full, config(), seed=1).step([batch()], 0).norm
    net = gpt().build(3)
    apply(Parts(last=1), net)
    some = Trainer(net, config(), seed=1).step([batch()], 0).norm
    assert 0 < some < every
    net = gpt().build(3)
    apply(Parts(last=1), net)
    x, _ = net.hidden(batch().inputs)
    loss = torch.nn.functional.cross_entropy(net.logits(x).flatten(0, 1), batch().targets.flatten())
    grads = torch.autograd.grad(loss, [p for p in net.parameters() if p.requires_grad])
    assert some == pytest.approx(torch.stack([g.norm() for g in grads]).norm().item(), rel=1e-5)


def test_averages_stand_in_for_what_learns_alone() -> None:
    net = gpt().build(3)
    apply(LoraSpec(rank=2), net)
    t = Trainer(net, config(ema=0.5), seed=1)
    t.step([batch()], 0)
    live = {n: raw(p) for n, p in net.named_parameters()}
    with t.averaged():
        inside = {n: raw(p) for n, p in net.named_parameters()}
    assert {n for n in live if inside[n] != live[n]} == {n for n in FACTORS if n.endswith("_b")}, "A moves only once B is not zero"
    assert {n: raw(p) for n, p in net.named_parameters()} == live


def test_a_frozen_batch_norm_keeps_its_statistics() -> None:
    spec = gpt(decoder__blocks__layer__norm={"kind": "batch"})
    statistics = lambda net: {n: raw(b) for n, b in net.named_buffers() if n.endswith(("mean", "var"))}  # noqa: E731
    for asked, kept in ((LoraSpec(rank=2), True), (All(), False)):
        net = spec.build(3)
        apply(asked, net)
        t, before = Trainer(net, config(), seed=1), statistics(net)
        assert before
        t.step([batch()], 0)
        assert (statistics(net) == before) is kept


def test_dropout_of_the_updates_belongs_to_the_step() -> None:
    """Without any other dropout: seeded by (seed, step), so that a resumed run draws the same."""
    spec = gpt().model_copy(update={"dropout": DropoutSpec()})
    losses = []
    for global_seed in (1, 2):
        net = spec.build(3)
        apply(LoraSpec(rank=2, dropout=0.5), net)
        with torch.no_grad():
            for n, p in net.named_parameters():
                p.add_(0.3 if n.endswith("lora_b") else 0.0)
        t = Trainer(net, config(), seed=1)
        torch.manual_seed(global_seed)
        losses.append([t.step([batch()], step).loss for step in (0, 1)])
    assert losses[0] == losses[1]


# ---------------------------------------------------------------- memory and runs


def test_the_memory_plan_counts_what_learns() -> None:
    spec = gpt()
    asked, total = LoraSpec(rank=2), gpt().params().total
    n = count(asked, spec)
    assert n == 2 * 2 * (2 * 16 + 2 * 16)  # layers × (q, v) × rank × (in + out)
    whole, low = (memory_parts(spec, config(trained=t, ema=0.9), 16) for t in (All(), asked))
    assert (whole["gradients"], whole["optimizer"], whole["average"]) == (4 * total, 8 * total, 4 * total)
    assert (low["gradients"], low["optimizer"], low["average"]) == (4 * n, 8 * n, 4 * n)
    assert low["weights"] == 4 * (total + n)
    net = gpt().build(0)
    apply(asked, net)
    state = Trainer(net, config(), seed=0).optimizer.state_tensors()
    assert sum(t.nbytes for name, t in state.items() if not name.endswith("/step")) == low["optimizer"]


@pytest.mark.parametrize("asked", ["lora", "heads"])
def test_a_run_keeps_the_rest_and_loads(asked: str, data: dict[str, str], tmp_path: Path) -> None:
    model = go("muon", data, tmp_path / "run", training__trained=asked, training__steps=4, training__save_every=2, model__init={"kind": "normal"})
    again = load(tmp_path / "run").net
    saved = latest(tmp_path / "run" / "checkpoints")
    assert saved is not None
    assert {n: raw(t) for n, t in again.state_dict().items()} == {n: raw(t) for n, t in model.net.state_dict().items()}
    start = spec_for(read(asked), model.spec.model_copy(update={"lora": None})).build(7).state_dict()
    moved = {n for n, t in saved.load("model").items() if raw(t) != raw(start[n])}
    expected = {n for n in start if (".lora_b" in n if asked == "lora" else n.startswith("heads."))}
    assert moved >= expected
    assert not {n for n in moved if not (".lora_" in n if asked == "lora" else n.startswith("heads."))}
    assert (again.spec.lora is not None) is (asked == "lora")


@pytest.mark.parametrize("asked", [LoraSpec(rank=2), Heads(), Parts(freeze=("heads",))])
def test_a_loss_in_chunks_gives_what_learns_the_same_gradient(asked: TrainedSpec) -> None:
    found: list[dict[str, torch.Tensor]] = []
    for limit in (2**26, 300):  # one row of logits at a time
        net = gpt().build(3)
        chosen = apply(asked, net)
        with torch.no_grad():
            for n, p in net.named_parameters():
                p.add_(0.3 if n.endswith("lora_b") else 0.0)
        x, _ = net.hidden(batch().inputs)
        loss_sum(x, net.logits, batch().targets, batch().weights, limit_elements=limit).backward()
        found.append({n: p.grad for n, p in net.named_parameters() if p.grad is not None})
        assert list(found[-1]) == chosen
    for name, grad in found[0].items():
        torch.testing.assert_close(found[1][name], grad, rtol=1e-4, atol=1e-5, msg=name)
