"""SQuAD files and rows of questions: answers stand where they are said to stand, or the row is broken."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from polyhead.data import open_source
from polyhead.data.examples import Question
from polyhead.errors import DataError
from tests.parity.data import reference_data

TEXT = "Zoë lives in  New\nYork. She is 30."


def squad(*qas: object, context: object = TEXT) -> dict:
    return {"version": "v2.0", "data": [{"title": "T", "paragraphs": [{"qas": list(qas), "context": context}]}]}


def qa(text: str = "Zoë", start: object = 0, **more: object) -> dict:
    return {"id": "1", "question": "Who?", "answers": [{"text": text, "answer_start": start}], **more}


def put(path: Path, value: object) -> Path:
    text = value if isinstance(value, str) else json.dumps(value)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def read(path: Path, **options) -> list[Question]:
    source = open_source(path, **options)
    assert source.kind == "questions"
    return list(source.examples())


@pytest.mark.parametrize("name", ["a.json", "a.json.gz"])
@pytest.mark.parametrize("indent", [None, 2])
def test_squad(tmp_path, name, indent) -> None:
    impossible = {"id": "2", "question": "Why?", "answers": [], "is_impossible": True, "plausible_answers": [{"x": 1}]}
    path = put(tmp_path / name, json.dumps(squad(qa(), impossible), indent=indent))
    assert read(path) == [Question("1", TEXT, "Who?", (("Zoë", 0),)), Question("2", TEXT, "Why?", ())]


def test_what_cannot_be_answered_has_no_answer_whatever_is_listed(tmp_path) -> None:
    assert [
        one.answers for one in read(put(tmp_path / "a.json", squad(qa(is_impossible=True), qa(is_impossible=False))))
    ] == [
        (),
        (("Zoë", 0),),
    ]


@pytest.mark.parametrize(
    ("text", "start", "expected"),
    [
        ("New York", 14, ("New\nYork", 14)),
        ("in New York", 10, ("in  New\nYork", 10)),
        (" New\nYork", 13, ("New\nYork", 14)),
        ("30", 31, ("30", 31)),
    ],
)
def test_white_space_of_answers_is_forgiven(tmp_path, text, start, expected) -> None:
    (one,) = read(put(tmp_path / "a.json", squad(qa(text, start))))
    assert one.answers == (expected,) and TEXT[expected[1] :].startswith(expected[0])


@pytest.mark.parametrize(
    "bad",
    [qa("Zoe"), qa("Zoë", 1), qa("Zoë", -1), qa("Zoë", 10**9), qa("Zoë", "0"), qa("Zoë", True), qa("", 3), qa(None),
     qa("York. She is 30.!", 18), {"id": "1", "question": "Who?"}, {"question": "", "answers": []}, 7, None,
     {"id": "1", "question": "Who?", "answers": "Zoë"}, {"id": "1", "question": "Who?", "answers": ["Zoë"]}],
)  # fmt: skip
def test_what_does_not_stand_there_is_a_broken_row(tmp_path, bad) -> None:
    source = open_source(put(tmp_path / "a.json", squad(qa(), bad)), max_bad=0.5)
    assert [one.answers for one in source.examples()] == [(("Zoë", 0),)]
    assert any("1 of 2 rows are broken" in note and "paragraph 1 question 2" in note for note in source.notes)
    with pytest.raises(DataError, match="rows are broken"):
        open_source(tmp_path / "a.json").survey()


@pytest.mark.parametrize("data", [{"data": [{"paragraphs": [7, {}]}, 3]}, {"data": [{"paragraphs": []}]}])
def test_a_file_without_questions(tmp_path, data) -> None:
    with pytest.raises(DataError):
        open_source(put(tmp_path / "a.json", data)).survey()


def test_a_damaged_file(tmp_path) -> None:
    whole = json.dumps(squad(*[qa()] * 20))
    with pytest.raises(DataError, match="not valid JSON"):
        open_source(put(tmp_path / "a.json", whole[:-30])).survey()
    (tmp_path / "b.json.gz").write_bytes(gzip.compress(whole.encode())[:-12])
    with pytest.raises(DataError):
        open_source(tmp_path / "b.json.gz").survey()
    with pytest.raises(DataError, match="no rows|valid JSON|not clear"):
        open_source(put(tmp_path / "c.json", {"data": 3}))


@pytest.mark.parametrize(
    "answers", [{"text": ["Zoë", "Zoë lives"], "answer_start": [0, 0]},
                [{"text": "Zoë", "answer_start": 0}, {"text": "Zoë lives", "answer_start": 0}]],
)  # fmt: skip
def test_rows(tmp_path, answers) -> None:
    row = {"id": "x", "title": "T", "context": TEXT, "question": "Who?", "answers": answers}
    assert read(put(tmp_path / "a.jsonl", row)) == [Question("x", TEXT, "Who?", (("Zoë", 0), ("Zoë lives", 0)))]
    row = {"passage": TEXT, "q": "Who?", "spans": answers}
    assert read(put(tmp_path / "b.jsonl", row), columns=("passage", "q", "spans"))[0].answers[0] == ("Zoë", 0)


def test_rows_without_an_answer_and_broken_ones(tmp_path) -> None:
    base = {"context": TEXT, "question": "Who?"}
    rows = [{**base, "answers": {"text": [], "answer_start": []}}, {**base, "answers": {"text": ["Zoë"], "answer_start": []}},
            {**base, "answers": None}, {**base, "context": 3, "answers": []}]  # fmt: skip
    source = open_source(put(tmp_path / "a.jsonl", "\n".join(map(json.dumps, rows))), max_bad=0.9)
    assert [one.answers for one in source.examples()] == [()]
    assert any("3 of 4 rows are broken" in note for note in source.notes)


def test_parquet_rows(tmp_path) -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    row = {"id": "x", "context": TEXT, "question": "Who?", "answers": {"text": ["Zoë"], "answer_start": [0]}}
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "a.parquet")
    assert read(tmp_path / "a.parquet") == [Question("x", TEXT, "Who?", (("Zoë", 0),))]


def test_a_context_is_text_once(tmp_path) -> None:
    path = put(tmp_path / "a.json", squad(qa(), qa(question="And who else?")))
    assert [piece.text for piece in open_source(path, kind="text").pieces()] == [TEXT, "Who?", "And who else?"]


@pytest.mark.parametrize(("name", "count", "without"), [("val-v1.1", 1161, 0), ("val-v2.0", 1207, 1)])
def test_real_files(name, count, without) -> None:
    found = read(reference_data("squad") / f"{name}.json.gz")
    assert len(found) == count and (sum(not one.answers for one in found) > 0) == bool(without)
