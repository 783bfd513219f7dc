"""litgpt's GPT in a plain training loop."""

from __future__ import annotations

from typing import Any

import torch
from litgpt import GPT, Config

from workers.training import PlainSteps, cross_entropy
from workers.wire import serve


def train(spec: dict[str, Any]) -> PlainSteps:
    torch.manual_seed(0)
    size = spec["size"]
    shape = Config(
        name="x", block_size=size["context"], vocab_size=size["vocabulary"],
        padded_vocab_size=size["vocabulary"], n_layer=size["layers"], n_head=size["heads"],
        n_embd=size["width"], rotary_percentage=1.0, parallel_residual=False, bias=False,
        norm_class_name="LayerNorm", mlp_class_name="GptNeoxMLP", intermediate_size=4 * size["width"],
    )  # fmt: skip
    return PlainSteps(spec, GPT(shape), lambda call, x, y: cross_entropy(call(x), y))


if __name__ == "__main__":
    serve({"train": train}, ["torch", "litgpt"])
