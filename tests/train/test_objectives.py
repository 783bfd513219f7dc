"""What each objective asks, against numbers worked out by hand."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import polyhead as ph
from polyhead.checkpoint import latest
from polyhead.errors import ConfigError
from polyhead.families import for_objective, override, preset, with_head, with_vocab
from polyhead.nn import Batch, ModelSpec, Tokens, Transformer
from polyhead.train import Trainer, TrainingConfig
from polyhead.train.objectives import DistilledSpec, MaskedSpec, ReplacedSpec
from polyhead.train.objectives.distilled import DistilledLearner, check_teacher, spread
from polyhead.train.objectives.replaced import ReplacedLearner, generator_spec

from .tiny import ADAMW, LOOP, go

SMALL = {"encoder.layers": 2, "encoder.width": 16, "encoder.blocks.layer.attention.heads.heads": 2}


def encoder(vocab: int = 30, **more: Any) -> ModelSpec:
    return override(with_vocab(preset("bert-base"), vocab), SMALL | {"encoder.blocks.layer.ffn.inner": 32, "context": 16} | more)


def hidden_batch() -> Batch:
    """Two rows of six, places 1 and 4 of the first and 2 of the second hidden behind id 3."""
    wanted = torch.tensor([[5, 6, 7, 8, 9, 10], [11, 12, 13, 14, 15, 16]])
    weights = torch.zeros(2, 6)
    weights[0, 1] = weights[0, 4] = weights[1, 2] = 1
    return Batch(Tokens(torch.where(weights > 0, 3, wanted)), wanted, weights)


# ---------------------------------------------------------------- replaced tokens


def replaced() -> tuple[Transformer, ReplacedLearner]:
    spec = ReplacedSpec(generator=0.5)
    net = spec.spec(encoder(), {}).build(0).eval()
    learner = spec.learner(net, TrainingConfig())
    assert isinstance(learner, ReplacedLearner)
    learner.generator.eval()
    return net, learner


def test_replaced_tokens_by_hand() -> None:
    """The generator's nats over hidden places, and weight × the mean binary cross-entropy over all places."""
    net, learner = replaced()
    batch = hidden_batch()
    torch.manual_seed(3)
    total, more = learner.loss(batch)
    filled, _, differs, logits = (torch.manual_seed(3), learner._both(batch))[1]
    own = learner.generator(batch.inputs)
    by_hand = sum(-own[i, j].log_softmax(-1)[batch.targets[i, j]] for i, j in ((0, 1), (0, 4), (1, 2)))
    assert torch.allclose(total, by_hand) and torch.equal(total, filled)
    p = logits.sigmoid()
    judged = -torch.where(differs, p.log(), (1 - p).log()).mean()
    assert more is not None and torch.allclose(more, 50 * judged, rtol=1e-5)
    assert not differs[batch.weights == 0].any(), "only hidden places are filled in"


def test_what_the_generator_happens_to_get_right_is_original() -> None:
    _, learner = replaced()
    batch = hidden_batch()
    learner._drawn = lambda states: batch.targets[batch.weights > 0]  # type: ignore[method-assign]
    assert not learner._both(batch)[2].any()
    learner._drawn = lambda states: torch.zeros(len(states), dtype=torch.long)  # type: ignore[method-assign]
    assert learner._both(batch)[2].sum() == 3


def test_drawn_tokens_follow_the_generators_odds() -> None:
    _, learner = replaced()
    state = torch.randn(1, 8, generator=torch.Generator().manual_seed(0)) * 3
    odds = learner.generator.logits(state).softmax(-1)[0]
    torch.manual_seed(0)
    drawn = learner._drawn(state.expand(20000, -1)).bincount(minlength=30) / 20000
    assert (drawn - odds).abs().max() < 4 * math.sqrt(0.25 / 20000)


def test_tables_are_shared_and_no_gradient_passes_through_the_draw() -> None:
    net, learner = replaced()
    generator = learner.generator
    assert generator.top.embed.token is net.top.embed.token and generator.top.embed.position is net.top.embed.position
    assert generator.spec.top.width == 8 and generator.top.embed.project is not None
    _, more = learner.loss(hidden_batch())
    assert more is not None
    more.backward()
    reached = {name for name, p in generator.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert reached <= {"encoder.embed.token", "encoder.embed.types", "encoder.embed.position.weight"}
    assert all(p.grad is not None for name, p in net.named_parameters() if "layers" in name)


def test_generators_of_other_shapes() -> None:
    electra = generator_spec(override(preset("electra-small"), {"encoder.layers": 2}), 0.25)
    assert electra.top.width == 64 and electra.top.embedding.width == 128  # as published: 64 wide, tables of 128
    nano = generator_spec(preset("bert-nano"), 0.25)
    assert nano.top.width * 4 == preset("bert-nano").top.width and nano.build(0).top.embed.token.shape[1] == preset("bert-nano").top.width


def test_a_run_leaves_its_generator_and_goes_on_with_it(data: dict[str, str], tmp_path: Path) -> None:
    go("replaced", data, tmp_path / "a")
    generator = ph.load(tmp_path / "a" / "generator")
    assert generator.objective == "masked" and generator.spec.heads["mlm"].task == "mlm"
    saved = latest(tmp_path / "a" / "checkpoints")
    assert saved is not None and set(saved.load("beside")) <= set(dict(generator.net.state_dict()))
    last = [line for line in (tmp_path / "a" / "metrics.jsonl").read_text().splitlines() if "val_loss" in line][-1]
    assert '"val_recall"' in last and '"val_generator_loss"' in last


# ---------------------------------------------------------------- distillation


def test_the_triple_loss_by_hand() -> None:
    """5 · T² · KL over all tokens + 2 · nats over hidden ones + 1 − cos, T = 2."""
    student, teacher = for_objective(encoder(), "masked").build(0).eval(), for_objective(encoder(), "masked").build(1).eval()
    learner = DistilledLearner(student, TrainingConfig(), DistilledSpec(source="x", layers="own"), teacher)
    batch = hidden_batch()
    total, more = learner.loss(batch)
    ours, theirs = (net(batch.inputs) for net in (student, teacher))
    p, q = (theirs / 2).softmax(-1), (ours / 2).softmax(-1)
    soft = 4 * (p * (p.log() - q.log())).sum(-1).mean()
    a, b = student.hidden(batch.inputs)[0], teacher.hidden(batch.inputs)[0]
    cosine = (1 - F.cosine_similarity(a, b, dim=-1)).mean()
    hard = F.cross_entropy(ours[batch.weights > 0], batch.targets[batch.weights > 0], reduction="sum")
    assert more is not None and torch.allclose(more, 5 * soft + cosine, rtol=1e-4)
    assert torch.allclose(total, 2 * hard, rtol=1e-5)
    (total + more).backward()
    assert all(p.grad is None for p in teacher.parameters()) and student.top.embed.token.grad is not None


def test_a_teacher_teaches_itself_nothing() -> None:
    net = for_objective(encoder(), "masked").build(0).eval()
    learner = DistilledLearner(net, TrainingConfig(), DistilledSpec(source="x"), for_objective(encoder(), "masked").build(0))
    _, more = learner.loss(hidden_batch())
    assert more is not None and more.abs() < 1e-4


def test_the_students_layers_are_spread_over_the_teachers() -> None:
    teacher = for_objective(encoder(**{"encoder.layers": 5}), "masked").build(1)
    student = for_objective(encoder(**{"encoder.layers": 3}), "masked").build(0)
    assert spread(student, teacher) == 3
    for mine, theirs in ((0, 0), (1, 2), (2, 4)):
        assert torch.equal(student.top.layers[mine].ffn.up.weight, teacher.top.layers[theirs].ffn.up.weight)
    assert torch.equal(student.top.embed.token, teacher.top.embed.token)
    assert spread(for_objective(encoder(**{"encoder.width": 8}), "masked").build(0), teacher) == 0


def test_teachers_that_do_not_fit() -> None:
    spec = for_objective(encoder(), "masked")
    for teacher, cosine, needle in (
        (preset("gpt-nano"), 1.0, "another kind"), (for_objective(encoder(40), "masked"), 1.0, "vocabulary"),
        (with_head(encoder(), "tag", 3), 1.0, "no probabilities"), (for_objective(encoder(**{"encoder.width": 8}), "masked"), 1.0, "cosine"),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=needle):
            check_teacher(teacher, spec, cosine)
    check_teacher(for_objective(encoder(**{"encoder.width": 8}), "masked"), spec, 0.0)


def test_a_distilled_run_takes_its_teachers_tokenizer(data: dict[str, str], tmp_path: Path) -> None:
    go("masked", data, tmp_path / "teacher")
    student = LOOP | {"model.encoder.layers": 1, "model.encoder.width": 16, "model.encoder.blocks.layer.attention.heads.heads": 2} | ADAMW
    student = {key: value for key, value in student.items() if not key.startswith("tokenizer")}
    asked = student | {"training.objective": {"kind": "distilled", "source": str(tmp_path / "teacher")}}
    model = ph.train("bert-nano", data["text"], tmp_path / "student", asked)
    teacher = ph.load(tmp_path / "teacher")
    assert model.tokenizer.fingerprint == teacher.tokenizer.fingerprint and model.spec.vocab == teacher.spec.vocab
    assert model.objective == "masked"


# ---------------------------------------------------------------- a pair task beside hidden tokens


def test_the_pair_tasks_loss_is_a_mean_over_rows() -> None:
    spec = MaskedSpec(pairing="order")
    net = spec.spec(encoder(), {}).build(0).eval()
    assert [head.task for head in net.spec.heads.values()] == ["mlm", "pair"]
    learner, batch = spec.learner(net, TrainingConfig()), hidden_batch()._replace(labels=torch.tensor([0, 1]))
    total, more = learner.loss(batch)
    plain, none = learner.loss(batch._replace(labels=None))
    x, _ = net.hidden(batch.inputs)
    by_hand = F.cross_entropy(net.logits(x, "pair"), batch.labels)
    assert torch.equal(total, plain) and none is None and more is not None and torch.allclose(more, by_hand)
    sums = {name: float(value.detach()) for name, value in learner.measure(batch).items()}
    assert sums["pairs"] == 2 and set(learner.figures(sums)) == {"accuracy", "pair_accuracy"}


# ---------------------------------------------------------------- the step


def test_accumulation_changes_nothing_where_a_loss_has_parts() -> None:
    """Two micro-batches of one row have the gradients of a batch of two, draws apart."""
    spec = DistilledSpec(source="x", layers="own")
    batch = hidden_batch()
    batch = batch._replace(weights=torch.tensor([[0, 1, 0, 0, 0, 0], [0, 0, 1, 0, 0, 0]]).float())

    def gradients(micros: list[Batch]) -> list[Tensor]:
        net, teacher = (for_objective(encoder(), "masked").build(seed).eval() for seed in (0, 1))
        plain = encoder().dropout.model_copy(update={"embedding": 0.0, "attention": 0.0, "residual": 0.0})
        net = for_objective(encoder().model_copy(update={"dropout": plain}), "masked").build(0)
        config = TrainingConfig(optimizer={"kind": "adamw", "lr": 0.0}, clip=0, precision="fp32")
        trainer = Trainer(net, config, seed=0, learner=DistilledLearner(net, config, spec, teacher))
        kept: list[Tensor] = []
        trainer.optimizer.step = lambda *_: kept.extend(p.grad.clone() for p in trainer.params)  # type: ignore[method-assign]
        trainer.step(micros, 0)
        return kept

    halves = [Batch(Tokens(batch.inputs.ids[i : i + 1]), batch.targets[i : i + 1], batch.weights[i : i + 1]) for i in (0, 1)]
    for a, b in zip(gradients([batch]), gradients(halves), strict=True):
        assert torch.allclose(a, b, atol=1e-6)
