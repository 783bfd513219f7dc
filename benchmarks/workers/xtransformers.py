"""x-transformers' decoder in a plain training loop."""

from __future__ import annotations

from typing import Any

import torch
from x_transformers import Decoder, TransformerWrapper

from workers.training import PlainSteps, cross_entropy
from workers.wire import serve


def train(spec: dict[str, Any]) -> PlainSteps:
    torch.manual_seed(0)
    size = spec["size"]
    layers = Decoder(
        dim=size["width"], depth=size["layers"], heads=size["heads"], attn_dim_head=size["width"] //
        size["heads"], attn_flash=True,
    )  # fmt: skip
    net = TransformerWrapper(num_tokens=size["vocabulary"], max_seq_len=size["context"], attn_layers=layers)
    return PlainSteps(spec, net, lambda call, x, y: cross_entropy(call(x), y))


if __name__ == "__main__":
    serve({"train": train}, ["torch", "x-transformers"])
