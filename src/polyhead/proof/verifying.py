"""Are two models the same function? One of ours beside transformers, or beside another of ours.

    report = verify("runs/a")                    beside transformers, which reads the folder, or an export of it
    report = verify("a", "b")                    two folders of any kind
    report.equal, report.reasons, print(report)

Weights are held in fp32 on both sides, which is exact, so that nothing but the order of sums differs. Equal are models
whose every head and state keeps its limit (`measures.Limits`), that choose alike, and, beside another of ours with the
same tensors, whose weights agree bit for bit, rounded to the narrower of two dtypes.
"""

from __future__ import annotations

import math
import tempfile
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..checkpoint import resolve
from ..errors import ConfigError, ProofError, UserError
from ..generate import Model
from ..generate.folder import CONFIG, SPEC, weights
from ..generate.model import open_folder
from ..nn import PairSpec
from .measures import Answer, Comparison, Limits, compare, spread
from .ours import Ours
from .questions import Question, prompt, questions
from .reference import Reference, require
from .weights import Weights, compare_weights, main_dtype, set_dtype

_LARGEST_EXACT = 300_000_000  # parameters of a reference that is computed in fp64 as well where the limits are exceeded
_TRUSTED = Limits(logit=1e-3, state=1e-3, kl=1e-6)  # the most that the reference's own spread may excuse
_EXACT = 2  # as many times as far apart as one of them is from itself in fp64
_ROUNDED = 3  # in half precision: as many times as far apart as the reference is from itself in fp32


@dataclass(frozen=True)
class Report:
    """a, b: what was compared. limits: the criteria in words. weights: None where they cannot be compared."""

    a: str
    b: str
    dtype: str
    device: str
    parts: tuple[Comparison, ...]
    limits: str
    weights: Weights | None = None
    notes: tuple[str, ...] = ()

    @property
    def equal(self) -> bool:
        return not self.reasons

    @property
    def reasons(self) -> list[str]:
        """What is not equal, a sentence each."""
        found = [] if self.weights is None or self.weights.equal else [f"weights: {self.weights}"]
        found += [] if self.parts else ["nothing of the two could be compared"]
        for part in self.parts:
            if not part.equal:
                place = f" ({part.where})" if part.where else ""
                choices = "" if part.same == part.of else f", {part.same} of {part.of} choices alike"
                found.append(f"{part.question}, {part.part}{place}: {part.measured:.1e}, at most {part.limit:.1e}{_kl(part)}{choices}")
        return found

    def require(self) -> Report:
        """Raise ProofError unless equal."""
        if self.equal:
            return self
        few = self.reasons[:4] + ([f"and {len(self.reasons) - 4} more"] if len(self.reasons) > 4 else [])
        raise ProofError(f"{self.a} and {self.b} are not equal", expected=self.limits, received="\n            ".join(few))

    def as_dict(self) -> dict[str, Any]:
        told = {name: getattr(self, name) for name in ("a", "b", "dtype", "device", "limits", "notes")}
        told |= {"equal": self.equal, "reasons": self.reasons, "weights": None if self.weights is None else self.weights.as_dict()}
        return told | {"parts": [part.as_dict() for part in self.parts]}

    def __str__(self) -> str:
        head = ("question", "part", "max |Δ|", "relative", "limit", "KL", "choices")
        rows = [head, *(_row(part) for part in self.parts)]
        wide = [max(len(row[i]) for row in rows) for i in range(len(head))]
        lines = [f"{self.a} and {self.b}, computed in {self.dtype} on {self.device}", ""]
        lines += ["  ".join(cell.ljust(n) for cell, n in zip(row, wide, strict=True)).rstrip() for row in rows]
        lines += [""] + ([] if self.weights is None else [f"weights: {self.weights}"]) + [f"note: {note}" for note in self.notes]
        return "\n".join([*lines, f"criteria: {self.limits}", "equal" if self.equal else "not equal"])


def _row(part: Comparison) -> tuple[str, ...]:
    kl = "" if part.kl is None else f"{part.kl:.1e}"
    choices = "" if part.of is None else f"{part.same} of {part.of}"
    where = f" ({part.where})" if part.where else ""
    return (part.question, part.part + where, f"{part.delta:.1e}", f"{part.relative:.1e}", f"{part.limit:.1e}", kl, choices)


def _kl(part: Comparison) -> str:
    return "" if part.kl is None or part.kl_limit is None or part.kl <= part.kl_limit else f"; KL {part.kl:.1e}, at most {part.kl_limit:.1e}"


def verify(
    a: str | Path | Model, b: str | Path | Model | None = None, *, tokens: int | None = None, seed: int = 0,
    device: torch.device | str = "cpu", dtype: torch.dtype | None = None,
) -> Report:  # fmt: skip
    """Compare a model (a run, a folder, owner/name on the Hub, or a Model) with transformers, or with another model.

    tokens: of the random row, 64 unless the context is shorter. dtype: computed in; None: fp32. Raises UserError for
    what cannot be read or asked, where transformers is missing, and for an architecture it does not have.
    """
    if b is None:
        require()
    if tokens is not None and tokens < 2:
        raise UserError("there is too little to compare", expected="at least 2 tokens", received=str(tokens))
    dtype = dtype or torch.float32
    return _against_reference(a, tokens, seed, device, dtype) if b is None else _against(a, b, tokens, seed, device, dtype)


# ---------------------------------------------------------------- beside transformers


def _against_reference(a: str | Path | Model, tokens: int | None, seed: int, device: torch.device | str, dtype: torch.dtype) -> Report:
    name, folder = _place(a)
    model = _opened(a, folder)
    with tempfile.TemporaryDirectory(prefix="polyhead-", ignore_cleanup_errors=True) as scratch:
        if folder is None or (folder / SPEC).exists() or not (folder / CONFIG).exists():
            folder = Path(scratch) / "model"
            _export(model, folder, name)
        model = ready(model, None, dtype, device)
        said = answers(model, tokens, seed)
        reference = Reference(folder, model.spec, dtype, device)
        notes = reach(model, said)
        size = model.spec.params().total
        del model
        return beside(name, said, reference, size, notes)


def _export(model: Model, folder: Path, name: str) -> None:
    try:
        model.save(folder, to="hf")
    except ConfigError as error:
        raise ConfigError(
            f"{name} cannot be compared with transformers, which does not have its architecture: {error.message}",
            expected=error.expected, received=error.received, change="compare it with another model: --against OTHER",
        ) from None  # fmt: skip


def beside(name: str, said: list[tuple[Question, Answer]], reference: Reference, size: int, notes: list[str]) -> Report:
    """What ours said, held against the reference: within the table, or where that is wider, within the distance of the
    reference's own ways to compute. size: parameters."""
    parts: list[Comparison] = []
    words, unasked = "", set()
    for asked, ours in said:
        theirs = reference.ask(asked)
        unasked |= ours.heads.keys() - theirs.heads.keys()
        limits, why = Limits(), ""
        if reference.dtype != torch.float32:
            limits, why = _rounding(reference, asked, theirs)
        found = compare(asked.name, ours, theirs, limits)
        if not all(part.equal for part in found) and reference.dtype == torch.float32:
            limits, why = _spread(reference, asked, theirs, size)
            found = compare(asked.name, ours, theirs, limits)
        parts, words = parts + found, words or why
    if reference.missing:
        notes = [*notes, f"transformers drew at random what it did not find: {', '.join(reference.missing[:3])}"]
    notes = notes + [f"transformers' {reference.architecture} has no head {name}: not compared" for name in sorted(unasked)]
    return Report(name, str(reference), _short(reference.dtype), str(reference.device), tuple(parts), criteria(words), notes=tuple(notes))


def _spread(reference: Reference, asked: Question, theirs: Answer, size: int) -> tuple[Limits, str]:
    """How far apart two faithful computations can be: twice the distance of the reference's own, with either form of
    its attention, from what it answers in fp64; without that, the distance of the two forms."""
    other = _try(reference.again(attention="sdpa" if reference.attention == "eager" else "eager"), asked)
    exact = _try(reference.again(torch.float64), asked) if size <= _LARGEST_EXACT else None
    pairs = [(form, exact) for form in (theirs, other) if form is not None] if exact is not None else [(theirs, other)]
    gaps = [spread(x, y) for x, y in pairs if x is not None and y is not None]
    times = _EXACT if exact is not None else 1
    own = Limits(*(min(cap, times * max(values, default=0.0)) for cap, *values in zip(_TRUSTED, *gaps, strict=True)))
    return Limits().at_least(own), "or as far apart as two of the reference's own ways to compute it"


def _rounding(reference: Reference, asked: Question, theirs: Answer) -> tuple[Limits, str]:
    own = spread(theirs, reference.again(torch.float32).ask(asked))
    words = f"in {_short(reference.dtype)}, {_ROUNDED} times as far apart as the reference is from itself in fp32"
    return Limits().at_least(Limits(*(_ROUNDED * value for value in own))), words


def _try(reference: Reference, asked: Question) -> Answer | None:
    try:
        return reference.ask(asked)
    except (ValueError, RuntimeError, ConfigError):  # no such attention, or no such product
        return None


# ---------------------------------------------------------------- beside another of ours


def _against(a: str | Path | Model, b: str | Path | Model, tokens: int | None, seed: int, device: torch.device | str, dtype: torch.dtype) -> Report:
    (name, place), (other, there) = _place(a), _place(b)
    one, two = _opened(a, place), _opened(b, there)
    _check_alike(name, one, other, two)
    dtypes = [main_dtype(weights(model.net)) for model in (one, two)]
    rounded = min(dtypes, key=lambda dtype: dtype.itemsize) if dtypes[0].itemsize != dtypes[1].itemsize else None
    same = compare_weights(weights(one.net), weights(two.net), rounded)
    contexts, other_heads = [_context(model) for model in (one, two)], _other_heads(name, one, other, two)
    said = answers(ready(one, rounded, dtype, device), min(tokens or 64, *contexts), seed)
    notes = reach(one, said)
    del one
    other_model = Ours(ready(two, rounded, dtype, device))
    return between(name, other, said, other_model, same, notes + _notes(same, contexts) + other_heads)


def between(name: str, other: str, said: list[tuple[Question, Answer]], two: Ours, same: Weights | None, notes: list[str]) -> Report:
    """What one of ours said, held against another: within the table, or where that is wider, within the other's own rounding."""
    parts: list[Comparison] = []
    where, words = next(two.model.net.parameters()), ""
    for asked, ours in said:
        theirs = two.ask(asked)
        found = compare(asked.name, ours, theirs, Limits())
        if not all(part.equal for part in found):
            limits, words = _own_rounding(two, asked, theirs)
            found = compare(asked.name, ours, theirs, limits)
        parts += found
    return Report(name, other, _short(where.dtype), str(where.device), tuple(parts), criteria(words, same is not None), same, tuple(notes))


def _own_rounding(two: Ours, asked: Question, theirs: Answer) -> tuple[Limits, str]:
    """Greedy tokens come through the cache, whose sums have another order: as far apart as rounding explains."""
    dtype = next(two.model.net.parameters()).dtype
    wider, times = (torch.float64, _EXACT) if dtype == torch.float32 else (torch.float32, _ROUNDED)
    set_dtype(two.model.net, None, wider)  # and back, both without loss
    own = spread(theirs, two.ask(asked))
    set_dtype(two.model.net, None, dtype)
    caps = _TRUSTED if dtype == torch.float32 else Limits(*(math.inf,) * 3)
    limits = Limits().at_least(Limits(*(min(cap, times * value) for cap, value in zip(caps, own, strict=True))))
    return limits, f"or {times} times as far apart as the second is from itself in {_short(wider)}"


def _notes(same: Weights | None, contexts: list[int]) -> list[str]:
    found = [] if same is not None else ["the two have other tensors: their answers alone were compared"]
    return found + ([f"contexts of {contexts[0]:,} and {contexts[1]:,} tokens"] if contexts[0] != contexts[1] else [])


def _other_heads(name: str, one: Model, other: str, two: Model) -> list[str]:
    """The heads that only one of them has: of the two, the rest alone says whether they are equal."""
    heads = [{} if isinstance(model.spec, PairSpec) else {n: head.task for n, head in model.spec.heads.items()} for model in (one, two)]
    found = []
    for who, own, whom, theirs in ((name, heads[0], other, heads[1]), (other, heads[1], name, heads[0])):
        alone = sorted(own.keys() - theirs.keys())
        found += [f"{who} has the head {head}, {whom} has {', '.join(sorted(theirs)) or 'none'}: {head} is not compared" for head in alone]
    return found


def _check_alike(name: str, one: Model, other: str, two: Model) -> None:
    """Two models that can be asked the same."""
    told = [_reads(model) for model in (one, two)]
    if told[0] != told[1]:
        raise UserError(
            f"{name} and {other} do not read the same", expected=f"two models that read {told[0]}", received=f"one that reads {told[1]}",
            change=f"see what differs: polyhead show {name} --against {other}",
        )  # fmt: skip


def _reads(model: Model) -> str:
    spec = model.spec
    towers = {"image": spec.image, "text": spec.text} if isinstance(spec, PairSpec) else {"": spec}
    told = []
    for tower, inner in towers.items():
        for place, stack in inner.stacks.items():
            reads, vocab = stack.embedding.input, stack.embedding.vocab
            what = f"{vocab:,} token ids" if vocab is not None else f"{reads.kind} ({getattr(reads, 'channels', 0)} channels)"
            told.append(f"{what} in its {tower or place}")
    return " and ".join(told)


def _context(model: Model) -> int:
    return model.spec.text.context if isinstance(model.spec, PairSpec) else model.spec.context


# ---------------------------------------------------------------- both


def answers(model: Model, tokens: int | None, seed: int) -> list[tuple[Question, Answer]]:
    """Every question with the answer of one of ours; of a model that writes, its greedy tokens as the last."""
    ours = Ours(model)
    asked = questions(model, tokens, seed)
    said = [(question, ours.ask(question)) for question in asked]
    head = ours.writes()
    written = ours.write(prompt(model, asked), head) if head is not None else None
    return said + ([written] if written is not None else [])


def reach(model: Model, said: list[tuple[Question, Answer]]) -> list[str]:
    """What so few tokens do not show."""
    longest = max((q.ids.shape[1] for q, _ in said if q.ids is not None), default=0)
    specs = [model.spec.text] if isinstance(model.spec, PairSpec) else [model.spec]
    stacks = [stack for spec in specs for stack in spec.stacks.values() if stack.embedding.vocab is not None]
    backs = [block.attention.pattern.reach()[0] for stack in stacks for block in stack.blocks.values()]
    beyond = [back for back in backs if back is not None and back >= longest]
    if not beyond:
        return []
    return [f"a window of {min(beyond):,} tokens before each shows from {min(beyond) + 2:,} tokens on: --tokens {min(beyond) + 64}"]


def criteria(more: str, stored: bool = False) -> str:
    """The limits in words."""
    table = Limits()
    words = f"logits: |Δ| ≤ {table.logit:g} (in proportion where one is beyond 5) and KL ≤ {table.kl:g}; states: |Δ| ≤ {table.state:g} of the row's root mean square"
    words += f"; {more}" if more else ""
    return words + "; the same choices" + ("; the same bits in every weight" if stored else "")


def _place(given: str | Path | Model) -> tuple[str, Path | None]:
    """(what it is called, its folder)."""
    return ("the model", None) if isinstance(given, Model) else (str(given), resolve(given))


def _opened(given: str | Path | Model, folder: Path | None) -> Model:
    """A model with its weights as they are stored, to be changed at will."""
    if isinstance(given, Model):
        return Model(deepcopy(given.net).eval(), given.tokenizer, given.objective, given.meta)
    assert folder is not None
    return open_folder(folder, mixed=True)


def ready(model: Model, rounded: torch.dtype | None, dtype: torch.dtype, device: torch.device | str) -> Model:
    """The model in the dtype it is computed in, where it is computed."""
    set_dtype(model.net, rounded, dtype)
    model.net.to(device)
    return model


def _short(dtype: torch.dtype) -> str:
    return {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16", torch.float64: "fp64"}.get(dtype, str(dtype))
