"""Which layer is of which kind, as config.json files say it: lists of types, periods, thresholds. Read by exchange.py.

A row ("@layers", "layout", {…}) tries, in this order: `types`, a map from the words of the config's `layer_types` to our
kinds; then one rule. `first` gives the first layer's kind another name, by its kind. Writing gives `layer_types` where the row has `types`, and the rule's keys where they reproduce it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..errors import ConfigError

Config = dict[str, Any]
Rule = Callable[[Config, int, Config], list[str]]


def _cycle(args: Config, layers: int, config: Config) -> list[str]:
    """The kinds in turn."""
    return [args["cycle"][i % len(args["cycle"])] for i in range(layers)]


def _every(args: Config, layers: int, config: Config) -> list[str]:
    """Layer i is `yes` where (i + phase) is a multiple of the config's period."""
    n = _count(config, args["every"], args["default"])
    return [args["yes"] if n > 0 and (i + args["phase"]) % n == 0 else args["no"] for i in range(layers)]


def _from(args: Config, layers: int, config: Config) -> list[str]:
    """`yes` from the config's layer on, if the switch is on."""
    on = config.get(args["if"], args.get("if_default", False)) if "if" in args else True
    start = _count(config, args["from"], args.get("default", 0))
    return [args["yes"] if on and i >= start else args["no"] for i in range(layers)]


def _until(args: Config, layers: int, config: Config) -> list[str]:
    """`yes` before the config's layer."""
    end = _count(config, args["until"], args["default"])
    return [args["yes"] if i < end else args["no"] for i in range(layers)]


def _listed(args: Config, layers: int, config: Config) -> list[str]:
    """`yes` in the listed layers and where (i + 1) is no multiple of the step."""
    step, listed = _count(config, args["step"], 1), config.get(args["listed"]) or []
    return [args["yes"] if i in listed or step < 1 or (i + 1) % step else args["no"] for i in range(layers)]


def _each(args: Config, layers: int, config: Config) -> list[str]:
    """A number per layer (or one for all) names its kind: "w{n}", with n halved where the row says so."""
    found = config.get(args["each"], args.get("default"))
    numbers: list[Any] = found if isinstance(found, list) else [found] * layers
    if len(numbers) != layers or not all(type(n) is int and 0 <= n < 2**31 for n in numbers):
        raise ValueError(f"{args['each']} gives {len(numbers)} numbers for {layers} layers, each a whole number")
    if args.get("half") and any(n % 2 or not n for n in numbers):
        raise ValueError(f"{args['each']} gives {numbers[:20]}: each must be even and above 0")
    return [args["name"].replace("{n}", str(n // 2 if args.get("half") else n)) for n in numbers]


def _index(args: Config, layers: int, config: Config) -> list[str]:
    """A kind of its own for every layer, numbered from 1, if the switch is on."""
    return [args["name"].replace("{n}", str(i + 1)) if config.get(args["index"]) else args["no"] for i in range(layers)]


RULES: dict[str, Rule] = {"cycle": _cycle, "every": _every, "from": _from, "until": _until, "listed": _listed, "each": _each, "index": _index}


def _count(config: Config, key: str | list[str], default: int) -> int:
    names = [key] if isinstance(key, str) else key
    found = next((config[k] for k in names if config.get(k) is not None), default)
    if isinstance(found, bool) or not isinstance(found, int):
        raise ValueError(f"{names[0]} is not a whole number: {found!r}")
    return found


def layers_read(config: Config, values: Config, args: Config, source: str) -> list[str]:
    layers = values[args.get("layers", "layers")]
    if isinstance(layers, bool) or not isinstance(layers, int) or not 0 < layers <= 10_000:
        return [next(iter(args.get("types", {"": "layer"}).values()))]  # the spec's own check refuses the number
    given = config.get("layer_types")
    try:
        if given is not None and "types" in args:
            kinds = [args["types"][word] for word in given]
            if len(kinds) != layers:
                raise ValueError(f"layer_types names {len(kinds)} layers of {layers}")
        else:
            rule = next(name for name in RULES if name in args)
            kinds = RULES[rule](args, layers, config)
    except (KeyError, TypeError, ValueError) as error:
        expected = f"{layers} kinds of layer" + (f" out of {', '.join(args['types'])}" if "types" in args else "")
        key = args["each"] if "each" in args else "layer_types"
        raise ConfigError(f"{source}: the layers' kinds ({key}) cannot be read", expected=expected, received=str(error)[:200], change=f"correct {key}") from None
    return _led(kinds, args)


def _led(kinds: list[str], args: Config) -> list[str]:
    return [args.get("first", {}).get(kinds[0], kinds[0]), *kinds[1:]]


def layers_write(bound: Config, defaults: Config, name: str, args: Config) -> Config:
    kinds = bound.get(name)
    if not kinds:
        return {}
    out: Config = {}
    if "types" in args:
        words = {ours: theirs for theirs, ours in args["types"].items()}
        words |= {ours: words[kind] for kind, ours in args.get("first", {}).items()}
        out["layer_types"] = [words.get(kind, kind) for kind in kinds]
    rule = next((rule for rule in RULES if rule in args), None)
    if rule is None:
        return out
    for trial in _trials(rule, args, kinds):
        made = _led(RULES[rule](args, len(kinds), trial), args)
        if made == list(kinds):
            return out | trial
    return out


def _trials(rule: str, args: Config, kinds: list[str]) -> list[Config]:
    """Settings of a rule that may give these kinds."""
    n = len(kinds)
    first = lambda key: key if isinstance(key, str) else key[0]  # noqa: E731
    if rule == "every":
        return [{first(args["every"]): i} for i in range(1, n + 2)]
    if rule == "from":
        start = next((i for i, kind in enumerate(kinds) if kind == args["yes"]), n)
        on = {args["if"]: args["yes"] in kinds} if "if" in args else {}
        return [{args["from"]: start} | on]
    if rule == "until":
        return [{args["until"]: next((i for i, kind in enumerate(kinds) if kind != args["yes"]), n)}]
    if rule == "listed":
        return [{args["listed"]: [i for i, kind in enumerate(kinds) if kind == args["yes"]], args["step"]: 1}]
    if rule == "each":
        prefix, times = args["name"].split("{n}")[0], 2 if args.get("half") else 1
        numbers = [kind.removeprefix(prefix) for kind in kinds]
        return [{args["each"]: [times * int(x) for x in numbers]}] if all(x.isdigit() for x in numbers) else []
    if rule == "index":
        return [{args["index"]: kinds[0] != args["no"]}]
    return []


LAYOUTS = {"@layers": (layers_read, layers_write)}
