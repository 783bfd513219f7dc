"""The text of the trained claims: the demo's corpus, the source and documentation of this Python's own library, as characters.

It differs between versions of Python, so that a result carries its fingerprint.
"""

from __future__ import annotations

import hashlib
import sysconfig
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from polyhead.data.library import select

ALPHABET = "\n" + "".join(map(chr, range(32, 127)))
OTHER = len(ALPHABET)  # the id of all other characters
VOCAB = len(ALPHABET) + 1  # the same on every machine, whatever its library holds
_SIZE = 500_000  # bytes: read in a fraction of a second
_HELD = 10  # every tenth module is held out


class Corpus(NamedTuple):
    """train, held: ids of characters, (N,) int64; the held part is modules of its own. unigram: nats per character of the
    held part to a model that knows the training part's frequencies and nothing else. fingerprint: sha256 of the text."""

    train: Tensor
    held: Tensor
    unigram: float
    fingerprint: str
    modules: int


@lru_cache(maxsize=1)
def corpus() -> Corpus:
    """Read once a process."""
    chosen = [text for _, text in select(Path(sysconfig.get_path("stdlib")), _SIZE)]
    train = encode("\n".join(text for i, text in enumerate(chosen) if i % _HELD != _HELD - 1))
    held = encode("\n".join(chosen[_HELD - 1 :: _HELD]))
    shares = (torch.bincount(train, minlength=VOCAB) + 1.0).double()
    unigram = -(shares / shares.sum()).log()[held].mean().item()
    fingerprint = hashlib.sha256("\0".join(chosen).encode()).hexdigest()
    return Corpus(train, held, unigram, fingerprint, len(chosen))


def encode(text: str) -> Tensor:
    """(N,) ids."""
    of = {ord(character): number for number, character in enumerate(ALPHABET)}
    return torch.tensor([of.get(point, OTHER) for point in map(ord, text)])


def decode(ids: Tensor) -> str:
    return "".join("�" if i == OTHER else ALPHABET[i] for i in ids.tolist())


def windows(ids: Tensor, batch: int, length: int, generator: torch.Generator) -> Tensor:
    """(batch, length): pieces of ids (N,) from places drawn anew. A language model reads all but the last of each row and is
    asked for all but the first: take length + 1."""
    starts = torch.randint(len(ids) - length + 1, (batch, 1), generator=generator)
    return ids[starts + torch.arange(length)]


def spread(ids: Tensor, batch: int, length: int) -> Tensor:
    """(batch, length): pieces at even distances, the same ones every time; for measuring."""
    starts = torch.linspace(0, len(ids) - length, batch).long()[:, None]
    return ids[starts + torch.arange(length)]
