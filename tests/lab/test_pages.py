"""The book's pages: every question of the notes has one, and every page is whole."""

import re

import pytest
from matplotlib.mathtext import MathTextParser

from polyhead.errors import ConfigError
from polyhead.lab.pages import TOPICS, Page, read_pages, sentences

from .questions import QUESTIONS, WRONG

PAGES = read_pages()
CLAIMS = {f"C{number:02}" for number in range(1, 80)}


def test_every_question_of_the_notes_has_a_page():
    answered = {place for page in PAGES for place in page.asked}
    assert not answered - set(QUESTIONS), "places that no set of notes has"
    assert not set(QUESTIONS) - answered


def test_everything_wrong_in_the_notes_is_said_to_be():
    said = {place for page in PAGES for wrong in page.wrong for place in wrong.places}
    assert not set(WRONG) - said
    assert not {place for place in said if not re.fullmatch(r"00[0-4]( [§Q]\d+| recap|:\d+)", place)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.id)
def test_page(page: Page):
    assert set(page.claims) <= CLAIMS
    assert page.question[0].isupper() and page.question.endswith(("?", "."))
    if page.formula:
        MathTextParser("path").parse(f"${page.formula}$")
    for depth in (page.answer, page.basic, page.intermediate, page.advanced):
        assert "#" not in depth and "](" not in depth and "$" not in depth, "only **bold**, *emphasis*, `code` and lists"
        assert depth.count("**") % 2 == 0 and depth.count("`") % 2 == 0
        for paragraph in re.split(r"\n\s*\n", depth):
            of_list = [bool(re.match(r"(?:[-+*]|\d+\.)\s|  ", line)) for line in paragraph.split("\n")]
            assert all(of_list) or not any(of_list), "a list is a paragraph of its own"
    assert len(page.answer.split()) < 110, "too long to be spoken"


def test_every_topic_has_pages_and_no_question_two():
    assert {page.topic for page in PAGES} == set(TOPICS)
    questions = [page.question for page in PAGES]
    assert len(set(questions)) == len(questions)


def test_sentences_are_counted_as_they_are_spoken():
    assert sentences("Press et al. 2022 say 1.5, i.e. more. Is it? “Yes.”") == 3
    assert sentences("Q, K and V come from x. √d_k is the scale, e.g. 8 at d_k = 64.") == 2


PAGE = {"question": "Why?", "asked": ["001 Q1"], "answer": "So.", "basic": "a", "intermediate": "b", "advanced": "c"}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("- id: [", "not YAML"),
        ("id: one", "a list of pages"),
        ("- one", "entry 1"),
        (f"- {PAGE | {'id': 'one'}}\n- {PAGE | {'id': 'two', 'answer': 'A. B. C. D. E.'}}", r"entry 2 \(two\).*5 sentences"),
        (f"- {PAGE | {'id': 'one', 'basic': ''}}", r"heads.yaml, entry 1 \(one\).*basic"),
        (f"- {PAGE | {'id': 'one', 'answr': ''}}", "answr"),
        (f"- {PAGE | {'id': 'one', 'asked': [244]}}", "asked.0"),
        (f"- {PAGE | {'id': 'one'}}\n- {PAGE | {'id': 'one'}}", "two pages have one id"),
    ],
)
def test_what_is_no_page_is_refused_by_file_and_entry(tmp_path, text, named):
    (tmp_path / "heads.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        read_pages(tmp_path)
    assert re.search(named, str(caught.value).replace("\n", " "))


def test_a_page_takes_its_topic_from_its_file(tmp_path):
    (tmp_path / "residuals-and-norms.yaml").write_text(f"- {PAGE | {'id': 'one'}}", encoding="utf-8")
    assert [page.topic for page in read_pages(tmp_path)] == ["residuals and norms"]
