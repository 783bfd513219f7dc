"""Byte pair encoding, to be read (Sennrich et al. 2016, arXiv 1508.07909, algorithm 1).

A word is a tuple of symbols, at first its characters. Training joins the pair of neighbours that is most frequent, over
and over; encoding replays the merges in the order in which they were learnt. Nothing is ever joined across two words.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise

Word = tuple[str, ...]
Pair = tuple[str, str]
Tie = Callable[[Sequence[Pair], Mapping[str, int]], Pair]  # equally frequent pairs, symbol → its number → the pair to join


def first_seen(pairs: Sequence[Pair], numbers: Mapping[str, int]) -> Pair:
    """The pair that stands first in the words as they were given (Sennrich's code)."""
    return pairs[0]


def oldest(pairs: Sequence[Pair], numbers: Mapping[str, int]) -> Pair:
    """The pair of the oldest symbols, characters by their code (Hugging Face's tokenizers)."""
    return min(pairs, key=lambda pair: (numbers[pair[0]], numbers[pair[1]]))


def youngest(pairs: Sequence[Pair], numbers: Mapping[str, int]) -> Pair:
    return max(pairs, key=lambda pair: (numbers[pair[0]], numbers[pair[1]]))


def join(word: Word, pair: Pair) -> Word:
    """The word with each occurrence of the pair, from the left, as one symbol."""
    out: list[str] = []
    for symbol in word:
        if out and (out[-1], symbol) == pair:
            out[-1] += symbol
        else:
            out.append(symbol)
    return tuple(out)


def learn(
    words: Mapping[Word, int], tie: Tie = first_seen, may: Callable[[Pair], bool] = lambda pair: True
) -> Iterator[tuple[Pair, int, int]]:
    """(pair joined, how often it stands in the words, how many pairs stand there as often), merge by merge. may: which
    pairs can be joined at all; BPE has no such rule."""
    pieces, often = list(words), list(words.values())
    numbers = {symbol: n for n, symbol in enumerate(sorted({s for word in pieces for s in word}))}
    counts: Counter[Pair] = Counter()
    where: dict[Pair, set[int]] = defaultdict(set)  # words that hold the pair, or once did

    def tally(n: int, sign: int) -> None:
        for pair in pairwise(pieces[n]):
            if may(pair):
                counts[pair] += sign * often[n]
                where[pair].add(n)

    for n in range(len(pieces)):
        tally(n, 1)
    while counts and (most := max(counts.values())) > 0:
        tied = {pair for pair, count in counts.items() if count == most}
        places = sorted({n for pair in tied for n in where[pair]}) if len(tied) > 1 else []
        seen = dict.fromkeys(pair for n in places for pair in pairwise(pieces[n]) if pair in tied)
        best = tie(list(seen or tied), numbers)
        yield best, most, len(tied)
        numbers.setdefault("".join(best), len(numbers))
        for n in sorted(where.pop(best)):
            tally(n, -1)
            pieces[n] = join(pieces[n], best)
            tally(n, 1)
        del counts[best]


def encode(word: Word, ranks: Mapping[Pair, int]) -> Word:
    """The word's symbols after all merges. ranks: pair → when it was learnt."""
    while known := [pair for pair in pairwise(word) if pair in ranks]:
        word = join(word, min(known, key=ranks.__getitem__))
    return word
