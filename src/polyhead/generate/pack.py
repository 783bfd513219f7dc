"""A network prepared for inference: queries, keys and values in one product, gate and up in one, activations in place,
weights laid out for the CPU's kernels once. It shares everything else with the one it came from, and trains no more."""

from __future__ import annotations

import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..nn import Transformer
from ..nn.block import Block
from ..nn.ffn import Gated, Plain
from ..nn.head import Head
from ..nn.lora import clone as cloned
from ..nn.lora import merged

ROWS_HINT = 16  # the layout that suits one row and sixteen alike
FEW = 256  # rows up to which the packed weight is faster everywhere; beyond, only with AVX-512


class PackedLinear(nn.Module):
    """A Linear whose weight lies in oneDNN's blocked layout: about 1.6 times the speed of the plain one for few rows.
    For many, on a processor without AVX-512, the plain weight is the faster one and does the work."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.packed = torch.ops.mkldnn._reorder_linear_weight(weight.detach(), ROWS_HINT)
        self.plain = None if "AVX512" in torch.backends.cpu.get_cpu_capability() else weight.detach()
        self.bias = None if bias is None else bias.detach()

    def forward(self, x: Tensor) -> Tensor:
        if self.plain is not None and x.numel() > FEW * x.shape[-1]:
            return F.linear(x, self.plain, self.bias)
        return torch.ops.mkldnn._linear_pointwise(x, self.packed, self.bias, "none", [], "")


def can_pack(weight: Tensor) -> bool:
    """Whether oneDNN has a kernel for this weight on this machine."""
    if weight.device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    if weight.dtype == torch.bfloat16:
        return torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return weight.dtype == torch.float32


def stamp(net: Transformer) -> tuple[int, ...]:
    """Changes whenever a weight of `net` is replaced or written to in place: what a prepared copy was made from."""
    weights = list(net.parameters())
    return (*map(id, weights), *(0 if w.is_inference() else w._version for w in weights))


def worth_packing(net: Transformer) -> bool:
    """Whether a prepared copy would be faster, and its matrices fit in memory a second time with room to spare."""
    size = sum(p.numel() * p.element_size() for p in net.parameters())
    return all(can_pack(p) for p in net.parameters()) and 2 * size < available_memory()


def available_memory() -> float:
    """Bytes that can be allocated now without swapping; infinity where the system does not say."""
    try:
        rows = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        return int(rows["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return math.inf


@torch.no_grad()
def prepare(net: Transformer) -> Transformer:
    """A copy of `net` for inference: fused and packed products, everything else shared. Costs the memory of its
    matrices once more; changes to `net`'s weights afterwards do not reach it. Low-rank updates are merged."""
    clone = cloned(merged(net))
    for module in list(clone.modules()):
        if isinstance(module, Block):  # self-attention projects all three from one x; cross-attention does not
            module.attention.heads.fuse()
        elif isinstance(module, Plain | Gated):
            module.fuse()
    for module in list(clone.modules()):
        for name, child in module.named_children():
            kept = name in getattr(module, "unpacked", ())
            if isinstance(child, nn.Linear) and not kept and can_pack(child.weight):
                setattr(module, name, PackedLinear(child.weight, child.bias))
    for head in clone.heads.values():
        _pack_head(head, clone)
    return clone.eval()


def _pack_head(head: Head, net: Transformer) -> None:
    if head.spec.output is None:
        return
    weight = net.table if head.spec.tied else head.weight
    if weight is not None and can_pack(weight):
        head.product = PackedLinear(weight, head.bias)
