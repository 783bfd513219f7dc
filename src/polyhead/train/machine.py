"""The machine a run is made on: what it is, what it computes in, and whether it can compile."""

from __future__ import annotations

import os
import platform
import shutil
from functools import cache
from typing import Any

import torch

from polyhead import __version__

from .config import TrainingConfig


def machine(device: torch.device) -> dict[str, Any]:
    """Where and with what a run was made, for its report."""
    return {
        "polyhead": __version__, "torch": torch.__version__, "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}", "cores": os.cpu_count(), "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else str(device),
    }  # fmt: skip


def settle(config: TrainingConfig, device: torch.device) -> TrainingConfig:
    """The config with "auto" precision resolved: bf16 where the hardware multiplies it natively."""
    if config.precision != "auto":
        return config
    native = device.type == "cuda" and torch.cuda.is_bf16_supported()
    return config.model_copy(update={"precision": "bf16" if native else "fp32"})


def has_compiler(device: torch.device) -> bool:
    """Whether torch.compile can build its kernels here."""
    if device.type == "cuda":
        return True
    return device.type == "cpu" and any(shutil.which(name) for name in ("g++", "c++", "clang++"))


@cache
def compiler_trouble(device: torch.device) -> str:
    """What keeps torch.compile from working here (no headers, no Triton, …), found by compiling one sum; "" if nothing."""
    try:
        torch.compile(lambda x: x + 1, dynamic=False)(torch.zeros(2, device=device))
        return ""
    except Exception as error:  # noqa: BLE001 -- whatever it is, the run can do without
        torch._dynamo.reset()
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        return f"{type(error).__name__}: {lines[0][:200] if lines else ''}"
