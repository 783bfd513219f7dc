"""What a run wants to know of packed data, whatever it is made of."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from polyhead.data import ExampleFile, PairFile, TokenFile
from polyhead.text import Tokenizer

Packed = TokenFile | PairFile | ExampleFile
_IDS = ("text", "second", "context", "question", "prompt", "chosen", "rejected")  # columns of token ids
_FIRST = 4  # tokens of a text that are gone on from


def kind_of(file: Packed) -> str:
    """What it holds: "text", "pairs", or another kind of example."""
    return file.kind if isinstance(file, ExampleFile) else "pairs" if isinstance(file, PairFile) else "text"


def path_of(file: Packed) -> Path:
    """Where it lies."""
    return file.file.path if isinstance(file, PairFile) else file.path


def tokens_in(file: Packed) -> int:
    """Tokens, or pictures."""
    if isinstance(file, ExampleFile):
        return len(file) if "image" in file else sum(len(file.array(name)) for name in _IDS if name in file)
    return len(file.file) if isinstance(file, PairFile) else len(file)


def bytes_in(file: Packed) -> int:
    """UTF-8 bytes behind the tokens; 0 where bits per byte would mix several texts."""
    return file.bytes if isinstance(file, TokenFile) else 0


def facts_of(file: Packed) -> dict[str, Any]:
    """What an objective must know of its data: labels, and size (height, width) and channels of pictures."""
    if not isinstance(file, ExampleFile):
        return {}
    shape = {"size": file.array("image").shape[1:3], "channels": file.array("image").shape[3]} if "image" in file else {}
    return file.facts | shape


def mark_of(*files: Packed) -> str:
    """A hash of the lengths and of 4,096 values at each of up to 64 places: by content, whatever the files' names and
    times, and as quick for a large corpus as for a small one."""
    digest = hashlib.sha256()
    for file in files:
        for values in _columns(file):
            digest.update(f"{len(values)} {values.dtype}".encode())
            for start in range(0, len(values), max(4096, len(values) // 64)):
                digest.update(values[start : start + 4096].tobytes())
    return digest.hexdigest()


def _columns(file: Packed) -> list[np.ndarray]:
    if isinstance(file, ExampleFile):
        return [file.array(name).reshape(-1) for name in (*_IDS, "image", "label", "tag", "answer") if name in file]
    return [file.file.tokens if isinstance(file, PairFile) else file.tokens]


def openings(file: Packed, tokenizer: Tokenizer | None, room: int, count: int = 1) -> list[str]:
    """What a model can be asked to go on from, in words of at most `room` tokens: sources of pairs, the beginning of a text."""
    if tokenizer is None or isinstance(file, ExampleFile):
        return []
    if isinstance(file, TokenFile):
        return [_words(tokenizer, file.tokens[:_FIRST].tolist(), room)]
    return [_words(tokenizer, file.ids(i)[0].tolist(), room) for i in range(min(count, len(file)))]


def _words(tokenizer: Tokenizer, ids: list[int], room: int) -> str:
    """The text of the first of these ids, as many as read again fit into the room."""
    text = tokenizer.decode(ids := ids[: max(room, 1)])
    while len(ids) > 1 and len(tokenizer.encode(text)) > room:
        text = tokenizer.decode(ids := ids[: len(ids) // 2])
    return text
