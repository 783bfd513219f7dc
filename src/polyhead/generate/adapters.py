"""The verbs of low-rank updates, a part of Model: an adapter's files written and read, sums computed with and taken apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..checkpoint.peft import write_adapter
from ..checkpoint.peft_in import read_adapter
from ..errors import ConfigError
from ..nn import Transformer, merge, unmerge


class Adapters:
    """net and meta are Model's."""

    net: Any
    meta: dict[str, Any]

    def save_adapter(self, folder: str | Path, base: str | None = None) -> Path:
        """Write the low-rank updates, and what learnt in full beside them, as PEFT does (adapter_config.json and
        adapter_model.safetensors), in the names of the family's Hugging Face model.

        base: the model they belong to, as the file names it; None: what the run began from. Raises ConfigError naming what the
        format cannot hold, CheckpointError, DiskError.
        """
        base = str(self.meta.get("preset", "")) if base is None else base
        write_adapter(folder, self._one(), base, self._source_config())
        return Path(folder)

    def load_adapter(self, folder: str | Path) -> None:
        """Put the adapter in a folder that PEFT or save_adapter wrote onto this model, in place. Raises CheckpointError naming
        what is not of this model; the model is then as it was."""
        read_adapter(folder, self._one(), self._source_config())

    def merge(self) -> None:
        """Compute with the sums W + s·B·A, one product per map instead of three. Weights are not written to; training
        takes it back."""
        merge(self._one())

    def unmerge(self) -> None:
        """Compute with weights and updates apart again: the original bits."""
        unmerge(self._one())

    def _one(self) -> Transformer:
        if not isinstance(self.net, Transformer):
            raise ConfigError(
                "a pair of towers has no low-rank updates", expected="one model", received="a pair",
                change="choose an encoder, a decoder or an encoder–decoder",
            )  # fmt: skip
        return self.net

    def _source_config(self) -> dict[str, Any] | None:
        kept = self.meta.get("huggingface")
        return kept.get("config") if isinstance(kept, dict) else None
