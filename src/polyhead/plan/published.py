"""Large training runs whose layout and speed are in print, and what the planner says of them.

Every run is planned with cluster.py's figures as they stand. What a source leaves open is filled by one rule: a microbatch of one row,
one layer per chunk where the schedule interleaves. Reported speeds are turned into tokens per second by the source's own formula.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

from polyhead.families import override, preset
from polyhead.nn import ModelSpec

from .cluster import accelerator
from .layout import Layout
from .parallel import Step, plan


@dataclass(frozen=True)
class Run:
    """tokens_per_second: reported, over all devices. said: the figure as printed. where: the table or section. open: what the source does not
    say and the rule filled in."""

    name: str
    spec: ModelSpec
    device: str
    layout: Layout
    tokens_per_second: float
    said: str
    where: str
    open: str = ""

    @property
    def source(self) -> str:
        """The paper."""
        return self.where.partition(",")[0]

    def predicted(self) -> Step:
        return plan(self.spec, self.layout, accelerator(self.device))


def megatron(width: int, layers: int, heads: int, vocab: int = 51200) -> ModelSpec:
    """A GPT as Megatron-LM trains it: all layers dense, dropout 0.1."""
    kind = {"attention": {"heads": {"kind": "grouped", "heads": heads, "bias": "qkvo"}, "pattern": {"kind": "causal"}},
            "ffn": {"kind": "plain", "inner": 4 * width, "act": "gelu_tanh"}}  # fmt: skip
    return override(preset("gpt3"), {
        "vocab": vocab, "decoder.width": width, "decoder.layers": layers, "decoder.blocks": {"dense": kind, "banded": kind},
        "dropout": {"embedding": 0.1, "attention": 0.1, "residual": 0.1},
    })  # fmt: skip


def palm() -> ModelSpec:
    """PaLM 540B (Chowdhery et al. 2022, table 1): parallel sublayers, one key and value head, SwiGLU, a shared table of 256k rows."""
    heads = {"kind": "grouped", "heads": 48, "kv_heads": 1, "head_dim": 256}
    block = {"attention": {"heads": heads, "pattern": {"kind": "causal"}, "position": {"kind": "rotary"}}, "ffn": {"kind": "gated", "inner": 73728},
             "norm": {"kind": "layer", "bias": False}, "residual": {"parallel": "one_norm"}}  # fmt: skip
    return override(preset("llama-7b"), {
        "vocab": 256000, "context": 2048, "decoder.width": 18432, "decoder.layers": 118, "decoder.blocks.layer": block,
        "decoder.final_norm": {"kind": "layer", "bias": False}, "heads.lm.tied": True,
    })  # fmt: skip


def by_narayanan(spec: ModelSpec, tflops: float, devices: int, length: int = 2048) -> float:
    """tokens/s from achieved teraFLOP/s per device by Narayanan et al. (2021, eq. 3), whose forward pass counts twice."""
    stack = spec.top
    width, layers, vocab = stack.width, stack.layers, stack.embedding.vocab or 0
    return tflops * 1e12 * devices / (96 * layers * width**2 * (1 + length / (6 * width) + vocab / (16 * layers * width)))


def by_model(spec: ModelSpec, tflops: float, devices: int, length: int) -> float:
    """tokens/s from teraFLOP/s per device where 6 per parameter and the causal half of attention count."""
    stack = spec.top
    heads = next(iter(stack.blocks.values())).attention.heads
    attention = 3 * heads.score_flops(stack.width, 1) * stack.layers * length / 2
    return tflops * 1e12 * devices / (6 * spec.params().total + attention)


_NARAYANAN = "Narayanan et al. 2021, arXiv 2104.04473"
_KORTHIKANTI = "Korthikanti et al. 2022, arXiv 2205.05198"
_LLAMA = "Dubey et al. 2024, arXiv 2407.21783, table 4"


def _narayanan(name: str, spec: ModelSpec, layout: Layout, tflops: float, where: str, open: str) -> Run:
    speed = by_narayanan(spec, tflops, layout.devices)
    return Run(name, spec, "a100-80gb", layout, speed, f"{tflops:g} TFLOP/s per GPU", f"{_NARAYANAN}, {where}", open)


def _runs_narayanan() -> list[Run]:
    out = []
    for name, (width, layers, heads), p, d, batch, tflops in (
        ("Megatron 145.6B", (12288, 80, 96), 8, 24, 2304, 148), ("Megatron 310.1B", (16384, 96, 128), 16, 15, 2160, 155),
        ("Megatron 529.6B", (20480, 105, 128), 35, 9, 2520, 163), ("Megatron 1008B", (25600, 128, 160), 64, 6, 3072, 163),
    ):  # fmt: skip
        layout = Layout(batch, 2048, data=d, tensor=8, pipeline=p, interleave=layers // p, recompute="full", sequence=False, fused=False)
        out.append(_narayanan(name, megatron(width, layers, heads), layout, tflops, "table 1", "microbatch, chunks"))
    for d, tflops in ((4, 153), (8, 149), (16, 141)):
        layout = Layout(1536, 2048, data=d, tensor=8, pipeline=12, interleave=8, recompute="full", sequence=False, fused=False)
        out.append(_narayanan(f"GPT-3 175B, {96 * d} GPUs", megatron(12288, 96, 96), layout, tflops, "table 2", "chunks; 96-way as 8 × 12"))
    for d, micro, tflops in ((384, 4, 144), (1536, 1, 44)):
        layout = Layout(1536, 2048, data=d, microbatch=micro, shard="full", recompute="full", sequence=False, fused=False)
        out.append(_narayanan(f"GPT-3 175B, ZeRO-3, {d} GPUs", megatron(12288, 96, 96), layout, tflops, "table 2", ""))
    return out


def _runs_korthikanti() -> list[Run]:
    out = []
    for name, (width, layers, heads), p, batch, micro, chunks, seconds in (
        ("22B, selective", (6144, 48, 64), 1, 4, 4, 1, 1.10), ("GPT-3 175B, selective", (12288, 96, 96), 8, 64, 1, 3, 13.75),
        ("530B, selective", (20480, 105, 128), 35, 280, 1, 3, 37.83), ("1T, selective", (25600, 128, 160), 64, 512, 1, 1, 71.49),
    ):  # fmt: skip
        layout = Layout(batch, 2048, tensor=8, pipeline=p, microbatch=micro, interleave=chunks, recompute="selective", fused=False)
        out.append(Run(name, megatron(width, layers, heads), "a100-80gb", layout, batch * 2048 / seconds, f"{seconds} s per step",
                       f"{_KORTHIKANTI}, tables 3 and 5"))  # fmt: skip
    return out


def _runs_others() -> list[Run]:
    turing, opt, llama = megatron(20480, 105, 128), preset("opt-175b"), preset("llama-3.1-405b")
    out = []
    for nodes, d, seconds in ((280, 8, 60.1), (350, 10, 50.2), (420, 12, 44.4)):
        layout = Layout(1920, 2048, data=d, tensor=8, pipeline=35, recompute="full", sequence=False, fused=False)
        out.append(Run(f"MT-NLG 530B, {nodes * 8} GPUs", turing, "a100-80gb", layout, 1920 * 2048 / seconds, f"{seconds} s per step",
                       "Smith et al. 2022, arXiv 2201.11990, §2.4", "microbatch"))  # fmt: skip
    layout = Layout(2048, 2048, data=512, tensor=12, microbatch=4, shard="full", recompute="full", fused=False)
    out.append(Run("PaLM 540B", palm(), "tpu-v4", layout, 238.3e3, "238.3K tokens/s; MFU 46.2 %", "Chowdhery et al. 2022, arXiv 2204.02311, §4.1 and table 3"))
    layout = Layout(992, 2048, data=124, tensor=8, microbatch=8, shard="full", recompute="full", sequence=False, fused=False)
    out.append(Run("OPT-175B", opt, "a100-80gb", layout, by_narayanan(opt, 147, 992), "147 TFLOP/s per GPU",
                   "Zhang et al. 2022, arXiv 2205.01068, §2.4", "8-way tensor parallelism; rows per device"))  # fmt: skip
    for d, c, length, batch, tflops in ((64, 1, 8192, 32, 430), (128, 1, 8192, 16, 400), (8, 16, 131072, 16, 380)):
        layout = Layout(d * batch, length, data=d, tensor=8, pipeline=16, context=c, interleave=7, shard="optimizer")
        out.append(Run(f"Llama 3 405B, {layout.devices:,} GPUs, {length:,} tokens", llama, "h100-sxm", layout,
                       by_model(llama, tflops, layout.devices, length), f"{tflops} TFLOP/s per GPU", _LLAMA, "microbatch, chunks"))  # fmt: skip
    return out


def published() -> list[Run]:
    return [*_runs_narayanan(), *_runs_korthikanti(), *_runs_others()]


@dataclass(frozen=True)
class Compared:
    """A run beside its plan. at_rates: planned over reported speed, less 1, at cluster.py's rates. expected: the same once the plan is slowed
    by what the runs of the other sources took longer than theirs: nothing of this run's own source is in it."""

    run: Run
    step: Step
    at_rates: float
    expected: float

    @property
    def reported(self) -> float:
        """tokens/s of one device."""
        return self.run.tokens_per_second / self.run.layout.devices


def compare() -> list[Compared]:
    """All runs beside their plans."""
    steps = [(run, run.predicted()) for run in published()]
    ratios = [(run.source, step.tokens_per_second / run.tokens_per_second) for run, step in steps]
    out = []
    for (run, step), (source, ratio) in zip(steps, ratios, strict=True):
        others = slowdown([(name, other) for name, other in ratios if name != source])
        out.append(Compared(run, step, ratio - 1, ratio / others - 1))
    return out


def slowdown(ratios: list[tuple[str, float]]) -> float:
    """How much longer runs take than planned: each source's middle run, the middle of the sources."""
    by_source: dict[str, list[float]] = {}
    for source, ratio in ratios:
        by_source.setdefault(source, []).append(ratio)
    return median(median(found) for found in by_source.values())


SLOWDOWN = 1.27  # slowdown of compare()'s runs, all sources (tests/plan counts it again): what a plan is expected to take over its rates
RANGE = (1.08, 1.54)  # the fastest and the slowest of them, ZeRO-3 of 2021 left out
