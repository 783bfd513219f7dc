"""Law 3 on published shapes: a prompt and then single steps give what one pass gives, to 1e-12 in fp64."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

import polyhead as ph
from polyhead.nn import Tokens, Transformer
from polyhead.nn.pattern import causal_only

from .cases import DECODERS, ENCODERS, SEQ2SEQS, Case
from .common import Input, inputs, real
from .reference import Made

ALONE = [c for c in SEQ2SEQS if c.feed == "tokens"]  # an encoder without its decoder
ALONE += [c for c in DECODERS if c.fields.get("use_bidirectional_attention")]
STEPPED = [
    pytest.param(c, id=c.name, marks=() if c.fast else pytest.mark.slow)
    for c in [*(c for c in ENCODERS if c.fields.get("is_decoder")), *DECODERS, *SEQ2SEQS]
    if (c.answers or c.feed in ("seq2seq", "speech")) and c not in ALONE
]


def cut(tokens: Tokens, start: int, stop: int) -> Tokens:
    """The tokens of some columns, with their positions."""
    pos = tokens.pos if tokens.pos is not None else torch.arange(tokens.ids.shape[1]).unsqueeze(0)
    types = None if tokens.types is None else tokens.types[:, start:stop]
    return tokens._replace(ids=tokens.ids[:, start:stop], pos=pos[:, start:stop], types=types)


def stepped(net: Transformer, given: Input) -> torch.Tensor:
    """The states of all tokens, computed in pieces: a prompt, single tokens, a chunk."""
    rows, length = given.tokens.ids.shape
    cache = net.new_cache(rows, length)
    if given.memory is not None:
        cache.memory, cache.memory_at = net.decoder.remember(given.memory), given.memory_at
    edges = [0, 7, 8, 9, 10, length]
    parts = []
    for start, stop in zip(edges, edges[1:], strict=False):
        parts.append(net.hidden(cut(given.tokens, start, stop), given.source if start == 0 else None, cache)[0])
    return torch.cat(parts, 1)


@torch.no_grad()
@pytest.mark.parametrize("case", STEPPED)
def test_steps_are_the_whole(case: Case, made: Callable[[Case], Made], opened: Callable[[Case], ph.Model]) -> None:
    assert all(causal_only(block.attention.pattern) for block in opened(case).spec.decoder.blocks.values())
    net = opened(case).spec.build(None).double()
    net.load_state_dict(opened(case).net.state_dict())
    given, batch = inputs(case, made(case).batch), made(case).batch
    given = Input(*(x.double() if isinstance(x, torch.Tensor) and x.is_floating_point() else x for x in given))
    if given.source is not None and given.source.signal is not None:
        given = given._replace(source=given.source._replace(signal=given.source.signal.double()))
    if given.memory is not None:
        whole, _ = net.eval().decoder(given.tokens, None, given.memory, given.memory_at)
    else:
        whole, _ = net.eval().hidden(given.tokens, given.source)
    rows = real(case, batch, whole)
    difference = (stepped(net, given) - whole).abs()
    assert float(difference.max() if rows is None else difference[rows].max()) < 1e-12
