"""Every error a user can meet.

    PolyheadError
    ├── UserError          exit 2: the input is wrong; says what was expected, what came, what to change
    │   ├── ConfigError        a spec, preset, config key or override
    │   ├── DataError          a text, table, image or data set
    │   ├── TokenizerError     a tokenizer, its file, or ids outside its vocabulary
    │   └── CheckpointError    a run's folder or a model's folder: missing, damaged, foreign, newer
    ├── RunError           exit 1: ours, the disk's or the machine's
    │   ├── DiskError          full or unwritable
    │   ├── OutOfMemory        names the biggest parts and the smallest change that fits
    │   ├── NonFiniteError     NaN or infinity, caught before it touches the weights
    │   └── ProofError         an equality that was promised does not hold
    └── Stopped            exit 130 or 143: an orderly stop after Ctrl-C or SIGTERM
"""

from __future__ import annotations

import signal


class PolyheadError(Exception):
    """Base of all errors polyhead raises on purpose. `exit_code` is what the command line returns."""

    exit_code = 1

    def __init__(
        self,
        message: str,
        *,
        expected: str | None = None,
        received: str | None = None,
        change: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message, self.expected, self.received, self.change = message, expected, received, change

    def __str__(self) -> str:
        rows = (("expected", self.expected), ("received", self.received), ("change", self.change))
        return "\n".join([self.message, *(f"  {name}: {text}" for name, text in rows if text)])


class UserError(PolyheadError):
    exit_code = 2


class ConfigError(UserError):
    pass


class DataError(UserError):
    pass


class TokenizerError(UserError):
    pass


class CheckpointError(UserError):
    pass


class RunError(PolyheadError):
    exit_code = 1


class DiskError(RunError):
    pass


class OutOfMemory(RunError):
    pass


class NonFiniteError(RunError):
    pass


class ProofError(RunError):
    pass


class Stopped(PolyheadError):
    """Raised after a signal once everything worth keeping is on disk."""

    def __init__(self, signum: int, message: str = "stopped") -> None:
        super().__init__(message)
        self.signum = signum
        self.exit_code = 128 + signum if signum in (signal.SIGINT, signal.SIGTERM) else 1
