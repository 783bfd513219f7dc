"""From whatever the user names to documents or pairs, in pieces of bounded size, split into training and validation.

open_source("book.txt")                    one document; a folder: one per file; rows: one per row
open_source("train.{de,en}")               two parallel files: pairs
open_source("rows.jsonl", columns="body")  a column of text; two columns: pairs
open_source("flowers/")                    a folder of folders with pictures: the folder is the class
open_source("train.conll")                 sentences with a tag for every word: the shape of a file decides its kind
open_source("owner/name:subset[train]")    a data set of the Hub; anything else is a path and never looked up
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

from ..errors import ConfigError, DataError
from .corpus import Corpus, Survey
from .examples import KINDS, Example, texts
from .files import FORMATS
from .holdout import Part
from .naming import Where
from .opening import open_corpus
from .pictures import size_of
from .pieces import Pair, Piece
from .reading import Asked


class Source:
    """Documents (`kind` "text"), pairs ("pairs") or records of another of examples.KINDS, to be read any number of times.

    name: what was named. max_bad: the share of broken ones that is passed over. notes: what was left out, cut or assumed, complete after the first pass.
    """

    def __init__(self, corpus: Corpus, part: Part | None = None) -> None:
        self._corpus, self._part = corpus, part
        self.kind, self.name, self.max_bad = corpus.kind, corpus.name, corpus.max_bad

    @property
    def notes(self) -> list[str]:
        return self._corpus.notes + ([] if self._part is None else self._part.notes)

    @property
    def cut_short(self) -> bool:
        """Whether the last document goes on beyond this source (the training part of an only document)."""
        return self._part is not None and self._part.cut_short()

    @property
    def held(self) -> bool:
        """Whether this is the part that was held out of a source."""
        return self._part is not None and self._part.held

    def survey(self) -> Survey:
        """Counts of the whole corpus, both parts together. The first call reads everything once."""
        return self._corpus.survey()

    def pieces(self) -> Iterator[Piece]:
        """The documents, as pieces in order; the piece with `ends` closes a document. O(1) memory."""
        self._demand("text")
        records: Any = self._corpus.records()
        return records if self._part is None else self._part.pieces(records)

    def pairs(self) -> Iterator[Pair]:
        """The pairs in order."""
        self._demand("pairs")
        records: Any = self._corpus.records()
        return records if self._part is None else self._part.whole(records)

    def examples(self) -> Iterator[Example]:
        """The records in order, of any kind beyond text and pairs: see examples.py."""
        if self.kind in ("text", "pairs"):
            raise DataError(
                f"{self.name} holds {self.kind}",
                expected=", ".join(kind for kind in KINDS if kind not in ("text", "pairs")),
                received=self.kind,
                change="open it with the kind and the columns meant",
            )
        records: Any = self._corpus.records()
        return records if self._part is None else self._part.whole(records)

    def texts(self) -> Iterator[str]:
        """All text, in pieces or side by side: what a tokenizer is trained on."""
        if self.kind == "text":
            yield from (piece.text for piece in self.pieces() if piece.text)
        else:
            for record in self.pairs() if self.kind == "pairs" else self.examples():
                yield from texts(record)

    def holdout(self, share: float = 0.05, seed: int = 0, last: bool = False) -> tuple[Source, Source]:
        """(training, validation): whole documents or records, at least one each, chosen by a hash of (seed, number); `last`: the
        last ones in the source's order, as published splits without a validation part are often cut.

        An only document is cut instead, at a line break where there is one: its last `share` of characters is the
        validation part. Nothing is read before one of the two is. Raises ConfigError for a share outside 0 to 1.
        """
        if not 0 < share < 1:
            raise ConfigError("the held-out share", expected="between 0 and 1", received=str(share))
        if self._part is not None:
            raise ConfigError("this source is a part already", change="split the source it came from")
        return tuple(Source(self._corpus, Part(self._corpus, share, seed, held, last)) for held in (False, True))  # type: ignore[return-value]

    def identity(self) -> dict[str, Any]:
        """What the text depends on, as JSON data: files with sizes and times of change, options, part. Reads no text."""
        return {"corpus": self._corpus.identity(), "part": None if self._part is None else self._part.identity()}

    def _demand(self, kind: str) -> None:
        if kind != self.kind:
            raise DataError(
                f"{self.name} holds {self.kind}",
                expected=kind,
                received=self.kind,
                change=f"open it with kind={kind!r} and the columns meant",
            )


def open_source(
    where: Where | Sequence[Where],
    *,
    columns: str | Sequence[str | int] | None = None,
    kind: str | None = None,
    format: str | None = None,
    split: str = "file",
    header: bool | None = None,
    encoding: str | None = None,
    repair: bool = False,
    max_bad: float = 0.01,
    subset: str | None = None,
    part: str | None = None,
    image_size: int | tuple[int, int] | Literal["any"] | None = None,
    labels: str | None = None,
) -> Source:
    """Opens what `where` names; looks at the beginning only.

    where: a file, a folder, several of them, two parallel files, `stem.{de,en}`, or a Hub data set `owner/name`,
    `owner/name:subset`, `owner/name[validation]`, `owner/name:subset[train[:90%]]`; also `folder[validation]` of one that was saved.
    columns: one name for text, two for pairs, text and label, or words and tags, three for two texts and their label or
    context, question and answers (`"outer.inner"` for nested ones, numbers where there are no names).
    kind: one of examples.KINDS, where the shape of the file leaves several; "text" takes the texts alone of any other.
    format: text, jsonl, json, csv, tsv, conll … (see FORMATS), whatever the name says.
    split: what a document of a text file is: the whole "file", a paragraph between "blank" lines, a "line".
    header: whether a table's first row holds names. encoding: such as "cp1252" where a file is not UTF-8 and has no
    byte-order mark. repair: undo UTF-8 that was misread as Latin-1 and saved so.
    max_bad: the share of broken rows above which reading stops. subset, part: as in the name, for all of `where`; without a part
    "train" is read. Pictures have parts too. image_size: a side, or (height, width), to which pictures are resized; "any": as they are; None: all must be of one size.
    labels: "numbers" or "classes", where whole numbers could be either; None: whole numbers are classes.
    Raises DataError for what is missing, empty, binary or unclear, ConfigError for an option without sense.
    """
    _check(kind, format, split, max_bad, labels)
    names = None if columns is None else tuple(map(str, [columns] if isinstance(columns, str | int) else columns))
    if names is not None and len(names) not in (1, 2, 3):
        raise ConfigError("columns", expected="one for text, two for pairs, at most three", received=str(len(names)))
    asked = Asked(names, kind, format, split, header, encoding, repair, max_bad, subset, part,
                  sort=None if labels is None else _SORTS[labels], image_size=size_of(image_size))  # fmt: skip
    return Source(open_corpus(where, asked))


_SORTS = {"classes": "class", "numbers": "number"}


def _check(kind: str | None, format: str | None, split: str, max_bad: float, labels: str | None) -> None:
    choices = (
        ("kind", kind, (None, *KINDS)),
        ("format", format, (None, "text", *sorted(set(FORMATS.values())))),
        ("split", split, ("file", "blank", "line")),
        ("labels", labels, (None, *_SORTS)),
    )
    for name, value, allowed in choices:
        if value not in allowed:
            raise ConfigError(name, expected=", ".join(map(str, allowed)), received=repr(value))
    if not 0 <= max_bad <= 1:
        raise ConfigError("max_bad is a share", expected="between 0 and 1", received=str(max_bad))
