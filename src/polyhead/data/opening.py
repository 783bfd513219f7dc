"""From what the user named to a Corpus: what is it, and how is it read?"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ..errors import DataError
from . import arrays, hub, pictures
from .corpus import Corpus, Unit
from .files import FORMATS, Entry, single, suffix, unreadable, walk
from .naming import Place, Where, place_of
from .parallel import are_parallel, braces, by_suffix, in_order, side_by_side
from .readers import Found, reader
from .reading import Asked, Record
from .shapes import picked, reading_of
from .tally import Tally


def open_corpus(where: Where | Sequence[Where], asked: Asked) -> Corpus:
    """The corpus behind a path, several paths or a Hub name. Raises DataError if there is none."""
    if isinstance(where, str | os.PathLike):
        if (sides := braces(where)) is not None:
            return _parallel({name: _found(path) for name, path in sides.items()}, asked)
        return _open_one(where, asked)
    places = list(where)
    if not places:
        raise DataError("no source named", expected="a path, several paths or owner/name", received="an empty list")
    named = any(place_of(place).part for place in places)
    if len(places) == 2 and not named and are_parallel(one := Path(places[0]), two := Path(places[1]), asked, _found):
        return _parallel(by_suffix(_found(one), _found(two), asked.columns), asked)
    return _chain([_open_one(place, asked) for place in places], asked)


def _open_one(where: Where, asked: Asked) -> Corpus:
    place = place_of(where, asked.subset, asked.part)
    if place.hub:
        return _dataset(place, None, asked)
    path, asked = _found(place.where), asked._replace(part=place.part)
    if place.subset is not None:
        raise DataError(f"{path} has no subsets", expected="a data set of the Hub", received=f"subset {place.subset!r}", change="leave the subset out")
    if path.is_dir() and hub.is_saved(path):
        return _dataset(place, path, asked)
    found = _album(path, asked)
    if place.part is not None and (found is None or arrays.looks_like_idx(path)):
        raise pictures.no_parts(path, place.part)
    return found or (_folder if path.is_dir() else _file)(path, asked)


def _album(path: Path, asked: Asked) -> Corpus | None:
    """The pictures of a folder of folders, of idx files or of an .npz file; None for what holds none."""
    if asked.kind not in (None, "images") or asked.format is not None:
        return None
    found: pictures.Album | None = None
    try:
        if path.is_dir():
            found = arrays.idx_folder(path, asked) or pictures.folder(path, asked)
        elif path.suffix.lower() == ".npz":
            found = arrays.npz(path, asked)
        elif arrays.looks_like_idx(path) or arrays.is_idx(path):
            found = arrays.idx(path, asked)
    except OSError as error:
        raise unreadable(path, error) from error
    if found is None:
        if asked.kind == "images" and suffix(path) not in FORMATS:
            raise DataError(
                f"{path} holds no pictures with a class each",
                expected="a folder of folders, idx files, .npz, or a table with pictures",
                received=path.name,
                change="put the pictures of each class into a folder of its name",
            )
        return None
    identity = partial(_stats, found.files, asked)
    return Corpus("images", str(path), [Unit(path.name, found.read)], identity, asked.max_bad, notes=found.notes)


def _found(where: Where) -> Path:
    path = Path(where).expanduser()
    if path.exists():
        return path
    packed = path.with_name(path.name + ".gz")
    if packed.exists():
        return packed
    near = difflib.get_close_matches(path.name, _siblings(path), 1)
    raise DataError(
        f"{path} does not exist",
        expected="a file, a folder, or a Hub data set's name owner/name or owner/name:subset[part]",
        received=os.fspath(where),
        change=f"did you mean {path.with_name(near[0])}?" if near else "check the path",
    )


def _siblings(path: Path) -> list[str]:
    try:
        return [p.name for p in path.parent.iterdir()]
    except OSError:
        return []


def _stats(paths: list[tuple[Path, str]], asked: Asked) -> dict[str, Any]:
    """Names, sizes and times of change of the files as they are now, and the options that shape the text."""
    files = []
    for path, name in paths:
        try:
            info = path.stat()
        except OSError as e:
            raise unreadable(path, e) from e
        files.append([name, info.st_size, info.st_mtime_ns])
    options = [
        asked.encoding,
        asked.columns and list(asked.columns),
        asked.kind,
        asked.format,
        asked.split,
        asked.header,
        asked.repair,
        asked.image_size,
        *filter(None, [asked.sort]),
    ]
    return {"files": files, "options": options}


def _file(path: Path, asked: Asked) -> Corpus:
    entry = single(path, asked.format)
    found = reader(entry, asked)
    identity = partial(_stats, [(path, entry.name)], asked)
    return Corpus(found.kind, str(path), [Unit(entry.name, found.read)], identity, asked.max_bad, notes=found.notes)


def _folder(path: Path, asked: Asked) -> Corpus:
    entries, skipped = walk(path, asked.format)
    if not entries:
        raise DataError(
            f"{path} holds no text files",
            expected="text, JSONL, CSV or Parquet files",
            received="; ".join(skipped.notes()) or "an empty folder",
            change="name a folder with text",
        )
    found = reader(entries[0], asked, folder=True)
    units = [Unit(entry.name, partial(_read_again, entry, asked, found)) for entry in entries]
    identity = partial(_stats, [(entry.path, entry.name) for entry in entries], asked)
    lenient = frozenset(entry.name for entry in entries if entry.format == "text")
    return Corpus(found.kind, str(path), units, identity, asked.max_bad, lenient, found.notes + skipped.notes())


def _read_again(entry: Entry, asked: Asked, first: Found, tally: Tally) -> Iterator[Record]:
    """Shapes are looked up when a file of a folder is read, so that a thousand files open at once."""
    return reader(entry, asked._replace(kind=first.kind, sort=first.sort), folder=True).read(tally)


def _parallel(sides: dict[str, Path], asked: Asked) -> Corpus:
    one, two = in_order(sides, asked.columns)
    if asked.part is not None or asked.subset is not None:
        raise pictures.no_parts(one, asked.part or asked.subset or "")
    for path in (one, two):
        single(path, "text")
    name = f"{one} and {two}"
    identity = partial(_stats, [(one, one.name), (two, two.name)], asked)
    notes = [] if asked.columns is None else [f"reading {one} → {two}"]
    return Corpus("pairs", name, [Unit(name, partial(side_by_side, one, two, asked))], identity, asked.max_bad, notes=notes)


def _dataset(place: Place, folder: Path | None, asked: Asked) -> Corpus:
    (data, notes), name = hub.load(place, folder), place.name
    opened = partial(hub.rows_of, data, name)
    reading = reading_of(opened, asked, name)
    options = [list(reading.columns), place.subset, place.part or asked.wanted, reading.kind, *filter(None, [asked.sort])]
    identity = partial(hub.identity, data, os.fspath(place.where), options)
    units = [Unit(name, partial(picked, opened, reading))]
    return Corpus(reading.kind, name, units, identity, asked.max_bad, notes=[*notes, *reading.notes])


def _chain(corpora: list[Corpus], asked: Asked) -> Corpus:
    """Several corpora one after the other."""
    kinds = {corpus.kind for corpus in corpora}
    if len(kinds) > 1:
        raise DataError(
            "the sources are of two kinds",
            expected="all of one kind",
            received=", ".join(f"{c.name}: {c.kind}" for c in corpora[:6]),
            change="say what they are with data.kind, or name the columns with data.columns",
        )
    units = [Unit(f"{c.name}: {unit.name}", unit.read) for c in corpora for unit in c.units]
    lenient = frozenset(f"{c.name}: {unit.name}" for c in corpora for unit in c.units if unit.name in c.lenient)
    notes = [note for c in corpora for note in c.notes]
    name = ", ".join(c.name for c in corpora[:3]) + (" …" if len(corpora) > 3 else "")
    return Corpus(corpora[0].kind, name, units, lambda: [c.identity() for c in corpora], asked.max_bad, lenient, notes)
