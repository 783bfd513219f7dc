"""The Markdown book: its links lead somewhere, it says when it is stale, and the committed pages are what is written now."""

from __future__ import annotations

import re

import pytest

from polyhead.lab.book import markdown
from polyhead.lab.book.__main__ import DOCS
from polyhead.lab.book.gather import gather
from polyhead.lab.results import SHIPPED

from .booked import CLAIMS, PAGES, book, small


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("docs") / "lab"
    markdown.write_markdown(book(), folder)
    return folder


def test_a_page_per_claim_and_topic(written):
    names = {path.name for path in written.glob("*.md")}
    assert names == {"README.md", *(f"{c.id.lower()}.md" for c in CLAIMS), "questions-attention.md", "questions-positions.md"}
    assert {path.name for path in written.glob("figures/*")} == {f"{id}-{page}.svg" for id in ("c01", "c02", "c03") for page in ("light", "dark")}


def test_links_and_figures_lead_somewhere(written):
    for path in written.glob("*.md"):
        text = path.read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#]*)(?:#[^)]*)?\)|(?:src|srcset)=\"([^\"]*)\"", text):
            file = "".join(target)
            assert not file or (written / file).exists(), f"{path.name}: {file}"
        for file, anchor in re.findall(r"\]\(([^)#]*)#([^)]*)\)", text):
            assert f'<a id="{anchor}"></a>' in (written / (file or path.name)).read_text(encoding="utf-8")


def test_hostile_text_is_text(written):
    for path in written.glob("*.md"):
        assert "<script" not in path.read_text(encoding="utf-8")
    assert "<script" not in (written / "figures" / "c02-light.svg").read_text(encoding="utf-8")


def test_what_stands_there(written):
    index = (written / "README.md").read_text(encoding="utf-8")
    assert "✕ wrong as stated: 1" in index and "“Sinusoidal encodings extrapolate to longer sequences.” ([C01](c01.md))" in index
    questions = (written / "questions-attention.md").read_text(encoding="utf-8")
    assert all(f"## {page.question}" in questions for page in PAGES[:2])
    assert "$$\n\\mathrm{softmax}" in questions and 'srcset="figures/c03-dark.svg"' in questions and "[C03](c03.md) and C99" in questions
    claim = (written / "c01.md").read_text(encoding="utf-8")
    assert "| sinusoidal | 1.4" in claim and "polyhead lab run C01" in claim and "Code: [tests/lab/booked.py](" in claim


def test_it_is_known_when_pages_are_stale(tmp_path):
    now = small()
    markdown.write_markdown(now, tmp_path)
    assert markdown.stale(now, tmp_path) == []
    (tmp_path / "mine.md").write_text("somebody else's", encoding="utf-8")
    for name, of in (("c09.md", "c02.md"), ("figures/c09-dark.svg", "figures/c02-dark.svg")):  # of a claim that is no more
        (tmp_path / name).write_bytes((tmp_path / of).read_bytes())
    assert markdown.stale(now, tmp_path) == ["c09.md", "c09-dark.svg"]
    figure = tmp_path / "figures" / "c02-light.svg"
    before = figure.stat().st_mtime_ns
    markdown.write_markdown(now, tmp_path)
    assert markdown.stale(now, tmp_path) == [] and figure.stat().st_mtime_ns == before, "drawn from the same numbers"
    assert (tmp_path / "mine.md").exists() and not (tmp_path / "c09.md").exists()
    now.by_id["C02"].finding.table.arms["only"][0]["loss"] += 1
    assert markdown.stale(now, tmp_path) == ["c02.md", "c02-light.svg", "c02-dark.svg"]


def test_the_committed_pages_are_what_is_written_now():
    """After another result, rule, wording or figure: python -m polyhead.lab.book."""
    assert markdown.stale(gather(SHIPPED), DOCS) == []


def test_every_claim_leads_to_its_own_file():
    """Also where `measure` is wrapped (torch.no_grad): not to the file of the wrapper, which is where torch is installed."""
    for told in gather(SHIPPED).by_id.values():
        assert told.shown_file.startswith("src/polyhead/lab/claims/"), told.claim.id
