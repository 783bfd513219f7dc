"""The HTML book: one file that fetches nothing, in which every claim and question stands, and nothing a text says becomes a tag."""

from __future__ import annotations

import re
from collections import Counter
from html.parser import HTMLParser

import pytest

from polyhead.lab.book import svg
from polyhead.lab.book.html import html

from .booked import CLAIMS, HOSTILE, PAGES, book, small


class Tags(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture(scope="module")
def page() -> str:
    return html(book())


@pytest.fixture(scope="module")
def tags(page) -> Tags:
    return Tags(page)


def test_it_fetches_nothing(page, tags):
    for tag, attributes in tags.found:
        assert tag not in ("link", "iframe", "object", "embed", "base"), tag
        for name in ("src", "href", "xlink:href", "srcset", "action", "data"):
            value = attributes.get(name)
            assert value is None or value.startswith("#") or value.startswith("data:image/png;base64,"), f"{tag} {name}={value}"
    assert "@import" not in page and not re.search(r"url\((?!#)", page) and "fetch(" not in page


def test_every_claim_and_question_has_its_article(tags):
    articles = {a["id"]: a["data-title"] for tag, a in tags.found if tag == "article"}
    assert articles == {c.id: c.title for c in CLAIMS} | {p.id: p.question for p in PAGES}


def test_names_are_given_once_and_every_link_leads_somewhere(tags):
    names = Counter(a["id"] for _, a in tags.found if "id" in a)
    assert not {name for name, count in names.items() if count > 1}
    assert not {a["href"][1:] for _, a in tags.found if (a.get("href") or "").startswith("#")} - set(names)
    assert "a" in {tag for tag, a in tags.found if a.get("href") == "#C03"}, "a text that names a claim links to it"


def test_hostile_text_is_shown_and_not_run(page, tags):
    assert [tag for tag, _ in tags.found].count("script") == 1
    assert "<script>alert" not in page
    assert HOSTILE.split(" &")[0] in "".join(tags.words)
    assert not {name for _, a in tags.found for name in a if name.startswith("on")}


def test_the_same_book_is_the_same_bytes():
    assert html(small()) == html(small())


def test_a_claim_shows_verdict_reason_rule_numbers_and_code(page):
    article = page[page.index('<article id="C01"') :]
    article = article[: article.index("</article>")]
    for words in ("wrong as stated", "other seeds: the same", "The loss is 1.4", "rises by more than 0.5 nats", "nats per character", "Means over 3 seeds",
                  "Small models.", "polyhead lab run C01", "torch 2.13.0", "1 min 5 s", "tests/lab/booked.py", "002 Q11", 'href="#do-sinusoids-extrapolate"'):  # fmt: skip
        assert words in article, words
    assert len(re.findall(r"<td>1\.4\d* · 1\.\d+ · 1\.\d+<", article)) == 2, "every seed of both arms"


def test_a_question_shows_answer_depths_figure_and_what_is_wrong(page):
    article = page[page.index('<article id="what-is-attention"') :]
    article = article[: article.index("</article>")]
    for words in ("A weighted mean", 'class="tex"', "<summary>Basic", "<summary>Intermediate", "<summary>Advanced", '<use href="#fig-C03"', "E[QKᵀ] grows", "Its mean is 0."):
        assert words in article, words
    assert article.count("<use href=\"#fig-") == 1, "the first figure; the others are a link away"


def test_a_claim_that_was_not_run_says_so(page):
    assert "This claim has not been run" in page and '<use href="#fig-C04"' not in page


def test_wrong_as_stated_is_named_and_the_verdicts_counted(page):
    listed = page[page.index('id="wrong"') : page.index('id="asked"')]
    assert "Sinusoidal encodings extrapolate" in listed and listed.count("<li>") == 1
    assert page.count("<tr data-verdict=") == len(CLAIMS)


def test_both_palettes_have_every_colour(page):
    used = set(re.findall(r"var\((--[0-9a-f]{6}-[0-9a-f]{6})\)", page))
    assert used
    for block in (r"^:root \{([^}]*)\}", r"^  :root \{([^}]*)\}", r':root\[data-theme="light"\] \{([^}]*)\}', r':root\[data-theme="dark"\] \{([^}]*)\}'):
        declared = "".join(re.findall(block, page, re.M))
        assert all(f"{name}:" in declared for name in (*used, "--back", "--holds")), block


def drawing(colour: str, image: str = "AA") -> str:
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 10 20"><metadata>m</metadata>'
        f'<g id="axes_1"><g id="line"><path d="M 1.23456 2.0 \nL 3.1 4.123456 \n" clip-path="url(#clip9)" style="fill: none; stroke: {colour}"/></g></g>'
        f'<defs><clipPath id="clip9"><rect x="1.00001" y="0" width="5" height="5"/></clipPath></defs><image xlink:href="data:image/png;base64,{image}"/></svg>'
    )


def test_a_figure_is_one_drawing_of_two_palettes():
    made = svg.pair(drawing("#112233"), drawing("#aabbcc"), "C01")
    assert made.colours == (("#112233", "#aabbcc"),) and made.size == (10, 20)
    assert made.body.count("<path") == 1 and "stroke:var(--112233-aabbcc)" in made.body and 'd="M1.23 2L3.1 4.12"' in made.body
    assert 'clip-path="url(#C01-0)"' in made.body and 'id="C01-0"' in made.body and "axes_1" not in made.body and "metadata" not in made.body


def test_a_figure_that_differs_in_more_than_colours_is_there_twice():
    made = svg.pair(drawing("#112233"), drawing("#aabbcc", "BB"), "C01")
    assert made.body.count("<path") == 2 and not made.colours
    assert 'display:var(--on-dark)' in made.body and 'url(#C01-dark-0)' in made.body and made.body.count('id="C01-0"') == 1


def test_a_figures_file_keeps_its_size_and_has_a_title():
    made = svg.trim(drawing("#112233").replace("viewBox", 'width="10pt" height="20pt" viewBox'), "a <title>")
    assert made.startswith('<svg xmlns="http://www.w3.org/2000/svg" width="10pt" height="20pt" viewBox="0 0 10 20" role="img"')
    assert "<title>a &lt;title&gt;</title>" in made and "#112233" in made and "metadata" not in made
