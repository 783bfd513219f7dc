"""Tiny runs of every shape, and how to look at what they left: weights as bits, losses as hex, lines without times."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from polyhead.checkpoint import latest
from polyhead.data import Causal, TokenFile, open_source, pack
from polyhead.families import override, preset, with_vocab
from polyhead.generate import Model
from polyhead.nn import ModelSpec
from polyhead.text import Tokenizer
from polyhead.train import TrainingConfig, train

TIMES = ("tokens_per_s", "seconds")
HEADS = "attention.heads.heads"
LOOP = {
    "training.batch": 4, "training.context": 16, "training.steps": 10, "training.save_every": 3, "training.eval_every": 5,
    "training.eval_batches": 2, "training.log_every": 1, "training.sample_tokens": 4, "training.threads": 1,
    "training.compile": "off", "tokenizer.kind": "bytes", "tokenizer.vocab_size": None, "seed": 7,
}  # fmt: skip
ADAMW = {"training.optimizer": {"kind": "adamw", "lr": 0.01}, "training.schedule": {"kind": "cosine", "warmup": 2}}


def _small(stack: str) -> dict[str, Any]:
    cross = {f"model.{stack}.blocks.layer.cross.heads.heads": 2} if stack == "decoder" else {}
    return {f"model.{stack}.layers": 2, f"model.{stack}.width": 16, f"model.{stack}.blocks.layer.{HEADS}": 2} | cross


def _without(options: dict[str, Any], part: str) -> dict[str, Any]:
    return {key: value for key, value in options.items() if part not in key}


FASTER = {"training.optimizer": {"kind": "adamw", "lr": 2.0}, "training.schedule": {"kind": "constant", "warmup": 12}}
GPT = _without(_small("decoder"), ".cross.")
RANDOM = {"model.dropout.residual": 0.1, "model.dropout.attention": 0.1, "model.dropout.embedding": 0.1}
SHAPES: dict[str, tuple[str, dict[str, Any]]] = {
    "muon": ("gpt-nano", LOOP | GPT),
    "adamw-dropout-ema-accumulate": (
        "gpt-nano",
        LOOP | GPT | RANDOM | ADAMW
        | {"training.ema": 0.9, "training.accumulate": 2, "model.decoder.blocks.layer.residual.stochastic_depth": 0.2,
           "training.label_smoothing": 0.1, "training.checkpointing": True},
    ),
    "seq2seq-dropout": ("transformer-nano", LOOP | _small("encoder") | _small("decoder") | RANDOM),
    "lora-dropout-ema": (
        "gpt-nano",
        LOOP | GPT | ADAMW
        | {"training.trained": {"kind": "lora", "rank": 2, "dropout": 0.2}, "training.ema": 0.9, "model.init": {"kind": "normal"}},
    ),
    "best-ema": (  # faster and faster, so that it gets worse again
        "gpt-nano",
        LOOP | GPT
        | {"training.best": "loss", "training.ema": 0.5, "training.eval_every": 2} | FASTER,
    ),
    "layer-decay": (
        "bert-nano",
        LOOP | _small("encoder") | {"training.optimizer": {"kind": "adamw", "layer_decay": 0.8}, "training.trained": {"kind": "parts", "last": 1}},
    ),
    "masked": ("bert-nano", LOOP | _small("encoder") | ADAMW),
    "replaced": ("bert-nano", LOOP | _small("encoder") | ADAMW | {"training.objective": {"kind": "replaced", "generator": 0.5}}),
}  # fmt: skip

BERT, QUICK = LOOP | _small("encoder") | ADAMW | {"training.context": 48}, {"training.steps": 4, "training.save_every": 2, "training.eval_every": 2, "data.holdout": 0.25}
OBJECTIVES: dict[str, tuple[str, dict[str, Any]]] = {
    "classify": ("bert-nano", BERT | QUICK), "similar": ("bert-nano", BERT | QUICK | {"training.objective": "similar"}),
    "contrast": ("bert-nano", BERT | QUICK | RANDOM | {"training.objective": "contrast"}),
    "tag": ("bert-nano", BERT | QUICK), "answer": ("bert-nano", BERT | QUICK),
    "image": ("vit-nano", _without(BERT, "tokenizer") | QUICK | {"training.objective": {"kind": "image", "mixup": 0.2, "crop": 1}, "training.context": None}),
    "instruct": ("gpt-nano", LOOP | GPT | ADAMW | QUICK | {"training.context": 64}), "prefer": ("gpt-nano", LOOP | GPT | ADAMW | QUICK | {"training.context": 64}),
}  # fmt: skip
DATA = {"classify": "labelled", "similar": "scored", "contrast": "pairs", "tag": "tagged", "answer": "questions", "image": "images", "instruct": "chat", "prefer": "preferences"}


def write_objectives(folder: Path) -> dict[str, str]:
    """What OBJECTIVES are trained on, by the names of DATA; the same every time."""
    import numpy as np
    from PIL import Image

    draw = random.Random(6)
    words = ["".join(draw.choices("abcdefgh", k=draw.randint(2, 5))) for _ in range(30)]
    texts = [" ".join(draw.choices(words, k=4)) for _ in range(24)]
    rows: dict[str, list[dict[str, Any]]] = {
        "labelled": [{"text": text, "label": ("calm", "glad", "sad")[i % 3]} for i, text in enumerate(texts)],
        "scored": [{"sentence1": text, "sentence2": texts[-i], "score": i % 5 + 0.5} for i, text in enumerate(texts)],
        "pairs": [{"source": text, "target": text[::-1]} for text in texts],
        "tagged": [{"tokens": text.split(), "ner_tags": ["B-X", "O", "I-X", "O"] if i % 2 else ["O"] * 4} for i, text in enumerate(texts)],
        "questions": [{"id": str(i), "context": text, "question": "who", "answers": {"text": [text.split()[1]], "answer_start": [text.index(" ") + 1]}}
                      for i, text in enumerate(texts)],
        "chat": [{"messages": [{"role": "user", "content": text[:9]}, {"role": "assistant", "content": text[-9:]}]} for text in texts],
        "preferences": [{"prompt": text[:8], "chosen": text[-8:], "rejected": text[8:14]} for text in texts],
    }  # fmt: skip
    for name, given in rows.items():
        (folder / f"{name}.jsonl").write_text("\n".join(json.dumps(row) for row in given), encoding="utf-8")
    noise = np.random.default_rng(0)
    for i in range(24):
        at = folder / "images" / ("round", "square")[i % 2] / f"{i}.png"
        at.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise.integers(0, 256, (8, 8), np.uint8)).save(at)
    return {name: str(folder / f"{name}.jsonl") for name in rows} | {"images": str(folder / "images")}


def learn(objective: str, data: dict[str, str], out: Path, resume: bool = False, tell: Any = None, model: str | None = None, **changes: Any) -> Model:
    """Train one of OBJECTIVES; model: go on from this one."""
    name, options = OBJECTIVES[objective]
    options = options | {key.replace("__", "."): value for key, value in changes.items()}
    if model is not None:
        options = {key: value for key, value in options.items() if not key.startswith(("tokenizer", "model"))}
    return train(model or name, data[DATA[objective]], out, options, resume=resume, tell=tell or _quiet)


def write_data(folder: Path) -> dict[str, str]:
    """{"text": a file of 41 documents, "pairs": a table}; the same every time."""
    draw = random.Random(5)
    words = ["".join(draw.choices("abcdefgh", k=draw.randint(2, 6))) for _ in range(60)]
    lines = [" ".join(draw.choices(words, k=12)) for _ in range(41)]
    (folder / "text.txt").write_text("\n\n".join(lines), encoding="utf-8")
    rows = [line[: draw.randint(3, 12)] for line in lines]
    table = [json.dumps({"source": row, "target": row[::-1]}) for row in rows]
    (folder / "pairs.jsonl").write_text("\n".join(table), encoding="utf-8")
    return {"text": str(folder / "text.txt"), "pairs": str(folder / "pairs.jsonl")}


def go(shape: str, data: dict[str, str], out: Path, resume: bool = False, tell: Any = None, **changes: Any) -> Model:
    """Train one of SHAPES; `training__steps=5` changes training.steps."""
    name, options = SHAPES[shape]
    options = options | {key.replace("__", "."): value for key, value in changes.items()}
    if name == "transformer-nano":
        options = options | {"data.columns": "source,target"}
    else:
        options = options | {"data.split": "blank"}
    return train(name, data["pairs" if name == "transformer-nano" else "text"], out, options, resume=resume, tell=tell or _quiet)


def _quiet(name: str, fields: dict[str, Any]) -> None:
    pass


class Halt(Exception):
    """Raised by `halt_at`'s listener."""


def halt_at(step: int, event: str = "step") -> Callable[[str, dict[str, Any]], None]:
    def listen(name: str, fields: dict[str, Any]) -> None:
        if name == event and fields.get("step", step) >= step:
            raise Halt

    return listen


def bits(folder: Path) -> dict[str, bytes]:
    """Every tensor of the newest checkpoint, byte for byte."""
    saved = latest(folder / "checkpoints")
    assert saved is not None
    tensors = {f"{group}/{name}": t for group in saved.groups for name, t in saved.load(group).items()}
    assert any("/" in name for name in tensors)
    return {"step": str(saved.step).encode()} | {name: raw(t) for name, t in tensors.items()}


def raw(tensor: torch.Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def rows(folder: Path, name: str = "metrics.jsonl") -> list[dict[str, Any]]:
    """The lines without times, floats as hex; a torn line is an error here."""
    out = []
    for line in (folder / name).read_text(encoding="utf-8").splitlines():
        row = {key: value for key, value in json.loads(line).items() if key not in TIMES}
        out.append({key: value.hex() if isinstance(value, float) else value for key, value in row.items()})
    return out


def same_run(a: Path, b: Path) -> None:
    """Assert that two runs left the same bits: weights, optimizer, average, metrics, samples."""
    assert rows(a) == rows(b)
    for name in ("samples.jsonl",):
        assert (a / name).exists() == (b / name).exists()
        if (a / name).exists():
            assert rows(a, name) == rows(b, name)
    left, right = bits(a), bits(b)
    assert left.keys() == right.keys()
    assert [name for name in left if left[name] != right[name]] == []


# ---------------------------------------------------------------- below a run: specs, data, configs for a Trainer


def gpt(**changes: Any) -> ModelSpec:
    """A plain tiny GPT over bytes (263 tokens); changes are dotted paths with __ for the dots."""
    base = {"decoder.layers": 2, "decoder.width": 16, "decoder.blocks.layer.attention.heads.heads": 2, "context": 16}
    flat = {key.replace("__", "."): value for key, value in changes.items()}
    return with_vocab(override(preset("gpt-nano"), base | {"init": {"kind": "normal", "std": 0.2}} | flat), 263)


def config(**changes: Any) -> TrainingConfig:
    base = {"steps": 10, "batch": 4, "context": 16, "precision": "fp32", "compile": "off", "clip": 0.0}
    optimizer = {"kind": "adamw", "lr": 0.01, "weight_decay": 0.0}
    return TrainingConfig.model_validate(base | {"optimizer": optimizer, "schedule": {"kind": "constant"}} | changes)


def causal(data: dict[str, str], folder: Path, context: int = 16) -> tuple[Causal, TokenFile]:
    file = pack(open_source(data["text"], split="blank"), Tokenizer.train(["a"], "bytes"), folder / "all.tokens")
    assert isinstance(file, TokenFile)
    return Causal(file, context), file


def close(a: float, b: float, tolerance: float = 1e-6) -> bool:
    return math.isfinite(a) and abs(a - b) <= tolerance * max(1.0, abs(b))
