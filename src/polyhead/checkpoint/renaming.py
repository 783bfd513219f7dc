"""A family's weight table, applied both ways: their tensors ↔ ours. No family is named here.

A row is (theirs, ours, ops…). Patterns:
    {i}        the layer (weight set) of the stack that ours begins with; {g} and {j} its group and place in the group
    {a|b}      alternatives, in step on both sides          {e}   the expert; theirs are stacked
    .*         weight and bias, whichever our model has     ~     their base's prefix ("model."), absent in bare models
`ours` is a name, or a list of names that one tensor of theirs holds.

Ops, theirs → ours, each with its inverse:
    T         transpose the last two axes               split     cut rows into ours, in order
    groups    per key/value head [q…; k; v] rows        evenodd   axis 1: even entries, then odd ones
    row0      a leading axis of 1                       also      a copy of ours under a second name; may be absent, not written
    zeros     may be absent, then zeros                 spare     a name that counts only where the others are absent; written
    scalar    shape () for our (1,)
    untied    as also, but written too where our head's matrix is its own (what transformers shares only beside a tied one); it
              counts before the other

Of two rows for one of ours the later is written; either is read, and both must say the same. `drop` are patterns (with *) of tensors without meaning here. What is left over on either side is an error that names it.
"""

from __future__ import annotations

import fnmatch
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

from ..errors import CheckpointError
from ..nn import ModelSpec
from .folder_out import later
from .layout import Later

Get = Callable[[str], Tensor]
T = TypeVar("T")

# Buffers that files of some versions carry: computed here, or constant.
DROP = (
    "*position_ids", "*token_type_ids", "*.attn.bias", "*.attn.masked_bias", "*.attention.bias", "*.attention.masked_bias",
    "*rotary_emb.inv_freq", "*rotary_emb.cos_cached", "*rotary_emb.sin_cached", "encoder.version", "decoder.version",
)  # fmt: skip
QUANTISED = ("*.weight_scale_inv", "*_blocks", "*_scales", "*.qweight", "*.qzeros", "*.scales", "*.SCB", "*.absmax", "*.quant_state*")
_ALTERNATIVES = re.compile(r"\{([^{}|]*(?:\|[^{}|]*)+)\}")


class Step(NamedTuple):
    """One row for one layer: theirs (several only under {e}) ↔ ours, through the ops."""

    theirs: tuple[str, ...]
    ours: tuple[str, ...]
    ops: tuple[str, ...]


def expand(rows: Sequence[Sequence[Any]], spec: ModelSpec, ours: Mapping[str, Any], prefix: str) -> list[Step]:
    """The rows for this model: those whose targets it has, with its prefix in place of ~."""
    steps = []
    for their, mine, ops in spelled(rows):
        for i in _layers(spec, mine[0]):
            filled = tuple(m.replace("{i}", str(i)) for m in mine)
            if all(m in ours for m in filled):
                steps.append(Step(_theirs(their, i, spec, filled[0], prefix, ours), filled, ops))
    return steps


def spelled(rows: Sequence[Sequence[Any]]) -> Iterator[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    """(theirs, ours, ops) with alternatives and .* written out; {i}, {e} and ~ stay."""
    for theirs, targets, *ops in rows:
        for their, mine in _spelled(theirs, (targets,) if isinstance(targets, str) else tuple(targets)):
            yield their, mine, tuple(ops)


def _spelled(theirs: str, ours: tuple[str, ...]) -> Iterator[tuple[str, tuple[str, ...]]]:
    groups = [m[1].split("|") for m in _ALTERNATIVES.finditer(max(theirs, ours[0], key=lambda t: len(_ALTERNATIVES.findall(t))))]
    for choice in itertools.product(*(range(len(g)) for g in groups)):
        their, mine = _chosen(theirs, choice), tuple(_chosen(m, choice) for m in ours)
        for kind in ("weight", "bias") if their.endswith(".*") else ("",):
            yield (their[:-1] + kind, tuple(m[:-1] + kind for m in mine)) if kind else (their, mine)


def _chosen(text: str, choice: tuple[int, ...]) -> str:
    """Each {a|b} replaced by its entry of the choice."""
    picks = iter(choice)
    return _ALTERNATIVES.sub(lambda m: m[1].split("|")[next(picks)], text)


def _layers(spec: ModelSpec, target: str) -> range | tuple[int]:
    if "{i}" not in target:
        return (0,)
    return range(len(spec.stacks[target.partition(".")[0]].owners()) if target.partition(".")[0] in spec.stacks else 0)


def _theirs(pattern: str, i: int, spec: ModelSpec, target: str, prefix: str, ours: Mapping[str, Any]) -> tuple[str, ...]:
    stack = spec.stacks.get(target.partition(".")[0])
    inner = getattr(stack.sharing, "inner", 1) if stack is not None else 1
    name = pattern.replace("~", prefix).replace("{i}", str(i)).replace("{g}", str(i // inner)).replace("{j}", str(i % inner))
    if "{e}" not in name:
        return (name,)
    return tuple(name.replace("{e}", str(e)) for e in range(ours[target].shape[0]))


def later_names(tensors: Mapping[str, T]) -> dict[str, T]:
    """The same tensors, gamma and beta of a LayerNorm (BERT's files of 2018 to 2020) as weight and bias."""
    new = {old: f"{old.removesuffix(end)}{now}" for end, now in (("gamma", "weight"), ("beta", "bias")) for old in tensors if old.endswith(f"LayerNorm.{end}")}
    return {new[name] if name in new and new[name] not in tensors else name: tensor for name, tensor in tensors.items()}


def find_prefix(prefixes: Sequence[str], rows: Sequence[Sequence[Any]], names: Iterable[str]) -> str:
    """The prefix under which most of the file's tensors are found."""
    stems = {their.partition("{")[0] for their, _, _ in spelled(rows) if their.startswith("~")}
    names = list(names)

    def fits(prefix: str) -> int:
        return sum(name.startswith(tuple(stem.replace("~", prefix) for stem in stems)) for name in names)

    return max([*prefixes, ""], key=fits)


# ---------------------------------------------------------------- theirs → ours


def assemble(steps: Sequence[Step], ours: Mapping[str, Tensor], spec: ModelSpec, names: Iterable[str], get: Get,
             drop: Sequence[str], source: str) -> Iterator[tuple[str, Tensor]]:  # fmt: skip
    """(our name, its tensor) for every one of ours, each of theirs read once. ours may be on the meta device.

    CheckpointError: a quantised file, tensors missing or left over, wrong shapes.
    """
    there = set(names)
    _refuse_quantised(there, source)
    steps = list(steps)
    done = check_names(steps, ours, there, drop, source)
    _refuse_contradictions(steps, done, ours, spec, there, get, source)
    for step in done:
        for name, tensor in read_step(step, ours, spec, there, get, source):
            mine = ours[name]
            if tensor.shape != mine.shape or tensor.is_floating_point() != mine.is_floating_point():
                raise CheckpointError(
                    f"{source}: {step.theirs[0]} does not fit the configuration",
                    expected=f"{'real' if mine.is_floating_point() else 'whole'} numbers {tuple(mine.shape)} for {name}",
                    received=f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}",
                    change="the weights and config.json are not of one model",
                )  # fmt: skip
            yield name, tensor


def check_names(steps: Sequence[Step], ours: Mapping[str, Any], there: set[str], drop: Sequence[str], source: str) -> list[Step]:
    """The steps that fill each of ours once, after checking that nothing is missing or left over."""
    known = {t for step in steps for t in step.theirs}
    left = sorted(n for n in there - known if not any(fnmatch.fnmatchcase(n, p) for p in (*DROP, *drop)))
    filled: dict[str, Step] = {}
    for step in sorted(reversed(steps), key=lambda s: "spare" in s.ops):
        present = all(t in there for t in step.theirs)
        for name in step.ours:
            if name not in filled and (present or "zeros" in step.ops):
                filled[name] = step
    missing = [name for name in ours if name not in filled]
    if missing or left:
        wanted = [t for step in steps for t in step.theirs if set(step.ours) & set(missing) and t not in there and not {"also", "untied"} & set(step.ops)]
        parts = [f"missing {', '.join(_few(wanted or missing))}"] if missing else []
        parts += [f"left over {', '.join(_few(left))}"] if left else []
        raise CheckpointError(
            f"{source}: the weights are not those that config.json describes: {'; '.join(parts)}",
            expected=f"exactly the {len(known)} names of its family", received=f"{len(there)} tensors",
            change="check that config.json and the weights are of one model",
        )  # fmt: skip
    return list({id(step): step for step in filled.values()}.values())


def _refuse_contradictions(steps: Sequence[Step], done: Sequence[Step], ours: Mapping[str, Tensor], spec: ModelSpec,
                           there: set[str], get: Get, source: str) -> None:  # fmt: skip
    """Two names in a file for one of ours must hold the same bits, but where the other never counts."""
    used = {name: step for step in done for name in step.ours}
    for step in steps:
        others = [used[name] for name in step.ours if used[name] is not step and "untied" not in used[name].ops]
        if not others or "spare" in step.ops or not all(t in there for t in step.theirs):
            continue
        held = dict(pair for other in others for pair in read_step(other, ours, spec, there, get, source))
        if not all(same_bits(tensor, held[name]) for name, tensor in read_step(step, ours, spec, there, get, source) if name in held):
            raise contradicting(source, step.theirs[0], others[0].theirs[0])


def same_bits(a: Tensor, b: Tensor) -> bool:
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    return torch.equal(a, b) or torch.equal(*(t.contiguous().flatten().view(torch.uint8) for t in (a, b)))  # NaN is no number


def contradicting(source: str, theirs: str, other: str) -> CheckpointError:
    return CheckpointError(
        f"{source}: {theirs} and {other} are one matrix of this model, and differ in the file",
        expected="the same numbers under both names", received="two matrices",
        change="if they are meant to differ, write tie_word_embeddings false in config.json; else save the model again",
    )  # fmt: skip


def _few(names: Sequence[str]) -> list[str]:
    names = list(dict.fromkeys(names))
    return [*names[:5], f"and {len(names) - 5} more"] if len(names) > 5 else names


def _refuse_quantised(names: set[str], source: str) -> None:
    found = next((n for n in sorted(names) if any(fnmatch.fnmatchcase(n, p) for p in QUANTISED)), None)
    if found is not None:
        raise CheckpointError(
            f"{source}: the weights are quantised ({found})",
            expected="float32, float16 or bfloat16 weights", received="quantised blocks and scales",
            change="take the model's unquantised files, or dequantise it with the library that wrote it",
        )  # fmt: skip


def read_step(step: Step, ours: Mapping[str, Tensor], spec: ModelSpec, there: set[str], get: Get, source: str) -> list[tuple[str, Tensor]]:
    """Our names with tensors, from theirs."""
    if not all(t in there for t in step.theirs):
        return [(name, torch.zeros(ours[name].shape, dtype=ours[name].dtype)) for name in step.ours]
    found = [get(t) for t in step.theirs]
    if len(found) > 1 or "stack" in step.ops:
        _same_shapes(step, found, source)
        parts = [torch.stack(found)]
    else:
        parts = found
    for op in step.ops:
        try:
            parts = _apply(op, parts, step, ours, spec)
        except (RuntimeError, IndexError, ZeroDivisionError) as error:
            raise CheckpointError(f"{source}: {step.theirs[0]} does not fit the configuration", expected=f"a tensor for {', '.join(step.ours)}", received=f"shape {tuple(found[0].shape)}: {str(error)[:120]}") from None
    return list(zip(step.ours, parts, strict=True))


def _same_shapes(step: Step, found: list[Tensor], source: str) -> None:
    if len({t.shape for t in found}) > 1:
        raise CheckpointError(f"{source}: the experts of {step.theirs[0]} differ in shape", expected=str(tuple(found[0].shape)), received=", ".join(str(tuple(t.shape)) for t in found)[:100])


def _apply(op: str, parts: list[Tensor], step: Step, ours: Mapping[str, Tensor], spec: ModelSpec) -> list[Tensor]:
    if op == "T":
        return [p.transpose(-1, -2).contiguous() if p.dim() > 1 else p for p in parts]
    if op == "split":
        return list(parts[0].split([ours[name].shape[0] for name in step.ours]))
    if op == "groups":
        return _ungroup(parts[0], step, spec)
    if op == "evenodd":
        return [parts[0][:, 0::2].contiguous(), parts[0][:, 1::2].contiguous()]
    if op == "row0":
        return [p.squeeze(0) if p.dim() and p.shape[0] == 1 else p.flatten(0, -p.dim() - 1) for p in parts]
    if op == "scalar":
        return [p.reshape(1) for p in parts]
    return parts  # also, spare, zeros, stack


def separated(ops: Sequence[str], tensor: Tensor, step: Step, ours: Mapping[str, Tensor], spec: ModelSpec) -> list[Tensor]:
    """The rows of each of a step's ours in a tensor of theirs, which may have columns of its own."""
    parts = [tensor]
    for op in ops:
        parts = _apply(op, parts, step, ours, spec)
    return parts


def joined(ops: Sequence[str], parts: list[Tensor], step: Step, spec: ModelSpec) -> Tensor:
    """The other way."""
    for op in reversed(ops):
        parts = _undo(op, parts, step, spec)
    return parts[0]


def _kv(step: Step, spec: ModelSpec) -> tuple[int, int]:
    """(key/value heads, query heads per group) of the layer a step is about."""
    parts = step.ours[0].split(".")
    stack = spec.stacks[parts[0]]
    heads = stack.blocks[stack.kind(stack.owners()[int(parts[2])])].attention.heads
    return heads.kv, heads.heads // heads.kv


def _ungroup(fused: Tensor, step: Step, spec: ModelSpec) -> list[Tensor]:
    kv, queries = _kv(step, spec)
    grouped = fused.unflatten(0, (kv, queries + 2, -1))
    return [part.flatten(0, 2).contiguous() for part in grouped.split([queries, 1, 1], 1)]


# ---------------------------------------------------------------- ours → theirs


def disassemble(steps: Sequence[Step], ours: Mapping[str, Tensor], spec: ModelSpec) -> dict[str, Tensor | Later]:
    """Their names with tensors, those that differ from ours made only when asked for. CheckpointError names what has no row."""
    out: dict[str, Tensor | Later] = {}
    told: set[str] = set()
    for step in written(steps, spec):
        told |= set(step.ours) if not {"spare", "untied"} & set(step.ops) else set()
        parts = [ours[name] for name in step.ours]
        for i, name in enumerate(step.theirs):
            out[name] = later(partial(_made, step, spec, i), *parts) if set(step.ops) - {"zeros", "spare", "untied"} else parts[0]
    left = sorted(set(ours) - told)
    if left:
        raise CheckpointError(
            f"the family's files have no name for {', '.join(_few(left))}",
            expected="a model that its family can express", received=f"{len(left)} tensors more",
            change="save in polyhead's own format (--to native)",
        )  # fmt: skip
    return out


def written(steps: Sequence[Step], spec: ModelSpec) -> Iterator[Step]:
    """The steps whose names an export has, last first."""
    told: set[str] = set()
    for step in reversed(steps):  # a family's own rows come after its base's
        if "also" in step.ops or "untied" in step.ops and not _untied(step, spec) or set(step.ours) <= told and "spare" not in step.ops:
            continue
        told |= set(step.ours) if not {"spare", "untied"} & set(step.ops) else set()
        yield step


def _untied(step: Step, spec: ModelSpec) -> bool:
    """Whether the head a step is about has an output matrix of its own."""
    return not spec.heads[step.ours[0].split(".")[1]].tied


def _made(step: Step, spec: ModelSpec, i: int, *ours: Tensor) -> Tensor:
    """Their i-th tensor of a step."""
    parts = [tensor[i : i + 1] for tensor in ours] if "stack" in step.ops else list(ours)
    for op in reversed(step.ops):
        parts = _undo(op, parts, step, spec)
    return parts[0]


def _undo(op: str, parts: list[Tensor], step: Step, spec: ModelSpec) -> list[Tensor]:
    if op == "T":
        return [p.transpose(-1, -2).contiguous() if p.dim() > 1 else p for p in parts]
    if op == "split":
        return [torch.cat(parts)]
    if op == "groups":
        kv, queries = _kv(step, spec)
        q, k, v = (p.unflatten(0, (kv, n, -1)) for p, n in zip(parts, (queries, 1, 1), strict=True))
        return [torch.cat([q, k, v], 1).flatten(0, 2)]
    if op == "evenodd":
        return [torch.stack(parts, 2).flatten(1, 2)]
    if op == "row0":
        return [p.unsqueeze(0) for p in parts]
    if op == "scalar":
        return [p.reshape(()) for p in parts]
    return [p.squeeze(0) for p in parts] if op == "stack" else parts
