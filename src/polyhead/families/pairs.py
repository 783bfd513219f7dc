"""Pairs of towers: their config.json ↔ a PairSpec, and their presets. The towers are recipes, which exchange.py reads and writes.

A family's PAIRS is data:
    types, class    the model_type values and the architecture it answers to
    image, text     key: where that tower's config stands; recipe and class: what it is there
    shared          keys beside the towers' configs that hold for both, with their defaults
    scale           (key, default) of the learned factor's logarithm at the start
    presets         name → the presets of its towers
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from pydantic import ValidationError

from ..errors import ConfigError
from ..nn import PairSpec
from . import exchange
from .presets import PAIRED, PAIRS, preset, recipes
from .problems import nearest
from .rows import Config, check_facts, number

TOWERS = ("image", "text")


class PairReading(NamedTuple):
    """What a pair's config.json says, and how each tower's part of it was read."""

    spec: PairSpec
    image: exchange.Reading
    text: exchange.Reading


def pairs() -> list[str]:
    """The names of all presets that are pairs of towers."""
    return list(PAIRED)


@cache
def pair(name: str) -> PairSpec:
    """The frozen architecture of a pair's preset. ConfigError, with the nearest names, if there is none of that name."""
    if name not in PAIRED:
        near = nearest(name.lower(), PAIRED)
        change = f"did you mean {near[0]}?" if near else "polyhead show lists them"
        raise ConfigError(f"there is no pair {name!r}", expected="one of " + ", ".join(PAIRED), received=name, change=change)
    kind, image, text = PAIRED[name]
    return PairSpec(family=kind, image=preset(image), text=preset(text), scale=PAIRS[kind]["scale"][1])


def is_pair(config: Config) -> bool:
    """Whether a config.json is of a pair, and not of one tower of it with a head."""
    kind = config.get("model_type")
    single = [r["hf"] for r in recipes().values() if "hf" in r and kind in r["hf"]["types"]]
    return any(kind in data["types"] for data in PAIRS.values()) and not any(exchange.fits(config, hf) for hf in single)


def read_pair(config: Config, source: str = "config.json") -> PairReading:
    """The architecture of a pair's config.json. ConfigError names part and key."""
    exchange.refuse_packed(config, source)
    check_facts(config, source, alone=False)
    name, data = next((name, data) for name, data in PAIRS.items() if config["model_type"] in data["types"])
    if config.get("architectures") not in (None, [], [data["class"]]):
        others = [c for r in recipes().values() if "hf" in r and set(r["hf"]["types"]) & set(data["types"]) for c in r["hf"]["classes"]]
        raise ConfigError(
            f"{source}: architectures is not a class polyhead reads", expected=" | ".join([data["class"], *others]),
            received=repr(config["architectures"])[:100], change=f"write {data['class']} if that is what the weights are",
        )  # fmt: skip
    towers = {tower: _read_tower(config, data, tower, source) for tower in TOWERS}
    key, default = data["scale"]
    scale = number(config.get(key, default), key, source)
    try:
        spec = PairSpec(family=name, image=towers["image"].spec, text=towers["text"].spec, scale=scale)
    except ValidationError as error:
        message = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
        raise ConfigError(f"{source} does not describe a pair of towers", expected=message, change="correct it") from None
    return PairReading(spec, **towers)


def _read_tower(config: Config, data: Config, tower: str, source: str) -> exchange.Reading:
    told = data[tower]
    part = exchange.part_of(config, told["key"])
    if part is None:
        raise ConfigError(f"{source}: {told['key']} is missing", expected="the tower's own configuration", received=repr(config.get(told["key"]))[:100])
    shared = {key: default if config.get(key) is None else config[key] for key, default in data["shared"].items()}
    kind = recipes()[told["recipe"]]["hf"]["types"][0]
    return exchange.read_config({**part, **shared, "model_type": kind, "architectures": [told["class"]]}, f"{source}: {told['key']}")


def write_pair(spec: PairSpec, source: Config | None = None) -> tuple[Config, PairReading]:
    """(a config.json that reads back as this pair, that reading). source: the config it was read from, whose other keys are
    kept. ConfigError names what the format cannot express."""
    source = source or {}
    towers = {"image": spec.image, "text": spec.text}
    family = {name: [data[tower]["recipe"] for tower in TOWERS] for name, data in PAIRS.items()}
    name = next((n for n, names in family.items() if [t.family for t in towers.values()] == names), None)
    if name is None:
        raise ConfigError(
            "no published family pairs these two towers", expected=" | ".join(" with ".join(names) for names in family.values()),
            received=" with ".join(t.family or "unnamed" for t in towers.values()), change="save it in polyhead's own format (--to native)",
        )  # fmt: skip
    data = PAIRS[name]
    config = {**exchange.spelled_old(source), data["scale"][0]: spec.scale, "model_type": data["types"][0], "architectures": [data["class"]]}
    for tower, one in towers.items():
        key = data[tower]["key"]
        before = exchange.part_of(source, key)
        part, _ = exchange.write_config(one, before)
        config |= {k: part[k] for k in data["shared"]} | {key: {k: v for k, v in part.items() if k != "architectures"}}
        config |= {f"{key}_dict": None} if f"{key}_dict" in config else {}
    reading = read_pair(config, f"the {name} format")
    return config, reading
