"""A model's architecture as text a person can read: the forward pass from top to bottom, each kind of layer once.

    step                            shape               how
A further kind of layer is told by the steps in which it differs from the kind before. Nothing here knows a family.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from polyhead.nn import ModelSpec, PairSpec, StackSpec

from . import ends, steps
from .words import Section, Step, count, initial, norm, shape, sharing, spans

WIDTH = 100  # columns
_DO, _SHAPE = 29, 17
_PLAIN, _RAIL = "   ", "║  "


def draw(spec: ModelSpec | PairSpec, name: str = "") -> str:
    """The whole model, one line per thing that happens to x (B, T, D); B rows of T tokens. At most 100 columns, but for a long name."""
    title = f"{name + ': ' if name else ''}{_title(spec)}"
    lines = _pair(spec) if isinstance(spec, PairSpec) else _model(spec)
    return "\n".join(line.rstrip() for line in [title, *lines])


def _pair(spec: PairSpec) -> list[str]:
    wide = spec.vector(spec.text)
    lines = []
    for place, tower in (("image", spec.image), ("text", spec.text)):
        lines += ["", f"{place.upper()} TOWER: {_title(tower)}", *_model(tower)]
    meet = [
        Step("image, text = x / |x| of each", shape("B", wide), "unit vectors of the two towers"),
        Step("logits = e^scale · text·imageᵀ", shape("texts", "images"), f"scale: a learned number, from {spec.scale:g}"),
    ]
    return [*lines, "", "where they meet", *_lines(_PLAIN, meet)]


def _model(spec: ModelSpec) -> list[str]:
    lines = []
    for place, stack in spec.stacks.items():
        read = place == "encoder" and spec.decoder is not None  # by a decoder's cross-attention
        lines += ["", *_embedding(spec, place, stack), *_stack(place, stack, "S" if read else "T")]
        if read:
            lines += _section("", Section("", [Step("memory = x", shape("B", "S", stack.width), "what the decoder's cross-attention reads")]))
    for key, head in spec.heads.items():
        lines += ["", f"head {key}" + (f" ({head.task})" if head.task != key else ""), *_lines(_PLAIN, ends.head(head, spec.top.width))]
    return [*lines, "", *(line for told in _training(spec) for line in textwrap.wrap(told, WIDTH))]


def _title(spec: ModelSpec | PairSpec) -> str:
    if isinstance(spec, PairSpec):
        return f"an image tower and a text tower with {spec.params().total:,} parameters, context {spec.text.context:,} tokens"
    shapes = {"encoder": "an encoder", "decoder": "a decoder"}
    kind = "an encoder–decoder" if len(spec.stacks) == 2 else shapes[next(iter(spec.stacks))]
    return f"{kind} with {spec.params().total:,} parameters, context {spec.context:,} tokens"


def _embedding(spec: ModelSpec, place: str, stack: StackSpec) -> list[str]:
    both = len(spec.stacks) == 2
    shared = both and place == "decoder" and spec.share_embeddings
    found = ends.embedding(stack, "S" if both and place == "encoder" else "T", shared)
    return [f"{place + ' ' if both else ''}embedding", *_lines(_PLAIN, found)]


def _stack(place: str, stack: StackSpec, tokens: str) -> Iterator[str]:
    sets = len(set(stack.order()))
    shared = f", {sharing(stack.order())}" if sets < stack.layers else ""
    yield " │"
    yield f"╔═ {place}: {count(stack.layers, 'layer')} of width {stack.width}{shared}"
    drawn: dict[str, list[Section]] = {}
    for kind, block in stack.blocks.items():
        sections = steps.block(block, stack.width)
        if tokens == "S":
            sections = [_of_source(section) for section in sections]
        if len(stack.blocks) > 1:
            yield "║"
            numbers = [i for i in range(stack.layers) if stack.kind(i) == kind]
            yield f"╟─ {kind}: {count(len(numbers), 'layer')} ({spans(numbers)})"
        yield from _kind(sections, drawn)
        drawn[kind] = sections
    yield "║"
    last = Step("x", shape("B", tokens, stack.width), "no norm at the end")
    if stack.final_norm:
        last = last._replace(do="x = norm(x)", how=norm(stack.final_norm))
    first, *rest = _lines("╚═ ", [last])
    yield from [first, *(" " + line[1:] for line in rest)]


def _of_source(section: Section) -> Section:
    """The same steps over S source tokens."""
    swap = [step._replace(shape=step.shape.replace("T", "S")) for step in section.steps]
    return section._replace(steps=swap)


def _kind(sections: list[Section], drawn: dict[str, list[Section]]) -> Iterator[str]:
    """One kind's sections; those of a kind drawn before are named, not drawn again."""
    for section in sections:
        same, other = _nearest(section, drawn)
        yield "║"
        if same is None:
            yield from _section(_RAIL, section)
        elif not (news := [step for step in section.steps if step not in other.steps]):
            yield f"║  {section.title}: as in {same}"
        else:
            yield f"║  {section.title}: as in {same}, but"
            yield from _lines(_RAIL + "  ", news)


def _nearest(section: Section, drawn: dict[str, list[Section]]) -> tuple[str | None, Section]:
    """The kind whose section of this title differs in the fewest steps, if they are few and it leaves none out."""
    best: tuple[int, str | None, Section] = (4, None, section)
    for kind, sections in drawn.items():
        for other in sections:
            if other.title != section.title or [s.do for s in other.steps] != [s.do for s in section.steps]:
                continue
            news = sum(step not in other.steps for step in section.steps)
            best = min(best, (news, kind, other), key=lambda found: found[0])
    return best[1], best[2]


def _section(rail: str, section: Section) -> Iterator[str]:
    if section.title:
        yield rail + section.title
    yield from _lines(rail + "  " if section.title else _PLAIN, section.steps)


def _lines(rail: str, found: list[Step]) -> Iterator[str]:
    """Steps in three columns; what does not fit goes on below."""
    do_width = _DO + 5 - len(rail)
    under = rail if rail[0] == "║" else " " * len(rail)
    for do, size, how in found:
        room = WIDTH - len(rail) - do_width - _SHAPE - 2
        texts = textwrap.wrap(how, room) or [""]
        if len(do) > do_width:
            yield rail + do
            rail, do = under, ""
        yield f"{rail}{do:<{do_width}} {size:<{_SHAPE}} {texts[0]}"
        for text in texts[1:]:
            yield f"{under}{'':<{do_width}} {'':<{_SHAPE}} {text}"


def _training(spec: ModelSpec) -> Iterator[str]:
    """What stands in the spec for training alone."""
    yield f"initial values: {initial(spec.init)}"
    if places := [f"{place} {p:g}" for place, p in spec.dropout.model_dump().items() if p]:
        yield f"dropout in training: {', '.join(places)}"
