"""The book as Markdown pages: an index, a page per claim and one per topic's questions, with the figures as SVG beside them.

Everything follows from the book, so the committed pages can be compared with what is written now. A figure's bytes depend on
matplotlib's version; what it was drawn from stands in its last line and is compared instead.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import os
from collections.abc import Iterable
from pathlib import Path

from polyhead.checkpoint import write_text

from ..pages import Page
from . import svg, text
from .content import Book, Part, Told
from .numbers import Cell, grid
from .words import ASKED, KINDS, LEAD, MARKS, NOTES_WRONG, READING, TITLE, expected, seeds_line

INDEX = "README.md"
_FIGURES = "figures"
_DRAWN = "<!-- drawn from {} -->"
_MARK = "<!-- polyhead lab: written by a program, which overwrites changes -->"


def write_markdown(book: Book, folder: Path) -> list[Path]:
    """Write all pages and figures, and remove those of claims and topics that are no more. A figure that was drawn from the
    same numbers is left as it is. Returns the pages. Raises DiskError."""
    made = pages(book, folder)
    for name, said in made.items():
        write_text(folder / name, said)
    kept = {path for told in book.claims if told.finding for path in _write_figures(told, book, folder)}
    for old in _ours(folder) - kept - {folder / name for name in made}:
        old.unlink()
    return [folder / name for name in made]


def pages(book: Book, folder: Path) -> dict[str, str]:
    """file → its text. folder: where they will be, for links to code."""
    parts = [part for part in book.parts if part.pages]
    made = (
        {INDEX: _index(book)}
        | {_claim_file(told.claim.id): _claim(told, book, folder) for told in book.claims}
        | {_part_file(part.topic): _questions(part, book) for part in parts}
    )
    return {name: f"{_MARK}\n{said}" for name, said in made.items()}


def _ours(folder: Path) -> set[Path]:
    """The files in `folder` that a book has written."""
    found = {path for path in folder.glob("*.md") if path.read_text(encoding="utf-8", errors="replace").startswith(_MARK)}
    return found | {path for path in folder.glob(f"{_FIGURES}/*.svg") if _DRAWN.split("{")[0] in path.read_text(encoding="utf-8", errors="replace")[-60:]}


def stale(book: Book, folder: Path) -> list[str]:
    """The files in `folder` that are missing, or not what would be written now."""
    now = {folder / name: said for name, said in pages(book, folder).items()}
    drawn = {path: told for told in book.claims if told.finding for path in _figure_files(told, folder)}
    wrong = [path for path, said in now.items() if not path.exists() or path.read_text(encoding="utf-8") != said]
    wrong += [path for path, told in drawn.items() if not _is_drawn(path, told)]
    return [path.name for path in (*wrong, *sorted(_ours(folder) - set(now) - set(drawn)))]


# ---------------------------------------------------------------- figures


def _figure_files(told: Told, folder: Path) -> tuple[Path, Path]:
    light, dark = (folder / _FIGURES / f"{told.claim.id.lower()}-{page}.svg" for page in ("light", "dark"))
    return light, dark


def _write_figures(told: Told, book: Book, folder: Path) -> tuple[Path, Path]:
    files = _figure_files(told, folder)
    if not all(_is_drawn(path, told) for path in files):
        for path, drawn in zip(files, book.drawn(told), strict=True):
            write_text(path, f"{svg.trim(drawn, text.plain(told.claim.title))}{_DRAWN.format(_print_of(told))}\n")
    return files


def _is_drawn(path: Path, told: Told) -> bool:
    return path.exists() and path.read_text(encoding="utf-8").endswith(f"{_DRAWN.format(_print_of(told))}\n")


def _print_of(told: Told) -> str:
    """Of the numbers, of the function that draws them, and of how a file is written."""
    assert told.finding
    said = json.dumps(told.finding.table.arms, sort_keys=True, default=str) + inspect.getsource(told.claim.draw) + inspect.getsource(svg.trim)
    return hashlib.sha256(said.encode()).hexdigest()[:16]


def _picture(told: Told) -> str:
    base = f"{_FIGURES}/{told.claim.id.lower()}"
    alt = text.attribute(f"Figure of {told.claim.id}: {told.claim.title}")
    return f'<picture>\n  <source media="(prefers-color-scheme: dark)" srcset="{base}-dark.svg">\n  <img src="{base}-light.svg" alt="{alt}">\n</picture>'


# ---------------------------------------------------------------- pages


def _index(book: Book) -> str:
    counted = " · ".join(f"{MARKS[verdict].sign} {verdict}: {count}" for verdict, count in book.counts.items())
    rows = [
        f"| {told.claim.id} | [{_cell(told.claim.title)}]({_claim_file(told.claim.id)}) | {told.claim.topic} | {_verdict(told)} | {told.again or '–'} |"
        for told in book.claims
    ]
    wrong = [f"- “{_line(told.claim.statement)}” ([{told.claim.id}]({_claim_file(told.claim.id)})): {_because(told)}" for told in book.wrong]
    asked = [f"### {opening}\n\n{_listed(found)}" for opening, found in book.asked.items()]
    topics = [f"### {part.topic.capitalize()}\n\n{_listed(part.pages, part.claims)}" for part in book.parts]
    return _joined(
        f"# {TITLE}", LEAD.format(claims=len(book.claims), pages=len(book.pages)), counted, READING, KINDS,
        "## All verdicts", "| | claim | topic | verdict | other seeds |\n|---|---|---|---|---|\n" + "\n".join(rows),
        *(["## Wrong as stated", "\n".join(wrong)] if wrong else []), f"## {ASKED}", *asked, "## By topic", *topics,
    )  # fmt: skip


def _listed(found: Iterable[Page], claims: Iterable[Told] = ()) -> str:
    questions = [f"- [{_line(page.question)}]({_part_file(page.topic)}#{page.id})" for page in found]
    return "\n".join(questions + [f"- {told.claim.id}: [{_line(told.claim.title)}]({_claim_file(told.claim.id)})" for told in claims])


def _claim(told: Told, book: Book, folder: Path) -> str:
    claim = told.claim
    notes = f" Notes: {', '.join(claim.notes)}." if claim.notes else ""
    say = lambda words: text.markdown(words, "{low}.md", book.by_id)  # noqa: E731
    again = f" Other seeds: {told.again}." if told.again else ""
    answered = ", ".join(f"[{_line(page.question)}]({_part_file(page.topic)}#{page.id})" for page in told.pages)
    where = Path(os.path.relpath(told.file, folder)).as_posix()
    return _joined(
        f"# {claim.id}: {_line(claim.title)}", f"[All claims]({INDEX}) · {claim.topic} · {claim.kind}",
        f"> “{_line(claim.statement)}”{notes}", f"{_verdict(told)}.{again} {_because(told)}",
        *([_picture(told)] if told.finding else []),
        "## What the literature says", say(claim.literature), "## Method", say(claim.method),
        "## Rule, fixed before the run", say(claim.decides), expected(told),
        *(["## Limits", say(claim.limits)] if claim.limits else []), *(_numbers(told) if told.finding else []),
        *([f"Questions it answers: {answered}."] if answered else []),
        "## Again", f"```sh\npolyhead lab run {claim.id}{told.flag}\n```", f"Code: [{told.shown_file}]({where})",
    )  # fmt: skip


def _numbers(told: Told) -> list[str]:
    assert told.finding
    table = grid(told.finding.table, told.claim.units)
    heads = [f"{name} ({unit})" if unit else name for name, unit in zip(table.names, table.units, strict=True)]
    columns = [arm for arm, _ in table.rows]
    rows = [(head, [cells[i] for _, cells in table.rows]) for i, head in enumerate(heads)]
    if len(heads) <= len(columns):
        columns, rows = heads, [(arm, list(cells)) for arm, cells in table.rows]
    lines = [["", *columns], ["---"] * (len(columns) + 1), *([head, *map(_figure, cells)] for head, cells in rows)]
    facts = "; ".join(f"{name}: {value}" for name, value in told.finding.facts.items())
    body = "\n".join("| " + " | ".join(_cell(word) for word in line) + " |" for line in lines)
    return ["## Numbers", body, seeds_line(table), *([_line(f"Measured: {facts}.")] if facts else [])]


def _figure(cell: Cell) -> str:
    return f"{cell.mean} ({cell.spread})" if cell.spread else cell.mean


def _questions(part: Part, book: Book) -> str:
    here = "\n".join(f"- [{_line(page.question)}](#{page.id})" for page in part.pages)
    return _joined(f"# Questions: {part.topic}", f"[All questions and claims]({INDEX})", here, *(_question(page, book) for page in part.pages))


def _question(page: Page, book: Book) -> str:
    say = lambda words: text.markdown(words, "{low}.md", book.by_id)  # noqa: E731
    depths = (("Basic", page.basic), ("Intermediate", page.intermediate), ("Advanced", page.advanced))
    told = [book.by_id[id] for id in page.claims if id in book.by_id]
    measured = [f"**{_verdict(one)}** [{one.claim.id}: {_line(one.claim.title)}]({_claim_file(one.claim.id)}). {_because(one)}" for one in told]
    first = next((one for one in told if one.finding), None)
    wrong = [f"- “{_line(one.said)}”{f' ({one.where})' if one.where else ''}: {_line(one.why)}" for one in page.wrong]
    return _joined(
        f'<a id="{page.id}"></a>\n\n## {_line(page.question)}', say(page.answer), *([f"$$\n{page.formula}\n$$"] if page.formula else []),
        *measured, *([_picture(first)] if first else []),
        *(f"<details><summary>{depth}</summary>\n\n{say(said)}\n\n</details>" for depth, said in depths),
        *([f"{NOTES_WRONG}:\n\n" + "\n".join(wrong)] if wrong else []), f"Asked in the notes: {', '.join(page.asked)}.",
    ).rstrip()  # fmt: skip


def _verdict(told: Told) -> str:
    return f"{MARKS[told.verdict].sign} {told.verdict}" if told.verdict else "not run yet"


def _because(told: Told) -> str:
    return _line(told.finding.ruling.because) if told.finding else ""


def _claim_file(id: str) -> str:
    return f"{id.lower()}.md"


def _part_file(topic: str) -> str:
    return f"questions-{topic.replace(' ', '-')}.md"


def _line(words: str) -> str:
    return " ".join(text.markdown(words).split())


def _cell(words: str) -> str:
    return _line(words).replace("|", "\\|")


def _joined(*blocks: str) -> str:
    return "\n\n".join(block.rstrip() for block in blocks if block.strip()) + "\n"
