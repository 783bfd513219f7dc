"""Reading text files: encodings, marks, gzip, binary data, bounded memory."""

from __future__ import annotations

import gzip
import itertools
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyhead.errors import DataError
from polyhead.text import cut_point, read_chunks, read_text

TEXT = "Über die Lampe — “灯台”\r\nsecond\rthird\u2028fourth\n"


def write(folder: Path, data: bytes, name: str = "a.txt") -> Path:
    (folder / name).write_bytes(data)
    return folder / name


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_h75_h79_marks_choose_the_encoding_and_line_ends_stay(tmp_path: Path, encoding: str) -> None:
    assert read_text(write(tmp_path, TEXT.encode(encoding))) == TEXT


@pytest.mark.parametrize("mark", ["utf-16-be", "utf-32-be"])
def test_h75_big_endian_marks(tmp_path: Path, mark: str) -> None:
    assert read_text(write(tmp_path, ("\ufeff" + TEXT).encode(mark))) == TEXT


def test_h75_a_named_encoding_is_taken_at_its_word(tmp_path: Path) -> None:
    assert read_text(write(tmp_path, "café".encode("latin-1")), encoding="latin-1") == "café"
    assert read_text(write(tmp_path, b"\xef\xbb\xbfok"), encoding="utf-8") == "ok"
    assert read_text(write(tmp_path, b"a\0b"), encoding="utf-8") == "a\0b"
    for bad in ("klingon", "zlib"):
        with pytest.raises(DataError, match="no such text encoding"):
            read_text(write(tmp_path, b"x"), encoding=bad)


@pytest.mark.parametrize("before", [0, 5, 65_535, 65_536, 200_001])
@pytest.mark.parametrize("bad", [b"\xe9 x", b"\xc0\xaf", b"\xed\xa0\x80", b"\xe2\x82"])
def test_h75_h76_the_offset_of_an_undecodable_byte(tmp_path: Path, before: int, bad: bytes) -> None:
    with pytest.raises(DataError, match=f"byte {before} is not utf-8") as caught:
        read_text(write(tmp_path, b"a" * before + bad))
    assert "a.txt" in str(caught.value) and "cp1252" in str(caught.value)


def test_h75_the_offset_in_a_file_with_a_mark(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="byte 5 is not utf-8"):
        read_text(write(tmp_path, b"\xef\xbb\xbfab\xff"))
    with pytest.raises(DataError, match="byte 4 is not utf-16"):
        read_text(write(tmp_path, b"\xff\xfea\x00\x00\xdcb\x00"))


@pytest.mark.parametrize(
    ("data", "kind"),
    [(b"\x7fELF\x02\x01", "ELF"), (gzip.compress(b"text", mtime=0), "gzip"), (b"PK\x03\x04zip", "zip"), (b"PAR1", "Parquet"),
     (b"text with a \0 in it", "NUL byte at offset 12"), (b"a" * 100_000 + b"\0", "offset 100000"), (b"\0" * 10, "offset 0")],
)  # fmt: skip
def test_h74_binary_data_is_refused(tmp_path: Path, data: bytes, kind: str) -> None:
    with pytest.raises(DataError, match="is not text") as caught:
        read_text(write(tmp_path, data))
    assert kind in str(caught.value)


def test_h74_utf16_without_a_mark_gets_a_hint(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="utf-16-le"):
        read_text(write(tmp_path, "plain text".encode("utf-16-le")))


def test_gzip_is_opened_and_damage_is_said(tmp_path: Path) -> None:
    packed = gzip.compress(TEXT.encode() * 1000)
    assert read_text(write(tmp_path, packed, "a.txt.gz")) == TEXT * 1000
    for damaged in (packed[:-200], packed[:30] + b"\xff" * 40 + packed[70:], b"not gzip"):
        with pytest.raises(DataError, match="gzip data is damaged"):
            read_text(write(tmp_path, damaged, "b.txt.gz"))


def test_h69_h70_h72_the_smallest_files(tmp_path: Path) -> None:
    for data in (b"", b"\n", b"a", b"a\nb", b"\xef\xbb\xbf"):
        assert read_text(write(tmp_path, data)) == data.decode("utf-8-sig")
    assert list(read_chunks(write(tmp_path, b""))) == []


def test_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no file"):
        read_text(tmp_path / "gone.txt")
    with pytest.raises(DataError, match="is a folder"):
        read_text(tmp_path)
    with pytest.raises(DataError, match="chunk_chars"):
        list(read_chunks(tmp_path, chunk_chars=0))


@settings(max_examples=60, deadline=None)
@given(text=st.text(st.sampled_from("ab \n\r灯é\u0301👩\u200d"), max_size=300), limit=st.integers(1, 40))
def test_h78_chunks_joined_are_the_file(tmp_path_factory: pytest.TempPathFactory, text: str, limit: int) -> None:
    path = write(tmp_path_factory.mktemp("chunks"), text.encode())
    chunks = list(read_chunks(path, chunk_chars=limit))
    assert "".join(chunks) == text and all(0 < len(chunk) <= limit for chunk in chunks)


def test_a_cut_is_after_a_line_else_before_a_word_else_beside_ascii() -> None:
    assert cut_point("one\ntwo three four", 8) == 8 or cut_point("one two\nthree", 10) == 8
    assert cut_point("one two\nthree", 10) == 8
    assert cut_point("one two three", 10) == 7
    assert cut_point("灯灯灯a灯灯灯灯", 6) == 3 or cut_point("灯灯灯灯a灯灯灯", 6) == 4
    assert cut_point("灯灯灯灯a灯灯灯", 6) == 4
    assert cut_point("灯" * 20, 6) == 6


def test_h73_a_file_of_one_line_is_read_in_bounded_memory(tmp_path: Path) -> None:
    path = write(tmp_path, gzip.compress(b"x" * 50_000_000, 1), "line.txt.gz")
    tracemalloc.start()
    total = sum(len(chunk) for chunk in read_chunks(path, chunk_chars=1 << 16))
    _size, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert total == 50_000_000 and peak < 2_000_000


def test_h73_a_sparse_file_of_zeros_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "zeros.txt"
    with path.open("wb") as stream:
        stream.truncate(10 << 30)
    with pytest.raises(DataError, match="NUL byte at offset 0"):
        list(itertools.islice(read_chunks(path), 1))


def test_repair_while_reading(tmp_path: Path) -> None:
    line = "“Café” — naïve, 灯台\n"
    broken = (line * 200).encode().decode("mac_roman")
    path = write(tmp_path, broken.encode())
    assert read_text(path) == broken
    assert read_text(path, repair=True) == line * 200
    assert "".join(read_chunks(path, repair=True, chunk_chars=100)) == line * 200
