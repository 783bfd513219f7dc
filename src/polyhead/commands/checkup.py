"""doctor: what is installed, what the machine can do, and whether the backends agree here."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sys
from pathlib import Path
from typing import Any, NamedTuple

from .output import emit, say

_NEEDED = ("torch", "numpy", "pydantic", "pyyaml", "safetensors", "tokenizers", "typer", "rich")
_EXTRAS = {"datasets": "Parquet and Hub data", "tensorboard": "TensorBoard", "sacrebleu": "BLEU in eval"}
_TOLERANCE = 2e-5  # of logits and gradients in fp32, relative to the largest


class Finding(NamedTuple):
    """ok: True, False (something needed is broken), or None (good to know)."""

    name: str
    ok: bool | None
    text: str


def run_doctor(as_json: bool) -> int:
    """The verb doctor: 0, or 1 if something needed is broken."""
    found = [*versions(), *machine(), *agreement(), *optimizers()]
    broken = [f for f in found if f.ok is False]
    if as_json:
        emit({"ok": not broken, "findings": [f._asdict() for f in found]})
    else:
        wide = max(len(f.name) for f in found)
        for f in found:
            say(f"{ {True: 'ok', False: 'BROKEN', None: ''}[f.ok]:<6}  {f.name:<{wide}}  {f.text}")
        say("\neverything needed works" if not broken else f"\nbroken: {', '.join(f.name for f in broken)}")
    return 1 if broken else 0


def versions() -> list[Finding]:
    import polyhead

    found = [Finding("polyhead", True, f"{polyhead.__version__} in {Path(polyhead.__file__).parent}")]
    found.append(Finding("python", sys.version_info >= (3, 11), f"{platform.python_version()} {platform.system()} {platform.machine()}"))
    for name in _NEEDED:
        found.append(_version(name) or Finding(name, False, f"is missing: pip install {name}"))
    for name, use in _EXTRAS.items():
        found.append(_version(name) or Finding(name, None, f"not installed; {use} needs it"))
    return found


def _version(name: str) -> Finding | None:
    try:
        return Finding(name, True, importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return None


def machine() -> list[Finding]:
    import torch

    from polyhead.train.machine import has_compiler

    cuda = torch.cuda.is_available()
    devices = ["cpu"] + [f"cuda:{i} {torch.cuda.get_device_name(i)}" for i in range(torch.cuda.device_count())] * cuda
    devices += ["mps"] * torch.backends.mps.is_available()
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    compiler = has_compiler(torch.device("cpu"))
    return [
        Finding("devices", None, ", ".join(devices)),
        Finding("threads", None, f"{torch.get_num_threads()} of {os.cpu_count()} cores"),
        Finding("vectors", None, torch.backends.cpu.get_cpu_capability()),
        Finding("bf16", None, _bf16(torch)),
        Finding("compiler", None, "C++ found: long runs are compiled" if compiler else "no C++ compiler: runs stay eager"),
        Finding("disk", free > 0.5, f"{free:.1f} GiB free here"),
    ]


def _bf16(torch: Any) -> str:
    if torch.cuda.is_available():
        return "native" if torch.cuda.is_bf16_supported(including_emulation=False) else "emulated: fp32 is used"
    has = getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)() or getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()
    return "in this CPU's instructions; ask for it with training.precision=bf16" if has else "not in this CPU's instructions: fp32 is used"


def agreement() -> list[Finding]:
    """Logits and gradients of a small model, each backend and device against the reference on the CPU."""
    import torch

    devices = ["cpu"] + ["cuda"] * torch.cuda.is_available() + ["mps"] * torch.backends.mps.is_available()
    expected = small_model("reference", "cpu")
    found = []
    for device in devices:
        for backend in ("reference", "sdpa", "banded"):
            if (backend, device) == ("reference", "cpu"):
                continue
            try:
                gap = distance(expected, small_model(backend, device))
            except Exception as error:  # whatever breaks here is the finding
                found.append(Finding(f"{backend} on {device}", False, f"{type(error).__name__}: {error}"))
                continue
            found.append(Finding(f"{backend} on {device}", gap <= _TOLERANCE * (1 if device == "cpu" else 50), f"differs from the reference by {gap:.1e}"))
    return found


def small_model(backend: Any, device: str) -> list[Any]:
    """[logits, gradients…] of a small model with windows and grouped heads, from one seed."""
    import torch

    from polyhead.families import override, preset, with_vocab
    from polyhead.nn import Tokens

    spec = with_vocab(preset("gpt-nano"), 64)
    spec = override(spec, {
        "decoder.layers": 2, "decoder.width": 32, "decoder.blocks.layer.attention.heads.kv_heads": 2, "init": {"kind": "normal", "std": 0.2},
        "decoder.blocks.layer.attention.pattern": {"kind": "window", "back": 7},
    })  # fmt: skip
    net = spec.build(0).to(device).use(backend=backend)
    ids = torch.randint(64, (3, 48), generator=torch.Generator().manual_seed(0)).to(device)
    logits = net(Tokens(ids))
    logits.square().mean().backward()
    return [t.detach().cpu() for t in (logits, *(p.grad for p in net.parameters() if p.grad is not None))]


def distance(expected: list[Any], found: list[Any]) -> float:
    """The largest difference, relative to the largest value of its tensor."""
    return max(float((a - b).abs().max() / a.abs().max().clamp(min=1e-6)) for a, b in zip(expected, found, strict=True))


def optimizers() -> list[Finding]:
    import torch

    weight = torch.nn.Parameter(torch.ones(8))
    weight.grad = torch.ones(8)
    try:
        torch.optim.AdamW([weight], fused=True).step()
    except (RuntimeError, TypeError) as error:
        return [Finding("fused AdamW", False, str(error).splitlines()[0])]
    return [Finding("fused AdamW", bool(weight.detach().isfinite().all()), "works")]
