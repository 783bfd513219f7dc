"""Models of a prefix: a prompt is read in both directions, what is written is not."""

from __future__ import annotations

import torch

from polyhead.families import override, preset, with_vocab
from polyhead.generate import Engine
from polyhead.nn import Tokens, Transformer


def prefixed() -> Transformer:
    small = {"decoder.layers": 2, "decoder.width": 16, "decoder.blocks.layer.attention.heads.heads": 2, "context": 32}
    spec = override(with_vocab(preset("gpt2"), 40), small | {"decoder.blocks.layer.attention.pattern": {"kind": "prefix"}})
    net = spec.build(0).double().eval()
    with torch.no_grad():
        for p in net.parameters():
            p.mul_(4)
    return net


@torch.no_grad()
def whole(net: Transformer, prompt: list[int], more: list[int]) -> torch.Tensor:
    """The next token's logits by one pass over everything, the prompt marked."""
    ids = torch.tensor([prompt + more])
    mark = torch.arange(ids.shape[1])[None] < len(prompt)
    return net(Tokens(ids, mark=mark))[0, -1]


def test_steps_equal_one_pass_with_the_prompt_marked() -> None:
    net = prefixed()
    engine, prompts = Engine(net), [[5, 6, 7, 8], [9, 10]]  # of unequal length: padded on the left
    state, logits = engine.prefill(prompts, 4)
    more: list[int] = []
    for left in (3, 2, 1, 0):
        for row, prompt in enumerate(prompts):
            assert (logits[row] - whole(net, prompt, more)).abs().max() < 1e-12
        if left:
            more.append(11 + len(more))
            logits = engine.step(state, torch.tensor([more[-1]] * 2))
    causal = net(Tokens(torch.tensor([prompts[0]])))[0, -1]
    assert (whole(net, prompts[0], []) - causal).abs().max() > 1e-3, "without the mark it is another model"
