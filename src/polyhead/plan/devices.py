"""Published devices: dense peak FLOP/s by dtype (no sparsity; with fp32 accumulation), bandwidth, memory, as their makers state them.
Those that are joined to clusters have their figures in cluster.py."""

from __future__ import annotations

from .cluster import ACCELERATORS, ALSO, FUSED, MEMORY
from .device import Device, Share

_T, _G = 1e12, 1e9
_NVIDIA = "NVIDIA's data sheet"
_FP32 = {  # FLOP/s of fp32 products, TF32 off
    "v100-32gb": 15.7, "a100-40gb": 19.5, "a100-80gb": 19.5, "h100-sxm": 66.9, "h200-sxm": 66.9, "b200-sxm": 75.0, "mi300x": 163.4,
}  # fmt: skip


def _joined(name: str) -> Device:
    known = ACCELERATORS[name]
    half = {"fp16" if name.startswith("v100") else "bf16": known.peak}
    single = {"fp32": _FP32[name] * _T} if name in _FP32 else {}
    share = Share(product=known.matmul, attention=FUSED, memory=MEMORY)
    return Device(name=name, peak=single | half, bandwidth=known.bandwidth, memory=known.memory, share=share, source=known.source)  # type: ignore[arg-type]


_ALONE = {
    "h100-pcie": Device(name="h100-pcie", peak={"fp32": 51 * _T, "bf16": 756 * _T}, bandwidth=2000 * _G, memory=80 * _G, source=_NVIDIA),
    "a10": Device(name="a10", peak={"fp32": 31.2 * _T, "bf16": 125 * _T}, bandwidth=600 * _G, memory=24 * _G, source=_NVIDIA),
    "l4": Device(name="l4", peak={"fp32": 30.3 * _T, "bf16": 121 * _T}, bandwidth=300 * _G, memory=24 * _G, source=_NVIDIA),
    "l40s": Device(name="l40s", peak={"fp32": 91.6 * _T, "bf16": 362 * _T}, bandwidth=864 * _G, memory=48 * _G, source=_NVIDIA),
    "t4": Device(name="t4", peak={"fp32": 8.1 * _T, "fp16": 65 * _T}, bandwidth=320 * _G, memory=16 * _G, source=_NVIDIA),
    "rtx-4090": Device(name="rtx-4090", peak={"fp32": 82.6 * _T, "bf16": 165.2 * _T}, bandwidth=1008 * _G, memory=24 * _G, source="NVIDIA's Ada white paper"),
    "rtx-3090": Device(name="rtx-3090", peak={"fp32": 35.6 * _T, "bf16": 71 * _T}, bandwidth=936 * _G, memory=24 * _G, source="NVIDIA's Ampere white paper"),
    "mi250x": Device(name="mi250x", peak={"fp32": 47.9 * _T, "bf16": 383 * _T}, bandwidth=3277 * _G, memory=128 * _G, source="AMD's data sheet"),
    "tpu-v5e": Device(name="tpu-v5e", peak={"bf16": 197 * _T}, bandwidth=819 * _G, memory=16 * _G, source="Google Cloud's documentation"),
    "tpu-v5p": Device(name="tpu-v5p", peak={"bf16": 459 * _T}, bandwidth=2765 * _G, memory=95 * _G, source="Google Cloud's documentation"),
    "m2-max": Device(name="m2-max", peak={"fp32": 13.6 * _T, "fp16": 13.6 * _T}, bandwidth=400 * _G, memory=96 * _G, source="Apple's specifications; FLOP/s from cores and clock"),
    "m1-max": Device(name="m1-max", peak={"fp32": 10.4 * _T, "fp16": 10.4 * _T}, bandwidth=400 * _G, memory=64 * _G, source="Apple's specifications; FLOP/s from cores and clock"),
}  # fmt: skip

DEVICES = {name: _joined(name) for name in ACCELERATORS} | _ALONE
ALIKE = ALSO | {"4090": "rtx-4090", "3090": "rtx-3090"}
