"""What can be named, and what is found there."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from pathlib import Path

import pytest

from polyhead.data import Pair, Source, open_source
from polyhead.data.naming import several
from polyhead.data.pieces import lines
from polyhead.errors import ConfigError, DataError


def documents(source: Source) -> list[str]:
    out, held = [], ""
    for text, ends in source.pieces():
        held += text
        if ends:
            out.append(held)
            held = ""
    assert not held
    return out


def put(path: Path, text: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = text.encode() if isinstance(text, str) else text
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz", "a.unknown"])
def test_a_text_file_is_one_document(tmp_path, name) -> None:
    text = "One line.\n\nA paragraph – ünïcödé.\n"
    source = open_source(put(tmp_path / name, text))
    assert source.kind == "text" and documents(source) == [text] == documents(source)
    assert source.survey().documents == 1 and source.survey().characters == len(text)


def test_documents_of_a_file_by_line_and_by_blank_line(tmp_path) -> None:
    path = put(tmp_path / "a.txt", "\n\none\n two \n\n  \nthree\n\n\n\n four\nfive")
    assert documents(open_source(path, split="line")) == ["one", " two ", "three", " four", "five"]
    assert documents(open_source(path, split="blank")) == ["one\n two ", "three", " four\nfive"]


@pytest.mark.parametrize("split", ["file", "blank", "line"])
def test_splitting_does_not_depend_on_where_chunks_end(tmp_path, split, monkeypatch) -> None:
    from polyhead.data import readers

    text = "alpha beta\r\n\r\ngamma\n \n\ndelta \U0001f468\u200d\U0001f469\r\nend" * 3
    path = put(tmp_path / "a.txt", text)
    whole = documents(open_source(path, split=split))
    for size in (1, 2, 3, 7):
        monkeypatch.setattr(
            readers, "read_chunks", lambda *_, n=size, **__: (text[i : i + n] for i in range(0, len(text), n))
        )
        assert documents(open_source(path, split=split)) == whole


def test_a_folder_is_one_document_per_file_in_order(tmp_path) -> None:
    put(tmp_path / "b.md", "second")
    put(tmp_path / "a.py", "first = 1")
    put(tmp_path / "sub" / "c.rst", "third")
    put(tmp_path / "sub" / "d.txt.gz", "fourth")
    put(tmp_path / "sub" / "NOTES", "fifth, no suffix")
    put(tmp_path / ".hidden", "no")
    put(tmp_path / ".git" / "x.txt", "no")
    put(tmp_path / "__pycache__" / "x.txt", "no")
    put(tmp_path / "program", b"\x7fELF\x02\x01\0\0\0")
    put(tmp_path / "table.csv", "a,b\n1,2\n")
    put(tmp_path / "empty.txt", "")
    put(tmp_path / "zz-latin.txt", "café".encode("latin-1"))
    source = open_source(tmp_path)
    assert documents(source) == ["first = 1", "second", "fifth, no suffix", "third", "fourth"]
    notes = "; ".join(source.notes)
    for part in (
        "1 binary files",
        "1 empty files",
        "1 hidden files",
        "1 hidden folders",
        "1 csv files",
        "zz-latin.txt",
    ):
        assert part in notes


def test_a_folder_of_shards_is_rows(tmp_path) -> None:
    put(tmp_path / "README.md", "# About this data\n" * 100)
    for shard in range(3):
        put(tmp_path / f"{shard}.jsonl", "".join(json.dumps({"text": f"{shard}-{i}"}) + "\n" for i in range(3)))
    assert documents(open_source(tmp_path)) == [f"{s}-{i}" for s in range(3) for i in range(3)]


def test_several_paths_follow_one_another(tmp_path) -> None:
    paths = [put(tmp_path / "b.txt", "one"), put(tmp_path / "a.jsonl", '{"text": "two"}\n')]
    assert documents(open_source(paths)) == ["one", "two"]
    with pytest.raises(DataError, match="two kinds"):
        open_source([paths[0], put(tmp_path / "p.jsonl", '{"source": "a", "target": "b"}')])
    with pytest.raises(DataError, match="no source named"):
        open_source([])


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_jsonl_columns(tmp_path, suffix) -> None:
    rows = [
        {"id": i, "body": f"text {i}", "title": f"t{i}", "nested": {"de": f"d{i}", "en": f"e{i}"}} for i in range(3)
    ]
    path = put(tmp_path / f"a.jsonl{suffix}", "\n".join(map(json.dumps, rows)))
    assert documents(open_source(path, columns="body")) == ["text 0", "text 1", "text 2"]
    assert list(open_source(path, columns=("body", "title")).pairs())[1] == Pair("text 1", "t1")
    assert list(open_source(path, columns=("nested.de", "nested.en")).pairs())[2] == ("d2", "e2")
    with pytest.raises(DataError, match="which columns") as caught:
        open_source(path)
    assert "id, body, title, nested.de, nested.en" in str(caught.value)
    with pytest.raises(DataError, match="which columns"):
        open_source(path, columns="nothing")


@pytest.mark.parametrize("names", [("prompt", "completion"), ("source", "target"), ("Question", "Answer")])
def test_known_pairs_need_no_names(tmp_path, names) -> None:
    path = put(tmp_path / "a.jsonl", json.dumps({names[0]: "q", names[1]: "a", "id": 3}))
    source = open_source(path)
    assert source.kind == "pairs" and list(source.pairs()) == [("q", "a")]
    with pytest.raises(DataError, match="holds pairs"):
        next(source.pieces())


def test_kind_decides_where_both_are_there(tmp_path) -> None:
    path = put(tmp_path / "a.jsonl", json.dumps({"text": "t", "source": "s", "target": "u"}))
    assert open_source(path).kind == "text" and open_source(path, kind="pairs").kind == "pairs"


def test_a_json_array(tmp_path) -> None:
    path = put(tmp_path / "a.json", json.dumps([{"text": "one"}, {"text": "two"}], indent=1))
    assert documents(open_source(path)) == ["one", "two"]
    with pytest.raises(DataError, match="not valid JSON"):
        open_source(put(tmp_path / "b.json", '[{"text": "one"},'))


def test_csv_with_quotes_lines_and_names(tmp_path) -> None:
    path = put(tmp_path / "a.csv", 'id,text\n1,"a ""quoted"", text\nover lines"\n2,plain\n')
    assert documents(open_source(path)) == ['a "quoted", text\nover lines', "plain"]
    assert any("first row was taken as names" in note for note in open_source(path).notes)


def test_tsv_has_no_quotes_and_two_columns_are_pairs(tmp_path) -> None:
    path = put(tmp_path / "a.tsv.gz", 'before\tafter\na "bad one\t0\nfine\t1\n')
    assert list(open_source(path).pairs()) == [('a "bad one', "0"), ("fine", "1")]
    bare = put(tmp_path / "b.tsv", "Guten Tag!\tGood day!\nJa\tYes\n")
    assert list(open_source(bare).pairs()) == [("Guten Tag!", "Good day!"), ("Ja", "Yes")]
    words = put(tmp_path / "c.tsv", "ja\tyes\nnein\tno\n")
    assert list(open_source(words, header=False).pairs())[0] == ("ja", "yes")
    assert list(open_source(words, columns=(1, 0)).pairs())[0] == ("yes", "ja")


@pytest.mark.parametrize("where", ["list", "braces"])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_parallel_files(tmp_path, where, suffix) -> None:
    put(tmp_path / f"train.de{suffix}", "eins\nzwei\u2028halb\ndrei\r\n")
    put(tmp_path / f"train.en{suffix}", "one\ntwo\nthree")
    place = (
        [tmp_path / f"train.{x}{suffix}" for x in ("de", "en")] if where == "list" else str(tmp_path / "train.{de,en}")
    )
    source = open_source(place)
    assert source.kind == "pairs" and list(source.pairs()) == [
        ("eins", "one"),
        ("zwei\u2028halb", "two"),
        ("drei", "three"),
    ]


@pytest.mark.parametrize("where", ["train.de,train.en", "train.en,train.de", "train.{de,en}", "{de,en}/a.txt"])
def test_columns_of_parallel_files_are_their_suffixes(tmp_path, monkeypatch, where) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in (("de", "eins\nzwei"), ("en", "one\ntwo")):
        put(tmp_path / f"train.{name}.gz", text)
        put(tmp_path / name / "a.txt", text)
    place = several(where)
    for columns in (("de", "en"), ("translation.de", "translation.en"), ("DE", "EN")):
        source = open_source(place, columns=columns)
        assert list(source.pairs()) == [("eins", "one"), ("zwei", "two")], "the source is the one named first"
        assert list(open_source(place, columns=columns[::-1]).pairs()) == [("one", "eins"), ("two", "zwei")]
        assert source.identity() != open_source(place, columns=columns[::-1]).identity() and " → " in source.notes[0]
    for columns in (("de", "fr"), ("de", "de"), ("de",), ("de", "en", "fr")):
        with pytest.raises(DataError, match="columns of two parallel files are their suffixes") as caught:
            open_source(place, columns=columns)
        assert caught.value.expected is not None and {"de", "en"} <= set(caught.value.expected.replace(",", "").split())


def test_columns_of_two_files_without_suffixes_of_their_own(tmp_path) -> None:
    one, two = put(tmp_path / "a.txt", "x"), put(tmp_path / "b.txt", "y")
    assert list(open_source([one, two], kind="pairs").pairs()) == [("x", "y")]
    with pytest.raises(DataError, match="suffixes of their own"):
        open_source([one, two], kind="pairs", columns=("a", "b"))


def test_unequal_parallel_files_name_both_counts(tmp_path) -> None:
    put(tmp_path / "t.de", "eins\nzwei\n")
    put(tmp_path / "t.en", "one\ntwo\nthree\nfour\n")
    for place in ("t.{de,en}", "t.{en,de}"):
        with pytest.raises(DataError, match="not parallel") as caught:
            list(open_source(str(tmp_path / place)).pairs())
        assert "2 lines" in str(caught.value) and "4 lines" in str(caught.value)


def test_two_ordinary_texts_are_not_parallel(tmp_path) -> None:
    paths = [put(tmp_path / "a.md", "one"), put(tmp_path / "a.py", "two")]
    assert open_source(paths).kind == "text"
    assert open_source(paths, kind="pairs").kind == "pairs"


def test_scan_lines_are_pairs(tmp_path) -> None:
    path = put(tmp_path / "s.txt", "IN: jump twice OUT: I_JUMP I_JUMP\nIN: run OUT: I_RUN\n")
    assert list(open_source(path).pairs()) == [("jump twice", "I_JUMP I_JUMP"), ("run", "I_RUN")]
    assert open_source(path, kind="text").kind == "text"


def test_parquet(tmp_path) -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    table = pa.table({"text": [f"row {i}" for i in range(700)], "n": list(range(700))})
    pq.write_table(table, tmp_path / "a.parquet")
    assert documents(open_source(tmp_path / "a.parquet")) == [f"row {i}" for i in range(700)]
    (tmp_path / "b.parquet").write_bytes((tmp_path / "a.parquet").read_bytes()[:300])
    with pytest.raises(DataError, match="cannot read"):
        open_source(tmp_path / "b.parquet")


def test_a_hub_name_goes_through_datasets_and_nothing_else_does(tmp_path, monkeypatch) -> None:
    datasets = pytest.importorskip("datasets")
    rows = put(tmp_path / "rows.jsonl", '{"text": "one"}\n{"text": "two"}\n')
    local = datasets.load_dataset("json", data_files=str(rows), cache_dir=str(tmp_path / "cache"))
    asked: list[str] = []

    def load_dataset(name: str, subset: str | None = None):
        asked.append(name)
        return local

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    source = open_source("owner/name")
    assert asked == ["owner/name"] and documents(source) == ["one", "two"]
    assert json.dumps(source.identity()) == json.dumps(open_source("owner/name").identity())
    with pytest.raises(DataError, match="no part 'test'"):
        open_source("owner/name", part="test")
    asked.clear()
    for path in (
        "name",
        "./owner/name",
        "a/b/c",
        "owner/name.txt",
        "owner/rows.jsonl.gz",
        "/owner/name",
        "owner\\name",
        "../up",
    ):
        with pytest.raises(DataError, match="does not exist"):
            open_source(path)
    assert not asked


def test_a_saved_data_set_is_a_folder_like_others(tmp_path) -> None:
    datasets = pytest.importorskip("datasets")
    data = datasets.Dataset.from_list(
        [{"translation": {"de": "ja", "en": "yes"}}, {"translation": {"de": "nein", "en": "no"}}]
    )
    data.save_to_disk(str(tmp_path / "one"))
    datasets.DatasetDict({"train": data}).save_to_disk(str(tmp_path / "dict"))
    for folder in ("one", "dict"):
        source = open_source(tmp_path / folder, columns=("translation.de", "translation.en"))
        assert list(source.pairs()) == [("ja", "yes"), ("nein", "no")]


def test_a_missing_path_names_the_nearest(tmp_path) -> None:
    put(tmp_path / "shakespeare.txt", "x")
    with pytest.raises(DataError, match="did you mean .*shakespeare.txt"):
        open_source(tmp_path / "shakespear.txt")


def test_options_without_sense_are_refused(tmp_path) -> None:
    path = put(tmp_path / "a.txt", "x")
    for bad in (
        dict(kind="x"),
        dict(split="word"),
        dict(format="xml"),
        dict(max_bad=2.0),
        dict(columns=("a", "b", "c", "d")),
    ):
        with pytest.raises(ConfigError):
            open_source(path, **bad)


def test_misread_text_is_mended_on_request(tmp_path) -> None:
    path = put(tmp_path / "a.txt", "Die Straße über den Fluß".encode().decode("latin-1"))
    assert documents(open_source(path, repair=True)) == ["Die Straße über den Fluß"]
    cp = put(tmp_path / "b.txt", "naïve".encode("cp1252"))
    assert documents(open_source(cp, encoding="cp1252")) == ["naïve"]


def test_holdout_splits_documents_by_a_hash_of_their_number(tmp_path) -> None:
    rows = "".join(json.dumps({"text": f"document {i}"}) + "\n" for i in range(2000))
    source = open_source(put(tmp_path / "a.jsonl", rows))
    train, valid = source.holdout(0.05, seed=1)
    one, two = documents(train), documents(valid)
    assert sorted(one + two) == sorted(documents(source)) and 60 < len(two) < 140
    assert f"{len(two)} of 2000 documents" in valid.notes[-1]
    assert documents(source.holdout(0.05, seed=1)[1]) == two != documents(source.holdout(0.05, seed=2)[1])
    longer = open_source(put(tmp_path / "b.jsonl", rows + '{"text": "one more"}\n'))
    assert documents(longer.holdout(0.05, seed=1)[1])[: len(two)] == two  # documents keep their side


@pytest.mark.parametrize("share", [1e-9, 0.05, 0.5, 1 - 1e-9])
@pytest.mark.parametrize("count", [2, 3, 20])
def test_neither_part_is_empty(tmp_path, share, count) -> None:
    source = open_source(put(tmp_path / "a.txt", "\n".join("abc" for _ in range(count))), split="line")
    for seed in range(5):
        train, valid = (documents(part) for part in source.holdout(share, seed))
        assert train and valid and len(train) + len(valid) == count


def test_an_only_document_is_cut_at_a_line_break(tmp_path) -> None:
    text = "".join(f"line number {i}\n" for i in range(500))
    source = open_source(put(tmp_path / "a.txt", text))
    train, valid = source.holdout(0.05)
    one, two = documents(train), documents(valid)
    assert one[0] + two[0] == text and one[0].endswith("\n") and abs(len(two[0]) / len(text) - 0.05) < 0.005
    assert "one document only" in valid.notes[0] and f"last {len(two[0])} of {len(text)}" in valid.notes[0]
    assert train.cut_short and not valid.cut_short
    flat = "word " * 1000
    train, valid = open_source(put(tmp_path / "b.txt", flat)).holdout(0.05)
    assert "".join(documents(train) + documents(valid)) == flat and len(documents(valid)[0]) == 250


def test_the_cut_of_an_only_document_does_not_depend_on_chunks(tmp_path, monkeypatch) -> None:
    from polyhead.data import readers

    text = "".join(f"line {i}\n" for i in range(90))
    path = put(tmp_path / "a.txt", text)
    whole = documents(open_source(path).holdout(0.1)[1])
    for size in (1, 2, 5, 64):
        monkeypatch.setattr(
            readers, "read_chunks", lambda *_, n=size, **__: (text[i : i + n] for i in range(0, len(text), n))
        )
        assert documents(open_source(path).holdout(0.1)[1]) == whole


def test_the_last_documents_can_be_the_ones_held_out(tmp_path) -> None:
    source = open_source(put(tmp_path / "a.txt", "".join(f"line {i}\n" for i in range(37)).encode()), split="line")
    train, valid = (documents(part) for part in source.holdout(0.1, last=True))
    assert [text.strip() for text in valid] == [f"line {i}" for i in range(33, 37)] and len(train) == 33
    for share, held in ((0.999, 36), (0.001, 1)):
        assert len(documents(source.holdout(share, last=True)[1])) == held
    _, drawn = source.holdout(0.1)
    assert source.holdout(0.1, last=True)[1].identity() != drawn.identity()


def test_holdout_of_pairs_and_what_it_refuses(tmp_path) -> None:
    put(tmp_path / "t.de", "a\nb\nc\nd\n")
    put(tmp_path / "t.en", "1\n2\n3\n4\n")
    source = open_source(str(tmp_path / "t.{de,en}"))
    train, valid = source.holdout(0.2)
    assert sorted([*train.pairs(), *valid.pairs()]) == sorted(source.pairs())
    assert list(train.texts())[:2] == list(next(train.pairs()))
    for bad in (0, 1, -1):
        with pytest.raises(ConfigError):
            source.holdout(bad)
    with pytest.raises(ConfigError, match="part already"):
        train.holdout()


def test_a_huge_line_is_read_in_bounded_memory(tmp_path) -> None:
    path = tmp_path / "line.txt"
    with open(path, "w") as handle:
        for _ in range(48):
            handle.write("some words without an end " * 40_000)  # 50 MB, one line
    for split in ("file", "line", "blank"):
        source = open_source(path, split=split)
        tracemalloc.start()
        train, _ = source.holdout(0.01)
        pieces = sum(1 for _ in train.pieces())
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert pieces > 50 and peak < 12e6


def test_a_row_beyond_the_limit_is_passed_over_and_never_held() -> None:
    chunks = (str(i % 10) * 1000 if i < 20_000 else "\n" for i in range(20_001))
    tracemalloc.start()
    found = list(lines(chunks, limit=10_000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found == [None] and peak < 100_000
    assert list(lines(iter(["ab", "c\nd", "e\r\n", "fgh"]), limit=3)) == ["abc", "de", "fgh"]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"id": "1", "body": "a", "subject": "b", "references": ["c"]}, ("a", "b")),
        ({"email_body": "a", "subject_line": "b"}, ("a", "b")),
        ({"document": "a", "summary": "b", "id": "7"}, ("a", "b")),
        ({"article": "a", "highlights": "b", "id": "7"}, ("a", "b")),
        ({"id": "7", "dialogue": "a", "summary": "b", "topic": "t"}, ("a", "b")),
        ({"title": "t", "text": "a", "summary": "b"}, ("a", "b")),
        ({"content": "a", "summary": "b", "id": "7"}, ("a", "b")),
        ({"inputs": "a", "targets": "b", "task": "t"}, ("a", "b")),
    ],
)
def test_a_text_beside_a_shorter_one_is_a_pair(tmp_path, row, expected) -> None:
    path = put(tmp_path / "a.jsonl", json.dumps(row) + "\n")
    assert list(open_source(path).pairs()) == [expected]
    labelled = put(tmp_path / "b.jsonl", json.dumps(row | {"label": "x"}) + "\n")
    assert open_source(labelled).kind != "text" and open_source(path, kind="text").kind == "text"


def test_a_label_beside_a_summary_is_what_is_learnt_and_a_title_is_no_summary(tmp_path) -> None:
    assert open_source(put(tmp_path / "a.jsonl", json.dumps({"text": "a", "summary": "b", "label": "x"}))).kind == "labelled"
    assert open_source(put(tmp_path / "b.jsonl", json.dumps({"url": "u", "title": "t", "text": "a"}))).kind == "text"
