"""The review: every question with its answer is in it, and its contents and bookmarks lead to where the question is."""

from __future__ import annotations

import io
import re

import pytest
from pypdf import PdfReader

from polyhead.lab.book.gather import gather
from polyhead.lab.book.pdf import _brief, minutes, pdf
from polyhead.lab.results import SHIPPED

from .booked import PAGES, book, small


@pytest.fixture(scope="module")
def made() -> bytes:
    return pdf(book())


@pytest.fixture(scope="module")
def texts(made) -> list[str]:
    return [re.sub(r"\s+", " ", page.extract_text()) for page in PdfReader(io.BytesIO(made)).pages]


def test_questions_answers_and_verdicts_are_in_it(texts):
    whole = " ".join(texts)
    for page in PAGES:
        assert page.question in whole
    for words in ("They fail by a quarter more length.", "<script>alert('x')</script>", "✕ C01 wrong as stated: The loss is 1.4", "✕ wrong as stated", "See also ✓ C03", "Wrong in 004:128:", "Its mean is 0.", "“Sinusoidal encodings"):
        assert words in whole, words


def test_contents_and_bookmarks_know_the_page(made, texts):
    reader = PdfReader(io.BytesIO(made))
    marks = {mark.title: reader.get_destination_page_number(mark) for chapter in reader.outline if isinstance(chapter, list) for mark in chapter}
    assert set(marks) == {page.question for page in PAGES}
    for page in PAGES:
        assert page.question in texts[marks[page.question]]
        assert re.search(rf"{re.escape(page.question)} {marks[page.question] + 1}\b", texts[1]), "the contents' number"


def test_pages_are_numbered(texts):
    assert all(f"polyhead lab · {number}" in said for number, said in enumerate(texts, start=1))


def test_figures_and_formulas_are_drawn(made):
    reader = PdfReader(io.BytesIO(made))
    assert sum(len(page.images) for page in reader.pages) == 3
    assert sum(page.get_contents().get_data().count(b" c\n") + page.get_contents().get_data().count(b" c ") for page in reader.pages) > 50, "curves of glyphs"


def test_the_same_book_is_the_same_bytes():
    assert pdf(small()) == pdf(small())


def test_the_review_of_the_real_book_takes_half_an_hour_to_an_hour():
    assert 30 <= minutes(gather(SHIPPED)) <= 60


def test_the_review_says_the_first_sentences_of_a_reason():
    long = "of words that go on " * 9
    assert _brief("At 0.5 nats it ends. So it does. Then more.") == "At 0.5 nats it ends. So it does. Then more."
    assert _brief(f"First, {long}so. Second, {long}so.") == f"First, {long}so."
    assert _brief("One alone") == "One alone"
