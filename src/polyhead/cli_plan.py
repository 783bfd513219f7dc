"""The words of `polyhead plan`: what a model costs, what a budget buys, a law of your own runs, a step over many devices.

`polyhead plan MODEL` is short for `polyhead plan model MODEL`; a model whose file is called like a verb is written ./fit.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from polyhead.cli_lab import Json

Html = Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write a page with figures.")]


class _Plan(TyperGroup):
    """A first word that is no verb is a model."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ("--help", "-h"):
            args = ["model", *args]
        return super().parse_args(ctx, args)


plan = typer.Typer(name="plan", cls=_Plan, no_args_is_help=True, rich_markup_mode=None, context_settings={"help_option_names": ["--help", "-h"]},
                   help="What a model costs, what a budget buys, how a step is laid out.\n\n`polyhead plan MODEL` tells parameters, FLOPs, memory and time.")  # fmt: skip


@plan.command("model")
def model(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A preset, a spec file, a run or a model's folder, owner/name on the Hub.")],
    tokens: Annotated[int | None, typer.Option("--tokens", "--context", min=1, help="Tokens of a row; left out: the model's context.")] = None,
    batch: Annotated[int, typer.Option(min=1, help="Rows, of a step and of what is written at a time.")] = 1,
    on: Annotated[str, typer.Option("--on", metavar="DEVICE", help="this, h100-sxm, a100-80gb, rtx-4090, m2-max, …, or FILE.yaml with peak, bandwidth and memory.")] = "this",
    dtype: Annotated[str | None, typer.Option(help="fp32, bf16 or fp16; left out: fp32 on a CPU, bf16 elsewhere.")] = None,
    optimizer: Annotated[str, typer.Option(help="adamw or muon.")] = "adamw",
    checkpointing: Annotated[bool, typer.Option("--checkpointing", help="Recompute layers in the backward pass.")] = False,
    train: Annotated[bool, typer.Option("--train", help="Training alone.")] = False,
    decode: Annotated[bool, typer.Option("--decode", help="Writing alone.")] = False,
    html: Html = None,
    as_json: Json = False,
) -> None:
    """What one model costs on one device: parameters, FLOPs, memory, time, what fits.

    This machine is measured the first time, which takes about ten seconds.

    \b
    Example:
      polyhead plan llama-3-8b --on h100-sxm
      polyhead plan gpt2 --batch 8 --on rtx-4090 --html plan.html
    """
    from polyhead.commands.planning import run_plan

    raise typer.Exit(run_plan(model, tokens, batch, on, dtype, optimizer, checkpointing, train, decode, as_json, html))


@plan.command("size")
def size(
    flops: Annotated[float | None, typer.Option(help="Training compute, such as 1e21.")] = None,
    tokens: Annotated[float | None, typer.Option(help="Training tokens there are.")] = None,
    params: Annotated[float | None, typer.Option(help="A size: how long to train it.")] = None,
    hours: Annotated[float | None, typer.Option(help="Time on the devices of --on.")] = None,
    on: Annotated[str | None, typer.Option("--on", metavar="DEVICE", help="h100-sxm, a100-80gb, h200-sxm, …")] = None,
    devices: Annotated[int, typer.Option(min=1, help="How many of them.")] = 1,
    mfu: Annotated[float | None, typer.Option(min=0.001, max=1, help="Share of their peak reached; left out: planned.")] = None,
    law: Annotated[str, typer.Option(help="refit, chinchilla-1, chinchilla-2, chinchilla-3, kaplan, or a file of plan fit --out.")] = "refit",
    like: Annotated[str, typer.Option(metavar="PRESET", help="The shape is like this preset's.")] = "gpt2",
    vocab: Annotated[int | None, typer.Option(min=1, help="The shape's vocabulary; left out: the preset's.")] = None,
    html: Html = None,
    as_json: Json = False,
) -> None:
    """The best model for a budget.

    A size, a number of tokens, a forecast of the loss with its interval, and a shape of that size. Every published law is beside it.

    \b
    Example:
      polyhead plan size --flops 1e21
      polyhead plan size --hours 24 --on h100-sxm --devices 8
    """
    from polyhead.commands.planning_size import Budget, run_size

    raise typer.Exit(run_size(Budget(flops, tokens, params, hours, on, devices, mfu), law, like, vocab, as_json, html))


@plan.command("fit")
def fit(
    runs: Annotated[list[str], typer.Argument(metavar="RUNS...", help="Folders of runs, a folder of such, a .csv or .jsonl with params, tokens (or flops), loss.")],
    embeddings: Annotated[bool, typer.Option("--embeddings/--no-embeddings", help="Whether a run's size counts embeddings.")] = True,
    resamples: Annotated[int, typer.Option(min=20, help="Fits of resampled points, for the intervals.")] = 200,
    seed: Annotated[int, typer.Option(help="Of the resamples.")] = 0,
    at: Annotated[list[float] | None, typer.Option("--at", metavar="FLOPS", help="Forecast at this budget; may be given several times.")] = None,
    out: Annotated[Path | None, typer.Option("-o", "--out", metavar="FILE", help="Write the law as JSON, for plan size --law FILE.")] = None,
    html: Html = None,
    as_json: Json = False,
) -> None:
    """A scaling law of your own runs: loss by size and tokens.

    Intervals come from resampled points. It says when the points are too few or too alike to bear a law.

    \b
    Example:
      polyhead plan fit runs/sweep
      polyhead plan fit points.csv --at 1e20 --out law.json
    """
    from polyhead.commands.planning_fit import run_fit

    raise typer.Exit(run_fit(runs, embeddings, resamples, seed, at or [], out, as_json, html))


@plan.command("parallel")
def parallel(
    model: Annotated[str | None, typer.Argument(metavar="MODEL", help="A preset, a spec file, a run; left out: published runs beside their plans.")] = None,
    devices: Annotated[int | None, typer.Option(min=1, help="How many devices.")] = None,
    on: Annotated[str, typer.Option("--on", metavar="DEVICE", help="h100-sxm, a100-80gb, h200-sxm, b200-sxm, tpu-v4, …")] = "h100-sxm",
    tensor: Annotated[int | None, typer.Option(min=1, help="Slices of every matrix.")] = None,
    pipeline: Annotated[int | None, typer.Option(min=1, help="Stages of layers.")] = None,
    context: Annotated[int | None, typer.Option(min=1, help="Pieces of a row.")] = None,
    expert: Annotated[int | None, typer.Option(min=1, help="Parts of a layer's experts.")] = None,
    data: Annotated[int | None, typer.Option(min=1, help="Replicas.")] = None,
    shard: Annotated[str | None, typer.Option(help="What replicas share: none, optimizer, gradients, full.")] = None,
    recompute: Annotated[str | None, typer.Option(help="In the backward pass: none, selective, full.")] = None,
    microbatch: Annotated[int | None, typer.Option(min=1, help="Rows of one pass.")] = None,
    interleave: Annotated[int | None, typer.Option(min=1, help="Chunks of layers per stage.")] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Rows of one update, over all devices; left out: about 4M tokens.")] = None,
    length: Annotated[int | None, typer.Option(min=1, help="Tokens of a row; left out: the context, at most 8192.")] = None,
    tokens: Annotated[float | None, typer.Option(help="Of a whole training, to tell its days.")] = None,
    html: Html = None,
    as_json: Json = False,
) -> None:
    """A training step over many devices.

    Memory per device, bytes on every link, the pipeline's bubble, time and MFU. What is left out is chosen: the fastest layout that fits.

    \b
    Example:
      polyhead plan parallel llama-3-8b --devices 64 --on h100-sxm
      polyhead plan parallel llama-3.1-405b --devices 16384 --tensor 8 --pipeline 16 --shard optimizer
    """
    from polyhead.commands.planning_parallel import run_parallel

    given = {"tensor": tensor, "pipeline": pipeline, "context": context, "expert": expert, "data": data, "shard": shard, "recompute": recompute,
             "microbatch": microbatch, "interleave": interleave}  # fmt: skip
    fixed = {name: value for name, value in given.items() if value is not None}
    raise typer.Exit(run_parallel(model, devices, on, batch, length, fixed, tokens, as_json, html))
