"""From what a person typed to one RunConfig: preset defaults, a recipe file, `section.field=value` overrides."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from polyhead.errors import ConfigError
from polyhead.families import defaults, for_objective, override, resolve, with_context, with_vocab
from polyhead.families.document import parse, read
from polyhead.families.problems import check
from polyhead.nn import ModelSpec

from .config import RunConfig

SECTIONS = ("data", "tokenizer", "training")
FREE_ON_RESUME = {
    "steps", "log_every", "eval_every", "eval_batches", "sample_every", "sample_prompt", "sample_tokens", "save_every",
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
    target: str, data: str | Iterable[str] | None = None, overrides: Mapping[str, Any] | None = None
) -> RunConfig:
    """The config of a new run. target: a preset, a spec file, or a recipe (YAML with a `model` key and sections)."""
    recipe = read_recipe(target)
    tree: dict[str, Any] = {"model": target} if recipe is None else recipe
    base = defaults(tree["model"])
    merged = merge({k: dict(v) if isinstance(v, Mapping) else v for k, v in base.items()}, tree)
    if data is not None:
        merged.setdefault("data", {})["path"] = data if isinstance(data, str) else tuple(data)
    for key, value in (overrides or {}).items():
        place(merged, key, value)
    if "path" not in merged.get("data", {}):
        raise ConfigError(
            "no data to train on", expected="a file, folder or data set", change="polyhead train PRESET DATA -o FOLDER"
        )
    return validate(merged)


def place(tree: dict[str, Any], key: str, value: Any) -> None:
    """Set a dotted key; `model.x.y` goes into the spec's overrides."""
    head, *rest = key.split(".")
    if head == "model" and rest:
        tree.setdefault("overrides", {})[".".join(rest)] = value
        return
    if head == "training" and rest[:1] in (["optimizer"], ["schedule"], ["trained"]) and len(rest) == 1 and isinstance(value, str):
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
    newer = tree.get("version", 1)
    if isinstance(newer, int) and newer > 1:
        raise ConfigError(
            "the config was written by a newer polyhead", expected="version 1", received=f"version {newer}",
            change="upgrade polyhead",
        )  # fmt: skip
    return check(RunConfig, tree, "the run's config")


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
    frozen = {
        f"{section}.{field}": (old, new)
        for section, a, b in (("training", own.training, asked.training), ("tokenizer", own.tokenizer, asked.tokenizer))
        for (field, old), (_, new) in zip(a, b, strict=True)
        if old != new and not (section == "training" and field in FREE_ON_RESUME)
    }
    frozen |= {f: (getattr(own, f), getattr(asked, f)) for f in ("model", "overrides", "seed", "data")
               if getattr(own, f) != getattr(asked, f)}  # fmt: skip
    if frozen:
        name, (old, new) = next(iter(frozen.items()))
        raise ConfigError(
            f"{name} cannot change while a run is resumed", expected=str(old), received=str(new),
            change="resume with the same settings, or start a new run with another -o",
        )  # fmt: skip
    free = {f: getattr(asked.training, f) for f in FREE_ON_RESUME}
    return own.model_copy(update={"training": own.training.model_copy(update=free)})


def spec_of(config: RunConfig, vocab: int) -> ModelSpec:
    """The spec a run trains: overrides, its context, its objective's head, its tokenizer's vocabulary.

    A tokenizer given by file keeps a published embedding's size when it fits; one with more tokens than rows is refused.
    """
    spec = override(resolve(config.model), config.overrides) if config.overrides else resolve(config.model)
    if config.training.context is not None:
        spec = with_context(spec, config.training.context)
    spec = for_objective(spec, config.training.objective)
    if config.tokenizer.path is None:
        return with_vocab(spec, vocab)
    rows = spec.vocab
    if rows is not None and vocab > rows:
        raise ConfigError(
            "the tokenizer is larger than the model's embedding", expected=f"at most {rows} tokens",
            received=f"{vocab} in {config.tokenizer.path}", change=f"model.vocab={vocab}, or a smaller tokenizer",
        )  # fmt: skip
    return spec
