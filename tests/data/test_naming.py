"""A data set's subset and part in one string, with a `datasets.load_dataset` that never leaves this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from polyhead.data import Pair, open_source
from polyhead.data.examples import Labelled, Question, Tagged
from polyhead.data.naming import place_of, several
from polyhead.errors import ConfigError, DataError

from .test_sources import documents, put

datasets = pytest.importorskip("datasets")


def texts(name: str, n: int) -> Any:
    return datasets.Dataset.from_dict({"text": [f"{name} {i}" for i in range(n)]})


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> dict[tuple[str, str | None], Any]:
    """(name, subset) → what the Hub holds there; others are not found."""
    held: dict[tuple[str, str | None], Any] = {("owner/name", None): datasets.DatasetDict({"train": texts("train", 10), "validation": texts("dev", 4)})}

    def load_dataset(name: str, subset: str | None = None, **more: Any) -> Any:
        assert not more
        if (name, subset) not in held:
            raise ValueError("Config name is missing.\nPlease pick one among the available configs: ['de', 'fr']")
        return held[name, subset]

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    return held


@pytest.mark.parametrize(
    ("text", "where", "subset", "part"),
    [
        ("owner/name", "owner/name", None, None),
        ("owner/name:de", "owner/name", "de", None),
        ("owner/name[validation]", "owner/name", None, "validation"),
        ("owner/name:de-en.v1[test]", "owner/name", "de-en.v1", "test"),
        ("owner/name[train[90%:]]", "owner/name", None, "train[90%:]"),
        ("owner/name:de[train[:10]+test[5:]]", "owner/name", "de", "train[:10]+test[5:]"),
    ],
)
def test_a_name_its_subset_and_its_part(text: str, where: str, subset: str | None, part: str | None) -> None:
    place = place_of(text)
    assert place == (where, True, subset, part) and place.name == text
    assert place_of(where, subset, part) == place == place_of(text, subset, part)


@pytest.mark.parametrize("text", ["a/b/c[train]", "./owner/name[x]", "name", "owner/rows.jsonl[train]", "C:\\data\\x", "owner/name[]", "owner/name:", "x:y:z", ""])
def test_what_is_no_name_of_the_hub(text: str) -> None:
    assert not place_of(text).hub


def test_a_path_that_exists_is_never_looked_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets, "load_dataset", lambda *_: pytest.fail("looked up"))
    monkeypatch.chdir(tmp_path)
    put(tmp_path / "owner" / "name", "here")
    assert documents(open_source("owner/name")) == ["here"]
    put(tmp_path / "odd" / "name[train]", "there")
    assert documents(open_source("odd/name[train]")) == ["there"]
    for asked in ("owner/name[train]", "owner/name[validation]"):
        with pytest.raises(DataError, match="has no parts"):
            open_source(asked)
    with pytest.raises(DataError, match="does not exist"):
        open_source("owner/name:subset")


def test_parts_and_slices(hub: Any) -> None:
    assert documents(open_source("owner/name")) == [f"train {i}" for i in range(10)]
    assert documents(open_source("owner/name[validation]")) == documents(open_source("owner/name", part="validation")) == [f"dev {i}" for i in range(4)]
    assert documents(open_source("owner/name[train[:90%]]"))[-1] == "train 8"
    assert documents(open_source("owner/name[train[90%:]]")) == ["train 9"]
    assert documents(open_source("owner/name[train[-1:]+validation[:2]]")) == ["train 9", "dev 0", "dev 1"]
    assert documents(open_source(["owner/name[validation[:1]]", "owner/name[train[:1]]"])) == ["dev 0", "train 0"]
    one, other = (open_source(f"owner/name[train[{cut}]]").identity() for cut in (":5", "5:"))
    assert one != other, "a packed corpus of one is not taken for the other's"
    assert open_source("owner/name[validation]").name == "owner/name[validation]"


def test_subsets(hub: Any) -> None:
    hub["owner/name", "de"] = datasets.DatasetDict({"test": texts("de", 2)})
    assert documents(open_source("owner/name:de[test]")) == documents(open_source("owner/name", subset="de", part="test")) == ["de 0", "de 1"]
    with pytest.raises(DataError, match="no part 'train'") as caught:
        open_source("owner/name:de")
    assert "owner/name:de[test]" in str(caught.value)
    with pytest.raises(DataError, match="available configs: .'de', 'fr'."):
        open_source("owner/name:nl")


@pytest.mark.parametrize("part", ["test", "train[x]", "nothing[:5]", "train+test", "train[:200%]"])
def test_the_parts_there_are_stand_in_the_error(hub: Any, part: str) -> None:
    with pytest.raises(DataError, match="has no part") as caught:
        open_source(f"owner/name[{part}]")
    assert "train, validation" in str(caught.value) and "owner/name[train]" in str(caught.value)


def test_what_is_said_twice_must_agree(hub: Any) -> None:
    assert open_source("owner/name[validation]", part="validation").name == "owner/name[validation]"
    with pytest.raises(ConfigError, match="two parts"):
        open_source("owner/name[validation]", part="train")
    with pytest.raises(ConfigError, match="two subsets"):
        open_source("owner/name:de", subset="fr")


def test_folders_that_were_saved(tmp_path: Path) -> None:
    datasets.DatasetDict({"train": texts("train", 10), "validation": texts("dev", 4)}).save_to_disk(str(tmp_path / "both"))
    texts("lone", 4).save_to_disk(str(tmp_path / "lone"))
    assert documents(open_source(f"{tmp_path}/both[validation]")) == [f"dev {i}" for i in range(4)]
    assert documents(open_source(f"{tmp_path}/both[train[8:]]")) == ["train 8", "train 9"]
    assert len(documents(open_source(tmp_path / "both"))) == 10 and len(documents(open_source(tmp_path / "lone"))) == 4
    with pytest.raises(DataError, match="it has none"):
        open_source(f"{tmp_path}/lone[train]")
    with pytest.raises(DataError, match="no subsets"):
        open_source(tmp_path / "both", subset="de")


def test_parts_of_what_has_none_are_refused(tmp_path: Path) -> None:
    path = put(tmp_path / "a.txt", "text")
    for where in (path, tmp_path):
        with pytest.raises(DataError, match="has no parts"):
            open_source(where, part="test")
    np.savez(tmp_path / "d.npz", images=np.zeros((4, 2, 2), np.uint8), labels=np.arange(4))
    assert open_source(tmp_path / "d.npz").kind == "images"
    with pytest.raises(DataError, match="no part 'test'"):
        open_source(f"{tmp_path}/d.npz[test]")


def test_a_program_is_read_as_the_hubs_own_conversion(monkeypatch: pytest.MonkeyPatch) -> None:
    def load_dataset(name: str, subset: str | None = None, *, revision: str | None = None, data_dir: str | None = None) -> Any:
        if revision is None:
            raise RuntimeError("Dataset scripts are no longer supported, but found name.py")
        assert revision == "refs/convert/parquet" and subset is None
        return datasets.DatasetDict({"train": texts(str(data_dir), 1)})

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    source = open_source("owner/name:de")
    assert documents(source) == ["de 0"] and "is a program" in source.notes[0]


def test_names_with_commas() -> None:
    assert several("a.de,a.en") == ["a.de", "a.en"] and several("train.{de,en}") == "train.{de,en}" and several("a") == "a"
    assert several("owner/name[train],{a,b}/c") == ["owner/name[train]", "{a,b}/c"]


# -- what the Hub's features hold -------------------------------------------------------------------------------------


def features_of(hub: Any, rows: dict[str, list[Any]], **features: Any) -> None:
    hub["owner/set", None] = datasets.DatasetDict({"train": datasets.Dataset.from_dict(rows, features=datasets.Features(features))})


@pytest.mark.parametrize("column", ["ner_tags", "upos"])
def test_words_with_numbered_tags(hub: Any, column: str) -> None:
    names = ["O", "B-person", "I-person"] if column == "ner_tags" else ["NOUN", "PUNCT", "ADP"]
    tags = datasets.Sequence(datasets.ClassLabel(names=names))
    text = datasets.Value("string")
    features_of(
        hub, {"id": ["0"], "text": ["Anna Po."], "tokens": [["Anna", "Po", "."]], column: [[1, 2, 0]], "xpos": [["X", "Y", "Z"]]},
        id=text, text=text, tokens=datasets.Sequence(text), xpos=datasets.Sequence(text), **{column: tags},
    )  # fmt: skip
    source = open_source("owner/set")
    assert source.kind == "tagged" and list(source.examples()) == [Tagged(("Anna", "Po", "."), tuple(names[i] for i in (1, 2, 0)))]


def test_questions(hub: Any) -> None:
    text = datasets.Value("string")
    answers = datasets.Sequence({"text": text, "answer_start": datasets.Value("int32")})
    rows = {"id": ["a", "b"], "title": ["T"] * 2, "context": ["Anna lit it."] * 2, "question": ["Who?", "When?"],
            "answers": [{"text": ["Anna"], "answer_start": [0]}, {"text": [], "answer_start": []}]}  # fmt: skip
    features_of(hub, rows, id=text, title=text, context=text, question=text, answers=answers)
    assert list(open_source("owner/set").examples()) == [
        Question("a", "Anna lit it.", "Who?", (("Anna", 0),)), Question("b", "Anna lit it.", "When?", ()),
    ]  # fmt: skip


def test_pictures_with_numbered_classes(hub: Any) -> None:
    image = pytest.importorskip("PIL.Image").fromarray(np.full((3, 5), 7, np.uint8))
    features_of(hub, {"image": [image] * 2, "label": [1, 0]}, image=datasets.Image(), label=datasets.ClassLabel(names=["cat", "dog"]))
    source = open_source("owner/set")
    found = list(source.examples())
    assert source.kind == "images" and [one.label for one in found] == ["dog", "cat"] and found[0].image.shape == (3, 5)


def test_numbered_classes_of_texts(hub: Any) -> None:
    features_of(hub, {"text": ["x", "y"], "coarse_label": [1, 0], "fine_label": [0, 1]}, text=datasets.Value("string"),
                coarse_label=datasets.ClassLabel(names=["ABBR", "ENTY"]), fine_label=datasets.ClassLabel(names=["ABBR:abb", "ENTY:animal"]))  # fmt: skip
    assert list(open_source("owner/set").examples())[0] == Labelled("x", None, "ENTY")
    assert list(open_source("owner/set", columns=("text", "fine_label")).examples())[1] == Labelled("y", None, "ENTY:animal")


def test_translations(hub: Any) -> None:
    languages = {"de": datasets.Value("string"), "en": datasets.Value("string")}
    features_of(hub, {"translation": [{"de": "ja", "en": "yes"}]}, translation=languages)
    assert list(open_source("owner/set", columns=("translation.de", "translation.en")).pairs()) == [Pair("ja", "yes")]
    assert list(open_source("owner/set", columns=("translation.en", "translation.de")).pairs()) == [Pair("yes", "ja")]
