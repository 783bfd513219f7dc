"""Many devices: what one does, what joins them, and the shares of those figures that real programs reach.

One set of numbers for every layout. They were written down from data sheets and from measurements that have nothing to do with the
runs in published.py, before those were predicted; none was changed afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass

from polyhead.errors import ConfigError
from polyhead.families.problems import nearest

# Shares of a data sheet's figure that are reached.
LINK = 0.8  # of a link, by collectives of many MB: nccl-tests' bus bandwidth on NVLink and InfiniBand is 75 to 90 %
MEMORY = 0.85  # of memory bandwidth, by elementwise kernels: BabelStream on A100 and H100 (Deakin et al.), 85 to 90 %
FUSED = 0.6  # of the large-matmul rate, by fused attention: FlashAttention-2 (Dao 2023, arXiv 2307.08691), figures 4 to 6, forward and backward


@dataclass(frozen=True)
class Accelerator:
    """peak: FLOP/s of dense 16-bit products. matmul: the share of it that a large product reaches. memory: bytes. bandwidth: of it, bytes/s.
    node: devices joined by the fast link. fast, slow: bytes/s out of one device, in one direction, within and between nodes."""

    name: str
    peak: float
    matmul: float
    memory: float
    bandwidth: float
    node: int
    fast: float
    slow: float
    source: str


_MAMF = "matmul share: Bekman, Machine Learning Engineering, maximum achievable matmul FLOPS"
ACCELERATORS = {
    device.name: device
    for device in (
        Accelerator("v100-32gb", 125e12, 0.83, 32e9, 0.9e12, 8, 150e9, 12.5e9, "NVIDIA V100 data sheet; DGX-1V with 4 × 100 Gb/s; matmul share as the mean of the others"),
        Accelerator("a100-40gb", 312e12, 0.869, 40e9, 1.555e12, 8, 300e9, 25e9, f"NVIDIA A100 data sheet; NVLink 3; 200 Gb/s per device; {_MAMF}"),
        Accelerator("a100-80gb", 312e12, 0.869, 80e9, 2.039e12, 8, 300e9, 25e9, f"NVIDIA A100 data sheet; NVLink 3; 200 Gb/s per device; {_MAMF}"),
        Accelerator("h100-sxm", 989.4e12, 0.803, 80e9, 3.35e12, 8, 450e9, 50e9, f"NVIDIA H100 data sheet; NVLink 4; 400 Gb/s per device; {_MAMF}"),
        Accelerator("h200-sxm", 989.4e12, 0.803, 141e9, 4.8e12, 8, 450e9, 50e9, "NVIDIA H200 data sheet; the chip of the H100, its matmul share"),
        Accelerator("b200-sxm", 2250e12, 0.803, 180e9, 8e12, 8, 900e9, 50e9, "NVIDIA B200 data sheet; NVLink 5; matmul share as the H100's"),
        Accelerator("mi300x", 1307e12, 0.514, 192e9, 5.3e12, 8, 448e9, 50e9, f"AMD MI300X data sheet; Infinity Fabric; {_MAMF}"),
        Accelerator("tpu-v4", 275e12, 0.83, 32e9, 1.2e12, 4096, 90e9, 12.5e9,
                    "Jouppi et al. 2023, arXiv 2304.01433: a pod of 4096 in a 3-D torus, 45 GB/s per link, one axis both ways per collective; matmul share as the mean of the others"),
    )
}  # fmt: skip
ALSO = {"a100": "a100-80gb", "h100": "h100-sxm", "h200": "h200-sxm", "b200": "b200-sxm", "v100": "v100-32gb", "tpuv4": "tpu-v4"}


def accelerator(name: str) -> Accelerator:
    """ConfigError with the names there are."""
    key = ALSO.get(name.lower(), name.lower())
    if key in ACCELERATORS:
        return ACCELERATORS[key]
    like = nearest(key, ACCELERATORS)
    raise ConfigError(f"no device {name} is known to be joined to others", expected=", ".join(ACCELERATORS), received=name,
                      change=f"such as {like[0] if like else 'h100-sxm'}")  # fmt: skip
