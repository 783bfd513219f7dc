"""show: the resolved architecture as a drawing with its costs, two architectures side by side, or the list of presets."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .output import emit, say

if TYPE_CHECKING:
    from polyhead.nn import ModelSpec, PairSpec

_WIDTH = 100  # columns


def run_show(name: str | None, against: str | None, as_json: bool) -> int:
    """The verb show; without a name it lists the presets."""
    from polyhead.errors import ConfigError

    if name is None:
        if against is not None:
            raise ConfigError(
                "there is nothing to compare", expected="two models", received=f"--against {against} alone",
                change=f"name the model that stands first: polyhead show MODEL --against {against}",
            )  # fmt: skip
        return _list(as_json)
    spec = resolve(name)
    if against is not None:
        return _compare((name, spec), (against, resolve(against)), as_json)
    facts = counts(spec)
    if as_json:
        emit({"name": name} | facts | {"spec": spec.model_dump(mode="json")})
    else:
        say(text(spec, name, facts))
    return 0


def resolve(name: str) -> ModelSpec | PairSpec:
    """The spec of a preset, a spec file, a run, a model's folder, or a model of the Hub. No weights are read or fetched."""
    from polyhead import families
    from polyhead.checkpoint import resolve as locate
    from polyhead.families.document import SUFFIXES
    from polyhead.generate.folder import read_architecture

    if name in families.presets() or name in families.pairs():
        return _preset(name)
    if Path(name).is_dir():
        return read_architecture(Path(name))
    if name.lower().endswith(SUFFIXES) or not any(mark in name for mark in "/\\"):
        return families.resolve(name)
    return read_architecture(locate(name, weights=False))


def _preset(name: str) -> ModelSpec | PairSpec:
    from polyhead.families import pair, pairs, preset

    return pair(name) if name in pairs() else preset(name)


# ---------------------------------------------------------------- all presets


def _list(as_json: bool) -> int:
    from polyhead.families import by_family

    groups = {family: {name: _brief(_preset(name)) for name in names} for family, names in by_family().items()}
    if as_json:
        emit({name: {"family": family} | brief for family, briefs in groups.items() for name, brief in briefs.items()})
        return 0
    first = max(map(len, groups)) + 2
    second = max(len(name) for names in groups.values() for name in names)
    say(f"{'family':<{first}}{'preset':<{second}}{'parameters':>17}  {'shape':<16}{'layers':>7}{'width':>7}{'context':>10}")
    for family, briefs in groups.items():
        for i, (name, brief) in enumerate(briefs.items()):
            layers, width, context = ("+".join(map(str, brief["layers"])), f"{brief['width']:,}", f"{brief['context']:,}")
            sizes = f"{brief['parameters']:>17,}  {brief['shape']:<16}{layers:>7}{width:>7}{context:>10}"
            say(f"{'' if i else family:<{first}}{name:<{second}}{sizes}")
    say("\nDraw one: polyhead show gpt-nano. Compare two: polyhead show llama-7b --against gpt2")
    return 0


def _brief(spec: ModelSpec | PairSpec) -> dict[str, Any]:
    from polyhead.report.counting import towers

    stacks = {name or place: stack for name, tower in towers(spec).items() for place, stack in tower.stacks.items()}
    last = list(towers(spec).values())[-1]
    return {
        "shape": "–".join(stacks), "parameters": spec.params().total, "layers": [stack.layers for stack in stacks.values()],
        "width": last.top.width, "context": last.context,
    }  # fmt: skip


# ---------------------------------------------------------------- two models


def _compare(one: tuple[str, ModelSpec | PairSpec], other: tuple[str, ModelSpec | PairSpec], as_json: bool) -> int:
    from polyhead.report.differing import differences
    from polyhead.report.telling import side_by_side

    (name, a), (against, b) = one, other
    if not as_json:
        say(side_by_side(a, b, (name, against)))
        return 0
    found = [
        {"path": d.path, "a": d.a, "b": d.b} | ({"path_in_b": d.other} if d.other else {}) for d in differences(a, b)
    ]
    parameters = {"a": a.params().total, "b": b.params().total}
    emit({"a": name, "b": against, "equal": not found, "differences": found, "parameters": parameters})
    return 0


# ---------------------------------------------------------------- one model


def counts(spec: ModelSpec | PairSpec) -> dict[str, Any]:
    """Parameters and FLOPs by part, bytes of cache per token, and memory of weights and of a training step."""
    from polyhead.nn import PairSpec
    from polyhead.report.counting import active, rows

    params = spec.params()
    facts = {
        "parameters": params.total, "active_parameters": active(spec), "parts": params.parts,
        "table": [row._asdict() for row in rows(spec)], "weights_bytes": {"fp32": 4 * params.total, "bf16": 2 * params.total},
    }  # fmt: skip
    if isinstance(spec, PairSpec):
        return facts | {"context": spec.text.context, "flops_per_pair": spec.flops(spec.text.context).total}
    return facts | _running(spec)


def _running(spec: ModelSpec) -> dict[str, Any]:
    """What a model costs at work and in training."""
    from polyhead.report import cache_bytes
    from polyhead.train import TrainingConfig
    from polyhead.train.memory import step_memory

    context = spec.context
    flops = spec.flops(context)
    training = step_memory(spec, TrainingConfig(batch=1, precision="fp32"), context).full
    return {
        "context": context,
        "flops_per_token": {"forward": flops.total / context, "training": 3 * flops.total / context},
        "cache_bytes_per_token": {"fp32": cache_bytes(spec), "bf16": cache_bytes(spec, 2)},
        "training_bytes": {"fixed": sum(training[p] for p in ("weights", "gradients", "optimizer")),
                           "per_row": training["activations"] + training["logits"]},
    }  # fmt: skip


def text(spec: ModelSpec | PairSpec, name: str, facts: dict[str, Any]) -> str:
    """The drawing with the counts below it."""
    from polyhead.report import draw
    from polyhead.report.counting import table

    return "\n".join([draw(spec, name), "", *table(spec), "", *_costs(spec, facts)])


def _costs(spec: ModelSpec | PairSpec, facts: dict[str, Any]) -> list[str]:
    """Compute, cache, weights and training, a line each."""
    from polyhead.report.counting import windowed
    from polyhead.train.memory import show_bytes

    weights, context = facts["weights_bytes"], facts["context"]
    if "flops_per_pair" in facts:
        told = {"compute": f"{facts['flops_per_pair']:,} FLOPs for one image and one text of {context:,} tokens"}
    else:
        forward = facts["flops_per_token"]["forward"]
        told = {"compute": f"{forward:,.0f} FLOPs per token forward at {context:,} tokens, three times that in training"}
    if cache := facts.get("cache_bytes_per_token", {}).get("fp32"):
        whole = f"{show_bytes(cache * context)} at full context"
        told["cache"] = f"{show_bytes(cache)} per token in fp32, half in bf16; "
        told["cache"] += "layers with a window stop growing when it is full" if windowed(spec) else whole
    told["weights"] = f"{show_bytes(weights['fp32'])} in fp32, {show_bytes(weights['bf16'])} in bf16"
    if training := facts.get("training_bytes"):
        rows = f"{show_bytes(training['per_row'])} per row of {context:,} tokens"
        told["training"] = f"{show_bytes(training['fixed'])} for weights, gradients and AdamW in fp32, and {rows}"
    return [
        line
        for name, what in told.items()
        for line in textwrap.wrap(what, _WIDTH, initial_indent=f"{name:<10}", subsequent_indent=" " * 10)
    ]
