"""verify and convert: two models, one function; shown, and an exit code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from .output import emit, note, say

if TYPE_CHECKING:
    import torch

_UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}


def run_verify(
    model: str, against: str | None, tokens: int | None, seed: int, device: str, dtype: str, as_json: bool
) -> int:
    """The verb verify. ProofError, exit code 1, unless equal."""
    from polyhead.proof import verify
    from polyhead.train.parallel import pick_device

    report = verify(model, against, tokens=tokens, seed=seed, device=pick_device(device), dtype=read_dtype(dtype))
    if as_json:
        emit(report.as_dict())
    else:
        say(str(report))
    report.require()
    return 0


def run_convert(
    model: str, to: str, out: Path, dtype: str | None, max_shard: str | None, unsafe_pickle: bool, device: str, as_json: bool
) -> int:
    """The verb convert. ProofError, exit code 1, unless what was written is the same."""
    from polyhead.proof import convert
    from polyhead.train.parallel import pick_device

    stored = None if dtype is None else read_dtype(dtype)
    size = None if max_shard is None else read_size(max_shard)
    done = convert(model, to, out, dtype=stored, max_shard=size, unsafe_pickle=unsafe_pickle, device=pick_device(device))
    if as_json:
        emit(done.as_dict())
    else:
        say(str(done.proof))
        if done.reference is not None:
            say(f"\n{done.reference}")
    if done.why:
        note(f"note: {done.why}")
    done.require()
    return 0


def read_dtype(name: str) -> torch.dtype:
    import torch

    from polyhead.errors import ConfigError

    if name not in _DTYPES:
        raise ConfigError("there is no such dtype", expected=" | ".join(_DTYPES), received=repr(name))
    return getattr(torch, _DTYPES[name])


def read_size(text: str) -> int:
    """Bytes: a number, with KB, MB, GB or TB behind it for thousands of them."""
    from polyhead.errors import ConfigError

    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?B)?\s*", text, re.IGNORECASE)
    size = int(float(match[1]) * _UNITS.get((match[2] or "").upper(), 1)) if match else 0
    if size < 1:
        raise ConfigError("the largest shard is no size", expected="bytes, such as 500MB or 5GB", received=repr(text))
    return size
