"""Examples of any kind → the columns of an ExampleFile, a bounded group at a time; those of texts with labels, tags, answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DataError
from .classes import numbering, sorted_labels
from .encoding_pictures import pictures
from .encoding_turns import chats, preferences
from .examplefile import ExampleWriter, ids_dtype
from .examples import Labelled, Picture, Question, Tagged, texts
from .sources import Source

if TYPE_CHECKING:
    from ..text import Tokenizer

_GROUP = 1 << 17  # characters encoded in one call
Progress = Callable[[int], None]
Facts = dict[str, Any]


def encode(
    writer: ExampleWriter,
    source: Source,
    tokenizer: Tokenizer | None,
    labels: Sequence[str] | None,
    progress: Progress | None,
) -> tuple[int, Facts]:
    """(number of examples, facts) of a source whose examples went into the writer's columns."""
    if source.kind not in _KINDS:
        raise DataError(f"{source.name} holds {source.kind}", expected=", ".join(_KINDS), received=source.kind)
    if tokenizer is None and source.kind != "images":
        raise DataError(f"{source.name} holds {source.kind}", expected="a tokenizer to encode it with", received="None")
    add, facts = _KINDS[source.kind](source, tokenizer, labels)
    count = seen = done = 0
    for group in _groups(source.examples()):
        added = add(writer, group, seen)
        seen += len(group)
        count += len(group) if added is None else added
        done += sum(map(_size, group))
        writer.bytes += sum(len(text.encode()) for record in group for text in texts(record))
        if progress:
            progress(done)
    return count, facts(writer) if callable(facts) else facts


def _size(record: Any) -> int:
    """Characters of a record's texts, or a picture's bytes."""
    return record.image.nbytes if isinstance(record, Picture) else sum(map(len, texts(record)))


def _groups(records: Iterable[Any]) -> Iterator[list[Any]]:
    group: list[Any] = []
    size = 0
    for record in records:
        group.append(record)
        size += 64 + _size(record)
        if size >= _GROUP:
            yield group
            group, size = [], 0
    if group:
        yield group


def _problem(source: Source) -> tuple[str, list[str] | None]:
    """("single" | "multi" | "number", labels) of a source of labelled texts, in one pass."""
    sorts = set[str]()

    def each() -> Iterator[str]:
        for record in source.examples():
            assert isinstance(record, Labelled)
            label = record.label
            sorts.add("single" if isinstance(label, str) else "multi" if isinstance(label, tuple) else "number")
            yield from () if isinstance(label, float) else (label,) if isinstance(label, str) else label

    labels = sorted_labels(each(), source.name)
    if len(sorts) > 1:
        raise DataError(
            f"the labels of {source.name} are of several sorts", expected="classes, or lists of classes, or numbers",
            received=", ".join(sorted(sorts)), change="make them alike",
        )  # fmt: skip
    problem = sorts.pop() if sorts else "single"
    if problem == "multi" and not labels:
        raise DataError(f"no example of {source.name} has a class", expected="a class at least", received="empty lists")
    return problem, None if problem == "number" else labels


# -- kinds ------------------------------------------------------------------------------------------------------------

Adding = Callable[[ExampleWriter, list[Any], int], int | None]
"""(writer, group, the number of its first record) → the examples that were added, None = one for each record."""
Done = Facts | Callable[[ExampleWriter], Facts]
"""The facts, or what closes the columns and gives them."""


def _labelled(source: Source, tokenizer: Tokenizer, given: Sequence[str] | None) -> tuple[Adding, Facts]:
    problem, own = _problem(source)
    if given is not None and own is None:
        raise DataError(
            f"{source.name} has numbers for labels, and the training part has classes",
            expected=", ".join(given[:20]), received="numbers", change="use data labelled alike",
        )  # fmt: skip
    labels = None if own is None else list(given) if given is not None else own
    number = numbering(labels or [], source)

    def add(writer: ExampleWriter, group: list[Labelled], at: int) -> None:
        for name, sides in (("text", [one.text for one in group]), ("second", [one.second or "" for one in group])):
            ids = tokenizer.encode_batch(sides)
            writer.ragged(name, (_known(row, text, tokenizer) for row, text in zip(ids, sides, strict=True)))
        if problem == "number":
            writer.add("label", [one.label for one in group], np.float32)
        elif problem == "single":
            writer.add("label", [number(str(one.label), at + i) for i, one in enumerate(group)], np.int64)
        else:
            several = np.zeros((len(group), len(labels or [])), np.uint8)
            for i, one in enumerate(group):
                assert isinstance(one.label, tuple)
                several[i, [number(label, at + i) for label in one.label]] = 1
            writer.add("label", several)

    return add, {"labels": labels, "problem": problem}


def _known(ids: list[int], text: str, tokenizer: Tokenizer) -> list[int]:
    """A text of which the tokenizer makes nothing is <unk>."""
    if ids or not text:
        return ids
    if tokenizer.unk is None:
        raise DataError(
            "the tokenizer makes no token of a text", expected="a token at least, or an <unk>", received=repr(text[:60]),
            change="use a tokenizer with an <unk>, or leave this text out",
        )  # fmt: skip
    return [tokenizer.unk]


def _tagged(source: Source, tokenizer: Tokenizer, given: Sequence[str] | None) -> tuple[Adding, Facts]:
    tags = (tag for one in source.examples() if isinstance(one, Tagged) for tag in one.tags)
    labels = list(given) if given is not None else sorted_labels(tags, source.name)
    number, dtype = numbering(labels, source), ids_dtype(len(labels))

    def add(writer: ExampleWriter, group: list[Tagged], at: int) -> None:
        rows = tokenizer.encode_words([one.words for one in group])
        writer.ragged("text", (row.ids for row in rows))
        writer.ragged("word", (row.words for row in rows), np.uint32)
        writer.ragged("tag", ([number(tag, at + i) for tag in one.tags] for i, one in enumerate(group)), dtype)

    return add, {"labels": labels, "problem": "tag"}


def _questions(source: Source, tokenizer: Tokenizer, given: Sequence[str] | None) -> tuple[Adding, Facts]:
    if given is not None:
        raise DataError("questions have no labels", expected="labels=None", received=f"{len(given)} labels")
    facts: Facts = {"labels": None, "problem": "answer", "no_answer": False}

    def add(writer: ExampleWriter, group: list[Question], at: int) -> None:
        facts["no_answer"] |= any(not one.answers for one in group)
        contexts = list(dict.fromkeys(one.context for one in group))  # many questions share one
        placed = dict(zip(contexts, tokenizer.encode_offsets(contexts), strict=True))
        rows = [placed[one.context] for one in group]
        for i, row in enumerate(rows):
            if not row.ids:
                raise DataError(
                    f"{source.name}: question {at + i + 1} has a context of which the tokenizer makes nothing",
                    received=repr(group[i].context[:60]), change="use another tokenizer, or leave the question out",
                )  # fmt: skip
        asked = [one.question for one in group]
        ids = tokenizer.encode_batch(asked)
        writer.ragged("context", (row.ids for row in rows))
        writer.ragged("begin", ([begin for begin, _ in row.spans] for row in rows), np.uint32)
        writer.ragged("end", ([end for _, end in row.spans] for row in rows), np.uint32)
        writer.ragged("question", (_known(row, text, tokenizer) for row, text in zip(ids, asked, strict=True)))
        places = ([place for text, begin in one.answers for place in (begin, begin + len(text))] for one in group)
        writer.ragged("answer", places, np.uint32)
        writer.ragged("id", (np.frombuffer(one.id.encode(errors="replace"), np.uint8) for one in group), np.uint8)

    return add, facts


_KINDS: dict[str, Callable[[Source, Any, Sequence[str] | None], tuple[Adding, Done]]] = {
    "labelled": _labelled,
    "tagged": _tagged,
    "questions": _questions,
    "chat": chats,
    "preferences": preferences,
    "images": pictures,
}
