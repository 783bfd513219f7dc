"""LOGITS → LOSS → UPDATE. Reading order: config, settings (from what was typed to one config), prepare (data), run (the
folder, the life of a run), loop (one step), objectives (what a batch costs), loss, optim, schedule; start is where a run begins,
trained what of a model learns; parallel knows about ranks, memory about bytes."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from polyhead.generate import Model

from .config import DataConfig, RunConfig, TokenizerConfig, TrainingConfig
from .loop import Evaluation, Step, Trainer, evaluate
from .optim import AdamWSpec, MuonSpec, Optimizer
from .parallel import Ranks
from .run import Listener, quiet, train_run
from .settings import build_config, parse_overrides
from .trained import All, Heads, Parts, TrainedSpec, apply

__all__ = [
    "AdamWSpec",
    "All",
    "DataConfig",
    "Evaluation",
    "Heads",
    "Listener",
    "MuonSpec",
    "Optimizer",
    "Parts",
    "Ranks",
    "RunConfig",
    "Step",
    "TokenizerConfig",
    "TrainedSpec",
    "Trainer",
    "TrainingConfig",
    "apply",
    "build_config",
    "evaluate",
    "parse_overrides",
    "train",
    "train_run",
]


def train(
    model: str,
    data: str | Iterable[str],
    out: str | Path,
    overrides: Mapping[str, Any] | None = None,
    *,
    resume: bool = False,
    tell: Listener = quiet,
) -> Model:
    """Train a preset, spec file or recipe on a text file, folder or data set; returns the trained Model.

    out: the run's folder, new unless resume. overrides: {"training.steps": 500, "seed": 7, "model.decoder.layers": 6}.
    tell: called with (event, fields) along the way. Raises UserError for bad input, RunError when the machine fails.
    """
    return train_run(build_config(model, data, overrides), out, resume=resume, tell=tell)


class _Callable(ModuleType):
    """`polyhead.train` is this package and the function in it: whichever was imported first, `ph.train(…)` works."""

    def __call__(self, *args: Any, **kwargs: Any) -> Model:
        return train(*args, **kwargs)


sys.modules[__name__].__class__ = _Callable
