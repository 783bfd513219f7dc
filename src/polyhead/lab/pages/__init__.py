"""The book's pages: one for every question that the notes ask, as data in one YAML file per topic beside this one.

A page's texts are plain paragraphs with **bold**, *emphasis*, `code` and lists, mathematics in Unicode; its formula is
LaTeX of the part that matplotlib draws. No page states a number that the lab measured: those stand beside it, from the claims it names.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, get_args

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from ...errors import ConfigError
from ..claim import Topic

TOPICS: tuple[str, ...] = get_args(Topic)
FOLDER = Path(__file__).parent
_END = re.compile(r"[.!?][”\")]*(?=\s+[^\sa-z]|\s*\Z)")  # of a sentence: what follows does not begin with a small letter
_SHORT = re.compile(r"\b(?:al|cf|vs|Eq|Fig|Sec|approx|resp)\.|\b(?:e\.g|i\.e)\.")

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


def sentences(text: str) -> int:
    """How many sentences a text has: "al.", "e.g." and the like end none, nor does a point inside a number."""
    return len(_END.findall(_SHORT.sub("", text)))


def _speakable(text: str) -> str:
    if sentences(text) > 4:
        raise ValueError(f"{sentences(text)} sentences, where an answer has at most 4")
    return text


class Wrong(BaseModel):
    """What the notes, or many people, say that is not so. where: places of the notes, a comma between; may be empty."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    said: Text
    where: str = ""
    why: Text

    @property
    def places(self) -> tuple[str, ...]:
        return tuple(place.strip() for place in self.where.split(",") if place.strip())


class Page(BaseModel):
    """A question and its answers. asked: the places of the notes that ask it. claims: what is measured about it.

    answer is short enough to be spoken; basic, intermediate and advanced go deeper, one after the other.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    id: Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
    topic: Topic
    question: Text
    asked: Annotated[tuple[str, ...], Field(min_length=1)]
    formula: str = ""
    answer: Annotated[Text, AfterValidator(_speakable)]
    basic: Text
    intermediate: Text
    advanced: Text
    claims: tuple[Annotated[str, StringConstraints(pattern=r"^C\d\d$")], ...] = ()
    wrong: tuple[Wrong, ...] = ()


def read_pages(folder: Path = FOLDER) -> tuple[Page, ...]:
    """All pages, topic by topic in the topics' order. ConfigError names the file and the entry that is not a page."""
    pages: list[Page] = []
    for topic in TOPICS:
        file = folder / f"{topic.replace(' ', '-')}.yaml"
        if file.exists():
            pages += _read(file, topic)
    names = [page.id for page in pages]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(
            "two pages have one id", expected="each page its own", received=", ".join(twice), change="rename one of them"
        )
    return tuple(pages)


def _read(file: Path, topic: str) -> list[Page]:
    try:
        entries: Any = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file.name} is not YAML", received=str(error), change="mend the file") from None
    if not isinstance(entries, list):
        raise ConfigError(
            f"{file.name} is not a list of pages", expected="- id: …", received=type(entries).__name__, change="see the others"
        )
    return [_page(entry, f"{file.name}, entry {number}", topic) for number, entry in enumerate(entries, start=1)]


def _page(entry: Any, where: str, topic: str) -> Page:
    if not isinstance(entry, dict):
        raise ConfigError(f"{where} is not a page", expected="id, question, asked, answer, …", received=repr(entry))
    where += f" ({entry['id']})" if entry.get("id") else ""
    try:
        return Page.model_validate({**entry, "topic": topic})
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()]
        raise ConfigError(f"{where} is not a page", received="; ".join(faults), change="mend the entry") from None
