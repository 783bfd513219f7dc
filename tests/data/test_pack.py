"""Packing: text to ids to a mapped file, made once."""

from __future__ import annotations

import json
import os
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyhead.data import PairFile, TokenFile, open_source, pack, packing
from polyhead.data.pieces import Piece, cut_place, steady
from polyhead.data.tokenfile import TokenWriter
from polyhead.errors import DataError, DiskError, TokenizerError
from polyhead.text import KINDS, Tokenizer


def rows(path: Path, texts: list[str]) -> Path:
    path.write_text("".join(json.dumps({"text": t}) + "\n" for t in texts))
    return path


def test_documents_tokens_bytes_and_ends(tmp_path, tokenizer) -> None:
    texts = ["Größe", "two\nlines", "x"]
    file = pack(open_source(rows(tmp_path / "a.jsonl", texts)), tokenizer, tmp_path / "out" / "a.tokens")
    assert isinstance(file, TokenFile) and file.tokens.dtype == np.uint16 and file.kind == "text"
    bounds = file.documents
    stored = [file.tokens[a:b].tolist() for a, b in zip(bounds[:-1], bounds[1:], strict=True)]
    assert stored == [[*tokenizer.encode(t), 2] for t in texts]
    assert file.bytes == len("".join(texts).encode()) and len(file) == file.bytes + 3
    assert file.special["eos"] == 2 and file.vocab_size == 263
    bare = pack(open_source(tmp_path / "a.jsonl"), tokenizer, tmp_path / "b.tokens", eos=False)
    assert len(bare) == bare.bytes
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a.jsonl", "a.tokens", "b.tokens", "out"]


def test_the_end_of_a_document_cut_for_validation_is_no_end(tmp_path, tokenizer) -> None:
    (tmp_path / "a.txt").write_text("a line\n" * 100)
    train, valid = open_source(tmp_path / "a.txt").holdout()
    first = pack(train, tokenizer, tmp_path / "t.tokens")
    last = pack(valid, tokenizer, tmp_path / "v.tokens")
    assert 2 not in first.tokens and last.tokens[-1] == 2 and (last.tokens == 2).sum() == 1
    assert first.bytes + last.bytes == 700 and any("one document only" in n for n in last.notes)


STORY = (
    'Once upon a time, in a town by the sea, there lived 3 old friends.\n\n\n  They said: "Hello!"  Then they left...\n'
    "def f(x):\n        return    x +     1\n"
    "Größe, naïveté — 12,345.67 and \U0001f468\u200d\U0001f469.\tTabs\ttoo. don't stop\n"
) * 40


POEM = "".join(f"{word}\n" for word in ("sun", "moon", "wind", "rain", "a", "morning")) * 60


@pytest.mark.parametrize("text", [STORY, POEM], ids=["spaces", "lines"])
@pytest.mark.parametrize("kind", KINDS)
def test_ids_do_not_show_where_a_document_was_cut(tmp_path, kind, text, monkeypatch) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the corpus is small on purpose
        real = Tokenizer.train([text], kind, **({} if kind == "bytes" else {"vocab_size": 300}))
    (tmp_path / "a.txt").write_text(text)
    source = open_source(tmp_path / "a.txt")
    monkeypatch.setattr(packing, "_PIECE", 100)
    packed = pack(source, real, tmp_path / "a.tokens", eos=False)
    assert packed.tokens.tolist() == real.encode(text)


def test_pairs_are_two_ragged_columns(tmp_path, tokenizer) -> None:
    (tmp_path / "t.de").write_text("ja\nnein\nvielleicht\n")
    (tmp_path / "t.en").write_text("yes\nno\nperhaps\n")
    pairs = pack(open_source(str(tmp_path / "t.{de,en}")), tokenizer, tmp_path / "p.tokens")
    assert isinstance(pairs, PairFile) and len(pairs) == 3
    assert [tuple(tokenizer.decode(side) for side in pairs.ids(i)) for i in range(3)] == [
        ("ja", "yes"), ("nein", "no"), ("vielleicht", "perhaps")
    ]  # fmt: skip
    with pytest.raises(DataError, match="not pairs"):
        (tmp_path / "a.txt").write_text("text")
        PairFile(pack(open_source(tmp_path / "a.txt"), tokenizer, tmp_path / "a.tokens").path)


def test_wide_ids_above_65536(tmp_path) -> None:
    for vocab, dtype in ((65_536, np.uint16), (65_537, np.uint32)):
        path = tmp_path / f"{vocab}.tokens"
        with TokenWriter(path, vocab) as writer:
            writer.add([0, vocab - 1])
            writer.close_document()
            writer.finish(kind="text", special={}, fingerprint="", notes=[])
        assert TokenFile(path).tokens.dtype == dtype and TokenFile(path).tokens.tolist() == [0, vocab - 1]


def test_packed_again_only_when_something_changed(tmp_path, tokenizer, monkeypatch) -> None:
    source_path, out = rows(tmp_path / "a.jsonl", ["one", "two"]), tmp_path / "a.tokens"
    encoded: list[int] = []
    encode_batch = tokenizer.encode_batch
    monkeypatch.setattr(tokenizer, "encode_batch", lambda texts: encoded.append(len(texts)) or encode_batch(texts))

    def packs(**options) -> bool:
        encoded.clear()
        pack(open_source(source_path), tokenizer, out, **options)
        return bool(encoded)

    assert packs() and not packs() and not packs()
    assert packs(eos=False) and packs()
    os.utime(source_path, ns=(1, 1))
    assert packs() and not packs()
    rows(source_path, ["one", "two", "three"])
    assert packs() and len(TokenFile(out).documents) == 4
    monkeypatch.setattr(tokenizer, "fingerprint", "another")
    assert packs() and not packs()
    out.write_bytes(out.read_bytes()[:-3])
    assert packs() and not packs()


@pytest.mark.parametrize("damage", ["short", "empty", "foreign", "header", "counts"])
def test_a_damaged_file_is_refused(tmp_path, corpus_of, damage) -> None:
    path = corpus_of([range(50)]).path
    data = path.read_bytes()
    changed = {
        "short": data[: len(data) // 2],
        "empty": b"",
        "foreign": b"PK\x03\x04" + data[4:],
        "header": data.replace(b'{"format"', b'["format"'),
        "counts": data.replace(b'"tokens": 50', b'"tokens": 90'),
    }[damage]
    assert changed != data
    path.write_bytes(changed)
    with pytest.raises(DataError, match="not a whole packed corpus"):
        TokenFile(path)
    with pytest.raises(DataError, match="cannot open"):
        TokenFile(tmp_path / "nothing.tokens")


def test_ids_outside_the_vocabulary_are_refused(tmp_path, tokenizer, monkeypatch) -> None:
    monkeypatch.setattr(tokenizer, "encode_batch", lambda texts: [[5, 263] for _ in texts])
    with pytest.raises(TokenizerError, match="outside its vocabulary"):
        pack(open_source(rows(tmp_path / "a.jsonl", ["x"])), tokenizer, tmp_path / "a.tokens")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.jsonl"]


def test_a_full_disk_says_so_and_leaves_nothing(tmp_path, tokenizer) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    source = open_source(rows(tmp_path / "a.jsonl", ["x" * 100_000]))
    path = tmp_path / "out" / "a.tokens"
    with pytest.raises(DiskError, match="the disk is full"), TokenWriter(path, 263) as writer:
        writer._ids = open("/dev/full", "wb", buffering=0)
        writer.add(tokenizer.encode(next(source.texts())))
    assert list(path.parent.iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(DiskError, match="cannot write"):
        pack(source, tokenizer, tmp_path / "file" / "a.tokens")


def test_h86_a_file_that_changes_while_it_is_packed(tmp_path, tokenizer, monkeypatch) -> None:
    path = rows(tmp_path / "a.jsonl", ["one", "two"])
    encode_batch = tokenizer.encode_batch

    def grow(texts: list[str]) -> list[list[int]]:
        with open(path, "a") as handle:
            handle.write('{"text": "three"}\n')
        return encode_batch(texts)

    monkeypatch.setattr(tokenizer, "encode_batch", grow)
    with pytest.raises(DataError, match="changed while it was read"):
        pack(open_source(path), tokenizer, tmp_path / "a.tokens")

    def vanish(texts: list[str]) -> list[list[int]]:
        path.unlink()
        return encode_batch(texts)

    monkeypatch.setattr(tokenizer, "encode_batch", vanish)
    with pytest.raises(DataError, match="cannot read"):
        pack(open_source(path), tokenizer, tmp_path / "a.tokens")
    assert not list(tmp_path.iterdir())


def test_h73_a_huge_line_is_packed_in_bounded_memory(tmp_path, tokenizer) -> None:
    peaks = []
    for size in (1, 6):
        path = tmp_path / f"{size}.txt"
        path.write_text("some words without an end " * (40_000 * size))  # 1 MB and 6 MB, each one line
        tracemalloc.start()
        file = pack(open_source(path), tokenizer, tmp_path / f"{size}.tokens")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert len(file) == path.stat().st_size + 1
    assert peaks[1] < 1.1 * peaks[0] and peaks[1] < 16e6


def test_progress_counts_characters(tmp_path, tokenizer) -> None:
    seen: list[int] = []
    pack(
        open_source(rows(tmp_path / "a.jsonl", ["x" * 300_000, "y" * 10])),
        tokenizer,
        tmp_path / "a",
        progress=seen.append,
    )
    assert seen[-1] == 300_010 and len(seen) > 1 and seen == sorted(seen)


@given(
    documents=st.lists(st.text(alphabet="ab \n\u0301\u200d\U0001f468", max_size=80), max_size=6), size=st.integers(1, 9)
)
def test_pieces_are_recut_without_loss(documents, size) -> None:
    given_pieces = [Piece(text[i : i + 3], False) for text in documents for i in range(0, len(text), 3)]
    out = list(steady(iter([p for t in documents for p in (Piece(t[:5], False), Piece(t[5:], True))]), size))
    assert "".join(p.text for p in out) == "".join(documents) == "".join(p.text for p in given_pieces)
    assert sum(p.ends for p in out) == len(documents) and all(len(p.text) <= 2 * size for p in out)


def test_text_is_cut_where_a_word_begins() -> None:
    text = "hello world again, and on\nand on"
    assert text[cut_place(text, 20) :].startswith(" ")
    assert cut_place("x" * 50, 20) in range(1, 21)
