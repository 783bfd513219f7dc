"""training.best: a run ends with the weights of its best evaluation, and says which they are."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import polyhead as ph
from polyhead.checkpoint import latest
from polyhead.checkpoint.saved import folder_name
from polyhead.errors import ConfigError
from polyhead.generate.folder import weights
from polyhead.train.best import Best
from polyhead.train.objectives import (
    AnswerSpec,
    CausalSpec,
    ClassifySpec,
    ContrastSpec,
    DistilledSpec,
    ImageSpec,
    MaskedSpec,
    PreferSpec,
    ReplacedSpec,
    Seq2SeqSpec,
    SimilarSpec,
    TagSpec,
)  # fmt: skip
from polyhead.train.objectives.base import Learner, ObjectiveSpec
from polyhead.train.objectives.contrast import ContrastLearner, SimilarLearner
from polyhead.train.objectives.distilled import DistilledLearner
from polyhead.train.objectives.language import MaskedLearner
from polyhead.train.objectives.pictured import ImageLearner
from polyhead.train.objectives.preferred import PreferLearner
from polyhead.train.objectives.replaced import ReplacedLearner
from polyhead.train.objectives.rows import AnswerLearner, RowLearner, TagLearner

from .tiny import FASTER, LOOP, Halt, go, halt_at, raw, same_run

EVERY = {"training__eval_every": 1, "training__save_every": 1, "training__keep": 20}


def kept(model: ph.Model) -> dict[str, bytes]:
    return {name: raw(tensor) for name, tensor in weights(model.net).items()}


def told(folder: Path, name: str) -> dict[int, float]:
    """The figure of each evaluation, by step."""
    found = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return {row["step"]: row[f"val_{name}"] for row in found if f"val_{name}" in row}


class Layer(nn.Linear):
    def __init__(self) -> None:
        super().__init__(1, 1)
        self.register_buffer("seen", torch.zeros(1))
        self.bias.requires_grad = False

    def become(self, value: float) -> None:
        for tensor in weights(self).values():
            tensor.fill_(value)


@pytest.mark.parametrize(("name", "values", "best"), [
    ("accuracy", [0.2, 0.9, 0.9, 0.5], 2), ("loss", [3.0, math.nan, 2.0, 2.5], 3), ("generator_loss", [1.0, 2.0], 1), ("margin", [-5.0, -6.0, -4.0], 3),
    ("loss", [math.nan, math.inf, 7.0], 3), ("loss", [math.nan], 0),
])  # fmt: skip
def test_the_best_is_kept_and_the_first_of_equals(name: str, values: list[float], best: int) -> None:
    layer = Layer()
    one = Best(name, [name], {"best": layer})
    for step, value in enumerate(values, 1):
        layer.become(step)
        one.offer(step, {name: value})
    layer.become(99)
    one.put()
    assert one.step == best and (layer.weight.item(), layer.seen.item()) == ((best, best) if best else (99, 99))
    assert layer.bias.item() == 99, "what does not learn is not kept"
    assert one.state() == ({"best": {"name": name, "step": best, "value": values[best - 1]}} if best else {})


@pytest.mark.parametrize("ema", [None, 0.5])
def test_a_run_ends_with_the_weights_of_its_best_step(ema: float | None, data: dict[str, str], tmp_path: Path) -> None:
    """Bit for bit those that another run, which keeps all, had at that step; with an average the averaged ones."""
    out = tmp_path / "run"
    model = go("best-ema", data, out, **EVERY, training__ema=ema)
    losses = told(out, "loss")
    step = min(losses, key=lambda s: losses[s])
    assert step < max(losses), "the example must get worse again"
    assert model.meta["best"] == {"name": "loss", "step": step, "value": losses[step]}
    shutil.copytree(out / "checkpoints" / folder_name(step), tmp_path / "then" / folder_name(step))
    saved = latest(tmp_path / "then")
    assert saved is not None and saved.step == step
    assert kept(model) == {name: raw(t) for name, t in (saved.load("model") | (saved.load("ema") if ema else {})).items()}
    back = ph.load(out)
    assert kept(back) == kept(model) and back.meta["step"] == step and back.meta["best"] == model.meta["best"]
    assert f"at step {step}" in (out / "report.html").read_text()
    last = latest(out / "checkpoints")
    assert last is not None and kept(model) != {name: raw(t) for name, t in last.load("model").items()}
    plain = go("best-ema", data, tmp_path / "plain", **EVERY, training__ema=ema, training__best=None)
    assert "best" not in plain.meta and kept(plain) != kept(model)


def test_it_is_resumed_to_the_same_bits_though_the_best_was_before(data: dict[str, str], tmp_path: Path) -> None:
    """With what is trained beside the model, whose best goes with its."""
    rest: dict[str, Any] = {key.replace(".", "__"): value for key, value in FASTER.items()}
    rest |= {"training__best": "generator_loss", "training__eval_every": 2, "training__save_every": 3}
    one = go("replaced", data, tmp_path / "whole", **rest)
    losses = told(tmp_path / "whole", "generator_loss")
    assert one.meta["best"]["step"] == min(losses, key=lambda s: losses[s]) <= 6
    for number, step in enumerate((7, 9)):
        with pytest.raises(Halt):
            go("replaced", data, tmp_path / "cut", resume=number > 0, tell=halt_at(step), **rest)
    two = go("replaced", data, tmp_path / "cut", resume=True, **rest)
    same_run(tmp_path / "cut", tmp_path / "whole")
    assert kept(two) == kept(one) and two.meta["best"] == one.meta["best"]
    assert kept(ph.load(tmp_path / "cut" / "generator")) == kept(ph.load(tmp_path / "whole" / "generator"))
    again = go("replaced", data, tmp_path / "cut", resume=True, **rest)  # finished: read from the folder
    assert kept(again) == kept(one) and again.meta["best"] == one.meta["best"]


def test_a_figure_that_is_not_there_is_refused_before_the_first_step(data: dict[str, str], tmp_path: Path) -> None:
    for name, shape, names in (("accuracy", "muon", "loss"), ("acuracy", "masked", "loss | accuracy"), ("val_loss", "muon", "loss")):
        with pytest.raises(ConfigError, match="training.best") as caught:
            go(shape, data, tmp_path / "run", training__best=name)
        assert str(caught.value.expected).startswith(names) and caught.value.received == name
        assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("learner", "spec"), [
    (Learner, CausalSpec()), (Learner, Seq2SeqSpec()), (MaskedLearner, MaskedSpec(pairing="next")), (ContrastLearner, ContrastSpec()),
    (SimilarLearner, SimilarSpec()), (DistilledLearner, DistilledSpec(source="a")), (ImageLearner, ImageSpec()), (PreferLearner, PreferSpec()),
    (ReplacedLearner, ReplacedSpec()), (RowLearner, ClassifySpec()), (TagLearner, TagSpec()), (AnswerLearner, AnswerSpec()),
])  # fmt: skip
def test_an_objective_knows_what_its_evaluation_tells(learner: Any, spec: ObjectiveSpec) -> None:
    sums = dict.fromkeys(("nats", *learner.counts), 3.0) | {"weight": 4.0}
    assert spec.told == ("loss", *learner.figures(None, sums))


def test_a_mistyped_figure_is_refused_before_anything_is_packed(data: dict[str, str], tmp_path: Path) -> None:
    said: list[str] = []
    with pytest.raises(ConfigError, match="training.best") as caught:
        go("masked", data, tmp_path / "run", tell=lambda name, _: said.append(name), training__best="accuracyy")
    assert caught.value.change == "did you mean accuracy?" and not said and not (tmp_path / "run").exists()
    with pytest.raises(ConfigError) as caught:
        go("masked", data, tmp_path / "run", training__best="pair_accuracy")
    assert caught.value.expected == "loss | accuracy", "no pairs are asked of"


def test_one_that_only_the_data_lacks_is_refused_at_the_first_evaluation(tmp_path: Path) -> None:
    rows = [{"text": f"a text {i}", "label": i / 7} for i in range(40)]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    small = {"model.encoder.layers": 1, "model.encoder.width": 16, "model.encoder.blocks.layer.attention.heads.heads": 2}
    with pytest.raises(ConfigError, match="no such figure") as caught:
        ph.train("bert-nano", str(tmp_path / "a.jsonl"), tmp_path / "run", LOOP | small | {"training.best": "accuracy", "training.eval_every": 1})
    assert caught.value.expected == "loss"
