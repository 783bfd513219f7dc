"""A model's architecture as text a person can read: stacks top to bottom, each kind of layer once, norms where they sit.

Nothing here knows a family. A choice is told by its `kind` and the fields that differ from their defaults, so that a new
axis value appears without a word added.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from pydantic import BaseModel

from polyhead.nn import BlockSpec, Counts, ExpertsSpec, HeadSpec, ModelSpec, StackSpec
from polyhead.nn.attention import AttentionSpec

_WIDE = 15  # columns of the left-hand names


def draw(spec: ModelSpec, name: str = "") -> str:
    """The whole model, one line per thing that happens to x (B, T, D); B rows of T tokens."""
    lines = [_title(spec, name), ""]
    for place, stack in spec.stacks.items():
        shared = place == "decoder" and spec.share_embeddings
        lines += _stack(spec, place, stack, shared)
    for key, head in spec.heads.items():
        lines += _head(key, head, spec)
    if rest := _dropouts(spec):
        lines += ["", rest]
    return "\n".join(lines)


def _title(spec: ModelSpec, name: str) -> str:
    shape = {"encoder": "an encoder", "decoder": "a decoder"}
    kind = "an encoder–decoder" if len(spec.stacks) == 2 else shape[next(iter(spec.stacks))]
    return f"{name + ': ' if name else ''}{kind} with {spec.params().total:,} parameters, context {spec.context:,} tokens"


def _stack(spec: ModelSpec, place: str, stack: StackSpec, shared: bool) -> Iterator[str]:
    table = f"{stack.embedding.vocab:,} × {stack.embedding.table_width(stack.width)}"
    told = fields(stack.embedding, skip=("vocab", "width", "position", "norm"))
    parts = [table + (" (the encoder's)" if shared else ""), *told]
    if stack.embedding.position.kind != "none":
        parts.append("+ positions: " + say(stack.embedding.position))
    if stack.embedding.norm is not None:
        parts.append(norm_name(stack.embedding.norm))
    yield f"{'source ids' if place == 'encoder' and spec.decoder else 'ids'} (B, T)"
    yield " │"
    yield row("embedding", ", ".join(parts))
    yield f" │  x (B, T, {stack.width})"
    sets = len(set(stack.order()))
    yield f"╔═ {place}: {stack.layers} layer{'s' if stack.layers > 1 else ''} of width {stack.width}" + (
        f", {sets} set{'s' if sets > 1 else ''} of weights ({say(stack.sharing)})" if sets < stack.layers else ""
    )
    for kind, block in stack.blocks.items():
        layers = [i + 1 for i in range(stack.layers) if stack.kind(i) == kind]
        yield f"║  {kind} × {len(layers)} (layer{'s' if len(layers) > 1 else ''} {spans(layers)})"
        yield from ("║    " + line for line in _block(block, stack.width))
    yield f"╚═ {norm_name(stack.final_norm) if stack.final_norm else 'no final norm'}"
    yield f" │  x (B, T, {stack.width})" + (" ─▶ memory of the decoder" if place == "encoder" and spec.decoder else "")


def _block(block: BlockSpec, width: int) -> Iterator[str]:
    names = {"attention": _attention(block.attention, width)}
    if block.cross is not None:
        names["cross-attention"] = _attention(block.cross, width) + ", keys from memory"
    inner = block.ffn
    told = fields(inner, skip=("inner", "ratio", "act"))
    if isinstance(inner, ExpertsSpec):
        names["feed-forward"], told = say(inner), []
    else:
        names["feed-forward"] = f"{inner.kind} {inner.act}, {width} → {inner.hidden(width)} → {width}"
    names["feed-forward"] += "".join(f", {part}" for part in told)
    before, behind, after = _norms(block)
    if block.residual.parallel == "no":
        for name, text in names.items():
            bare = name == "attention" and block.residual.skip_first_norm
            yield f"x ─ {'' if bare else before}{row(name, text)}{behind} ─ + x{after}"
    else:
        yield f"x ─ {before}" + f" ∥ {before if block.residual.parallel == 'two_norms' else ''}".join(
            f"{name} ({text})" for name, text in names.items()
        ) + f"{behind} ─ + x{after}"
    if more := fields(block.residual, skip=("placement", "parallel", "skip_first_norm")):
        yield "residual stream: " + ", ".join(more)


def _norms(block: BlockSpec) -> tuple[str, str, str]:
    """The norm's name before a sublayer, behind it, and after the addition."""
    norm, place = norm_name(block.norm), block.residual.placement
    before = f"[{norm}] ─ " if place in ("pre", "sandwich") else ""
    behind = f" ─ [{norm}]" if place in ("inner", "sandwich") else ""
    return before, behind, f" ─ [{norm}]" if place == "post" else ""


def _attention(attention: AttentionSpec, width: int) -> str:
    heads = attention.heads
    told = fields(heads, skip=("heads", "kv_heads", "head_dim"))
    kv = "" if heads.kv == heads.heads else f" ({heads.kv} for keys and values)"
    latent = "" if heads.kind == "grouped" else f" ({heads.kind})"
    parts = [f"{heads.heads} heads × {heads.dim(width)}{kv}{latent}"]
    parts.append(say(attention.pattern))
    if attention.position.kind != "none":
        parts.append(say(attention.position))
    return ", ".join(parts + told)


def _head(key: str, head: HeadSpec, spec: ModelSpec) -> Iterator[str]:
    width = head.dense or spec.top.width
    matrix = "the embedding's matrix" if head.tied else "a matrix of its own"
    steps = [f"pool {head.pool}"] if head.pool != "none" else []
    steps += [norm_name(head.input_norm)] if head.input_norm else []
    steps += [f"{spec.top.width} → {head.dense}"] if head.dense else []
    steps += [head.act] if head.act else []
    steps += [norm_name(head.norm)] if head.norm else []
    steps += [f"{width} → {head.output:,} ({matrix})"] if head.output else []
    steps += fields(head, skip=("task", "pool", "input_norm", "dense", "dense_bias", "act", "norm", "output", "tied"))
    yield row(f"head {key}", ", ".join(steps))
    rows = "B, T" if head.pool == "none" else "B"
    yield f" ▼  {'logits' if head.output else 'states'} ({rows}, {head.output or width:,})"


def _dropouts(spec: ModelSpec) -> str:
    places = [f"{place} {p:g}" for place, p in spec.dropout.model_dump().items() if p]
    return "dropout in training: " + ", ".join(places) if places else ""


def row(name: str, text: str) -> str:
    return f"{name:<{_WIDE}} {text}"


def norm_name(norm: BaseModel) -> str:
    """"rms norm", "layer norm (eps 1e-12)"."""
    kind, _, more = say(norm).partition(" (")
    return f"{kind} norm" + (f" ({more}" if more else "")


def say(choice: BaseModel) -> str:
    """One choice in words: its kind, and the fields that are not as usual."""
    told = fields(choice, skip=("kind",))
    return str(getattr(choice, "kind", type(choice).__name__)) + (f" ({', '.join(told)})" if told else "")


def fields(choice: BaseModel, skip: Iterable[str] = ()) -> list[str]:
    """["name value", …] of the fields that differ from their defaults."""
    out = []
    for name, field in type(choice).model_fields.items():
        value = getattr(choice, name)
        if name in skip or name == "kind" or (not field.is_required() and value == field.get_default(call_default_factory=True)):
            continue
        out.append(name if value is True else f"no {name}" if value is False else f"{name} {_value(value)}")
    return out


def _value(value: object) -> str:
    if isinstance(value, BaseModel):
        return say(value)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def spans(numbers: list[int]) -> str:
    """[1, 2, 3, 7] → "1–3, 7"; long alternations end with …"""
    parts: list[list[int]] = []
    for n in numbers:
        if parts and n == parts[-1][1] + 1:
            parts[-1][1] = n
        else:
            parts.append([n, n])
    told = [str(a) if a == b else f"{a}–{b}" for a, b in parts]
    return ", ".join(told if len(told) <= 6 else [*told[:4], "…", told[-1]])


def table(counts: Counts) -> list[str]:
    """Counts by part, with their shares."""
    total = counts.total or 1
    rows = [(part, n) for part, n in counts.parts.items() if n]
    wide = max((len(part) for part, _ in rows), default=0)
    return [f"  {part:<{wide}}  {n:>16,}  {n / total:6.1%}" for part, n in rows]


def cache_bytes(spec: ModelSpec, item: int = 4) -> int:
    """Bytes one more token of a decoder costs in the cache, with `item` bytes a number; 0 without a decoder.

    Windows stop growing at their width; the memory of an encoder is not counted.
    """
    stack = spec.decoder
    if stack is None:
        return 0
    per_kind = {}
    for kind, block in stack.blocks.items():
        with torch.device("meta"):  # no memory: only the shapes are asked for
            shapes = block.attention.heads.build(stack.width).shapes()
        per_kind[kind] = item * sum(heads * width for heads, width in shapes)
    return sum(per_kind[stack.kind(i)] for i in range(stack.layers))
