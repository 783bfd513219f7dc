"""The packed corpus: one file of token ids, mapped into memory, with the documents' boundaries and a JSON header.

    magic | ids, uint16 or uint32 | padding to 8 bytes | boundaries, uint64 (documents + 1) | JSON header | length | magic

The header stands last because its counts are known last: a corpus of any size is written in one pass, in a
constant amount of memory, under a temporary name, and appears under its own name complete or not at all.
"""

from __future__ import annotations

import errno
import json
import mmap
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError, DiskError, TokenizerError

MAGIC = b"PHTOKEN1"
_HELD = 1 << 16  # ids, or boundaries, written at once
_REMAKE = "delete the file; it is made again from the text"


def _up8(n: int) -> int:
    return -(-n // 8) * 8


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turns a full or unwritable disk into a DiskError that names the place."""
    try:
        yield
    except OSError as e:
        full = e.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        raise DiskError(
            f"{'the disk is full' if full else 'cannot write'}: {path}",
            received=e.strerror or str(e),
            change="free some space, or choose another folder" if full else "choose a folder that can be written",
        ) from e


class TokenFile:
    """A packed corpus, mapped read-only.

    tokens: (N,) uint16 or uint32, all documents end to end. documents: (D + 1,) int64 boundaries: document d is
    `tokens[documents[d]:documents[d + 1]]`. bytes: UTF-8 bytes of the text behind the tokens (for bits per byte).
    Raises DataError when the file is missing, damaged or not one of these.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            self._handle = open(self.path, "rb")  # noqa: SIM115 -- kept open as long as the mapping
            self._size = os.fstat(self._handle.fileno()).st_size
            header, end = self._read_header()
        except OSError as e:
            raise DataError(f"cannot open the packed corpus {self.path}", received=e.strerror or str(e)) from e
        self.header: dict[str, Any] = header
        self.kind: str = header["kind"]
        self.bytes: int = header["bytes"]
        self.vocab_size: int = header["vocab_size"]
        self.special: dict[str, int] = header["special"]
        self.fingerprint: str = header["fingerprint"]
        self.notes: list[str] = header["notes"]
        self._map_arrays(end)

    def _read_header(self) -> tuple[dict[str, Any], int]:
        handle, tail = self._handle, 8 + len(MAGIC)
        if self._size < 2 * tail or handle.read(len(MAGIC)) != MAGIC:
            raise self._damaged("it does not begin as one")
        handle.seek(self._size - tail)
        length, magic = int.from_bytes(handle.read(8), "little"), handle.read(len(MAGIC))
        end = self._size - tail - length
        if magic != MAGIC or end < len(MAGIC):
            raise self._damaged("its end is missing")
        handle.seek(end)
        try:
            header = json.loads(handle.read(length))
            if header["format"] != 1:
                raise self._damaged(f"its format is {header['format']}, this version reads 1")
            return header, end
        except (ValueError, KeyError, TypeError) as e:
            raise self._damaged("its header cannot be read") from e

    def _map_arrays(self, end: int) -> None:
        n, documents = self.header["tokens"], self.header["documents"]
        dtype = np.dtype(self.header["dtype"])
        if dtype not in (np.uint16, np.uint32):
            raise self._damaged(f"its ids are {dtype}")
        first = len(MAGIC) + _up8(n * dtype.itemsize)
        if first + 8 * (documents + 1) != end:
            raise self._damaged(f"{n} tokens and {documents} documents do not fit its size")
        view = mmap.mmap(self._handle.fileno(), 0, access=mmap.ACCESS_READ)
        self.tokens = np.frombuffer(view, dtype, n, len(MAGIC))
        self.documents = np.frombuffer(view, np.int64, documents + 1, first)

    def _damaged(self, why: str) -> DataError:
        return DataError(
            f"{self.path} is not a whole packed corpus: {why}",
            expected="a file written by polyhead's packing",
            received=f"{self._size} bytes",
            change=_REMAKE,
        )

    def __len__(self) -> int:
        """Number of tokens."""
        return len(self.tokens)

    def check(self) -> None:
        """Raises DataError if the file was cut while mapped: touching the lost pages would kill the process.

        A file that was deleted or replaced is no harm: the mapping keeps the old one alive.
        """
        size = os.fstat(self._handle.fileno()).st_size
        if size < self._size:
            raise DataError(
                f"the packed corpus {self.path} was cut short while in use",
                expected=f"{self._size} bytes",
                received=f"{size} bytes",
                change="do not write into a run's folder while it trains; " + _REMAKE,
            )


class TokenWriter:
    """Writes a TokenFile piece by piece; `finish` puts it in its place, leaving the block without it removes it."""

    def __init__(self, path: Path, vocab_size: int) -> None:
        self.path, self.vocab_size = path, vocab_size
        self.dtype = np.dtype(np.uint16 if vocab_size <= 1 << 16 else np.uint32)
        self.tokens = self.documents = self.bytes = 0
        self._open_document = False
        self._held: list[int] = []
        self._held_ends: list[int] = []

    def __enter__(self) -> TokenWriter:
        with disk_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._folder = Path(tempfile.mkdtemp(prefix=f".{self.path.name}.", dir=self.path.parent))
            self._ids = open(self._folder / "tokens", "wb")  # noqa: SIM115
            self._ends = open(self._folder / "ends", "wb+")  # noqa: SIM115
            self._ids.write(MAGIC)
            self._ends.write((0).to_bytes(8, "little"))
        return self

    def __exit__(self, *_: object) -> None:
        for handle in (self._ids, self._ends):
            try:
                handle.close()
            except OSError:  # closing flushes, and the disk may be full: what matters was said already
                pass
        shutil.rmtree(self._folder, ignore_errors=True)

    def add(self, ids: list[int]) -> None:
        """Appends ids to the open document."""
        self._held += ids
        self.tokens += len(ids)
        self._open_document |= bool(ids)
        if len(self._held) >= _HELD:
            self._flush()

    def close_document(self, *, keep_empty: bool = False) -> None:
        """Ends the open document. One without a token leaves no trace unless `keep_empty`."""
        if self._open_document or keep_empty:
            self._held_ends.append(self.tokens)
            self.documents += 1
            if len(self._held_ends) >= _HELD:
                self._flush()
        self._open_document = False

    def _flush(self) -> None:
        ids = np.array(self._held, np.int64)
        if len(ids) and (ids.min() < 0 or ids.max() >= self.vocab_size):
            raise TokenizerError(
                "the tokenizer returned an id outside its vocabulary",
                expected=f"0 to {self.vocab_size - 1}",
                received=f"{ids.min()} to {ids.max()}",
            )
        with disk_errors(self.path):
            self._ids.write(ids.astype(self.dtype).tobytes())
            self._ends.write(np.array(self._held_ends, np.int64).tobytes())
        self._held, self._held_ends = [], []

    def finish(self, **header: Any) -> None:
        """Writes boundaries and header, and moves the file to its place in one step."""
        self._flush()
        facts = dict(
            format=1,
            dtype=self.dtype.name,
            tokens=self.tokens,
            documents=self.documents,
            bytes=self.bytes,
            vocab_size=self.vocab_size,
            **header,
        )
        text = json.dumps(facts, ensure_ascii=True).encode()
        with disk_errors(self.path):
            self._ids.write(b"\0" * (_up8(self._ids.tell()) - self._ids.tell()))
            self._ends.seek(0)
            shutil.copyfileobj(self._ends, self._ids)
            self._ids.write(text + len(text).to_bytes(8, "little") + MAGIC)
            self._ids.flush()
            os.fsync(self._ids.fileno())
            self._ids.close()
            os.replace(self._folder / "tokens", self.path)


class PairFile:
    """Pairs of texts, packed: source i and target i are the documents 2i and 2i + 1 of one TokenFile."""

    def __init__(self, path: str | Path) -> None:
        self.file = TokenFile(path)
        if self.file.kind != "pairs":
            raise DataError(
                f"{path} holds {self.file.kind}, not pairs",
                expected="a corpus packed from pairs",
                change="open it as a TokenFile, or pack a source of pairs",
            )
        self.sources = self.file.documents[:-1:2], self.file.documents[1::2]
        self.targets = self.file.documents[1:-1:2], self.file.documents[2::2]

    def __len__(self) -> int:
        """Number of pairs."""
        return len(self.sources[0])

    def ids(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        """Source and target ids of pair i, without special tokens."""
        (a, b), (c, d) = self.sources, self.targets
        return self.file.tokens[a[i] : b[i]], self.file.tokens[c[i] : d[i]]
