"""A Hugging Face folder of two towers ↔ a Pair: each tower through its own family's weight table (renaming.py).

    net = read_pair(source)                       mapped weights, as read_network's
    config, tensors = pair_as_huggingface(net)    what write_hf takes
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from .. import families
from ..errors import CheckpointError
from ..families.exchange import Reading
from ..nn import ModelSpec, Pair
from .huggingface import assign, check_size, main_dtype, shared_once
from .layout import Later
from .renaming import Step, assemble, disassemble, expand
from .source import CONFIG, Source

SCALE = "logit_scale"


def read_pair(source: Source, device: torch.device | str = "cpu", dtype: torch.dtype | None = None, mixed: bool = False) -> Pair:
    """The two towers of an opened folder, in evaluation mode. dtype None: the one most weights have. mixed: each
    tensor in the dtype it is stored in. Raises ConfigError, CheckpointError."""
    where = f"{source.path / CONFIG}"
    reading = families.read_pair(source.config, where)
    check_size(reading.spec, source, where)
    if SCALE not in source.tensors or source.tensors[SCALE].shape not in ((), (1,)):
        raise CheckpointError(f"{source.path} holds no {SCALE}", expected="one number", received="none, or a tensor", change="are these the weights of both towers?")
    with torch.device("meta"):
        net = reading.spec.build(seed=None)
    towers = {"image": (net.image, reading.image), "text": (net.text, reading.text)}
    steps = {name: _steps(one, shared_once(tower)) for name, (tower, one) in towers.items()}
    dtype = None if mixed else dtype or main_dtype(source)
    for name, (tower, one) in towers.items():
        others = {t for other in steps if other != name for step in steps[other] for t in step.theirs}
        names = [n for n in source.tensors if n not in others and n != SCALE]
        drop = families.recipes()[one.recipe]["hf"].get("drop", [])
        found = assemble(steps[name], shared_once(tower), tower.spec, names, lambda n: source.tensors[n].get(), drop, str(source.path))
        assign(tower, found, device, dtype)
    net.logit_scale = nn.Parameter(source.tensors[SCALE].get().clone().reshape(()).to(device=device, dtype=dtype))
    return net.eval()


def pair_as_huggingface(net: Pair, source_config: dict[str, Any] | None = None) -> tuple[dict[str, Any], dict[str, Tensor | Later]]:
    """(config.json, their names with tensors). source_config: the config it was read from. ConfigError names what the
    format cannot hold."""
    config, reading = families.write_pair(net.spec, source_config)
    config["torch_dtype"] = str(net.logit_scale.dtype).removeprefix("torch.")
    tensors: dict[str, Tensor | Later] = {SCALE: net.logit_scale.detach()}
    for tower, one in ((net.text, reading.text), (net.image, reading.image)):
        ours = shared_once(tower)
        tensors |= disassemble(_steps(one, ours), ours, tower.spec)
    return config, tensors


def _steps(reading: Reading, ours: dict[str, Tensor]) -> list[Step]:
    hf = families.recipes()[reading.recipe]["hf"]
    spec: ModelSpec = reading.spec
    return expand(hf["weights"], spec, ours, hf["prefixes"][0])
