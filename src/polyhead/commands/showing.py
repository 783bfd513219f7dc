"""show: the resolved architecture as a drawing, with parameters, FLOPs, cache and memory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from .output import emit, say

if TYPE_CHECKING:
    from polyhead.nn import ModelSpec


def run_show(name: str | None, as_json: bool) -> int:
    """The verb show; without a name it lists the presets."""
    from polyhead.families import preset, presets

    if name is None:
        found = {name: preset(name) for name in presets()}
        if as_json:
            emit({n: {"shape": "–".join(spec.stacks), "parameters": spec.params().total} for n, spec in found.items()})
        else:
            wide = max(map(len, found))
            for n, spec in found.items():
                say(f"{n:<{wide}}  {spec.params().total:>16,}  {'–'.join(spec.stacks)}")
        return 0
    spec = resolve(name)
    facts = counts(spec)
    if as_json:
        emit({"name": name} | facts | {"spec": spec.model_dump(mode="json")})
    else:
        say(text(spec, name, facts))
    return 0


def resolve(name: str) -> ModelSpec:
    """The spec of a preset, a spec file, or a model's folder."""
    from polyhead import families
    from polyhead.generate.folder import SPEC, read_spec

    path = Path(name)
    if name not in families.presets() and path.is_dir():
        if not (path / SPEC).exists():
            from polyhead.generate.folder import read_folder

            read_folder(path)  # says what is wrong with it
        return read_spec(path / SPEC)
    return families.resolve(name)


def counts(spec: ModelSpec) -> dict[str, Any]:
    """Parameters and FLOPs by part, bytes of cache per token, and memory of weights and of a training step."""
    from polyhead.report import cache_bytes
    from polyhead.train import TrainingConfig
    from polyhead.train.memory import memory_parts

    params, context = spec.params(), spec.context
    flops = spec.flops(context)
    training = memory_parts(spec, TrainingConfig(batch=1, precision="fp32"), context)
    return {
        "parameters": params.total, "parts": params.parts, "context": context,
        "flops_per_token": {"forward": flops.total / context, "training": 3 * flops.total / context},
        "cache_bytes_per_token": {"fp32": cache_bytes(spec), "bf16": cache_bytes(spec, 2)},
        "weights_bytes": {"fp32": 4 * params.total, "bf16": 2 * params.total},
        "training_bytes": {"fixed": sum(training[p] for p in ("weights", "gradients", "optimizer")),
                           "per_row": training["activations"] + training["logits"]},
    }  # fmt: skip


def text(spec: ModelSpec, name: str, facts: dict[str, Any]) -> str:
    """The drawing with the counts below it."""
    from polyhead.report import draw
    from polyhead.report.drawing import table
    from polyhead.train.memory import show_bytes

    flops, cache, weights = facts["flops_per_token"], facts["cache_bytes_per_token"], facts["weights_bytes"]
    training = facts["training_bytes"]
    lines = [draw(spec, name), "", "parameters", *table(spec.params()), ""]
    lines.append(f"compute  {flops['forward']:,.0f} FLOPs per token forward at {facts['context']:,} tokens, three times that in training")
    if cache["fp32"]:
        full = cache["fp32"] * facts["context"]
        lines.append(f"cache    {show_bytes(cache['fp32'])} per token in fp32 ({show_bytes(full)} at full context), half in bf16; windows stop growing")
    lines.append(f"weights  {show_bytes(weights['fp32'])} in fp32, {show_bytes(weights['bf16'])} in bf16")
    lines.append(
        f"training {show_bytes(training['fixed'])} for weights, gradients and AdamW in fp32, and {show_bytes(training['per_row'])} "
        f"per row of {facts['context']:,} tokens"
    )
    return "\n".join(lines)
