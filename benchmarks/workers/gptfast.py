"""gpt-fast, from its sources under $PH_SRC/gpt-fast: its `generate` with a compiled decode step, on a CPU.

It always samples; without top-k, the cheapest it offers. Its prefill stays eager, as it does by default.
"""

from __future__ import annotations

import contextlib
import os
import sys
import types
from pathlib import Path
from typing import Any

import torch

from workers.wire import serve


def sources() -> tuple[Any, Any]:
    """Its `model` and `generate` modules; its tokenizers' packages are not needed for ids."""
    sys.path.insert(0, str(Path(os.environ["PH_SRC"], "gpt-fast")))
    tokenizer: Any = types.ModuleType("tokenizer")
    tokenizer.get_tokenizer = None
    sys.modules["tokenizer"] = tokenizer
    import model

    import generate

    torch._inductor.config.coordinate_descent_tuning = False  # switched on by its import; hours on a CPU
    cuda: Any = torch.backends.cuda
    if not hasattr(cuda, "sdp_kernel"):  # gone from recent torch; without effect on a CPU
        cuda.sdp_kernel = lambda **_: contextlib.nullcontext()
    return model, generate


class Decode:
    """One unit is one new token per sequence: the first from prefill, the others from the compiled step."""

    def __init__(self, spec: dict[str, Any]) -> None:
        model, self.source = sources()
        torch.manual_seed(0)
        net = model.Transformer(model.ModelArgs(n_layer=12, n_head=12, dim=768, vocab_size=32000))
        self.net = net.to(torch.bfloat16 if spec["dtype"] == "bf16" else torch.float32).eval()
        self.params = sum(weight.numel() for weight in net.parameters())
        self.batch = spec["batch"]
        self.ids = torch.randint(4, 32000, (spec["prompt"],), dtype=torch.int)
        with torch.no_grad():
            self.net.setup_caches(max_batch_size=self.batch, max_seq_length=spec["prompt"] + spec["new"])
        step = self.source.decode_one_token
        self.source.decode_one_token = torch.compile(step, fullgraph=True, dynamic=False)

    def run(self, units: int) -> None:
        options = {"interactive": False, "draft_model": None, "temperature": 1.0, "top_k": None}
        self.source.generate(self.net, self.ids, units, self.batch, **options)


if __name__ == "__main__":
    serve({"decode": Decode}, ["torch"])
