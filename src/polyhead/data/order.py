"""The order of samples: a keyed bijection on 0..n-1, with no table, no state and O(1) seek.

Resume needs nothing but the step number, because where a sample stands is computed, never remembered.
Random bits come from a hash of (seed, epoch, place), so that no generator has a state to lose.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

_MASK = (1 << 64) - 1
_ROUNDS = 6
_GOLDEN, _MIX_A, _MIX_B = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_U = np.uint64
BLOCK = 1024


def key(*parts: int) -> int:
    """One 64-bit key from any integers (SplitMix64, Steele et al. 2014), negative and huge ones included."""
    state = 0
    for part in parts:
        state = (state ^ (part & _MASK)) + _GOLDEN & _MASK
        state = (state ^ state >> 30) * _MIX_A & _MASK
        state = (state ^ state >> 27) * _MIX_B & _MASK
        state ^= state >> 31
    return state


def noise(keys: np.ndarray) -> np.ndarray:
    """Hash of uint64 values, element by element: 64 random bits each (SplitMix64's finisher)."""
    x = keys + _U(_GOLDEN)
    x = (x ^ x >> _U(30)) * _U(_MIX_A)
    x = (x ^ x >> _U(27)) * _U(_MIX_B)
    return x ^ x >> _U(31)


def permute(places: np.ndarray, n: int, *keys: int) -> np.ndarray:
    """Where each place in 0..n-1 is sent by the permutation that `keys` name; int64, same shape.

    A generalised Feistel network on Z_a x Z_b with a·b >= n and cycle walking (Black and Rogaway 2002):
    a·b - n < a, so few values ever walk.
    """
    a = max(1, math.isqrt(n))
    a += a * a < n
    b = -(-n // a)
    rounds = [_U(key(*keys, r)) for r in range(_ROUNDS)]
    out = _feistel(np.asarray(places).astype(_U), a, b, rounds)
    while (outside := out >= _U(n)).any():
        out[outside] = _feistel(out[outside], a, b, rounds)
    return out.astype(np.int64)


@lru_cache(maxsize=16)
def permuted_block(n: int, block: int, *keys: int) -> np.ndarray:
    """`permute` of the places from block·BLOCK on, BLOCK of them or up to n; remembered, as steps follow one another."""
    out = permute(np.arange(block * BLOCK, min(n, (block + 1) * BLOCK)), n, *keys)
    out.flags.writeable = False
    return out


def _feistel(x: np.ndarray, a: int, b: int, rounds: list[np.uint64]) -> np.ndarray:
    left, right = x // _U(b), x % _U(b)
    sides = (_U(a), _U(b))
    for r, round_key in enumerate(rounds):
        size = sides[r % 2]
        mixed = (right ^ round_key) * _U(_MIX_A)
        mixed = (mixed ^ mixed >> _U(29)) * _U(_MIX_B)
        left, right = right, (left + (mixed >> _U(32)) % size) % size
    return left * _U(b) + right
