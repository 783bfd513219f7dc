"""The unigram language model of pieces, to be read (Kudo 2018, arXiv 1804.10959).

Every piece has a probability; a segmentation of a word has the product of its pieces', and a word the sum over all its
segmentations. EM fits the probabilities, pruning makes the vocabulary small, Viterbi finds the likeliest segmentation.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping

import numpy as np

Pieces = tuple[str, ...]
LONGEST = 10  # characters of a piece


def arcs(word: str, logp: Mapping[str, float]) -> Iterator[tuple[int, int, float]]:
    """(start, end, log-probability) of each piece that the word holds, by end."""
    for end in range(1, len(word) + 1):
        for start in range(max(0, end - LONGEST), end):
            if (score := logp.get(word[start:end])) is not None:
                yield start, end, score


def forward(word: str, logp: Mapping[str, float]) -> list[float]:
    """log of the summed probability of all segmentations of word[:0], word[:1], …, word."""
    alpha = [0.0] + [-math.inf] * len(word)
    for start, end, score in arcs(word, logp):
        alpha[end] = add(alpha[end], alpha[start] + score)
    return alpha


def add(a: float, b: float) -> float:
    """log(eᵃ + eᵇ)."""
    high, low = (a, b) if a > b else (b, a)
    return high if low == -math.inf else high + math.log1p(math.exp(low - high))


def expected(words: Mapping[str, int], logp: Mapping[str, float]) -> tuple[Counter[str], float]:
    """E step: how often each piece is used, expected over all segmentations, and the log-likelihood of the words."""
    counts: Counter[str] = Counter()
    total = 0.0
    for word, often in words.items():
        alpha, beta = forward(word, logp), [-math.inf] * len(word) + [0.0]
        for start, end, score in sorted(arcs(word, logp), reverse=True):
            beta[start] = add(beta[start], score + beta[end])
        for start, end, score in arcs(word, logp):
            counts[word[start:end]] += often * math.exp(alpha[start] + score + beta[end] - alpha[-1])  # type: ignore[assignment]
        total += often * alpha[-1]
    return counts, total


def maximised(counts: Mapping[str, float]) -> dict[str, float]:
    """M step: log-probabilities in proportion to the expected counts; a lone character never vanishes."""
    kept = {piece: max(n, 1e-3 if len(piece) == 1 else 0.0) for piece, n in counts.items()}
    kept = {piece: n for piece, n in kept.items() if n > 0}
    total = math.log(sum(kept.values()))
    return {piece: math.log(n) - total for piece, n in kept.items()}


def viterbi(word: str, logp: Mapping[str, float], without: str | None = None) -> tuple[Pieces, float]:
    """The likeliest segmentation and its log-probability. without: a piece that may not be used."""
    best, back = [0.0] + [-math.inf] * len(word), [0] * (len(word) + 1)
    for start, end, score in arcs(word, logp):
        if best[start] + score > best[end] and word[start:end] != without:
            best[end], back[end] = best[start] + score, start
    pieces: list[str] = []
    end = len(word)
    while end and best[-1] > -math.inf:
        pieces.append(word[back[end] : end])
        end = back[end]
    return tuple(reversed(pieces)), best[-1]


def sample(word: str, logp: Mapping[str, float], draw: np.random.Generator) -> Pieces:
    """A segmentation drawn by its probability, from the end backwards (subword regularisation, §3)."""
    alpha, end, pieces = forward(word, logp), len(word), []
    while end:
        starts = [(start, score) for start, stop, score in arcs(word, logp) if stop == end]
        chances = np.exp([alpha[start] + score - alpha[end] for start, score in starts])
        start = starts[int(draw.choice(len(starts), p=chances / chances.sum()))][0]
        pieces.append(word[start:end])
        end = start
    return tuple(reversed(pieces))


def train(words: Mapping[str, int], size: int, start: Mapping[str, float] | None = None) -> dict[str, float]:
    """Log-probabilities of `size` pieces: from all substrings that occur twice (or from `start`, a larger vocabulary), two
    EM steps and a pruning in turn."""
    logp = dict(start or seeds(words))
    while True:
        for _ in range(2):
            logp = maximised(expected(words, logp)[0])
        if len(logp) <= size:
            return logp
        logp = prune(words, logp, max(size, int(0.75 * len(logp))))


def seeds(words: Mapping[str, int]) -> dict[str, float]:
    """Substrings that occur twice, and all characters, in proportion to how many characters they cover."""
    counts: Counter[str] = Counter()
    for word, often in words.items():
        for start in range(len(word)):
            for end in range(start + 1, min(start + LONGEST, len(word)) + 1):
                counts[word[start:end]] += often
    return maximised({piece: n * len(piece) for piece, n in counts.items() if n > 1 or len(piece) == 1})


def prune(words: Mapping[str, int], logp: Mapping[str, float], size: int) -> dict[str, float]:
    """Keep characters, and of the other pieces those without which the words' best segmentations would lose most."""
    used: Counter[str] = Counter()
    for word, often in words.items():
        for piece in viterbi(word, logp)[0]:
            used[piece] += often
    loss = {piece: math.inf if len(piece) == 1 else used[piece] * (logp[piece] - viterbi(piece, logp, piece)[1]) for piece in logp}
    kept = sorted(logp, key=lambda piece: (-loss[piece], piece))[:size]
    return {piece: logp[piece] for piece in kept}
