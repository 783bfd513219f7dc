"""What the book's forms share: its small Markdown, its numbers, its formulas, its indexes."""

from __future__ import annotations

import pytest

from polyhead.errors import DataError
from polyhead.lab.book import formula, text
from polyhead.lab.book.numbers import grid, number
from polyhead.lab.table import Table

from .booked import book


def test_text_is_blocks_of_a_few_kinds():
    said = "**bold** *em* `a<b` C01 [x](http://y) <i>\n\n- one\n- two\n\n```\ncode\n```"
    made = text.html(said, {"C01"})
    assert '<strong>bold</strong> <em>em</em> <code>a&lt;b</code> <a href="#C01">C01</a> [x](http://y) &lt;i&gt;' in made
    assert "<li>one</li>" in made and "<pre><code>code" in made
    assert text.markdown("a<b `c<d` [x](y) C01, C02", "{low}.md", {"C01"}) == "a&lt;b `c<d` [x]\\(y) [C01](c01.md), C02"
    assert text.plain(said).startswith("bold em a<b C01")


def test_paragraphs_keep_marks_and_looks():
    made = text.paragraphs("1. one **b**\n2. two\n   - in")
    assert [(p.mark, p.depth) for p in made] == [("1.", 1), ("2.", 1), ("•", 2)]
    assert made[0].spans == (text.Span("one "), text.Span("b", "strong"))


@pytest.mark.parametrize("value, words", [(1234567, "1,234,567"), (0.12345, "0.123"), (-0.5, "−0.5"), (1.5e-7, "1.5·10⁻⁷"), (float("nan"), "nan"), (2.0, "2")])
def test_numbers_are_short(value, words):
    assert number(value) == words


def test_a_grid_has_every_number_of_every_arm():
    table = Table({"a": {0: {"loss": 1.0, "by": [1.0, 2.0], "odd": ["x"]}, 1: {"loss": 2.0, "by": [3.0, 4.0], "odd": ["y"]}}, "b": {0: {"loss": 1}, 1: {"loss": 1}}})
    made = grid(table, {"loss": "nats"})
    (a, cells), (b, others) = made.rows
    assert (made.names, made.units, made.seeds, a, b) == (("loss", "by", "odd"), ("nats", "", ""), (0, 1), "a", "b")
    assert cells[0].mean == "1.5" and cells[0].spread == "1 to 2" and cells[0].seeds == ("1", "2")
    assert cells[1].mean == "2, 3" and cells[1].seeds == ("1, 2", "3, 4")
    assert others[0] == ("1", "", ("1", "1")) and others[1].mean == "–"


def test_a_formula_is_laid_out_as_tex_is():
    one, two = formula.lay(r"\frac{a}{b}"), formula.lay(r"ab")
    assert len(one.glyphs) == 2 and len(one.bars) == 1 and not two.bars
    above, below = sorted(one.glyphs, key=lambda glyph: glyph.y)
    assert above.y < one.bars[0].y < below.y and one.height > two.height and one.glyphs[0].size == 1
    drawn = formula.svg(one)
    assert f'href="#{one.glyphs[0].id}"' in drawn and f'id="{one.glyphs[0].id}"' in formula.symbols([one, two])
    with pytest.raises(DataError, match="cannot be drawn"):
        formula.lay(r"\frac{a")


def test_indexes():
    made = book()
    assert list(made.asked) == ["What is …", "Why …", "Is it so?"]
    assert [place for place, _ in made.places["001"]] == ["001 Q1", "001 Q3", "001 Q10"]
    assert [part.topic for part in made.parts] == ["attention", "masks", "positions"]
    assert [page.id for page in made.by_id["C03"].pages] == ["what-is-attention", "why-divide"]
