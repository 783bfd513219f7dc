"""eval: how good a model is on data it has not seen, by its objective."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyhead.errors import ConfigError

from .output import aligned, emit, note, say

if TYPE_CHECKING:
    from polyhead.data import Masked, PairFile
    from polyhead.generate import Model

_ROWS = 32  # sources answered together


def run_eval(path: str | Path, data: str, batch: int, limit: int | None, columns: str | None, device: str, as_json: bool) -> int:
    """The verb eval; returns the exit code."""
    from polyhead.generate import load
    from polyhead.train.parallel import pick_device

    model = load(path, device=pick_device(device))
    with tempfile.TemporaryDirectory(prefix="polyhead-", ignore_cleanup_errors=True) as scratch:
        found = evaluate_model(model, data, Path(scratch), batch, limit, columns)
    if as_json:
        emit(found)
    else:
        rows = [(name, f"{value:,.4f}") for name, value in found["metrics"].items()]
        say("\n".join([f"{found['task']} on {data}, {found['n']:,} {found['of']}", *aligned(rows)]))
    return 0


def evaluate_model(
    model: Model, data: str, scratch: Path, batch: int = 16, limit: int | None = None, columns: str | None = None
) -> dict[str, Any]:
    """{"task", "n", "of", "metrics"}: loss in nats per target; n counts what `of` names. limit: pairs to answer."""
    from polyhead.data import Causal, Masked, PairFile, Seq2Seq, pack
    from polyhead.train import DataConfig, evaluate
    from polyhead.train.reading import open_data

    if model.tokenizer is None:
        raise ConfigError("the model has no tokenizer, so it cannot read text", expected="tokenizer.json beside spec.json")
    if model.objective == "pair":
        raise ConfigError(
            "there is no measure yet for texts beside images", expected="a causal, masked or seq2seq model", received="a pair of towers",
            change="compare them in Python: model.classify_images(images, texts)",
        )  # fmt: skip
    task, context = model.objective, model.text_spec.context
    source = open_data(DataConfig(path=data, columns=columns), data, "pairs" if task == "seq2seq" else "text")
    packed = pack(source, model.tokenizer, scratch / "eval.tokens")
    for text in source.notes:
        note(f"note: {text}")
    if isinstance(packed, PairFile):
        found = evaluate(model.net, Seq2Seq(packed, context, context), batch)
        return _result(task, len(packed), "pairs", {"loss": found.loss} | answers(model, packed, limit))
    if task == "masked":
        masked = Masked(packed, context, model.tokenizer)
        _long_enough(masked)
        found = evaluate(model.net, masked, batch)
        return _result(task, int(found.weight), "masked tokens", {"loss": found.loss, "accuracy": accuracy(model, masked, batch)})
    causal = Causal(packed, min(context, len(packed) - 1))
    found = evaluate(model.net, causal, batch)
    metrics = {"loss": found.loss, "perplexity": math.exp(min(found.loss, 700)), "bits_per_byte": found.bits_per_byte(packed.bytes)}
    return _result(task, int(found.weight), "tokens", metrics)


def _result(task: str, n: int, of: str, metrics: dict[str, float]) -> dict[str, Any]:
    return {"task": task, "n": n, "of": of, "metrics": metrics}


def _long_enough(objective: Masked) -> None:
    if len(objective) < 1:
        raise objective.too_short(1)


def accuracy(model: Model, masked: Masked, batch: int) -> float:
    """The share of masked tokens whose most probable filling is the right one."""
    import torch

    from polyhead.train.loop import move

    right = total = 0.0
    device = next(model.net.parameters()).device
    with torch.inference_mode():
        for part in masked.evaluation(batch):
            part = move(part, device)
            x, _ = model.net.hidden(part.inputs)
            chosen = part.weights > 0
            best = model.net.logits(x[chosen]).argmax(-1)
            right += float((best == part.targets[chosen]).sum())
            total += float(chosen.sum())
    return right / total if total else math.nan


def answers(model: Model, pairs: PairFile, limit: int | None) -> dict[str, float]:
    """Exact match, and BLEU where sacrebleu is installed, of the most probable answers to the first `limit` sources."""
    assert model.tokenizer is not None  # evaluate_model has looked
    decode = model.tokenizer.decode
    count = len(pairs) if limit is None else min(limit, len(pairs))
    given, wanted = [], []
    for first in range(0, count, _ROWS):
        rows = [pairs.ids(i) for i in range(first, min(first + _ROWS, count))]
        sources = [decode(source.tolist()) for source, _ in rows]
        made = model.generate(sources, max_tokens=model.text_spec.context, temperature=0.0)
        given += [one.text for one in made]
        wanted += [decode(target.tolist()) for _, target in rows]
    exact = sum(a.strip() == b.strip() for a, b in zip(given, wanted, strict=True)) / max(count, 1)
    try:
        import sacrebleu
    except ImportError:
        note("note: BLEU is left out; pip install sacrebleu")
        return {"exact_match": exact}
    return {"exact_match": exact, "bleu": sacrebleu.corpus_bleu(given, [wanted]).score}
