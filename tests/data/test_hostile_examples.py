"""Hostile labels, tags and questions: counted, named by line, stopped above a share; never silent, never a traceback."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from polyhead.data import Answer, Classify, Loader, Tag, open_source, pack
from polyhead.errors import DataError
from tests.data.packed import by_bytes, packed

QA = {"id": "1", "question": "Who?", "answers": [{"text": "Zoë", "answer_start": 0}]}
LABELLED, TAGGED = '{"text": "fine", "label": "x"}\n', '{"tokens": ["fine"], "tags": ["X"]}\n'
ASKED = json.dumps({"context": "Zoë came.", **QA}, ensure_ascii=False) + "\n"
UD = "1\tgrößer\t_\tADJ\t_\t_\t_\t_\t_\t_\n\n"
GOOD = {"a.jsonl": LABELLED, "b.jsonl": TAGGED, "c.jsonl": ASKED, "d.conll": "größer B-X\n\n", "e.conllu": UD}
SQUAD = json.dumps({"data": [{"paragraphs": [{"context": "Zoë came.", "qas": [QA] * 30}]}]})


def put(path: Path, data: str | bytes) -> Path:
    path.write_bytes(data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data)
    return path


def count(path: Path, **options) -> int:
    return len(list(open_source(path, **options).examples()))


NAMES = ["a.jsonl", "b.conll", "c.conllu", "d.json", "e.csv", "f.conll.gz", "g.json.gz"]
KIND = {".conll": "tagged", ".conllu": "tagged", ".json": "questions"}


@pytest.mark.parametrize("name", NAMES)
def test_h69_an_empty_file(tmp_path, name) -> None:
    with pytest.raises(DataError, match="empty"):
        open_source(put(tmp_path / name, gzip.compress(b"") if name.endswith(".gz") else b""))


@pytest.mark.parametrize("name", ["a.conll", "b.conllu", "c.jsonl", "d.json", "e.tsv"])
@pytest.mark.parametrize("text", ["x", "\n\r\n \n\n", "-DOCSTART- -X- O\n\n", "#\n"])
def test_h70_h71_one_byte_only_newlines_nothing_but_comments(tmp_path, name, text) -> None:
    with pytest.raises(DataError):
        count(put(tmp_path / name, text))
    with pytest.raises(DataError):
        count(tmp_path / name, kind="tagged", max_bad=1.0)


@pytest.mark.parametrize("name", GOOD)
def test_h72_no_final_newline(tmp_path, name) -> None:
    assert count(put(tmp_path / name, (GOOD[name] * 2).rstrip("\n"))) == 2


@pytest.mark.parametrize("name", ["a.conll", "b.conllu", "c.json", "d.tsv"])
def test_h73_a_sparse_file_of_ten_gigabytes_is_refused_at_once(tmp_path, name) -> None:
    path = tmp_path / name
    with open(path, "wb") as handle:
        handle.truncate(10 * 2**30)
    with pytest.raises(DataError, match="not text"):
        count(path)


def test_h73_a_sentence_without_an_end_is_passed_over_in_bounded_memory(tmp_path, monkeypatch) -> None:
    import polyhead.data.tagged as tagged

    monkeypatch.setattr(tagged, "LINE_LIMIT", 1000)
    source = open_source(put(tmp_path / "a.conll", "w O\n" * 500 + "\n" + "v B-X\n\n" * 3), max_bad=0.5)
    assert [one.words for one in source.examples()] == [("v",)] * 3
    assert any("1 of 4 rows" in note and "longer than 1000 characters" in note for note in source.notes)


@pytest.mark.parametrize("name", NAMES[:5])
def test_h74_binary_under_a_name_of_data(tmp_path, name) -> None:
    for bad in (b"\x7fELF\x02\x01\x01\0\0", gzip.compress(b"text" * 1000)[:-20]):
        with pytest.raises(DataError):
            count(put(tmp_path / name, bad))


@pytest.mark.parametrize("codec", ["utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("name", [*GOOD, "f.json"])
def test_h75_byte_order_marks_are_understood_and_never_text(tmp_path, codec, name) -> None:
    path = put(tmp_path / name, GOOD.get(name, SQUAD).encode(codec))
    (first, *_) = open_source(path).examples()
    assert "\ufeff" not in repr(first)
    assert first == next(iter(open_source(put(tmp_path / f"plain{path.suffix}", GOOD.get(name, SQUAD))).examples()))


@pytest.mark.parametrize("name", ["d.conll", "e.conllu"])
def test_h75_another_encoding_names_the_byte(tmp_path, name) -> None:
    with pytest.raises(DataError, match="byte"):
        count(put(tmp_path / name, GOOD[name].encode("latin-1")))
    assert count(tmp_path / name, encoding="latin-1") == 1


def test_h76_half_surrogates_and_nul(tmp_path) -> None:
    bad = [r'{"text": "half \ud83d", "label": "x"}', r'{"text": "fine", "label": "\ud83d"}']
    source = open_source(put(tmp_path / "a.jsonl", LABELLED * 200 + "\n".join(bad)))
    assert source.survey().documents == 200 and "surrogate" in source.notes[-1] and "line 201" in source.notes[-1]
    source = open_source(put(tmp_path / "b.jsonl", TAGGED * 200 + r'{"tokens": ["\udc00"], "tags": ["X"]}'))
    assert source.survey().documents == 200 and "surrogate" in source.notes[-1]
    row = json.loads(ASKED)
    for name in ("context", "question"):
        broken = json.dumps({**row, name: row[name] + "\ud83d"})
        source = open_source(put(tmp_path / "c.jsonl", ASKED * 200 + broken))
        assert source.survey().documents == 200 and "surrogate" in source.notes[-1]
    for name in ("a.conll", "a.json"):
        with pytest.raises(DataError, match="NUL"):
            count(put(tmp_path / name, b"wo\0rd O\n"))


@pytest.mark.parametrize(
    "text", ["a" + "\u0301" * 20_000, "\u202eabc\u200b\u200f" * 3000, "\U0001f468\u200d\U0001f469" * 9000]
)
def test_h77_h78_marks_bidi_and_joined_emoji_come_through_whole(tmp_path, text) -> None:
    t = by_bytes()
    rows = [{"tokens": [text, "b"], "tags": ["X", "Y"]}]
    file = packed(tmp_path, rows)
    assert t.decode(file.array("text")[file.array("word") == 0].tolist()).strip(" ") == text
    file = packed(
        tmp_path,
        [{"context": f"{text} Zoë", "question": text, "answers": [{"text": "Zoë", "answer_start": len(text) + 1}]}],
    )
    inside = (file.array("begin") < len(text) + 4) & (file.array("end") > len(text) + 1)
    assert t.decode(file.array("context")[inside].tolist()) == "Zoë"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_h79_line_ends_and_u2028(tmp_path, end) -> None:
    for name, good in GOOD.items():
        assert count(put(tmp_path / name, (good * 3).replace("\n", end))) == 3
    (one,) = open_source(put(tmp_path / "a.conll", f"a\u2028b\tX{end}\x85\x0bc\tY{end}")).examples()
    assert one.words == ("a\u2028b", "\x85\x0bc")


BROKEN = {
    "truncated": '{"text": "fi',
    "trailing comma": '{"text": "fine", "label": "x",}',
    "NaN": '{"text": "fine", "label": NaN}',
    "infinity": '{"text": "fine", "label": 1e999}',
    "list": "[1, 2]",
    "null": "null",
    "missing": '{"text": "fine"}',
    "object": '{"text": "fine", "label": {"x": 1}}',
    "list for one": '{"text": "fine", "label": ["x"]}',
    "fraction": '{"text": "fine", "label": 0.5}',
    "empty": '{"text": "fine", "label": " "}',
    "endless": '{"text": "fine", "label": "' + "x" * 100_000 + '"}',
    "deep": '{"text": "fine", "label": ' + "[" * 100_000 + "]" * 100_000 + "}",
    "digits": '{"text": "fine", "label": ' + "9" * 1_000_000 + "}",
}


@pytest.mark.parametrize("broken", BROKEN)
def test_h80_h81_h82_h83_broken_labels_are_counted_and_named(tmp_path, broken) -> None:
    for at in (0, 150):
        text = LABELLED * at + BROKEN[broken] + "\n" + LABELLED * (300 - at)
        source = open_source(put(tmp_path / "a.jsonl", text))
        assert source.kind in ("labelled", "text")
        assert len(list(source.examples())) == 300 and f"a.jsonl line {at + 1}" in source.notes[-1]


@pytest.mark.parametrize(
    "row", ['{"tokens": "fine", "tags": ["X"]}', '{"tokens": ["fine"], "tags": 3}', '{"tokens": [["a"]], "tags": ["X"]}',
            '{"tokens": ["fine"], "tags": [{}]}', '{"tokens": ["a", 7], "tags": ["X", "Y"]}', "[]", "{}", '{"tokens": null}'],
)  # fmt: skip
def test_h81_broken_sentences(tmp_path, row) -> None:
    source = open_source(put(tmp_path / "a.jsonl", TAGGED * 5 + row + "\n" + TAGGED * 300))
    assert len(list(source.examples())) == 305 and "a.jsonl line 6" in source.notes[-1]


def test_h80_h82_a_damaged_squad_file(tmp_path) -> None:
    start = '{"data": [{"paragraphs": ['
    for bad in (
        SQUAD[:-5],
        SQUAD + ",",
        start + "[" * 100_000 + "]" * 100_000,
        start + '{"x": NaN}]}]}',
        start + "9" * 10**6,
    ):
        with pytest.raises(DataError, match="not valid JSON"):
            count(put(tmp_path / "a.json", bad))


def test_h73_a_squad_file_beyond_the_limit(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("polyhead.data.rows._JSON_LIMIT", 1000)
    with pytest.raises(DataError, match="JSON value of more than"):
        count(put(tmp_path / "a.json", SQUAD))


def test_h83_labels_that_look_like_endless_numbers(tmp_path) -> None:
    rows = [{"text": "a", "label": "9" * 900}, {"text": "b", "label": "10"}, {"text": "c", "label": "9"}]
    assert packed(tmp_path, rows).facts["labels"] == ["10", "9", "9" * 900]  # as text
    huge = "\n".join(f'{{"text": "a", "label": {n}}}' for n in ("0.5", "9" * 4000, "1.5"))
    source = open_source(put(tmp_path / "b.jsonl", huge), max_bad=0.5)
    assert [one.label for one in source.examples()] == [0.5, 1.5]


def test_h84_tables(tmp_path) -> None:
    rows = "text,label\n" + "fine,x\n" * 10 + '"never closed,x\n' + "lost,x\n" * 10
    with pytest.raises(DataError, match="11 of 21 rows"):
        count(put(tmp_path / "a.csv", rows))
    source = open_source(put(tmp_path / "b.csv", "text,label\n" + "fine,x\n" * 200 + "short\n" + '"=HYPERLINK(1)",y\n'))
    assert [one.label for one in source.examples()] == ["x"] * 200 + ["y"]
    wide = "\t".join(f"c{i}" for i in range(20_000)) + "\n" + "\t".join("1" * 20_000) + "\n"
    for kind in (None, "labelled", "tagged", "questions"):
        with pytest.raises(DataError, match="20000 in all"):
            open_source(put(tmp_path / "c.tsv", wide), kind=kind)
    uneven = "a NN X\n" * 3 + "b X\n\n" + "c NN X\n\n" * 200
    source = open_source(put(tmp_path / "d.conll", uneven))
    assert source.survey().documents == 200 and "line 1: 2 columns where 3" in source.notes[-1]


def test_h85_all_longer_than_the_context_and_fewer_than_a_batch(tmp_path) -> None:
    t = by_bytes()
    file = packed(tmp_path, [{"text": "x" * 50, "label": str(i % 2)} for i in range(4)])
    assert Classify(file, t, 8).over_long == 4 and next(Classify(file, t, 8).evaluation(4)).inputs.ids.shape == (4, 8)
    with pytest.raises(DataError, match="shorter than one batch"):
        Loader(Classify(file, t, 8), batch=5, seed=0)
    file = packed(tmp_path, [{"tokens": ["x" * 50] * 3, "tags": list("XYX")}])
    assert sum(int(batch.weights.sum()) for batch in Tag(file, t, 8).evaluation(2)) == 3
    with pytest.raises(DataError, match="shorter than one batch"):
        Loader(Tag(file, t), batch=2, seed=0)
    file = packed(tmp_path, [{"context": "x" * 50, "question": "q" * 50, "answers": []}])
    assert len(Answer(file, t, 8)) > 1 and not next(Answer(file, t, 8).evaluation(2)).targets.any()
    with pytest.raises(DataError, match="shorter than one batch"):
        Loader(Answer(file, t), batch=2, seed=0)


@pytest.mark.parametrize("name", GOOD)
def test_h86_a_file_that_changed_or_vanished(tmp_path, name) -> None:
    path, out = put(tmp_path / name, GOOD[name] * 40), tmp_path / "out.examples"
    source = open_source(path)
    grown = []

    def grow(done: int) -> None:
        if not grown:
            grown.append(put(path, GOOD[name] * 50))

    with pytest.raises(DataError, match="changed while it was read"):
        pack(source, by_bytes(), out, progress=grow)
    assert not out.exists() and [p.name for p in tmp_path.iterdir()] == [name]
    path.unlink()
    with pytest.raises(DataError, match="cannot read"):
        pack(open_source(put(path, GOOD[name])), by_bytes(), out, progress=lambda _: path.unlink())
    with pytest.raises(DataError):
        open_source(path)


@pytest.mark.parametrize(
    "text", ["word " * 5000, "x\t" * 5000 + "\n", "O\nO\nO\n", "\t\n\t\n", "a O\n" + "b O O\n", " O\n O\n", "#\n#\n#\n"]
)
def test_text_that_is_nearly_conll_stays_text_or_is_refused(tmp_path, text) -> None:
    assert open_source(put(tmp_path / "a.txt", text)).kind == "text"
    try:
        count(put(tmp_path / "a.conll", text))
    except DataError as error:
        assert "broken" in str(error) or "holds no text" in str(error) or "column" in str(error)
