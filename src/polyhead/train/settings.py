"""From what a person typed to one RunConfig: preset defaults, a recipe file, `section.field=value` overrides."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from polyhead.errors import ConfigError
from polyhead.families import defaults, override, with_context, with_vocab
from polyhead.families.document import parse, read
from polyhead.families.problems import check
from polyhead.nn import ModelSpec

from .best import must_be_told
from .config import DataConfig, RunConfig, TrainingConfig
from .objectives.choosing import described, fitting
from .reading import open_data, refuse_lines_that_may_be_pairs
from .start import architecture, is_model

SECTIONS = ("data", "tokenizer", "training")
FINE_TUNING = {"training": {
    "epochs": 3, "batch": 32, "optimizer": {"kind": "adamw", "lr": 5e-5, "betas": [0.9, 0.999], "weight_decay": 0.01},
    "schedule": {"kind": "linear", "warmup": 0.1},
}}  # of BERT (Devlin et al. 2019, §A.3) and most since
FREE_ON_RESUME = {
    "steps", "epochs", "log_every", "eval_every", "eval_batches", "sample_every", "sample_prompt", "sample_tokens", "save_every",
    "keep", "tensorboard", "threads", "device",
}  # fmt: skip


def parse_overrides(pairs: Iterable[str]) -> dict[str, Any]:
    """["training.steps=500", "seed=7"] → {"training.steps": 500, "seed": 7}; values as a recipe's YAML would hold them."""
    out: dict[str, Any] = {}
    for pair in pairs:
        key, sign, text = pair.partition("=")
        if not sign or not key:
            raise ConfigError(
                f"cannot read {pair!r}", expected="section.field=value", received=pair, change="training.steps=500"
            )
        try:
            out[key] = parse(f"value: {text}", json_only=False, source=key)["value"]
        except ConfigError:  # a path or prompt with signs that mean something in YAML
            out[key] = text
    return out


def build_config(
    target: str, data: str | Iterable[str] | None = None, overrides: Mapping[str, Any] | None = None, notes: list[str] | None = None
) -> RunConfig:
    """The config of a new run. target: a preset, a spec file, a recipe (YAML with a `model` key and sections), or a trained
    model to go on from. An objective that nobody names is left to the data: see `objectives.choosing`. Other data than a
    recipe's takes the recipe's held-out part away, which is said in `notes`."""
    recipe = read_recipe(target)
    tree: dict[str, Any] = {"model": target} if recipe is None else deepcopy(recipe)
    base = _spelled(usual(tree["model"]))
    asked = [*tree.get("training", {}), *(key.removeprefix("training.").split(".")[0] for key in overrides or {} if key.startswith("training."))]
    training = base.get("training", {})
    if "objective" not in asked:
        training.pop("objective", None)  # settled by the data
    for one, other in (("steps", "epochs"), ("epochs", "steps")):
        if one in asked:
            training.pop(other, None)
    merged = merge(base, _spelled(tree))
    if data is not None:
        merged.setdefault("data", {})["path"] = data if isinstance(data, str) else tuple(data)
    for key, value in (overrides or {}).items():
        place(merged, key, value)
    if recipe is not None and "data.validation" not in (overrides or {}):
        _own_held_out(recipe, merged, [] if notes is None else notes)
    if "path" not in merged.get("data", {}):
        raise ConfigError(
            "no data to train on", expected="a file, folder or data set", change="polyhead train PRESET DATA -o FOLDER"
        )
    return validate(merged)


def _own_held_out(recipe: Mapping[str, Any], merged: dict[str, Any], notes: list[str]) -> None:
    """A recipe's data.validation goes with the data it belongs to: what was learnt may stand in it."""
    own, data = recipe.get("data"), merged.get("data")
    if not isinstance(own, Mapping) or not isinstance(data, dict) or own.get("validation") is None:
        return
    if _listed(own.get("path")) == _listed(data.get("path")):
        return
    data["validation"] = None
    share, which = data.get("holdout", DataConfig.model_fields["holdout"].default), "last " if data.get("held") == "last" else ""
    notes.append(
        f"the recipe's held-out part {','.join(_listed(own['validation']))} belongs to its own data: of {','.join(_listed(data['path']))} "
        f"the {which}share {share} is held out instead; data.validation=FILE names another part"
    )


def _listed(path: Any) -> list[str]:
    return [path] if isinstance(path, str) else [str(one) for one in path or ()]


def usual(model: str) -> dict[str, Any]:
    """What a run of this model is when nothing else is said: a preset's own settings; a trained model's fine-tuning."""
    return deepcopy(FINE_TUNING) if is_model(model) else defaults(model)


def place(tree: dict[str, Any], key: str, value: Any) -> None:
    """Set a dotted key; `model.x.y` goes into the spec's overrides."""
    head, *rest = key.split(".")
    if head == "model" and rest:
        tree.setdefault("overrides", {})[".".join(rest)] = value
        return
    choices = (["optimizer"], ["schedule"], ["objective"], ["trained"])
    if head == "training" and rest[:1] in choices and len(rest) == 1 and isinstance(value, str):
        value = {"kind": value}
    for part in (head, *rest)[:-1]:
        below = tree.setdefault(part, {})
        if not isinstance(below, dict):
            raise ConfigError(f"{part} has no fields", received=key, expected=f"{part}=value")
        tree = below
    last = (head, *rest)[-1]
    if isinstance(value, dict) and isinstance(tree.get(last), dict) and value.get("kind") == tree[last].get("kind"):
        value = {**tree[last], **value}
    tree[last] = value


def merge(base: dict[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` on top of `base`, mappings merged; a choice of another `kind` replaces the whole choice."""
    out = dict(base)
    for key, value in over.items():
        below = out.get(key)
        if isinstance(below, dict) and isinstance(value, Mapping):
            same = value.get("kind", below.get("kind")) == below.get("kind")
            out[key] = merge(below, value) if same else value
        else:
            out[key] = value
    return out


def validate(tree: Mapping[str, Any]) -> RunConfig:
    known, version = RunConfig.model_fields["version"].default, tree.get("version", 1)
    if isinstance(version, int) and version > known:
        raise ConfigError(
            "the config was written by a newer polyhead", expected=f"version {known}", received=f"version {version}",
            change="upgrade polyhead",
        )  # fmt: skip
    return check(RunConfig, {**_spelled(tree), "version": known}, "the run's config")


def _spelled(tree: Mapping[str, Any]) -> dict[str, Any]:
    """The tree with its objective as a mapping; format 1 had a name, and the rate of a masked one beside it."""
    training = tree.get("training")
    if not isinstance(training, Mapping):
        return dict(tree)
    training, objective = dict(training), training.get("objective")
    rate = training.pop("mask_rate", None)
    if isinstance(objective, str):
        training["objective"] = {"kind": objective} | ({} if rate is None or objective != "masked" else {"rate": rate})
    return {**tree, "training": training}


def read_recipe(target: str) -> dict[str, Any] | None:
    """The tree of a recipe file, or None when target is a preset or a spec file."""
    path = Path(target)
    if path.suffix not in (".yaml", ".yml") or not path.is_file():
        return None
    tree = read(path)
    return tree if isinstance(tree.get("model"), str) else None


def read_config(folder: Path, asked: RunConfig | None = None) -> RunConfig:
    """The config of the run in `folder`, with what may change on resume taken from `asked`."""
    path = folder / "config.yaml"
    if not path.exists():
        raise ConfigError(f"{folder} holds no config.yaml", expected="a run's folder", received=str(folder))
    own = validate(read(path))
    if asked is None:
        return own
    if "objective" not in asked.training.model_fields_set:  # left to the data, which settled it when the run began
        training = asked.training.model_copy(update={"objective": own.training.objective})
        asked = asked.model_copy(update={"training": training})
    frozen = {
        f"{section}.{field}": (old, new)
        for section in SECTIONS for a, b in ((getattr(own, section), getattr(asked, section)),)
        for (field, old), (_, new) in zip(a, b, strict=True)
        if old != new and not (section == "training" and field in FREE_ON_RESUME)
    }
    frozen |= {f: (getattr(own, f), getattr(asked, f)) for f in ("model", "overrides", "seed")
               if getattr(own, f) != getattr(asked, f)}  # fmt: skip
    if frozen:
        frozen = {n: change for n, change in frozen.items() if n == "model"} or frozen  # another model brings its own settings
        name, (old, new) = next(iter(frozen.items()))
        others = f"; nor can {', '.join([*frozen][1:])}" if len(frozen) > 1 else ""
        raise ConfigError(
            f"{name} cannot change while a run is resumed{others}", expected=str(old), received=str(new),
            change="resume with the same settings, or start a new run with another -o",
        )  # fmt: skip
    free = {f: getattr(asked.training, f) for f in FREE_ON_RESUME}
    if asked.training.epochs is not None and own.training.epochs is not None:  # its steps were counted from the data
        free["steps"] = math.ceil(own.training.steps * asked.training.epochs / own.training.epochs)
    return own.model_copy(update={"training": own.training.model_copy(update=free)})


def settled(config: RunConfig) -> RunConfig:
    """The config with an objective: the one asked for, else what a preset is usually trained to do if the data is of that
    kind, else what fits the model and the data."""
    return chosen(config)[0]


def chosen(config: RunConfig) -> tuple[RunConfig, str]:
    """`settled`, and why that objective, in words that go on from "because". ConfigError if its evaluation does not tell the
    figure that decides what is best."""
    config, why = _chosen(config)
    if config.training.best is not None:
        must_be_told(config.training.best, config.training.objective.told)
    return config, why


def _chosen(config: RunConfig) -> tuple[RunConfig, str]:
    if "objective" in config.training.model_fields_set:
        return config, "it is named in the settings"
    spec, named = changed(config), usual(config.model)["training"].get("objective")
    training = check(TrainingConfig, {"objective": named}, config.model) if named is not None else None
    source = open_data(config.data, config.data.path)
    if source.kind == "text" and len(spec.stacks) == 2:
        refuse_lines_that_may_be_pairs(config.data)
    why = f"{config.model} is trained to do it unless told otherwise"
    if training is None or source.kind not in training.objective.takes:
        training = check(TrainingConfig, {"objective": fitting(spec, source)}, config.model)
        made = described(spec) if training.objective.kind != "similar" else f"{described(spec)} that gives vectors"
        why = f"the data is of the kind {source.kind} and the model is {made}"
    return config.model_copy(update={"training": config.training.model_copy(update={"objective": training.objective})}), why


def changed(config: RunConfig) -> ModelSpec:
    """The architecture of the run's target with its overrides."""
    spec = architecture(config.model)
    return override(spec, config.overrides) if config.overrides else spec


def spec_of(config: RunConfig, vocab: int | None, facts: Mapping[str, Any] | None = None) -> ModelSpec:
    """The spec a run trains: overrides, its context, its objective's head, its tokenizer's vocabulary. facts: of the packed
    data, such as its labels.

    A tokenizer given by file keeps a published embedding's size when it fits; one with more tokens than rows is refused. A
    trained model keeps its vocabulary and its table of positions; its context may be cut.
    """
    spec, context = changed(config), config.training.context
    trained = is_model(config.model)
    if context is not None and trained and context > spec.context:
        raise ConfigError(
            "training.context is longer than the trained model's", expected=f"at most {spec.context}", received=str(context),
            change="leave it out, or train a preset anew",
        )  # fmt: skip
    if context is not None and not trained:
        spec = with_context(spec, context)
    spec = config.training.objective.spec(spec, dict(facts or {}))
    teacher, rows = config.training.objective.teacher, spec.vocab
    if rows is None or vocab is None:
        return spec
    if teacher is not None:
        return with_vocab(spec, architecture(teacher).vocab or vocab)
    if config.tokenizer.path is None and not trained:
        return with_vocab(spec, vocab)
    if vocab > rows:
        raise ConfigError(
            "the tokenizer is larger than the model's embedding", expected=f"at most {rows} tokens",
            received=f"{vocab} in {config.tokenizer.path or config.model}", change=f"model.vocab={vocab}, or a smaller tokenizer",
        )  # fmt: skip
    return spec
