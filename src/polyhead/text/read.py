"""Text files into strings: encodings, byte-order marks, gzip, and pieces of bounded size.

Line ends are kept as they are in the file. Nothing is guessed: a file without a byte-order mark is UTF-8, or the
reader says which byte is not and asks for `encoding=`.
"""

from __future__ import annotations

import codecs
import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from polyhead.errors import DataError
from polyhead.text.misencoded import repair as undo_misreading

_BLOCK = 1 << 16
# UTF-32 first: its little-endian mark begins with UTF-16's.
_MARKS = ((codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"), (codecs.BOM_UTF8, "utf-8-sig"),
          (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))  # fmt: skip
_BINARIES = ((b"\x7fELF", "an ELF program"), (b"\x1f\x8b", "gzip data"), (b"PK\x03\x04", "a zip archive"),
             (b"PAR1", "a Parquet table"), (b"\x28\xb5\x2f\xfd", "zstandard data"), (b"BZh", "bzip2 data"),
             (b"\xfd7zXZ", "xz data"), (b"\x89PNG", "a PNG picture"), (b"\xff\xd8\xff", "a JPEG picture"),
             (b"%PDF-", "a PDF"), (b"MZ\x90", "a Windows program"))  # fmt: skip


def read_text(path: str | Path, encoding: str | None = None, repair: bool = False) -> str:
    """The whole of a text file. The same rules, and errors, as `read_chunks`."""
    return "".join(read_chunks(path, encoding, repair))


def read_chunks(
    path: str | Path, encoding: str | None = None, repair: bool = False, *, chunk_chars: int = 1 << 20
) -> Iterator[str]:
    """The text of a file in pieces of at most `chunk_chars` characters, in memory bounded by that.

    A piece ends, where it can, after a line end, else before a space: joined, the pieces are the file.
    encoding: None = by byte-order mark (UTF-8, UTF-16, UTF-32), else UTF-8, and binary data is refused; a name of
    Python's = that, taken at its word. repair: undo UTF-8 misread as Latin-1, Windows-1252 or Mac Roman, piece by
    piece. A name ending in `.gz` is unpacked on the way.

    Raises `DataError` for a file that is missing, binary, damaged, or not in the encoding (with the byte's offset).
    """
    if chunk_chars < 1:
        raise DataError("chunk_chars is too small", expected="at least 1", received=str(chunk_chars))
    pending = ""
    for text in _decoded(Path(path), encoding):
        pending += text
        while len(pending) > chunk_chars:
            cut = cut_point(pending, chunk_chars)
            piece, pending = pending[:cut], pending[cut:]
            yield undo_misreading(piece) if repair else piece
    if pending:
        yield undo_misreading(pending) if repair else pending


def cut_point(text: str, limit: int) -> int:
    """Where to cut a text longer than `limit` (1 ≤ cut ≤ limit): after a line, before a word, beside ASCII, or there."""
    middle = limit // 2
    line = text.rfind("\n", middle, limit)
    if line >= 0:
        return line + 1
    space = text.rfind(" ", max(middle, 1), limit)
    if space > 0:
        return space
    # An ASCII character never lies inside a misread multi-byte one, nor is it a combining mark.
    beside = (at for at in range(limit - 1, max(middle, limit - 4096, 0), -1) if text[at] < "\x80")
    return next(beside, limit)


def _decoded(path: Path, encoding: str | None) -> Iterator[str]:
    """The text of each block of bytes."""
    read = 0
    try:
        with _open(path) as stream:
            block = stream.read(_BLOCK)
            codec = _codec(path, block, encoding)
            decoder = codecs.getincrementaldecoder(codec)("strict")
            while True:
                if encoding is None and codec.startswith("utf-8"):
                    _refuse_nul(path, block, read)
                read += len(block)
                yield decoder.decode(block, final=not block)
                if not block:
                    return
                block = stream.read(_BLOCK)
    except UnicodeDecodeError as error:
        offset = read - len(error.object) + error.start
        shown = " ".join(f"{byte:02x}" for byte in error.object[error.start : error.start + 4])
        raise DataError(f"{path}: byte {offset} is not {error.encoding}", expected=f"text in {error.encoding}",
                        received=f"{shown} ({error.reason})",
                        change='name the encoding, such as encoding="cp1252", or convert the file to UTF-8') from None  # fmt: skip
    except UnicodeError as error:  # such as UTF-16 without its mark, when it was asked for
        raise DataError(f"{path} is not {encoding}", received=str(error)) from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}: the gzip data is damaged", received=f"{error} after {read} bytes of text",
                        change="fetch or pack the file again") from None  # fmt: skip
    except OSError as error:
        raise _unreadable(path, error) from None


def _open(path: Path) -> IO[bytes]:
    return gzip.open(path, "rb") if path.suffix.lower() == ".gz" else path.open("rb")  # type: ignore[return-value]


def _unreadable(path: Path, error: OSError) -> DataError:
    if isinstance(error, FileNotFoundError):
        return DataError(f"there is no file {path}", expected="a text file", change="check the path")
    if path.is_dir():
        return DataError(f"{path} is a folder", expected="a text file", change="name a file in it")
    return DataError(f"{path} cannot be read", received=error.strerror or str(error))


def _codec(path: Path, head: bytes, encoding: str | None) -> str:
    marked = next((name for mark, name in _MARKS if head.startswith(mark)), None)
    if encoding is None:
        kind = next((name for magic, name in _BINARIES if head.startswith(magic)), None)
        if kind:
            raise DataError(f"{path} is not text", expected="a text file", received=kind,
                            change="end its name in .gz" if kind == "gzip data" else "extract its text first")  # fmt: skip
        return marked or "utf-8"
    try:
        name = codecs.lookup(encoding).name
        if not isinstance(codecs.getincrementaldecoder(encoding)("strict").decode(b""), str):
            raise LookupError("such as zlib: bytes to bytes")
    except LookupError:
        raise DataError("there is no such text encoding", expected="one of Python's, such as utf-8 or cp1252",
                        received=repr(encoding)) from None  # fmt: skip
    return "utf-8-sig" if name == "utf-8" else name


def _refuse_nul(path: Path, block: bytes, before: int) -> None:
    nul = block.find(0)
    if nul < 0:
        return
    wide = block[1::2].count(0) > len(block) // 4 or block[::2].count(0) > len(block) // 4
    change = 'if it is UTF-16, say so: encoding="utf-16-le" (or -be)' if wide and any(block) else None
    raise DataError(f"{path} is not text", expected="a text file", received=f"a NUL byte at offset {before + nul}",
                    change=change or 'if it is text all the same, say so: encoding="utf-8"')  # fmt: skip
