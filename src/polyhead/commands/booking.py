"""lab report: the lab's book, as HTML, as Markdown and as a PDF."""

from __future__ import annotations

import time
from pathlib import Path

from polyhead.errors import ConfigError

from .output import emit, note, say


def run_report(own: list[str], out: Path, results: Path, as_json: bool) -> int:
    """The verb lab report."""
    from polyhead.checkpoint import write_text
    from polyhead.checkpoint.files import atomic
    from polyhead.lab.book.gather import gather
    from polyhead.lab.book.html import html
    from polyhead.lab.book.markdown import INDEX, write_markdown
    from polyhead.lab.book.pdf import pdf

    if out.exists() and not out.is_dir():
        raise ConfigError("the book is a folder", expected="a folder, there or not", received=str(out), change="another name after -o")
    began = time.monotonic()
    book = gather(results, own)
    measured = sum(told.finding is not None for told in book.claims)
    note(f"drawing {measured} figures; this takes about a minute")
    page, sheets, pages = out / "lab.html", out / "lab.pdf", out / "markdown"
    write_text(page, html(book))
    written = pdf(book)
    with atomic(sheets, len(written)) as file:
        file.write(written)
    write_markdown(book, pages)
    counts = {verdict.value: count for verdict, count in book.counts.items()}
    if as_json:
        emit({"html": str(page), "pdf": str(sheets), "markdown": str(pages / INDEX), "claims": len(book.claims), "measured": measured,
              "questions": len(book.pages), "verdicts": counts, "wrong": [told.claim.id for told in book.wrong]})  # fmt: skip
        return 0
    say(f"{measured} of {len(book.claims)} claims measured: " + ", ".join(f"{count} {verdict}" for verdict, count in counts.items()))
    say(f"{len(book.pages)} questions answered; written in {time.monotonic() - began:.0f} s:")
    for path, what in ((page, "the book, in one file"), (sheets, "a review to print"), (pages / INDEX, "the same in Markdown")):
        say(f"  {path}  {what}")
    return 0
