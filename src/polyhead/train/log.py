"""What a run leaves of its course: metrics.jsonl, samples.jsonl, and TensorBoard's events if asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from polyhead.checkpoint import JsonLines
from polyhead.checkpoint.lines import Closing
from polyhead.errors import ConfigError


class RunLog(Closing):
    """The log of a run that goes on after step `start`: what an interrupted run had written beyond it is cut off, so
    that no line is torn or doubled. Ranks other than the first write nothing (active=False)."""

    def __init__(self, folder: Path, start: int, *, tensorboard: bool = False, active: bool = True) -> None:
        self.metrics, self.samples = JsonLines(folder / "metrics.jsonl"), JsonLines(folder / "samples.jsonl")
        self.active = active
        self.board = _board(folder / "tensorboard", start) if tensorboard and active else None
        if active:
            self.metrics.cut_after(start)
            self.samples.cut_after(start)

    def row(self, row: dict[str, Any]) -> None:
        """One line of metrics; row["step"] is its step."""
        if self.active:
            self.metrics.append(row)
        if self.board is not None:
            for name, value in row.items():
                if name != "step":
                    self.board.add_scalar(name, value, row["step"])

    def sample(self, row: dict[str, Any]) -> None:
        if self.active:
            self.samples.append(row)

    def close(self) -> None:
        self.metrics.close()
        self.samples.close()
        if self.board is not None:
            self.board.close()


def _board(folder: Path, start: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ConfigError(
            "training.tensorboard needs the tensorboard package",
            change="pip install 'polyhead[tensorboard]', or leave training.tensorboard out",
        ) from error
    return SummaryWriter(str(folder), purge_step=start + 1 if start else None)
