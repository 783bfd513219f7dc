"""Train a Unigram vocabulary (Kudo 2018, arXiv 1804.10959): EM over all ways to cut words into pieces, and pruning.

The tokenizers library has such a trainer, but its result differs from run to run and misses the size that was asked
for; a run must be repeatable. This one works on counted words, many of one length at a time with numpy, always in the
same order, and gives exactly the size asked for whenever the corpus holds that many pieces.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

MAX_PIECE = 16  # characters
_SHRINK = 0.75  # share of the pieces that one pruning keeps
_ROUNDS = 2  # EM steps between two prunings
_FLOOR = 1e-3  # expected count that keeps a single character alive

Array = NDArray[np.float64]


class Lattice(NamedTuple):
    """Words of one length L. ids: (N, L, M), the piece at each start and length − 1, or `dead`. freq: (N,)."""

    ids: NDArray[np.int64]
    freq: Array


def build_lattices(words: Sequence[str], freq: Sequence[float], index: Mapping[str, int], dead: int) -> list[Lattice]:
    """Group words by length; `dead` stands where a substring is no piece."""
    groups: dict[int, list[int]] = {}
    for number, word in enumerate(words):
        groups.setdefault(len(word), []).append(number)
    lattices = []
    for length, members in sorted(groups.items()):
        widest = min(length, MAX_PIECE)
        ids = np.full((len(members), length, widest), dead, dtype=np.int64)
        for row, number in enumerate(members):
            word = words[number]
            for start in range(length):
                for width in range(1, min(widest, length - start) + 1):
                    ids[row, start, width - 1] = index.get(word[start : start + width], dead)
        lattices.append(Lattice(ids, np.array([freq[number] for number in members], dtype=np.float64)))
    return lattices


def _arcs(score: Array, end: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Starts and widths − 1 of the pieces that end at `end`."""
    widths = np.arange(1, min(end, score.shape[2]) + 1)
    return end - widths, widths - 1


def expectation(lattices: Sequence[Lattice], logp: Array) -> tuple[Array, float]:
    """Expected count of every piece, and the log-likelihood of the words. logp: (K + 1,), −inf for the dead one."""
    counts, total = np.zeros_like(logp), 0.0
    with np.errstate(invalid="ignore", divide="ignore"):
        for ids, freq in lattices:
            score, length = logp[ids], ids.shape[1]
            alpha = np.full((len(ids), length + 1), -np.inf)
            beta = alpha.copy()
            alpha[:, 0] = beta[:, length] = 0.0
            for end in range(1, length + 1):
                starts, widths = _arcs(score, end)
                alpha[:, end] = np.logaddexp.reduce(alpha[:, starts] + score[:, starts, widths], axis=1)
            for start in range(length - 1, -1, -1):
                widths = np.arange(min(length - start, score.shape[2]))
                beta[:, start] = np.logaddexp.reduce(beta[:, start + widths + 1] + score[:, start, widths], axis=1)
            whole = alpha[:, length]
            total += float(freq @ whole)
            after = np.full(score.shape, -np.inf)
            for width in range(score.shape[2]):
                after[:, : length - width, width] = beta[:, width + 1 :]
            share = np.exp(alpha[:, :-1, None] + score + after - whole[:, None, None]) * freq[:, None, None]
            counts += np.bincount(ids.ravel(), weights=share.ravel(), minlength=len(logp))
    counts[-1] = 0.0
    return counts, total


def best_without(lattices: Sequence[Lattice], logp: Array) -> Array:
    """For the words of each lattice in order: the best score of a cut into two pieces or more."""
    results = []
    for ids, _freq in lattices:
        score, length = logp[ids], ids.shape[1]
        if length <= MAX_PIECE:
            score[:, 0, length - 1] = -np.inf
        best = np.full((len(ids), length + 1), -np.inf)
        best[:, 0] = 0.0
        for end in range(1, length + 1):
            starts, widths = _arcs(score, end)
            best[:, end] = (best[:, starts] + score[:, starts, widths]).max(axis=1)
        results.append(best[:, length])
    return np.concatenate(results) if results else np.empty(0)


def seeds(words: Mapping[str, int], limit: int) -> dict[str, int]:
    """Single characters, and the `limit` substrings that cover most text, with their counts."""
    single: Counter[str] = Counter()
    longer: Counter[str] = Counter()
    for word, count in words.items():
        for start, letter in enumerate(word):
            single[letter] += count
            for end in range(start + 2, min(start + MAX_PIECE, len(word)) + 1):
                longer[word[start:end]] += count
    ranked = sorted((-count * len(piece), piece) for piece, count in longer.items() if count > 1)
    return {**dict(sorted(single.items())), **{piece: longer[piece] for _, piece in ranked[:limit]}}


def maximise(counts: Array, alive: NDArray[np.bool_]) -> Array:
    """Log-probabilities from counts; −inf for what is not alive."""
    kept = np.where(alive, np.maximum(counts, 1e-12), 0.0)
    with np.errstate(divide="ignore"):
        return np.log(kept) - np.log(kept.sum())


def train_unigram(words: Mapping[str, int], size: int) -> list[tuple[str, float]]:
    """The `size` best pieces with their log-probabilities, best first; fewer if the words hold fewer.

    words: word → count. Every single character stays (so `size` must be at least their number).
    """
    words = dict(sorted(words.items()))
    pieces = seeds(words, max(12 * size, 20_000))
    names = list(pieces)
    index = {piece: number for number, piece in enumerate(names)}
    single = np.array([len(piece) == 1 for piece in names] + [False])
    lattices = build_lattices(list(words), list(words.values()), index, len(names))
    order = sorted((n for n in range(len(names)) if not single[n]), key=lambda n: (len(names[n]), n))
    own = build_lattices([names[n] for n in order], [0.0] * len(order), index, len(names))
    alive = np.array([True] * len(names) + [False])
    logp = maximise(np.array([*pieces.values(), 0], dtype=np.float64), alive)
    while True:
        for _ in range(_ROUNDS):
            counts, _likelihood = expectation(lattices, logp)
            counts[:-1][single[:-1]] = np.maximum(counts[:-1][single[:-1]], _FLOOR)
            alive &= single | ~_weakest(counts, alive, size)
            logp = maximise(counts, alive)
        living = int(alive.sum())
        if living <= size:
            break
        loss = np.full(len(logp), -np.inf)
        with np.errstate(invalid="ignore"):
            loss[order] = counts[order] * (logp[order] - best_without(own, logp))
        loss[:-1][single[:-1]] = np.inf
        loss[~alive] = -np.inf
        alive = _keep(loss, max(size, int(_SHRINK * living))) & alive
        logp = maximise(counts, alive)
    ranked = sorted((-float(logp[n]), names[n]) for n in np.flatnonzero(alive))
    return [(piece, -score) for score, piece in ranked]


def _weakest(counts: Array, alive: NDArray[np.bool_], size: int) -> NDArray[np.bool_]:
    """Pieces that the words hardly use, but never so many that fewer than `size` remain."""
    weak = alive & (counts < 0.5)
    spare = int(alive.sum()) - size
    if int(weak.sum()) <= spare:
        return weak
    first = np.argsort(np.where(weak, counts, np.inf), kind="stable")[: max(spare, 0)]
    chosen = np.zeros_like(weak)
    chosen[first] = True
    return chosen & weak


def _keep(loss: Array, number: int) -> NDArray[np.bool_]:
    """The `number` greatest, the earlier of two equals first."""
    chosen = np.zeros(len(loss), dtype=bool)
    chosen[np.argsort(-loss, kind="stable")[:number]] = True
    return chosen
