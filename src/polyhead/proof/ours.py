"""Our own answers: logits of every head, the states of every layer, and what is written greedily, through the cache."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import ConfigError, UserError
from ..generate import Model
from ..generate.engine import language_head
from ..nn import At, ModelSpec, Pair, PairSpec, Tokens, Transformer
from ..tasks.rows import evaluating
from .measures import Answer
from .questions import WRITTEN, Question, padding_ids


class Ours:
    """A model that answers questions."""

    def __init__(self, model: Model) -> None:
        self.model = model

    @torch.inference_mode()
    def ask(self, asked: Question) -> Answer:
        net = self.model.net
        asked = _on(asked, next(net.parameters()))
        with evaluating(net):
            return _pair(net, asked) if isinstance(net, Pair) else _answer(net, asked)

    def writes(self) -> str | None:
        """The head that greedy tokens come from; None for a model that does not write."""
        spec = self.model.spec
        if isinstance(spec, PairSpec):
            return None
        if _listens(spec):
            return next((name for name, head in spec.heads.items() if head.task == "lm"), None)
        try:
            return language_head(spec)
        except ConfigError:
            return None

    @torch.inference_mode()
    def write(self, asked: Question, head: str) -> tuple[Question, Answer] | None:
        """(the question and what was written greedily after it, the logits each new token was chosen by), token by token
        through the cache. None where the context has no room. An end of text is written like any other token; padding is not:
        inside a text it means nothing, and classes that count positions by ids give it none."""
        assert asked.ids is not None
        rows = asked.ids if asked.source is None and asked.signal is None else asked.ids[:, :1]
        count = max(1, min(WRITTEN, self.model.text_spec.context + 1 - rows.shape[1]))
        steps = self._after_signal(asked, rows, count, head) if asked.signal is not None else self._after_text(asked, rows, count)
        written, padding = [rows], torch.tensor(sorted(padding_ids(self.model)), dtype=torch.long)
        try:
            told = [next(steps).cpu()]
            while len(told) < count:
                written.append(told[-1].index_fill(-1, padding, float("-inf")).argmax(-1, keepdim=True))
                told.append(steps.send(written[-1][:, 0]).cpu())
        except UserError:  # the learned positions of one stack are fewer than the context
            return None
        question = asked._replace(name="greedy", ids=torch.cat(written, 1), types=None, marks=None, begin=rows.shape[1] - 1)
        return question, Answer({head: torch.stack(told, 1)}, {head: "lm"}, {})

    def _after_text(self, asked: Question, rows: Tensor, count: int) -> Generator[Tensor, Tensor, None]:
        """Logits of each next token; each token is sent in."""
        engine = self.model.engine
        state, logits = engine.prefill(rows.tolist(), count, None if asked.source is None else asked.source.tolist())
        while True:
            logits = engine.step(state, (yield logits))

    def _after_signal(self, asked: Question, rows: Tensor, count: int, head: str) -> Generator[Tensor, Tensor, None]:
        """The same for a decoder that answers pixels or frames, which the engine does not read."""
        net = self.model.net
        asked, cache = _on(asked, next(net.parameters())), net.new_cache(1, rows.shape[1] + count)
        ids = rows.to(next(net.parameters()).device)
        source: Tokens | None = Tokens(signal=asked.signal)
        with evaluating(net):
            while True:
                x, _ = net.hidden(Tokens(ids), source, cache)
                ids, source = (yield net.logits(x[:, -1], head))[:, None].to(ids.device), None


def _listens(spec: ModelSpec) -> bool:
    return spec.encoder is not None and spec.decoder is not None and spec.encoder.embedding.vocab is None


def _on(asked: Question, like: Tensor) -> Question:
    """The question where the weights are; real numbers in their dtype."""
    dtype, device = like.dtype, like.device
    moved: dict[str, Any] = {
        name: value.to(device, dtype if value.is_floating_point() else None)
        for name, value in asked._asdict().items() if isinstance(value, Tensor)
    }  # fmt: skip
    return asked._replace(**moved)


def _answer(net: Transformer, asked: Question) -> Answer:
    tokens, source = _tokens(net, asked)
    with _states(net) as states:
        if asked.memory is not None and net.decoder is not None:
            places = At(torch.arange(asked.memory.shape[1], device=asked.memory.device).unsqueeze(0))
            x, _ = net.decoder(tokens, None, asked.memory, places)
        else:
            x, _ = net.hidden(tokens, source)
    at, read = At.of(tokens, x.shape[1]), tokens if source is None else source
    heads = {
        name: net.logits(x, name, at, read)[:, slice(None) if head.pools else slice(asked.begin, None)].cpu()
        for name, head in net.spec.heads.items() if head.output or head.dense or head.pools
    }  # fmt: skip
    tasks: dict[str, str] = {name: net.spec.heads[name].task for name in heads}
    return Answer(heads, tasks, {stack: [state.cpu() for state in found] for stack, found in states.items()})


def _tokens(net: Transformer, asked: Question) -> tuple[Tokens, Tokens | None]:
    """(what the top stack reads, what the encoder below it reads)."""
    if asked.ids is None:
        return Tokens(signal=asked.signal), None
    if asked.source is not None:
        return Tokens(asked.ids), Tokens(asked.source, mark=asked.marks, types=asked.types)
    if asked.signal is not None:
        return Tokens(asked.ids), Tokens(signal=asked.signal)
    return Tokens(asked.ids, mark=asked.marks, types=asked.types), None


@contextmanager
def _states(net: Transformer) -> Iterator[dict[str, list[Tensor]]]:
    """By stack: the embedding's states, each layer's, the last ones as they leave the stack. Filled inside."""
    found: dict[str, list[Tensor]] = {}
    hooks: list[Any] = []

    def watch(module: nn.Module, into: list[Tensor], last: bool = False) -> None:
        def keep(_: nn.Module, __: Any, out: Any) -> None:
            x = out[0] if isinstance(out, tuple) else out
            into[-1:] = [x] if last else [*into[-1:], x]

        hooks.append(module.register_forward_hook(keep))

    for name in net.spec.stacks:
        stack = getattr(net, name)
        found[name] = []
        watch(stack.embed, found[name])
        for layer in stack.layers:
            watch(layer, found[name])
        watch(stack, found[name], last=True)
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def _pair(net: Pair, asked: Question) -> Answer:
    """Two towers: their unit vectors, and how well they fit."""
    tokens, images = Tokens(asked.ids), Tokens(signal=asked.signal)
    text, image = net.vectors(tokens, images)
    heads = {"text": text.cpu(), "image": image.cpu(), "pair": net(tokens, images).cpu()}
    return Answer(heads, {"text": "embed", "image": "embed", "pair": "embed"}, {})

