"""Files of old tokenizers, made by hand."""

from __future__ import annotations

import json
import struct
from pathlib import Path

NORMAL, UNKNOWN, CONTROL, USER, UNUSED, BYTE = range(1, 7)


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def field(number: int, value: bytes | int | float) -> bytes:
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def piece(text: str, score: float = 0.0, kind: int = NORMAL) -> bytes:
    return field(1, field(1, text.encode()) + field(2, score) + (field(3, kind) if kind != NORMAL else b""))


def model(
    pieces: list[tuple], *, kind: int = 1, prefix: bool = True, collapse: bool = True, charsmap: bytes = b"",
    byte_fallback: bool = False,
) -> bytes:  # fmt: skip
    """A SentencePiece model: pieces of (text, score, type)."""
    normalizer = field(2, charsmap) * bool(charsmap) + field(3, int(prefix)) + field(4, int(collapse))
    trainer = field(3, kind) + field(35, int(byte_fallback))
    return b"".join(piece(*row) for row in pieces) + field(2, trainer) + field(3, normalizer)


HEAD = [("<unk>", 0.0, UNKNOWN), ("<s>", 0.0, CONTROL), ("</s>", 0.0, CONTROL)]
WORDS = [("▁", -2.0), ("▁the", -3.0), ("▁lamp", -4.0), ("s", -4.5), ("a", -5.0), ("b", -5.1), ("▁is", -5.2), ("ab", -6.0)]
UNIGRAM = model([*HEAD, *WORDS])

LETTERS = [(letter, -20.0 - at) for at, letter in enumerate("▁abelmpst")]
MERGED = [("th", -1.0), ("lamp", -2.0), ("la", -3.0), ("mp", -4.0), ("▁la", -5.0), ("▁lamp", -6.0), ("ab", -7.0)]
BYTES = [(f"<0x{byte:02X}>", 0.0, BYTE) for byte in range(256)]
BPE = model([*HEAD, *BYTES, *MERGED, *LETTERS], kind=2, collapse=False, byte_fallback=True)


def folder(path: Path, files: dict[str, bytes | str | dict], tokenizer_class: str | None = None, **config: object) -> Path:
    """Write files, and a tokenizer_config.json if there is anything to say."""
    path.mkdir(parents=True, exist_ok=True)
    if tokenizer_class:
        config["tokenizer_class"] = tokenizer_class
    if config:
        files = {**files, "tokenizer_config.json": config}
    for name, content in files.items():
        data = json.dumps(content) if isinstance(content, dict) else content
        (path / name).write_bytes(data if isinstance(data, bytes) else data.encode())
    return path
