"""The review: a PDF to read in half an hour to an hour before an interview. Every question with its short answer and formula,
the verdicts behind it, and the figures that say most."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import matplotlib
from fpdf import FPDF, FontFace
from fpdf.drawing import PaintedPath
from fpdf.enums import PathPaintRule, TableBordersLayout, XPos, YPos
from fpdf.outline import OutlineSection

from .. import style
from ..claim import Verdict
from ..pages import Page
from . import formula, text
from .content import Book, Told
from .words import KINDS, LEAD, MARKS, READING, TITLE

# The figures shown, where their claims have been measured: one that changes what people think, or that explains at a glance.
FIGURES = ("C01", "C02", "C03", "C04", "C05", "C06", "C10", "C12", "C14", "C16", "C18", "C19", "C20", "C30", "C33", "C42")
_FEW = 45
_BODY, _SMALL, _HEAD = 9.5, 8.0, 15.0  # points
_LINE = 1.42  # of the type's size
_MARGIN = 20.0  # mm
_POINT = 25.4 / 72  # mm
_INK, _DIM, _LINK = (28, 32, 38), (92, 101, 112), (47, 111, 183)
_ENTRY, _GAP = 5.2, 2.0  # mm: a line of the contents, and the room above a chapter's
_LOOKS = {"": "", "strong": "B", "em": "I", "code": ""}


def pdf(book: Book) -> bytes:
    """The file. The same book, the same bytes."""
    sheet = _Sheet()
    _front(sheet, book)
    _contents(sheet, book)
    _verdicts(sheet, book)
    told: set[str] = set()
    for part in book.parts:
        if part.pages:
            sheet.chapter(part.topic.capitalize())
        for page in part.pages:
            _question(sheet, page, book, told)
    if rest := _unasked(book):
        sheet.chapter("Other claims")
        for one in rest:
            _measured(sheet, one, told)
    return bytes(sheet.output())


class _Sheet(FPDF):
    """A4 pages in the type that matplotlib ships, with page numbers."""

    def __init__(self) -> None:
        super().__init__(format="A4")
        self.set_creation_date(datetime(2026, 1, 1, tzinfo=UTC))  # the same book, the same bytes
        self.set_margins(_MARGIN, 18, _MARGIN)
        self.set_auto_page_break(True, 20)
        self.set_title(TITLE)
        fonts = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
        for look, file in (("", ""), ("B", "-Bold"), ("I", "-Oblique"), ("BI", "-BoldOblique")):
            self.add_font("text", look, fonts / f"DejaVuSans{file}.ttf")
        self.add_font("code", "", fonts / "DejaVuSansMono.ttf")
        self.marks = _colours()

    def footer(self) -> None:
        self.set_y(-13)
        self.set_font("text", "", _SMALL)
        self.set_text_color(*_DIM)
        self.cell(0, 5, f"polyhead lab · {self.page_no()}", align="C")

    def chapter(self, name: str) -> None:
        """A topic begins: a heading and a bookmark, on a new page unless this one has room for more than its beginning."""
        if self.page == 0 or self.get_y() > self.h * 0.55:
            self.add_page()
        elif self.get_y() > self.t_margin + 1:
            self.ln(7)
        self.start_section(name, 0)
        self.words(name, _HEAD, "B")
        self.ln(2)

    def words(self, said: str, size: float = _BODY, look: str = "", colour: tuple[int, int, int] = _INK) -> None:
        """A paragraph of one look."""
        self.set_font("text", look, size)
        self.set_text_color(*colour)
        self.multi_cell(0, size * _LINE * _POINT, said, align="L", new_x=XPos.LMARGIN, new_y=YPos.NEXT)

    def prose(self, said: str, size: float = _BODY, colour: tuple[int, int, int] = _INK) -> None:
        """Paragraphs of the book's small Markdown."""
        for paragraph in text.paragraphs(said):
            self.set_left_margin(_MARGIN + 4 * paragraph.depth)
            self.set_x(self.l_margin)
            if paragraph.mark:
                self.run(f"{paragraph.mark} ", size, "", colour)
            for span in paragraph.spans:
                self.run(span.text, size, span.look, colour)
            self.ln(size * _LINE * _POINT)
            self.set_left_margin(_MARGIN)
        self.set_x(_MARGIN)

    def run(self, said: str, size: float, look: str = "", colour: tuple[int, int, int] = _INK) -> None:
        """Words of one look, going on where the last ended."""
        self.set_font("code" if look == "code" else "text", _LOOKS.get(look, look), size * (0.94 if look == "code" else 1))
        self.set_text_color(*colour)
        self.write(size * _LINE * _POINT, said)

    def formula(self, laid: formula.Formula, size: float = 12.0) -> None:
        """A formula in the middle of a line of its own, as outlines."""
        em = min(size * _POINT, (self.epw - 4) / laid.width)
        height = (laid.height + 0.9) * em
        if self.will_page_break(height):
            self.add_page()
        left, base = self.l_margin + (self.epw - laid.width * em) / 2, self.get_y() + (laid.height - laid.depth + 0.45) * em
        with self.drawing_context() as page:
            page.add_item(_outlines(laid, em, left, base))
        self.set_y(self.get_y() + height)

    def height(self, said: Iterable[tuple[str, float]]) -> float:
        """Of paragraphs (text, size), in mm."""
        total = 0.0
        for words, size in said:
            self.set_font("text", "", size)
            line = size * _LINE * _POINT
            total += line * len(self.multi_cell(0, line, text.plain(words), dry_run=True, output="LINES"))  # type: ignore[arg-type]
        return total


def _outlines(laid: formula.Formula, em: float, left: float, base: float) -> PaintedPath:
    """Everything of a formula as one filled path. em in mm; left, base: the page's place of its origin."""
    path = PaintedPath()
    path.style.paint_rule = PathPaintRule.FILL_NONZERO
    path.style.fill_color = "#1c2026"
    steps: dict[str, Any] = {"M": path.move_to, "L": path.line_to, "Q": path.quadratic_curve_to, "C": path.curve_to, "Z": path.close}
    for glyph in laid.glyphs:
        for move in formula.outline(glyph.id):
            points = [(left + (glyph.x + x * glyph.size) * em, base + (glyph.y + y * glyph.size) * em) for x, y in move.points]
            steps[move.op](*(number for point in points for number in point))
    for bar in laid.bars:
        path.rectangle(left + bar.x * em, base + bar.y * em, bar.width * em, bar.height * em)
    return path


def _colours() -> dict[Verdict, tuple[int, int, int]]:
    """Those of the HTML book's light page."""
    sheet = Path(__file__).with_name("book.css").read_text(encoding="utf-8")
    found = {name: re.search(rf"--{name}: #(..)(..)(..);", sheet) for name in (mark.name for mark in MARKS.values())}
    return {verdict: tuple(int(part, 16) for part in found[mark.name].groups()) for verdict, mark in MARKS.items()}  # type: ignore[union-attr, misc]


# ---------------------------------------------------------------- pages


def _front(sheet: _Sheet, book: Book) -> None:
    sheet.add_page()
    sheet.ln(30)
    sheet.words(TITLE, 24, "B")
    sheet.ln(4)
    sheet.prose(LEAD.format(claims=len(book.claims), pages=len(book.pages)), 11, _DIM)
    sheet.ln(6)
    for verdict, count in book.counts.items():
        sheet.run(f"{MARKS[verdict].sign} {verdict}: {count}", 11, "strong", sheet.marks[verdict])
        sheet.ln(7)
    sheet.ln(4)
    sheet.prose(f"About {minutes(book):.0f} minutes to read.", 11)
    sheet.ln(4)
    for said in (READING, KINDS):
        sheet.prose(said, 10)
        sheet.ln(3)


def _contents(sheet: _Sheet, book: Book) -> None:
    """A line per chapter and question. How many pages they take must be said beforehand."""
    parts = [part for part in book.parts if part.pages]
    levels = [0, *[0] * bool(book.wrong), *(level for part in parts for level in (0, *[1] * len(part.pages))), *[0] * bool(_unasked(book))]
    sheet.add_page()
    top, bottom = sheet.get_y(), sheet.page_break_trigger
    pages, y = 1, top + 2 * _ENTRY
    for level in levels:
        y += _GAP * (level == 0)
        if y + _ENTRY > bottom:
            pages, y = pages + 1, top
        y += _ENTRY
    sheet.insert_toc_placeholder(_render_contents, pages=pages)


def _unasked(book: Book) -> list[Told]:
    """The measured claims that no question names."""
    return [one for one in book.claims if one.finding and not one.pages]


def _render_contents(sheet: FPDF, sections: list[OutlineSection]) -> None:
    sheet.set_font("text", "B", _HEAD)
    sheet.set_text_color(*_INK)
    sheet.set_x(sheet.l_margin)
    sheet.cell(0, 2 * _ENTRY, "Contents", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
    for section in sections:
        if section.level == 0:
            sheet.ln(_GAP)
        sheet.set_font("text", "B" if section.level == 0 else "", 8.5)
        link = sheet.add_link(page=section.page_number)
        sheet.set_x(sheet.l_margin + 4 * section.level)
        wide = sheet.epw - 4 * section.level - 12
        sheet.cell(wide, _ENTRY, _cut(sheet, section.name, wide - 2), link=link)
        sheet.cell(12, _ENTRY, str(section.page_number), align="R", link=link, new_x=XPos.LMARGIN, new_y=YPos.NEXT)


def _cut(sheet: FPDF, words: str, wide: float) -> str:
    if sheet.get_string_width(words) <= wide:
        return words
    while sheet.get_string_width(words + "…") > wide:
        words = words[:-1]
    return words.rstrip() + "…"


def _verdicts(sheet: _Sheet, book: Book) -> None:
    sheet.chapter("All verdicts")
    sheet.set_font("text", "", _SMALL)
    sheet.set_text_color(*_INK)
    sheet.set_draw_color(200, 205, 210)
    with sheet.table(
        col_widths=(9, 94, 42, 25), line_height=4.6, borders_layout=TableBordersLayout.HORIZONTAL_LINES, text_align="LEFT", padding=0.6,
        headings_style=FontFace(emphasis="BOLD", color=_DIM),
    ) as table:  # fmt: skip
        table.row(("", "claim", "verdict", "other seeds"))
        for told in book.claims:
            row = table.row()
            row.cell(told.claim.id)
            row.cell(text.plain(told.claim.title))
            colour = sheet.marks[told.verdict] if told.verdict else _DIM
            row.cell(f"{MARKS[told.verdict].sign} {told.verdict}" if told.verdict else "not run yet", style=FontFace(color=colour, emphasis="BOLD"))
            row.cell(told.again or "–")
    if book.wrong:
        sheet.chapter("Wrong as stated")
        for told in book.wrong:
            sheet.prose(f"“{told.claim.statement}” ({told.claim.id})")
            sheet.ln(1.5)


def _question(sheet: _Sheet, page: Page, book: Book, told: set[str]) -> None:
    laid = formula.lay(page.formula) if page.formula else None
    needed = sheet.height([(page.question, 11), (page.answer, _BODY)]) + (22 if laid else 8)
    if sheet.will_page_break(needed):
        sheet.add_page()
    sheet.start_section(page.question, 1)
    sheet.words(page.question, 11, "B")
    sheet.ln(0.8)
    sheet.prose(page.answer)
    if laid:
        sheet.formula(laid)
    sheet.ln(1)
    measured = [(one, one.verdict) for id in page.claims if (one := book.by_id.get(id)) and one.verdict]
    before = [(one, verdict) for one, verdict in measured if one.claim.id in told]
    for one, _ in measured:
        if one.claim.id not in told:
            _measured(sheet, one, told)
    if before:
        sheet.run("See also ", _SMALL, "", _DIM)
        for one, verdict in before:
            sheet.run(f"{MARKS[verdict].sign} {one.claim.id}  ", _SMALL, "strong", sheet.marks[verdict])
        sheet.ln(_SMALL * _LINE * _POINT + 0.8)
    for wrong in page.wrong:
        sheet.run(f"Wrong{f' in {wrong.where}' if wrong.where else ''}: ", _SMALL, "strong", _DIM)
        sheet.run(f"“{text.plain(wrong.said)}” {text.plain(wrong.why)}", _SMALL, "", _DIM)
        sheet.ln(_SMALL * _LINE * _POINT)
    sheet.ln(5)


def _measured(sheet: _Sheet, one: Told, told: set[str]) -> None:
    """A claim's verdict and why, and its figure if that is among the chosen."""
    assert one.finding
    told.add(one.claim.id)
    verdict = one.finding.ruling.verdict
    sheet.run(f"{MARKS[verdict].sign} {one.claim.id} {verdict}: ", _SMALL, "strong", sheet.marks[verdict])
    sheet.run(text.plain(_brief(one.finding.ruling.because)), _SMALL)
    sheet.ln(_SMALL * _LINE * _POINT + 0.8)
    if one.claim.id in FIGURES:
        _figure(sheet, one)


def _brief(because: str) -> str:
    """Whole sentences, the first and as many more as _FEW words hold; the book has all."""
    kept, *rest = re.split(r"(?<=[.!?]) (?=[A-Z“])", because)
    for sentence in rest:
        if len(f"{kept} {sentence}".split()) > _FEW:
            break
        kept = f"{kept} {sentence}"
    return kept


def minutes(book: Book) -> float:
    """How long the questions take to read, at 240 words a minute; tables and contents are for looking things up."""
    said = [words for page in book.pages for words in (page.question, page.answer, *(f"{one.where} {one.said} {one.why}" for one in page.wrong))]
    said += [_brief(told.finding.ruling.because) for told in book.claims if told.finding]
    return sum(len(words.split()) for words in said) / 240


def _figure(sheet: _Sheet, one: Told) -> None:
    from PIL import Image

    assert one.finding
    picture = Image.open(io.BytesIO(style.render(one.claim, one.finding.table, format="png"))).convert("RGB")
    wide = min(sheet.epw, picture.width / 144 * 25.4 * 0.8)  # style draws 144 dots to the inch
    high = wide * picture.height / picture.width
    if sheet.will_page_break(high + 3):
        sheet.add_page()
    sheet.image(picture, x=sheet.l_margin + (sheet.epw - wide) / 2, w=wide, alt_text=f"Figure of {one.claim.id}")
    sheet.ln(3)
