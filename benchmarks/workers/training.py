"""What the training workers share: the corpus, one plain training step, full validation."""

from __future__ import annotations

import contextlib
import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch._dynamo  # the first optimizer imports it; imports are not timed
import torch.nn.functional as F
from torch import Tensor, nn

# (the module or its compiled form, inputs, targets) -> mean loss
Loss = Callable[[Any, Tensor, Tensor], Tensor]


class Corpus:
    """A text as characters; the first nine tenths train, the rest validates."""

    def __init__(self, path: str) -> None:
        raw = Path(path).read_bytes()
        text = (gzip.decompress(raw) if path.endswith(".gz") else raw).decode()
        alphabet = {character: index for index, character in enumerate(sorted(set(text)))}
        ids = torch.tensor([alphabet[character] for character in text])
        self.vocabulary = len(alphabet)
        self.train, self.val = ids.split([int(0.9 * len(ids)), len(ids) - int(0.9 * len(ids))])

    def batch(self, size: int, length: int) -> tuple[Tensor, Tensor]:
        """Random windows: inputs and targets, both (size, length)."""
        rows = torch.randint(len(self.train) - length - 1, (size, 1)) + torch.arange(length + 1)
        window = self.train[rows]
        return window[:, :-1].contiguous(), window[:, 1:].contiguous()

    def windows(self, length: int) -> tuple[Tensor, Tensor]:
        """The whole validation part cut into windows: inputs and targets, both (count, length)."""
        kept = (len(self.val) - 1) // length * length
        return self.val[:kept].view(-1, length), self.val[1 : kept + 1].view(-1, length)

    @torch.no_grad()
    def validate(self, loss: Callable[[Tensor, Tensor], Tensor], length: int, rows: int = 256) -> float:
        """Mean loss per character over the whole validation part."""
        inputs, targets = self.windows(length)
        pieces = zip(inputs.split(rows), targets.split(rows), strict=True)
        return sum(loss(x, y).item() * len(x) for x, y in pieces) / len(inputs)


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(logits.reshape(-1, logits.size(-1)), targets.reshape(-1))


def autocast(dtype: str) -> Any:
    return torch.autocast("cpu", torch.bfloat16) if dtype == "bf16" else contextlib.nullcontext()


class PlainSteps:
    """Training as a package's users write it: autocast, backward, clip at 1, AdamW. One unit is one step."""

    def __init__(self, spec: dict[str, Any], net: nn.Module, loss: Loss, optimizer: Any = None) -> None:
        self.corpus, self.size, self.dtype = Corpus(spec["corpus"]), spec["size"], spec["dtype"]
        self.net, self.loss = net.train(), loss
        self.call = torch.compile(net) if spec["compile"] else net
        self.optimizer = optimizer or torch.optim.AdamW(net.parameters(), 1e-3, (0.9, 0.99), weight_decay=0.1)
        self.params = sum(weight.numel() for weight in net.parameters())

    def step(self) -> None:
        inputs, targets = self.corpus.batch(self.size["batch"], self.size["context"])
        with autocast(self.dtype):
            loss = self.loss(self.call, inputs, targets)
        loss.backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def run(self, units: int) -> dict[str, Any] | None:
        for _ in range(units):
            self.step()
        return None
