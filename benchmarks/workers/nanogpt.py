"""nanoGPT, from its sources under $PH_SRC/nanoGPT: model, optimizer groups, CPU recipe."""

from __future__ import annotations

import importlib.util
import math
import os
from pathlib import Path
from typing import Any

import torch

from workers.training import PlainSteps
from workers.wire import serve


def source() -> Any:
    path = Path(os.environ["PH_SRC"], "nanoGPT", "model.py")
    spec = importlib.util.spec_from_file_location("nanogpt_model", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Steps(PlainSteps):
    """nanoGPT's step. Its forward takes the targets and gives (logits, loss)."""

    def __init__(self, spec: dict[str, Any]) -> None:
        torch.manual_seed(spec.get("seed", 0))
        size, gpt = spec["size"], source()
        shape = gpt.GPTConfig(
            block_size=size["context"], vocab_size=size["vocabulary"], n_layer=size["layers"],
            n_head=size["heads"], n_embd=size["width"], dropout=0.0, bias=False,
        )  # fmt: skip
        net = gpt.GPT(shape)
        optimizer = net.configure_optimizers(0.1, 1e-3, (0.9, 0.99), "cpu")
        super().__init__(spec, net, lambda call, x, y: call(x, y)[1], optimizer)


class Recipe(Steps):
    """The CPU run of its README: warm-up over 100 steps to 1e-3, cosine to 1e-4. One unit is one interval."""

    def __init__(self, spec: dict[str, Any]) -> None:
        super().__init__(spec)
        self.iterations, self.interval, self.done = spec["iterations"], spec["interval"], 0

    def rate(self) -> float:
        if self.done < 100:
            return 1e-3 * (self.done + 1) / 101
        return 1e-4 + 0.5 * (1 + math.cos(math.pi * (self.done - 100) / (self.iterations - 100))) * 9e-4

    def run(self, units: int) -> dict[str, Any]:
        for _ in range(min(units * self.interval, self.iterations - self.done)):
            for group in self.optimizer.param_groups:
                group["lr"] = self.rate()
            self.step()
            self.done += 1
        return {"step": self.done, "finished": self.done >= self.iterations}

    def evaluate(self) -> float:
        self.net.eval()
        loss = self.corpus.validate(lambda x, y: self.net(x, y)[1], self.size["context"])
        self.net.train()
        return loss


if __name__ == "__main__":
    serve({"train": Steps, "curve": Recipe}, ["torch"])
