"""Bytes by part, advice that can be typed, and running out of memory in every place of a run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from polyhead.checkpoint import latest
from polyhead.errors import OutOfMemory
from polyhead.families import preset
from polyhead.nn import ModelSpec
from polyhead.train import Trainer, TrainingConfig, memory, parse_overrides
from polyhead.train.memory import explain_memory, memory_parts, show_bytes, smallest_change
from polyhead.train.optim import Optimizer
from polyhead.train.parallel import Ranks
from polyhead.train.settings import place

from .tiny import config, go, gpt, same_run

CPU = "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 99 bytes."
ERRORS = [RuntimeError(CPU), torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), MemoryError()]


def held(trainer: Trainer) -> int:
    """Bytes the optimizer really keeps, momentum and gradients side by side included."""
    tensors = {id(t): t for t in trainer.optimizer.state_tensors().values() if t.dim() and t._base is None}
    stacks = {id(part): part for part in trainer.optimizer._parts if hasattr(part, "momentum")}
    return sum(t.numel() * 4 for t in tensors.values()) + sum(8 * part.momentum.numel() for part in stacks.values())


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_weights_gradients_and_optimizer_are_exact(kind: str) -> None:
    spec, settings = gpt(), config(optimizer={"kind": kind}, ema=0.9)
    trainer = Trainer(spec.build(0), settings, seed=0)
    parts = memory_parts(spec, settings, 16)
    real = sum(p.numel() * 4 for p in trainer.params)
    assert parts["weights"] == parts["gradients"] == parts["average"] == real
    assert parts["optimizer"] == held(trainer)


def test_micro_batches_ranks_bf16_and_recomputing_take_less() -> None:
    spec, wide = preset("gpt2"), TrainingConfig(batch=16, precision="fp32")

    def kept(world: int = 1, **changes: Any) -> int:
        return memory_parts(spec, wide.model_copy(update=changes), 1024, world)["activations"]

    assert kept(accumulate=2) == kept(world=2) == pytest.approx(kept() / 2, rel=1e-3)  # positions are kept once
    assert kept() / 2 < kept(precision="bf16") < kept()  # norms and the stream stay in fp32
    assert kept(checkpointing=True) < kept() / 5


def total(spec: ModelSpec, settings: TrainingConfig, world: int = 1) -> int:
    return sum(memory_parts(spec, settings, settings.context or spec.context, world).values())


def typed(advice: str, settings: TrainingConfig) -> TrainingConfig:
    """The config after a person typed the advice."""
    pairs = re.findall(r"training\.\S+=\S+", advice)
    assert pairs, advice
    tree: dict[str, Any] = {"training": settings.model_dump(mode="json")}
    for key, value in parse_overrides(pairs).items():
        place(tree, key, value)
    return TrainingConfig.model_validate(tree["training"])


@pytest.mark.parametrize(("batch", "world"), [(64, 1), (6, 2), (8, 4), (1, 1), (7, 1)])
@pytest.mark.parametrize("room", [2**62, 2**33, 2**31])
def test_the_advice_is_a_valid_config_that_needs_less_and_fits(batch: int, world: int, room: int, monkeypatch) -> None:
    monkeypatch.setattr(memory, "memory_of", lambda device: room)
    spec, settings = preset("gpt2"), TrainingConfig(batch=batch, precision="fp32", context=1024)
    advice = smallest_change(spec, settings, 1024, Ranks(0, world))
    if "a smaller model" in advice:
        assert total(spec, settings.model_copy(update={"accumulate": batch // world, "checkpointing": True}), world) > room
        return
    new = typed(advice, settings)
    assert total(spec, new, world) < min(total(spec, settings, world), room)
    assert new.batch % (new.accumulate * world) == 0
    if room == 2**62 and batch // world > 1:  # the next smaller micro-batch, and nothing else
        assert new == settings.model_copy(update={"accumulate": new.accumulate})
        assert not any(batch % (n * world) == 0 for n in range(2, new.accumulate))


def test_a_model_too_large_is_told_so(monkeypatch) -> None:
    monkeypatch.setattr(memory, "memory_of", lambda device: 10**6)
    assert "a smaller model" in smallest_change(preset("gpt2"), TrainingConfig(batch=4), 1024)


def test_memory_of_this_machine_is_sane() -> None:
    assert 2**28 < memory.memory_of(torch.device("cpu")) <= 2**62


@pytest.mark.parametrize("error", ERRORS, ids=["cpu", "cuda", "python"])
def test_every_way_of_running_out_is_known_and_others_pass(error: Exception) -> None:
    with pytest.raises(OutOfMemory) as caught, explain_memory(gpt(), config(batch=4)):
        raise error
    assert caught.value.exit_code == 1 and "training.accumulate=2" in str(caught.value)
    with pytest.raises(RuntimeError, match="shape"), explain_memory(gpt(), config()):
        raise RuntimeError("shape mismatch")


PLACES = {
    "build": (ModelSpec, "build"), "forward": (Trainer, "_forward"), "update": (Optimizer, "step"), "evaluate": (Trainer, "evaluate"),
    "save": (Trainer, "tensors"),
}  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
def test_t14_out_of_memory_anywhere_keeps_the_run(place: str, data, tmp_path: Path, monkeypatch) -> None:
    """The error names the biggest parts and the change; the checkpoint before is whole and the run goes on from it."""
    owner, name = PLACES[place]
    genuine, calls = getattr(owner, name), []
    at = {"build": 1, "forward": 5, "update": 5, "evaluate": 1, "save": 2}[place]

    def fail(*arguments: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == at:
            raise RuntimeError(CPU)
        return genuine(*arguments, **options)

    monkeypatch.setattr(owner, name, fail)
    with pytest.raises(OutOfMemory) as caught:
        go("muon", data, tmp_path / "run")
    text = str(caught.value)
    assert "the biggest parts" in text and "training.accumulate=2" in text and "you tried to allocate" in text
    monkeypatch.undo()
    saved = latest(tmp_path / "run" / "checkpoints")
    assert (saved is None) == (place == "build")
    if saved is not None:
        assert saved.step == 3 and not saved.skipped
    go("muon", data, tmp_path / "run", resume=True)
    go("muon", data, tmp_path / "whole")
    same_run(tmp_path / "run", tmp_path / "whole")


def test_bytes_for_people() -> None:
    assert [show_bytes(n) for n in (0, 1023, 1536, 3 * 2**30, 2**50)] == ["0 B", "1023 B", "1.5 KiB", "3.0 GiB", "1024.0 TiB"]
