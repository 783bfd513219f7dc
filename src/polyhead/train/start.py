"""Where a run begins: at a preset's or spec file's initial values, or at a model that was trained before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from polyhead.checkpoint import resolve as resolve_folder
from polyhead.errors import ConfigError
from polyhead.families import presets, resolve
from polyhead.families.document import SUFFIXES
from polyhead.generate import Model, load
from polyhead.generate.folder import read_architecture, weights
from polyhead.nn import ModelSpec, PairSpec, Patches, Transformer
from polyhead.text import Tokenizer

from .trained import UPDATES

_OWN = {"format", "objective", "choices", "preset", "seed", "machine", "step", "best", "labels", "problem"}  # facts of the run that made it


def is_model(name: str) -> bool:
    """Whether a run's target is a trained model (a folder, or owner/name on the Hub) rather than a preset or a spec file. What is
    named like a folder that is not there was meant as one."""
    if name in presets() or Path(name).is_file():
        return False
    path = any(mark in name for mark in "/\\") and not name.lower().endswith(SUFFIXES)
    return path or Path(name).is_dir()


def architecture(name: str) -> ModelSpec:
    """The spec behind a run's target. ConfigError for a pair of towers."""
    if not is_model(name):
        return resolve(name)
    spec = read_architecture(resolve_folder(name, weights=False))
    if isinstance(spec, PairSpec):
        raise ConfigError("a pair of towers is not trained on", expected="one model", received=f"{name}, a pair", change="choose an encoder, a decoder or an encoder–decoder")
    return spec


class Start:
    """A trained model that a run goes on from: its tokenizer, what its folder says, its weights."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._model: Model | None = load(name, dtype=torch.float32)
        self.meta: dict[str, Any] = {key: value for key, value in self._model.meta.items() if key not in _OWN}
        if self._model.tokenizer is None and self._model.text_spec.vocab is not None:
            raise ConfigError(f"{name} has no tokenizer", expected="a model with tokenizer.json", received="none", change="add the tokenizer's files to the folder")
        self.tokenizer: Tokenizer | None = self._model.tokenizer
        reads = self._model.text_spec.top.embedding.input
        self.image_size = reads.image if isinstance(reads, Patches) else None

    def give(self, net: Transformer) -> list[str]:
        """Copy the weights into a new network; returns what begins anew, in words. The model is forgotten behind it.

        Everything but heads must be there in the same shape: ConfigError names what is not.
        """
        assert self._model is not None, "weights are given once"
        assert isinstance(self._model.net, Transformer), "architecture() refuses a pair"
        own, theirs = weights(net), weights(self._model.net)
        self._model = None
        lost = [n for n in own if not n.startswith("heads.") and not n.endswith(UPDATES) and (n not in theirs or theirs[n].shape != own[n].shape)]
        if lost:
            received = f"{tuple(own[lost[0]].shape)} asked for, {tuple(theirs[lost[0]].shape)} there" if lost[0] in theirs else "not there"
            raise ConfigError(
                f"the weights of {self.name} do not fit the architecture asked for: {lost[0]}", expected="the architecture it was trained with",
                received=received, change="leave out settings of the model that change shapes",
            )  # fmt: skip
        new = []
        for name, tensor in own.items():
            if name in theirs and theirs[name].shape == tensor.shape:
                tensor.copy_(theirs[name])
            else:
                new.append(name)
        return sorted({name.split(".")[1] for name in new if name.startswith("heads.")})
