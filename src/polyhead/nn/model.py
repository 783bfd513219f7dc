"""A Transformer: optional encoder, optional decoder, heads. Read this first, then stack, block, attention.

    ids, pixels or frames ─ embedding ─ layers ─ final norm ─ head ─▶ logits
    BERT has an encoder, GPT a decoder, T5 both; nothing else tells them apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from .approximate import FeatureSpec, LinformerSpec
from .at import At
from .attend import Backend
from .block import DropoutSpec
from .cache import Cache
from .head import Head, HeadSpec
from .init import Init, NormalInit, initialise
from .lora import LoraSpec, adapt, lora_params
from .spec import Counts, Spec
from .stack import Stack, StackSpec
from .tokens import Tokens


class ModelSpec(Spec):
    """The whole architecture as data. `family` is read by import and export alone; forward never sees it."""

    version: int = Field(1, ge=1, description="format of this spec; a newer one than the program knows is refused")
    family: str = ""
    encoder: StackSpec | None = None
    decoder: StackSpec | None = None
    heads: dict[str, HeadSpec] = Field(min_length=1)
    share_embeddings: bool = False
    context: int = Field(gt=0, description="tokens a row is meant to hold at most")
    dropout: DropoutSpec = DropoutSpec()
    init: Init = NormalInit()
    lora: LoraSpec | None = Field(None, description="low-rank updates that its linear maps have")

    @model_validator(mode="after")
    def _consistent(self) -> ModelSpec:
        if self.encoder is None and self.decoder is None:
            raise ValueError("a model needs an encoder, a decoder, or both: got neither")
        crossed = self.decoder is not None and any(b.cross is not None for b in self.decoder.blocks.values())
        if self.encoder is not None and any(b.cross is not None for b in self.encoder.blocks.values()):
            raise ValueError("cross-attention belongs in a decoder's blocks: remove cross from the encoder")
        if self.encoder is not None and self.decoder is not None:
            if not crossed:
                raise ValueError("the decoder never looks at the encoder: give its blocks cross-attention, or drop a stack")
            if self.encoder.width != self.decoder.width:
                got = f"{self.encoder.width}, {self.decoder.width}"
                raise ValueError(f"encoder and decoder must be equally wide: got {got}")
        if self.share_embeddings:
            self._check_shared()
        for name, head in self.heads.items():
            if head.tied and self.top.embedding.vocab is None:
                got = self.top.embedding.input.kind
                raise ValueError(f"tied head {name!r} needs a token table: expected token ids, got {got}; set tied false")
            if head.tied and head.output != self.top.embedding.vocab:
                raise ValueError(f"tied head {name!r} has the vocabulary's size: got {head.output}")
            table = self.top.embedding.table_width(self.top.width)
            if head.tied and head.last_width(self.top.width) != table:
                raise ValueError(f"tied head {name!r} needs states of the table's width {table}: set dense to {table}")
        self._check_context()
        self._check_dropout()
        if self.lora is not None:
            self._count_lora(self.lora)
        return self

    def _check_shared(self) -> None:
        if self.encoder is None or self.decoder is None:
            raise ValueError("share_embeddings needs both an encoder and a decoder")
        if any(s.embedding.vocab is None for s in self.stacks.values()):
            raise ValueError("share_embeddings needs two token tables: got a stack that reads a signal")
        tables = [(s.embedding.vocab, s.embedding.table_width(s.width)) for s in (self.encoder, self.decoder)]
        if tables[0] != tables[1]:
            raise ValueError(f"shared embeddings must have one shape: got {tables[0]} and {tables[1]}")

    def _check_context(self) -> None:
        for stack in self.stacks.values():
            if stack.embedding.vocab is None:  # a signal's positions are its own
                continue
            length = getattr(stack.embedding.position, "length", None)
            if length is not None and length < self.context:
                raise ValueError(f"context must fit the learned positions: got context {self.context}, table {length}")
            for mixing in (block.attention.mixing for block in stack.blocks.values()):
                if isinstance(mixing, LinformerSpec) and mixing.length < self.context:
                    raise ValueError(f"context must fit the linformer's columns: got context {self.context}, length {mixing.length}")

    def _check_dropout(self) -> None:
        mixings = [block.attention.mixing for stack in self.stacks.values() for block in stack.blocks.values()]
        if self.dropout.attention and (without := [m.kind for m in mixings if isinstance(m, FeatureSpec)]):
            raise ValueError(f"mixing {without[0]} has no weights to drop: expected dropout.attention 0, got {self.dropout.attention}")

    @property
    def stacks(self) -> dict[str, StackSpec]:
        pairs = {"encoder": self.encoder, "decoder": self.decoder}
        return {name: stack for name, stack in pairs.items() if stack is not None}

    @property
    def vocab(self) -> int | None:
        """Rows of the smallest token table, None where nothing reads token ids."""
        return min((s.embedding.vocab for s in self.stacks.values() if s.embedding.vocab is not None), default=None)

    @property
    def top(self) -> StackSpec:
        """The stack whose output the heads read."""
        top = self.decoder if self.decoder is not None else self.encoder
        assert top is not None
        return top

    def params(self) -> Counts:
        """Parameters by part; equal to those of the built module. `.total` is the sum."""
        total = Counts({})
        for name, stack in self.stacks.items():
            total += Counts({f"{name}.{part}": n for part, n in stack.params().parts.items()})
        if self.share_embeddings:
            embedding = self.top.embedding
            table = (embedding.vocab or 0) * embedding.table_width(self.top.width)
            total += Counts({"decoder.embedding": -table})
        total += Counts({f"heads.{n}": h.params(self.top.width) for n, h in self.heads.items()})
        return total if self.lora is None else total + Counts({"lora": self._count_lora(self.lora)})

    def _count_lora(self, lora: LoraSpec) -> int:
        """ValueError for targets that this architecture has not."""
        with torch.device("meta"):
            return lora_params(Transformer(self), lora)

    def flops(self, tokens: int, rows: int = 1, source: int | None = None) -> Counts:
        """Forward FLOPs of `rows` rows of `tokens` tokens (and `source` tokens for an encoder–decoder; of a signal, the
        vectors it becomes: patches and class token, half the frames), every product in full: what a causal or window
        pattern lets a kernel skip is not taken off; low-rank updates count as merged. Training costs 3× this."""
        total, source = Counts({}), tokens if source is None else source
        if self.encoder is not None:
            length = source if self.decoder is not None else tokens
            total += Counts({f"encoder.{p}": n for p, n in self.encoder.flops(length, rows).parts.items()})
        if self.decoder is not None:
            parts = self.decoder.flops(tokens, rows, source).parts
            total += Counts({f"decoder.{p}": n for p, n in parts.items()})
        name, head = next(iter(self.heads.items()))
        count = rows * (tokens if head.pool == "none" else 1)
        return total + Counts({f"heads.{name}": head.flops(self.top.width, count)})

    def build(self, seed: int | None = 0) -> Transformer:
        """The module with its initial values (seed None: leave the values unset, for weights about to be loaded)."""
        model = Transformer(self if self.lora is None else self.model_copy(update={"lora": None}))
        if seed is not None:
            initialise(model, seed)
        if self.lora is not None:
            adapt(model, self.lora, seed)
        return model


class Transformer(nn.Module):
    """logits = model(tokens) for an encoder or a decoder; model(tokens, source) for an encoder–decoder."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.spec = spec
        self.encoder = Stack(spec.encoder, spec.dropout) if spec.encoder is not None else None
        self.decoder = Stack(spec.decoder, spec.dropout) if spec.decoder is not None else None
        if spec.share_embeddings and self.encoder is not None:
            self.top.embed.token = self.encoder.embed.token
        heads = nn.ModuleDict({n: h.build(spec.top.width, spec.dropout.head) for n, h in spec.heads.items()})
        self.heads = cast(Mapping[str, Head], heads)  # torch's dict has no word for what it holds

    def forward(self, tokens: Tokens, source: Tokens | None = None, cache: Cache | None = None) -> Tensor:
        """Logits of the first head: (B, T, output), or (B, output) when it pools; fp32 at least."""
        x, _ = self.hidden(tokens, source, cache)
        return self.logits(x, at=At.of(tokens, x.shape[1]), read=tokens if source is None else source)

    def hidden(
        self, tokens: Tokens, source: Tokens | None = None, cache: Cache | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """(states of the top stack (B, T, D), sum of balance losses or None). With a cache, the source is read once."""
        if self.decoder is None:
            return self.top(tokens)
        if source is None:
            return self.decoder(tokens, cache)
        if self.encoder is None:
            raise ValueError("this model has no encoder: expected no source, got one")
        memory, balance = self.encoder(source)
        at = At.of(source, memory.shape[1])
        if cache is not None:
            cache.memory, cache.memory_at = self.decoder.remember(memory), at
            return self.decoder(tokens, cache)
        x, more = self.decoder(tokens, None, memory, at)
        return x, balance if more is None else more if balance is None else balance + more

    def logits(
        self, x: Tensor, head: str | None = None, at: At | None = None, read: Tokens | None = None
    ) -> Tensor:
        """A head's answer for hidden states x (B, T, D). at is needed by heads that pool over padded rows, read, the
        tokens (of an encoder–decoder, the source), by those that look for an id."""
        module = self.heads[head or next(iter(self.heads))]
        return module(x, at, self.table if module.spec.tied else None, read)

    @property
    def top(self) -> Stack:
        top = self.decoder if self.decoder is not None else self.encoder
        assert top is not None
        return top

    @property
    def table(self) -> Tensor:
        """The token embedding (vocab, D or the factorised width) that a tied head shares."""
        token = self.top.embed.token
        assert token is not None, "the spec ties no head where there is no table"
        return token

    def new_cache(self, batch: int, length: int, slack: int = 0) -> Cache:
        """A cache for up to `length` tokens per row, prompt included."""
        if self.decoder is None:
            raise ValueError("only a decoder generates: this model has an encoder alone")
        return self.decoder.new_cache(batch, length, slack)

    def use(self, backend: Backend | None = None, checkpoint: bool | None = None) -> Transformer:
        """Choose the attention backend and whether layers are recomputed in the backward pass; returns the model."""
        for stack in (self.encoder, self.decoder):
            if stack is not None:
                stack.backend = stack.backend if backend is None else backend
                stack.checkpoint = stack.checkpoint if checkpoint is None else checkpoint
        return self
