"""What each of two gloo processes does; started by test_parallel under torchrun. argv: a folder, the data as JSON.

Every rank writes what it saw into FOLDER/seen-RANK.json; the test compares.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from polyhead.errors import NonFiniteError, Stopped
from polyhead.train import Trainer

from .tiny import go, raw

PLAIN = {"training__steps": 6, "training__save_every": 3, "training__eval_every": 3, "training__sample_every": 0}
# dropout's stream belongs to the rank: without it, so that one process can be compared
STILL = {f"model__dropout__{place}": 0.0 for place in ("residual", "attention", "embedding")}
SHAPES: dict[str, dict[str, Any]] = {"muon": {}, "masked": {"training__precision": "fp32"}, "seq2seq-dropout": STILL}


def digest(net: Any) -> str:
    return hashlib.sha256(b"".join(raw(p) for p in net.parameters())).hexdigest()


@contextmanager
def in_step_5(what: Callable[[torch.Tensor], torch.Tensor]) -> Iterator[None]:
    """On rank 1, `what` is done to the loss of step 5."""
    genuine, calls = Trainer._forward, []

    def forward(self: Trainer, batch: Any) -> Any:
        calls.append(1)
        total, balance = genuine(self, batch)
        return what(total) if len(calls) == 5 and self.ranks.rank == 1 else total, balance

    Trainer._forward = forward  # type: ignore[method-assign]
    try:
        yield
    finally:
        Trainer._forward = genuine  # type: ignore[method-assign]


def interrupted(total: torch.Tensor) -> torch.Tensor:
    os.kill(os.getpid(), signal.SIGTERM)
    return total


def main(folder: Path, data: dict[str, str]) -> None:
    seen: dict[str, Any] = {}
    for shape, changes in SHAPES.items():
        seen[shape] = digest(go(shape, data, folder / shape, **PLAIN, **changes).net)
    seen["grown"] = digest(go("muon", data, folder / "grown", resume=True, **PLAIN).net)
    try:
        with in_step_5(lambda total: total * math.nan):
            go("muon", data, folder / "nan", **PLAIN)
    except NonFiniteError as error:
        seen["nan"] = error.message
    try:
        with in_step_5(interrupted):
            go("muon", data, folder / "stopped", **PLAIN)
    except Stopped as error:
        seen["stopped"] = [error.exit_code, error.message]
    seen["went on"] = digest(go("muon", data, folder / "stopped", resume=True, **PLAIN).net)
    (folder / f"seen-{os.environ['RANK']}.json").write_text(json.dumps(seen))


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]))
