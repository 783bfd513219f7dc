"""The head for what a model is trained to do: its own, else its family's form of it, so that published classes hold what comes
out, else a standard one."""

from __future__ import annotations

from typing import Any

from ..errors import ConfigError
from ..nn import ModelSpec
from ..nn.pattern import causal_only
from .exchange import bind
from .presets import fill, recipes
from .problems import check, nearest

LANGUAGE = {"causal": "lm", "seq2seq": "lm", "masked": "mlm"}  # of the objectives that read text alone, the head
STATES = {"states": {"task": "embed"}}
_NEEDS = {
    "decoder": "a causal decoder alone", "encoder": "an encoder alone", "both": "an encoder and a causal decoder", "alone": "an encoder or a decoder alone",
    "images": "an encoder that reads images",
}  # fmt: skip


def for_objective(spec: ModelSpec, objective: str) -> ModelSpec:
    """The spec with the one head that the objective causal, masked or seq2seq trains: its own lm or mlm head, else the
    standard one.

    The standard lm head is tied to the table; the standard mlm head is BERT's transform (dense, act, norm at the table's
    width, tied matrix, bias). Other heads are left out: they would stay at their initial values. ConfigError if the
    shape does not fit: causal needs a causal decoder alone, masked an encoder alone, seq2seq both.
    """
    if objective not in LANGUAGE:
        near = nearest(objective, LANGUAGE)
        change = f"write {near[0]}" if near else "choose one"
        raise ConfigError("there is no such objective", expected=" | ".join(LANGUAGE), received=repr(objective), change=change)
    check_shape(spec, {"causal": "decoder", "masked": "encoder", "seq2seq": "both"}[objective], objective)
    return with_head(spec, LANGUAGE[objective], spec.top.embedding.vocab, f"objective {objective}")


def check_shape(spec: ModelSpec, needs: str, objective: str) -> None:
    """ConfigError unless the architecture has the stacks that an objective trains. needs: a key of _NEEDS."""
    signals = [stack.embedding.input.kind for stack in spec.stacks.values() if stack.embedding.vocab is None]
    if bool(signals) != (needs == "images") or (signals and (signals[0] != "patches" or len(spec.stacks) > 1)):
        expected = _NEEDS[needs] if needs == "images" else "stacks that read token ids"
        received = f"one that reads {signals[0]}" if signals else "one that reads token ids"
        raise ConfigError(
            f"objective {objective} does not fit this architecture", expected=expected, received=received,
            change="choose an architecture for images, such as vit-base-16" if needs == "images" else "choose an architecture for text",
        )  # fmt: skip
    shape = "both" if len(spec.stacks) == 2 else next(iter(spec.stacks))
    causal = spec.decoder is not None and all(causal_only(b.attention.pattern) for b in spec.decoder.blocks.values())
    crossed = spec.encoder is None and any(b.cross is not None for b in spec.top.blocks.values())
    fits = needs == shape or (needs == "alone" and shape != "both") or (needs == "images" and shape == "encoder")
    if fits and (causal or shape == "encoder") and not crossed:
        return
    received = {"both": "an encoder–decoder", "encoder": "an encoder", "decoder": "a decoder"}[shape]
    if fits:
        received += " with cross-attention but no encoder" if crossed else " whose attention looks ahead"
    usual = {"encoder": "masked", "decoder": "causal", "both": "seq2seq"}[shape]
    change = "change its blocks, or the shape" if fits else f"train it with objective {usual}"
    raise ConfigError(f"objective {objective} does not fit this architecture", expected=_NEEDS[needs], received=received, change=change)


def with_head(spec: ModelSpec, task: str, outputs: int | None, source: str = "") -> ModelSpec:
    """The spec with one head, of `task`, that has `outputs` logits (None: those its form says)."""
    return with_heads(spec, {task: outputs}, source or f"a {task} head")


def with_heads(spec: ModelSpec, tasks: dict[str, int | None], source: str = "") -> ModelSpec:
    """The spec with a head for each task, in this order; the first is what the model answers with."""
    heads: dict[str, Any] = {}
    for task, outputs in tasks.items():
        kept = (n for n, h in spec.heads.items() if h.task == task and outputs in (None, h.output) and (task != "embed" or h.pools))
        own = next(kept, None)
        if own is not None:
            heads[own] = spec.heads[own].model_dump(mode="json")
        else:
            heads |= _of_family(spec, task, outputs) or {task: _standard(spec, task, outputs)}
    if {n: h.model_dump(mode="json") for n, h in spec.heads.items()} == heads and list(spec.heads) == list(heads):
        return spec
    return check(ModelSpec, spec.model_dump(mode="json") | {"heads": heads}, source or "the heads")


def _of_family(spec: ModelSpec, task: str, outputs: int | None) -> dict[str, Any] | None:
    """{name: head} as the family's published classes have it; None where there is none, or the architecture is another."""
    recipe = recipes().get(spec.family, {})
    if "hf" not in recipe or task in LANGUAGE.values() or task == "embed":
        return None
    try:
        bound = bind(check(ModelSpec, spec.model_dump(mode="json") | {"heads": STATES}, "states"), recipe)
        forms = fill(recipe["hf"]["heads"], recipe["values"] | bound | {"labels": outputs})
    except (ConfigError, KeyError):
        return None
    names = [name for name, form in forms.items() if form["task"] == task]
    return {name: forms[name] for name in sorted(names, key=lambda n: n != task)[:1]} or None


def _standard(spec: ModelSpec, task: str, outputs: int | None) -> dict[str, Any]:
    table, block = spec.top.embedding.table_width(spec.top.width), spec.top.blocks[spec.top.kind(0)]
    act = getattr(block.ffn, "act", "gelu")
    act = "gelu" if act == "clamped_swiglu" else act
    head: dict[str, Any] = {"task": task, "output": outputs}
    if task == "mlm":
        return head | {"tied": True, "dense": table, "act": act, "bias": True, "norm": block.norm.model_dump(mode="json")}
    if task == "lm":
        return head | {"tied": True} | ({} if table == spec.top.width else {"dense": table, "dense_bias": False})
    if task == "embed":
        return {"task": "embed", "pool": "mean" if spec.decoder is None else "last", "normalise": True}
    if task == "rtd":
        return {"task": "rtd", "dense": spec.top.width, "act": act, "output": 1, "bias": True}
    pooled = {"classify": "mean" if spec.decoder is None else "last", "pair": "first", "image": "mean"}
    width = {"span": 2, "pair": 2}.get(task, outputs)
    return head | {"output": width, "bias": True} | ({"pool": pooled[task]} if task in pooled else {})
