"""Hostile text, JSONL and CSV: counted, named by line, stopped above a share; never silent, never a traceback."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest

from polyhead.data import Causal, Loader, open_source, pack
from polyhead.errors import DataError

GOOD = '{"text": "fine"}\n'


def put(path: Path, data: str | bytes) -> Path:
    path.write_bytes(data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data)
    return path


def text_of(source) -> str:
    return "".join(source.texts())


def read(path: Path, **options) -> str:
    return text_of(open_source(path, **options))


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl", "a.csv", "a.tsv", "a.json", "a.parquet", "a.txt.gz"])
def test_h69_an_empty_file(tmp_path, name) -> None:
    with pytest.raises(DataError, match="empty"):
        open_source(put(tmp_path / name, gzip.compress(b"") if name.endswith(".gz") else b""))


def test_h69_an_empty_folder_and_a_folder_without_text(tmp_path) -> None:
    with pytest.raises(DataError, match="no text files"):
        open_source(tmp_path)
    put(tmp_path / "a.bin", b"\0\1\2")
    with pytest.raises(DataError, match="1 binary files"):
        open_source(tmp_path)


def test_h70_one_byte(tmp_path, tokenizer) -> None:
    source = open_source(put(tmp_path / "a.txt", "x"))
    assert text_of(source) == "x"
    with pytest.raises(DataError, match="too small to hold out"):
        text_of(source.holdout()[0])
    with pytest.raises(DataError, match="shorter than one context"):
        Loader(Causal(pack(source, tokenizer, tmp_path / "a.tokens"), 8), batch=1, seed=0)


@pytest.mark.parametrize("split", ["file", "line", "blank"])
def test_h71_only_newlines(tmp_path, split) -> None:
    with pytest.raises(DataError, match="holds no text"):
        read(put(tmp_path / "a.txt", "\n\r\n \n\n"), split=split)
    with pytest.raises(DataError, match="no rows"):
        open_source(put(tmp_path / "a.jsonl", "\n\n\n"))


def test_h72_no_final_newline(tmp_path) -> None:
    assert read(put(tmp_path / "a.txt", "a\nb"), split="line") == "ab"
    assert read(put(tmp_path / "a.jsonl", GOOD + GOOD.strip())) == "finefine"
    assert read(put(tmp_path / "a.csv", "text\none\ntwo")) == "onetwo"


def test_h73_a_sparse_file_of_ten_gigabytes_is_refused_at_once(tmp_path) -> None:
    path = tmp_path / "a.txt"
    with open(path, "wb") as handle:
        handle.truncate(10 * 2**30)
    with pytest.raises(DataError, match="not text"):
        read(path)


def test_h74_binary_under_a_text_name(tmp_path) -> None:
    with pytest.raises(DataError, match="not text"):
        read(put(tmp_path / "a.txt", b"\x7fELF\x02\x01\x01\0\0"))
    with pytest.raises(DataError, match="gzip"):
        read(put(tmp_path / "b.txt", gzip.compress(b"text")))
    with pytest.raises(DataError, match="gzip|Compressed"):
        read(put(tmp_path / "c.txt.gz", gzip.compress(b"text" * 1000)[:-20]))
    with pytest.raises(DataError):
        open_source(put(tmp_path / "d.parquet", b"PAR1 and nothing"))
    with pytest.raises(DataError):
        open_source(put(tmp_path / "e.jsonl", b"\x89PNG\r\n\x1a\n\0\0"))


def test_h74_a_pipe_or_device_is_not_read(tmp_path) -> None:
    if not hasattr(os, "mkfifo"):
        pytest.skip("needs mkfifo")
    os.mkfifo(tmp_path / "pipe.txt")
    with pytest.raises(DataError, match="not a file"):
        open_source(tmp_path / "pipe.txt")
    put(tmp_path / "a.txt", "text")
    assert read(tmp_path) == "text"


@pytest.mark.parametrize("codec", ["utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("name", ["a.txt", "a.jsonl", "a.csv"])
def test_h75_byte_order_marks_are_understood_and_never_text(tmp_path, codec, name) -> None:
    body = {"a.txt": "größer", "a.jsonl": '{"text": "größer"}\n', "a.csv": "text,n\ngrößer,1\n"}[name]
    assert read(put(tmp_path / name, body.encode(codec))) == "größer"


@pytest.mark.parametrize("bad", ["größer".encode("latin-1"), "größer ".encode() * 9 + b"\xff\xfe"])
def test_h75_other_and_mixed_encodings_name_the_byte(tmp_path, bad) -> None:
    with pytest.raises(DataError, match="byte"):
        read(put(tmp_path / "a.txt", b"plain\n" * 20_000 + bad))


def test_h76_surrogates_overlong_forms_and_nul(tmp_path) -> None:
    for bad in (b"\xed\xa0\x80", b"\xc0\xaf", b"\xf8\x88\x80\x80\x80"):
        with pytest.raises(DataError):
            read(put(tmp_path / "a.txt", b"text " + bad))
    with pytest.raises(DataError, match="NUL"):
        read(put(tmp_path / "b.txt", b"te\0xt"))
    assert read(put(tmp_path / "c.txt", "a\ufffe\uffffb")) == "a\ufffe\uffffb"
    rows = GOOD * 200 + r'{"text": "half \ud83d"}' + "\n"
    source = open_source(put(tmp_path / "d.jsonl", rows))
    assert text_of(source) == "fine" * 200 and "surrogate" in source.notes[-1] and "line 201" in source.notes[-1]


@pytest.mark.parametrize(
    "text", ["a" + "\u0301" * 100_000, "\u202eabc\u200b\u200f" * 9000, "\U0001f468\u200d\U0001f469" * 50_000]
)
def test_h77_h78_marks_bidi_and_joined_emoji_come_through_whole(tmp_path, tokenizer, text) -> None:
    path = put(tmp_path / "a.txt", text)
    assert read(path) == text
    assert tokenizer.decode(pack(open_source(path), tokenizer, tmp_path / "a.tokens").tokens) == text


def test_h79_line_ends(tmp_path) -> None:
    for end in ("\n", "\r\n", "\r"):
        path = put(tmp_path / "a.txt", f"one{end}two\u2028half{end}")
        assert read(path) == "one\ntwo\u2028half\n"
        assert [t for t in open_source(path, split="line").texts()] == ["one", "two\u2028half"]
        assert read(put(tmp_path / "a.jsonl", (GOOD.strip() + end) * 2)) == "finefine"
        assert read(put(tmp_path / "a.csv", f"text,n{end}one,1{end}two,2{end}")) == "onetwo"


BROKEN = {
    "truncated": '{"text": "fi',
    "trailing comma": '{"text": "fine",}',
    "NaN": '{"text": "fine", "n": NaN}',
    "list": "[1, 2]",
    "number": "17",
    "null": "null",
    "missing": '{"txt": "fine"}',
    "wrong type": '{"text": 17}',
    "null text": '{"text": null}',
    "empty text": '{"text": " "}',
    "deep": '{"text": ' + "[" * 100_000 + "]" * 100_000 + "}",
    "digits": '{"text": "fine", "n": ' + "9" * 1_000_000 + "}",
}


@pytest.mark.parametrize("broken", BROKEN)
def test_h80_h81_h82_h83_broken_rows_are_counted_and_named(tmp_path, broken) -> None:
    source = open_source(put(tmp_path / "a.jsonl", GOOD * 150 + BROKEN[broken] + "\n" + GOOD * 150))
    assert text_of(source) == "fine" * 300
    assert "1 of 301 rows" in source.notes[-1] and "a.jsonl line 151" in source.notes[-1]


@pytest.mark.parametrize("broken", BROKEN)
def test_h80_h81_h82_h83_too_many_broken_rows_stop_the_reading(tmp_path, broken) -> None:
    path = put(tmp_path / "a.jsonl", GOOD * 5 + (BROKEN[broken] + "\n") * 5)
    with pytest.raises(DataError, match="5 of 10 rows are broken") as caught:
        read(path)
    assert "line 6" in str(caught.value) and "line 8" in str(caught.value) and "line 9" not in str(caught.value)
    assert read(path, max_bad=0.5) == "fine" * 5


def test_h80_nothing_but_broken_rows(tmp_path) -> None:
    with pytest.raises(DataError, match="no rows that can be read"):
        open_source(put(tmp_path / "a.jsonl", '{"text"\n[1]\n'))


def test_h80_reading_stops_early_in_a_large_file(tmp_path) -> None:
    with pytest.raises(DataError, match="of 1000 rows"):
        read(put(tmp_path / "a.jsonl", GOOD + "broken\n" * 50_000))


def test_h84_an_unclosed_quote_names_its_line(tmp_path) -> None:
    rows = "text,n\n" + "fine,1\n" * 10 + '"never closed,1\n' + "lost,1\n" * 10
    with pytest.raises(DataError, match="11 of 21 rows") as caught:
        read(put(tmp_path / "a.csv", rows))
    assert "line 12" in str(caught.value) and "never closed" in str(caught.value)


def test_h84_many_columns_ragged_rows_nul_and_formulas(tmp_path) -> None:
    wide = ",".join(f"c{i}" for i in range(100_000)) + "\n" + ",".join("1" * 100_000) + "\n"
    with pytest.raises(DataError, match="100000 in all") as caught:
        open_source(put(tmp_path / "a.csv", wide))
    assert len(str(caught.value)) < 1000
    source = open_source(put(tmp_path / "b.csv", "text,n\n" + "fine,1\n" * 200 + "short\n" + '"=HYPERLINK(1)",2\n'))
    assert text_of(source) == "fine" * 200 + "=HYPERLINK(1)" and "line 202: 1 columns where 2" in source.notes[-1]
    with pytest.raises(DataError, match="NUL"):
        read(put(tmp_path / "c.csv", b"text,n\nfi\0ne,1\n"))
    long = "x" * 300_000  # longer than the csv module's own limit
    assert read(put(tmp_path / "d.csv", f"text,n\n{long},1\n")) == long


def test_h85_all_rows_shorter_than_the_context_are_packed_together(tmp_path, tokenizer) -> None:
    file = pack(open_source(put(tmp_path / "a.jsonl", GOOD * 40)), tokenizer, tmp_path / "a.tokens")
    assert len(Causal(file, 64)) == 2  # 40 documents of five tokens
    with pytest.raises(DataError, match="shorter than one batch"):
        Loader(Causal(file, 64), batch=12, seed=0)


def test_h86_a_corpus_that_vanished_between_opening_and_reading(tmp_path, tokenizer) -> None:
    path = put(tmp_path / "a.txt", "text")
    source = open_source(path)
    path.unlink()
    with pytest.raises(DataError):
        read(path)
    with pytest.raises(DataError, match="cannot read"):
        pack(source, tokenizer, tmp_path / "a.tokens")


def test_broken_rows_are_counted_over_all_shards(tmp_path) -> None:
    for shard in range(3):
        put(tmp_path / f"{shard}.jsonl", json.dumps({"text": f"{shard}"}) + "\nbroken\n")
    with pytest.raises(DataError, match="3 of 6 rows"):
        read(tmp_path)
    source = open_source(tmp_path, max_bad=0.5)
    assert text_of(source) == "012"
