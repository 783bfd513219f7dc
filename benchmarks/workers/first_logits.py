"""From a folder to the first logits, as a script does it: import the package (torch is there), load, one forward pass."""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import Tensor

from workers.inputs import ids, sample
from workers.wire import serve


class First:
    """One unit: import, load, logits of a few tokens. A process does it once."""

    params = None

    def __init__(self, spec: dict[str, Any]) -> None:
        self.spec, self.net = spec, None

    @torch.inference_mode()
    def run(self, units: int) -> dict[str, Any]:
        start = time.perf_counter()
        package = self.bring()
        imported = time.perf_counter()
        self.net = self.load(package)
        loaded = time.perf_counter()
        logits = self.logits()
        done = time.perf_counter()
        return {"imported": imported - start, "loaded": loaded - imported, "answered": done - loaded, "sample": sample(logits)}

    def bring(self) -> Any: ...
    def load(self, package: Any) -> Any: ...
    def logits(self) -> Tensor: ...


class Polyhead(First):
    def bring(self) -> Any:
        import polyhead

        return polyhead

    def load(self, package: Any) -> Any:
        return package.load(self.spec["folder"]).net

    def logits(self) -> Tensor:
        from polyhead.nn import Tokens

        return self.net(Tokens(ids(1, self.spec["tokens"], self.net.spec.vocab)))


class Transformers(First):
    def bring(self) -> Any:
        from transformers import AutoModelForCausalLM

        return AutoModelForCausalLM

    def load(self, package: Any) -> Any:
        return package.from_pretrained(self.spec["folder"])

    def logits(self) -> Tensor:
        return self.net(ids(1, self.spec["tokens"], self.net.config.vocab_size), use_cache=False).logits


if __name__ == "__main__":
    serve({"polyhead": Polyhead, "hf": Transformers}, ["torch"])
