"""Rotary positions as config.json writes them, in the spelling of transformers 4 and of 5. Read by exchange.py.

Arguments of an "@rope" row: theta and fraction, the family's defaults; keys, its own names for theta; fraction_keys;
layers, the layer type whose entry to take where `rope_parameters` is per type; interleaved, and interleaved_key, its switch; scaled, false for a kind
that never has a scaling; scaling, what null means instead of none; rotated, the value that holds the rotated head's width.
Without a fraction of its own a family rotates whole heads, and another fraction is refused.
"""

from __future__ import annotations

import math
from typing import Any

from ..errors import ConfigError

Config = dict[str, Any]


def rope_read(config: Config, values: Config, args: Config, source: str) -> Config:
    """The position of a kind of block. `rope_parameters` (5.x) wins over `rope_scaling` (4.x); null is no scaling."""
    new = config.get("rope_parameters")
    if isinstance(new, dict) and isinstance(new.get(args.get("layers", "")), dict):
        new = new[args["layers"]]
    old = config.get("rope_scaling") if args.get("scaled", True) else None
    for key, part in (("rope_parameters", new), ("rope_scaling", old)):
        if not isinstance(part, dict | None):
            raise ConfigError(f"{source}: {key} is not a mapping", expected="names with numbers", received=repr(part)[:100])
    found = new or old or args.get("scaling", {})
    keys = args.get("keys", ["rope_theta", "rotary_emb_base"])
    theta = _first(found.get("rope_theta"), *(config.get(k) for k in keys), args.get("theta", 10000.0))
    names = args.get("fraction_keys", ["partial_rotary_factor", "rotary_pct"])
    fraction = _first(found.get("partial_rotary_factor"), *(config.get(k) for k in names), args.get("fraction", 1.0))
    for key, number in ((keys[0], theta), (names[0], fraction)):
        if isinstance(number, bool) or not isinstance(number, int | float) or not 0 < number < 1e12:
            raise ConfigError(f"{source}: {key} is not possible", expected="a number above 0 and below 1e12", received=repr(number)[:100])
    if fraction != 1.0 and "fraction" not in args:
        raise ConfigError(f"{source}: {names[0]} is of a form no published model has", expected="1.0: whole heads are rotated", received=repr(fraction), change="take the key away if it means nothing")
    head = _head_width(values, args)
    dim = int(head * fraction) if head is not None else None
    flag, usual = args.get("interleaved_key"), args.get("interleaved", False)
    interleaved = bool(usual if flag is None else config.get(flag, usual))
    position: Config = {"kind": "rotary", "theta": float(theta), "dim": dim, "interleaved": interleaved}
    return position | {"scaling": _scaling(found, config, values, source)}


def _first(*found: Any) -> Any:
    return next((f for f in found if f is not None), None)


def _head_width(values: Config, args: Config) -> int | None:
    from .presets import fill

    try:
        head = fill(args.get("rotated", "$head_dim"), values)
        return int(fill(["@over", "$width", "$heads"], values) if head is None else head)
    except (KeyError, TypeError, ValueError, ArithmeticError):
        return None  # the spec's own check says what is wrong with the heads


def _scaling(found: Config, config: Config, values: Config, source: str) -> Config | None:
    kind = found.get("rope_type", found.get("type")) or "default"
    if kind == "default":
        return None
    if kind == "yarn" and "short_factor" in found:  # the name that early Phi-3 files have for longrope
        kind = "longrope"
    read = {"linear": _linear, "dynamic": _dynamic, "llama3": _llama3, "yarn": _yarn, "longrope": _longrope, "su": _longrope}
    if not isinstance(kind, str) or kind not in read:
        raise ConfigError(f"{source}: rope_scaling.rope_type is not one polyhead reads", expected=" | ".join(["default", *read]), received=repr(kind)[:100])
    try:
        scaling = read[kind](found, config)
    except (KeyError, TypeError, ValueError, ArithmeticError) as error:
        raise ConfigError(f"{source}: rope_scaling does not describe a {kind} scaling", expected="its factors as numbers above 0", received=f"{type(error).__name__}: {error}") from None
    for name, number in scaling.items():
        if isinstance(number, float | int) and not isinstance(number, bool) and not (math.isfinite(number) and 0 <= number < 1e12):
            raise ConfigError(f"{source}: rope_scaling: {name} is not possible", expected="a number below 1e12", received=repr(number))
    return scaling


def _original(found: Config, config: Config) -> int:
    value = _first(config.get("original_max_position_embeddings"), found.get("original_max_position_embeddings"), config.get("max_position_embeddings"))
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError("original_max_position_embeddings is not a number")
    return int(value)


def _real(found: Any) -> float:
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise TypeError(f"{found!r} is not a number"[:100])
    return float(found)


def _whole(found: Any) -> int:
    return int(_real(found))


def _linear(found: Config, config: Config) -> Config:
    return {"kind": "linear", "factor": _real(found["factor"])}


def _dynamic(found: Config, config: Config) -> Config:
    return {"kind": "dynamic", "factor": _real(found["factor"]), "original": _whole(config["max_position_embeddings"])}


def _llama3(found: Config, config: Config) -> Config:
    ends = {"low": _real(found["low_freq_factor"]), "high": _real(found["high_freq_factor"])}
    return {"kind": "llama3", "factor": _real(found["factor"]), "original": _whole(found["original_max_position_embeddings"]), **ends}


def mscale(factor: float, a: float) -> float:
    """YaRN's m(f, a) = 0.1·a·ln f + 1, 1 without extension (Peng et al. 2023, arXiv 2309.00071, eq. 15)."""
    return 0.1 * a * math.log(factor) + 1.0 if factor > 1 else 1.0


def _yarn(found: Config, config: Config) -> Config:
    original = _whole(_first(found.get("original_max_position_embeddings"), config.get("max_position_embeddings")))
    factor = _real(_first(found.get("factor"), config.get("max_position_embeddings", 0) / original))
    attention, m, all_dim = found.get("attention_factor"), found.get("mscale"), found.get("mscale_all_dim")
    if attention is None:
        attention = mscale(factor, m) / mscale(factor, all_dim) if m and all_dim else mscale(factor, 1.0)
    bounds = {"fast": _real(found.get("beta_fast") or 32), "slow": _real(found.get("beta_slow") or 1)}
    truncate = found.get("truncate", True)
    return {"kind": "yarn", "factor": factor, "original": original, **bounds, "truncate": truncate, "attention": _real(attention)}


def _longrope_attention(factor: float, original: int) -> float:
    """√(1 + ln f / ln n) (LongRoPE, Ding et al. 2024, arXiv 2402.13753, as Phi-3 has it)."""
    return math.sqrt(1 + math.log(factor) / math.log(original)) if factor > 1 else 1.0


def _longrope(found: Config, config: Config) -> Config:
    original = _original(found, config)
    factor = _real(_first(found.get("factor") if "original_max_position_embeddings" not in config else None,
                          config["max_position_embeddings"] / original))  # fmt: skip
    attention = found.get("attention_factor")
    if attention is None:
        attention = _longrope_attention(factor, original)
    lists = {"short": [_real(x) for x in found["short_factor"]], "long": [_real(x) for x in found["long_factor"]]}
    return {"kind": "longrope", "original": original, **lists, "attention": _real(attention)}


# ---------------------------------------------------------------- writing, in the 4.x spelling


def rope_write(bound: Config, defaults: Config, name: str, args: Config) -> Config:
    position = bound.get(name)
    if not isinstance(position, dict) or position.get("kind") != "rotary":
        return {}
    out: Config = {args.get("keys", ["rope_theta"])[0]: position["theta"]}
    if "interleaved_key" in args:
        out[args["interleaved_key"]] = position["interleaved"]
    head = _head_width({**defaults, **bound}, args)
    if head is not None and position["dim"] is not None and (position["dim"] != head or args.get("fraction", 1.0) != 1.0):
        out[args.get("fraction_keys", ["partial_rotary_factor"])[0]] = position["dim"] / head
    if not args.get("scaled", True):
        return out
    scaling = position.get("scaling")
    unscaled = {"rope_type": "default"} if "scaling" in args else None
    out["rope_scaling"] = unscaled if scaling is None else _write_scaling(scaling, out, {**defaults, **bound}.get("context"))
    return out


def _write_scaling(s: Config, out: Config, context: int | None = None) -> Config:
    kind = s["kind"]
    if kind == "longrope":
        out["original_max_position_embeddings"] = s["original"]
        usual = context is not None and math.isclose(s["attention"], _longrope_attention(context / s["original"], s["original"]), rel_tol=1e-12)
        told = {} if usual else {"attention_factor": s["attention"]}
        return {"type": "longrope", "short_factor": list(s["short"]), "long_factor": list(s["long"])} | told
    theirs: Config = {"rope_type": kind, "factor": s["factor"]}
    if kind in ("llama3", "yarn"):
        theirs["original_max_position_embeddings"] = s["original"]
    if kind == "llama3":
        theirs |= {"low_freq_factor": s["low"], "high_freq_factor": s["high"]}
    if kind == "yarn":
        theirs |= {"beta_fast": s["fast"], "beta_slow": s["slow"], "truncate": s["truncate"], "attention_factor": s["attention"]}
    return theirs


# ---------------------------------------------------------------- the temperature that DeepSeek takes into the score's scale


def mscale_read(config: Config, values: Config, args: Config, source: str) -> float | None:
    """width^−½ · m(f, mscale_all_dim)² under YaRN, None (the plain scale) otherwise. args: width, of a head's query."""
    from .presets import fill

    found = config.get("rope_parameters") or config.get("rope_scaling") or {}
    try:
        width, a = sum(fill(args["width"], values)), found.get("mscale_all_dim")
        return width**-0.5 * mscale(float(found["factor"]), a) ** 2 if a and found.get("factor") else width**-0.5
    except (AttributeError, TypeError, ValueError, ArithmeticError) as error:
        raise ConfigError(f"{source}: rope_scaling.mscale_all_dim is not possible", expected="numbers", received=str(error)) from None


def mscale_write(bound: Config, defaults: Config, name: str, args: Config) -> Config:
    """The rope_scaling once more, with the mscale_all_dim that gives this scale."""
    from .presets import fill

    scale, position = bound.get(name), bound.get("position")
    scaling = position.get("scaling") if isinstance(position, dict) else None
    if scale is None or scaling is None or scaling["kind"] != "yarn" or scaling["factor"] <= 1:
        return {}
    m = math.sqrt(scale * sum(fill(args["width"], {**defaults, **bound})) ** 0.5)
    a = (m - 1) / (0.1 * math.log(scaling["factor"]))
    theirs = _write_scaling(scaling, {})
    return {"rope_scaling": theirs | ({"mscale_all_dim": round(a, 9)} if abs(a) > 1e-9 else {})}
