"""Rows with labels: which shapes are recognised, and what the labels become."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from polyhead.data import ExampleFile, open_source, pack
from polyhead.data.examples import Labelled
from polyhead.errors import ConfigError, DataError
from polyhead.text import Tokenizer
from tests.parity.data import reference_data


def rows(path: Path, *given: dict) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in given))
    return path


def put(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def read(path: Path, **options) -> list[Labelled]:
    source = open_source(path, **options)
    assert source.kind == "labelled"
    return list(source.examples())


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"text": "a", "label": "x"}, Labelled("a", None, "x")),
        ({"id": 7, "text": "a", "label": 3}, Labelled("a", None, "3")),
        ({"text": "a", "label": True}, Labelled("a", None, "true")),
        ({"sentence": "a", "Sentiment": " good "}, Labelled("a", None, "good")),
        ({"text": "a", "labels": ["x", "y", "x"]}, Labelled("a", None, ("x", "y"))),
        ({"text": "a", "labels": []}, Labelled("a", None, ())),
        ({"text": "a", "labels": [3, 1]}, Labelled("a", None, ("3", "1"))),
        ({"premise": "a", "hypothesis": "b", "label": 2, "idx": 0}, Labelled("a", "b", "2")),
        ({"question1": "a", "question2": "b", "label": 0}, Labelled("a", "b", "0")),
        ({"Sentence 1": "a", "Sentence-2": "b", "score": 3.8}, Labelled("a", "b", 3.8)),
        ({"qid1": "1", "question1": "a", "question2": "b", "is_duplicate": "0"}, Labelled("a", "b", "0")),
        ({"text": "a", "stars": 4}, Labelled("a", None, "4")),
        ({"text": "a", "target": "x"}, Labelled("a", None, "x")),
        ({"label": "x", "title": "A", "description": "b"}, Labelled("A b", None, "x")),
        ({"utterance": "a", "intent": "book", "fine": "x"}, Labelled("a", None, "book")),
        ({"post": "a long one", "label": "x"}, Labelled("a long one", None, "x")),
    ],
)
def test_shapes_of_rows(tmp_path, row, expected) -> None:
    assert read(rows(tmp_path / "a.jsonl", row)) == [expected]


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ({"text": "a", "score": 0.3, "url": "u"}, "text"),  # a web page and what a filter thought of it
        ({"source": "a", "target": "b", "label": "x"}, "pairs"),
        ({"prompt": "a", "completion": "b", "label": True}, "pairs"),
        ({"text": "a", "n": 3}, "text"),
        ({"Source": "[MAX 1 2 ]", "Target": "2"}, "pairs"),
    ],
)
def test_rows_that_are_something_else(tmp_path, row, kind) -> None:
    path = rows(tmp_path / "a.jsonl", row)
    assert open_source(path).kind == kind
    assert open_source(path, kind="labelled").kind == "labelled" or row.get("score")


def test_columns_name_what_is_meant(tmp_path) -> None:
    path = rows(tmp_path / "a.jsonl", *({"a": f"text {i}", "b": "second", "c": i % 2, "d": "note"} for i in range(20)))
    with pytest.raises(DataError, match="which columns"):
        open_source(path)
    assert read(path, columns=("a", "c"))[1] == Labelled("text 1", None, "1")
    assert read(path, columns=("a", "b", "c"))[1] == Labelled("text 1", "second", "1")
    assert read(path, columns=("a+d", "c"))[1] == Labelled("text 1 note", None, "1")
    assert open_source(path, columns=("a", "b"), kind="pairs").kind == "pairs"
    assert read(path, columns=("a", "d"), kind="labelled")[0] == Labelled("text 0", None, "note")
    with pytest.raises(DataError, match="which columns"):
        open_source(path, columns=("a", "z"), kind="labelled")


def test_a_table_of_texts_and_few_labels_needs_no_names(tmp_path) -> None:
    lines = [f"message number {i}!\t{'spam' if i % 3 else 'ham'}\n" for i in range(30)]
    assert read(put(tmp_path / "a.tsv", "".join(lines)))[0] == Labelled("message number 0!", None, "ham")
    turned = "".join("\t".join(reversed(line.strip().split("\t"))) + "\n" for line in lines)
    assert read(put(tmp_path / "b.tsv", turned))[1] == Labelled("message number 1!", None, "spam")
    few = "".join(lines[:5])
    assert open_source(put(tmp_path / "c.tsv", few)).kind == "pairs"  # too few rows to tell
    words = "".join(f"wort {i}\tword {i}\n" for i in range(30))
    assert open_source(put(tmp_path / "d.tsv", words)).kind == "pairs"


def test_numbers_are_told_from_classes_by_their_fractions(tmp_path) -> None:
    table = "score,sentence1,sentence2\n5.000,a b,c d\n3.800,a b,c d\n4,a b,c d\nmany,a b,c d\n"
    source = open_source(put(tmp_path / "a.csv", table), max_bad=0.5)
    assert [one.label for one in source.examples()] == [5.0, 3.8, 4.0]
    assert any("'score' is no number: 'many'" in note for note in source.notes)
    whole = rows(tmp_path / "b.jsonl", {"text": "a", "label": 1.0}, {"text": "b", "label": 0.0})
    assert [one.label for one in read(whole)] == ["1", "0"]  # classes that passed through a data frame
    mixed = rows(tmp_path / "c.jsonl", {"text": "a", "label": 5}, {"text": "b", "label": 3.5})
    assert [one.label for one in read(mixed)] == [5.0, 3.5]


def test_a_folder_keeps_the_sort_of_its_first_file(tmp_path) -> None:
    rows(tmp_path / "1.jsonl", {"text": "a", "label": 0.5})
    rows(tmp_path / "2.jsonl", {"text": "b", "label": 1})
    assert [one.label for one in open_source(tmp_path).examples()] == [0.5, 1.0]


def test_broken_rows_are_counted(tmp_path) -> None:
    good = {"text": "a", "label": "x"}
    bad = [{"text": "a"}, {"text": "", "label": "x"}, {"text": "a", "label": ""}, {"text": "a", "label": None}]
    bad += [{"text": "a", "label": 0.5}, {"text": 3, "label": "x"}, {"text": "\ud800", "label": "x"}]
    source = open_source(rows(tmp_path / "a.jsonl", good, good, good, *bad), max_bad=0.9)
    assert len(list(source.examples())) == 4 - 1 and source.survey().documents == 3
    assert any(note.startswith("7 of 10 rows are broken") for note in source.notes), source.notes
    with pytest.raises(DataError, match="7 of 10 rows are broken"):
        open_source(tmp_path / "a.jsonl").survey()


def test_held_out_rows_are_whole_and_on_one_side(tmp_path) -> None:
    path = rows(tmp_path / "a.jsonl", *({"text": f"t{i}", "label": str(i % 2)} for i in range(50)))
    source = open_source(path)
    train, held = source.holdout(0.2, seed=1)
    parts = [[one.text for one in part.examples()] for part in (train, held)]
    assert sorted(parts[0] + parts[1]) == sorted(one.text for one in source.examples()) and min(map(len, parts)) > 3
    assert any("labelled texts are held out" in note for note in held.notes)
    assert set(train.texts()) == set(parts[0])  # a tokenizer sees texts, and no labels
    with pytest.raises(DataError, match="too small to hold out"):
        list(open_source(rows(tmp_path / "b.jsonl", {"text": "a", "label": "x"})).holdout()[0].examples())


def test_their_texts_alone(tmp_path) -> None:
    path = rows(tmp_path / "a.jsonl", *({"sentence1": "a", "sentence2": f"b{i}", "label": i} for i in range(3)))
    assert [piece.text for piece in open_source(path, kind="text").pieces()] == ["a", "b0", "b1", "b2"]


def test_names_of_classes_come_from_the_data_set(tmp_path) -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({
        "text": datasets.Value("string"), "label": datasets.ClassLabel(names=["neg", "pos"]),
    })  # fmt: skip
    made = datasets.Dataset.from_dict({"text": ["a", "b", "c"], "label": [1, 0, -1]}, features=features)
    made.save_to_disk(str(tmp_path / "set"))
    source = open_source(tmp_path / "set", max_bad=0.5)
    assert [one.label for one in source.examples()] == ["pos", "neg"]
    assert any("'label' is missing" in note for note in source.notes)


@pytest.mark.parametrize(
    ("name", "count", "classes"),
    [
        ("sst2/dev", 872, 2),
        ("trec/train", 5452, 6),
        ("stsb/dev", 1500, None),
        ("ag_news/dev", 400, 4),
        ("subj/dev", 1000, 2),
    ],
)
def test_real_files(name, count, classes) -> None:
    folder, _, stem = name.partition("/")
    source = open_source(reference_data(folder) / f"{stem}.tsv.gz")
    labels = [one.label for one in source.examples()]
    assert source.kind == "labelled" and len(labels) == count
    assert all(isinstance(label, float) for label in labels) if classes is None else len(set(labels)) == classes


def test_whole_numbers_are_classes_unless_they_are_said_to_be_scores(tmp_path: Path) -> None:
    path = rows(tmp_path / "a.jsonl", *({"text": f"text {i}", "stars": 1 + i % 5} for i in range(20)))
    plain, scores, classes = (open_source(path, labels=labels) for labels in (None, "numbers", "classes"))
    found = [[one.label for one in source.examples()][:3] for source in (plain, scores, classes)]
    assert found == [["1", "2", "3"], [1.0, 2.0, 3.0], ["1", "2", "3"]]
    assert "data.labels=numbers if it is a score" in plain.notes[0] and "(a number)" in scores.notes[0] and "(a class)" in classes.notes[0]
    assert plain.identity() != scores.identity() != classes.identity()
    few = rows(tmp_path / "b.jsonl", *({"text": f"text {i}", "label": i % 2} for i in range(20)))
    assert "(a class)" in open_source(few).notes[0], "yes and no are no scores"
    with pytest.raises(ConfigError, match="labels"):
        open_source(path, labels="stars")


def test_fractions_in_a_table_can_be_classes(tmp_path: Path) -> None:
    path = put(tmp_path / "a.csv", "text,label\n" + "".join(f"text {i},{i % 4 / 2}\n" for i in range(20)))
    assert [one.label for one in open_source(path).examples()][1] == 0.5
    assert [one.label for one in open_source(path, labels="classes").examples()][1] == "0.5"


BYTES = Tokenizer.train(["a"], "bytes")


def table(folder: Path, labels: list[str]) -> Path:
    rows = [json.dumps({"text": f"text number {i}", "label": label}) for i, label in enumerate(labels)]
    (folder / "a.jsonl").write_text("\n".join(rows))
    return folder / "a.jsonl"


@pytest.mark.parametrize("share", [0.05, 0.3, 0.9])
def test_a_drawn_part_never_holds_a_classes_only_examples(tmp_path: Path, share: float) -> None:
    labels = ["a", "b"] * 30 + ["only", "twice", "twice"] + [f"rare {i}" for i in range(9)]
    source = open_source(table(tmp_path, labels))
    moved = 0
    for seed in range(8):
        train, held = source.holdout(share, seed)
        inside, outside = [[one.label for one in part.examples()] for part in (train, held)]
        assert sorted(inside + outside) == sorted(labels) and set(outside) <= set(inside) == set(labels) and outside
        assert held.notes[-1].startswith(f"{len(outside)} of {len(labels)}")
        notes = [note for note in held.notes if "stay in the training part" in note]
        moved += len(notes)
        assert not notes or "no example of" in notes[-1]
    assert moved, "the example must be one"


def test_where_no_class_can_spare_one_nothing_is_held_out(tmp_path: Path) -> None:
    source = open_source(table(tmp_path, [f"class {i}" for i in range(12)]), kind="labelled")
    with pytest.raises(DataError, match="every class would lose its only example") as caught:
        list(source.holdout(0.2)[0].examples())
    assert "data.validation" in str(caught.value.change)
    one_twice = open_source(table(tmp_path, [f"class {i}" for i in range(12)] + ["class 3"]), kind="labelled")
    for seed in range(5):
        train, held = one_twice.holdout(0.05, seed)
        assert [one.label for one in held.examples()] == ["class 3"] and len(list(train.examples())) == 12


def test_the_last_part_with_a_class_of_its_own_says_so_and_what_to_do(tmp_path: Path) -> None:
    source = open_source(table(tmp_path, ["a", "b"] * 20 + ["late"]))
    train, held = source.holdout(0.05, last=True)
    packed = pack(train, BYTES, tmp_path / "a")
    assert isinstance(packed, ExampleFile)
    with pytest.raises(DataError, match="of the held-out part has the label 'late', which the training part does not have") as caught:
        pack(held, BYTES, tmp_path / "b", labels=packed.facts["labels"])
    assert "data.held=drawn" in str(caught.value.change)
