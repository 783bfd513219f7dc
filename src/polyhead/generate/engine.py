"""The narrow seam between a model and whatever writes with it: prefill, step, and the order of rows.

A spec, its weights and a cache are all that lies behind it; an engine with other arithmetic needs these three calls only.
The cache is static (as long as prompt and budget together), a ring where attention has a window, and holds the source's
keys and values for cross-attention. Prompts of one length take the path without masks; unequal ones are padded on the
left with position −1, each row counting its own positions.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..errors import ConfigError, OutOfMemory, UserError
from ..nn import Cache, LearnedSpec, ModelSpec, StackSpec, Tokens, Transformer
from ..nn.pattern import Prefix, blocked, causal_only, holds
from ..tasks.rows import batch, evaluating


class State:
    """What a batch of rows carries from step to step. pos: (B, 1) of the next token where rows differ, else None."""

    def __init__(self, cache: Cache, pos: Tensor | None) -> None:
        self.cache, self.pos = cache, pos


class Engine:
    """Logits from a Transformer, token by token. `prepared`: the same model ready for speed (weights packed), used
    for every product in place of `net`; both carry one spec. hears: the source is a signal. Raises ConfigError for a model
    that cannot generate."""

    def __init__(self, net: Transformer, prepared: Transformer | None = None, hears: bool = False) -> None:
        self.net, self.spec = prepared if prepared is not None else net, net.spec
        self.head = language_head(self.spec, hears)
        self.vocab: int = self.spec.heads[self.head].output or 0
        self.prefixed = any(holds(b.attention.pattern, Prefix) for b in self.spec.top.blocks.values())  # prompts are seen whole

    @property
    def device(self) -> torch.device:
        return next(self.net.parameters()).device

    @property
    def home(self) -> torch.device:
        """Where logits come back and tokens are chosen: the network's device, but the CPU for MPS, which has no fp64."""
        return torch.device("cpu") if self.device.type == "mps" else self.device

    @torch.inference_mode()
    def prefill(
        self,
        prompts: Sequence[Sequence[int]],
        budget: int,
        source: Sequence[Sequence[int]] | Tokens | None = None,
        *,
        extrapolate: bool = False,
    ) -> tuple[State, Tensor]:
        """Read the prompts (B lists of ids, none empty; for encoder–decoders what the decoder starts from, `source`
        being the encoder's input). Returns the state and the logits (B, V) of each row's first new token.

        budget: new tokens per row at most. Raises UserError when prompt and budget exceed the context (extrapolate
        allows it, except for learned positions), OutOfMemory when the cache does not fit.
        """
        longest = max(map(len, prompts))
        read = source if source is None or isinstance(source, Tokens) else batch(source, self.device)
        check_room(self.spec, longest, budget, 0 if read is None or read.ids is None else read.ids.shape[1], extrapolate)
        tokens = batch(prompts, self.device, left=True)
        if self.prefixed:
            assert tokens.ids is not None, "prompts are ids"
            real = torch.ones_like(tokens.ids, dtype=torch.bool) if tokens.pos is None else tokens.pos >= 0
            tokens = tokens._replace(mark=real)
        cache = self._new_cache(len(prompts), longest + budget - 1)
        with evaluating(self.net):
            x, _ = self.net.hidden(tokens, read, cache)
            logits = self.net.logits(x[:, -1], self.head)
        return State(cache, tokens.pos[:, -1:] + 1 if tokens.pos is not None else None), logits.to(self.home)

    @torch.inference_mode()
    def step(self, state: State, ids: Tensor) -> Tensor:
        """Append ids (B,) long, one per row; returns the logits (B, V) of the next token."""
        tokens = Tokens(ids[:, None].to(self.device), state.pos)
        with evaluating(self.net):
            x, _ = self.net.hidden(tokens, None, state.cache)
            logits = self.net.logits(x[:, -1], self.head)
        if state.pos is not None:
            state.pos = state.pos + 1
        return logits.to(self.home)

    @torch.inference_mode()
    def reorder(self, state: State, index: Tensor) -> None:
        """Row i becomes what row index[i] was; index (B′,) long may repeat rows and leave some out."""
        index = index.to(self.device)
        state.cache.reorder(index)
        state.pos = None if state.pos is None else state.pos[index]

    def _new_cache(self, rows: int, length: int) -> Cache:
        try:
            return self.net.new_cache(rows, length)
        except (RuntimeError, MemoryError) as error:  # torch's allocators raise RuntimeError or a child of it
            raise OutOfMemory(
                f"the cache for {rows} rows of {length:,} tokens does not fit in memory",
                received=str(error).splitlines()[0][:200],
                change="ask for fewer max_tokens, or for fewer prompts at a time",
            ) from error


def language_head(spec: ModelSpec, hears: bool = False) -> str:
    """The name of the head that predicts the next token. hears: the encoder may read a signal. Raises ConfigError when the
    model cannot generate."""
    names = [name for name, head in spec.heads.items() if head.task == "lm"]
    fault = None
    if spec.decoder is None:
        fault = "an encoder alone"
    elif not names:
        fault = "no lm head, only " + ", ".join(spec.heads)
    elif spec.encoder is None and any(b.cross is not None for b in spec.decoder.blocks.values()):
        fault = "a decoder with cross-attention but no encoder"
    elif kinds := [stack.embedding.input.kind for place, stack in spec.stacks.items() if stack.embedding.vocab is None and not (hears and place == "encoder")]:
        fault = f"a stack that reads {kinds[0]}, not text" + (": model.transcribe writes what it hears" if kinds[0] == "frames" else "")
    else:
        ahead = [name for name, b in spec.decoder.blocks.items() if not causal_only(b.attention.pattern)]
        sparse = [name for name, b in spec.decoder.blocks.items() if blocked(b.attention.pattern) is not None]
        fault = f"block_sparse attention, which cannot be cached: {', '.join(sparse)}" if sparse else None
        fault = f"blocks that look ahead: {', '.join(ahead)}" if ahead else fault
    if fault is not None:
        raise ConfigError(
            "this model cannot generate text",
            expected="a causal decoder, or an encoder and a decoder, with a head of task lm",
            received=fault,
        )
    return names[0]


def check_room(spec: ModelSpec, prompt: int, budget: int, source: int, extrapolate: bool) -> None:
    """Raise UserError unless prompt + budget tokens fit: the last new token is never read, so it needs no place."""
    parts = [("prompt and max_tokens", spec.top, prompt, budget)]
    parts += [("the prompt", spec.encoder, source, 1)] if spec.encoder is not None else []
    for what, stack, length, more in parts:
        table = _table(stack)
        limit = table if extrapolate or (table and stack is spec.encoder) else spec.context  # an encoder's table is its own
        if limit is None or length + more - 1 <= limit:
            continue
        room = limit + 1 - length
        change = "shorten the prompt" if room < 1 or more == 1 else f"set max_tokens to {room} or less"
        if table is None:
            change += ", or set extrapolate to go beyond what the model was trained for"
        raise UserError(
            f"{what} are longer than the model's context" if more > 1 else f"{what} is longer than the model's context",
            expected=f"at most {limit} tokens" + (" (its table of learned positions)" if limit == table else ""),
            received=f"{length} of the prompt, {more} to come" if more > 1 else str(length),
            change=change,
        )


def _table(stack: StackSpec) -> int | None:
    position = stack.embedding.position
    return position.length if isinstance(position, LearnedSpec) else None
