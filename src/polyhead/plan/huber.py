"""Many fits at once of log L = log(E + A/N^α + B/D^β), by the Huber loss on the residuals of log L (Hoffmann et al. 2022, eq. 3).

Each fit is a Levenberg–Marquardt descent on reweighted squares (a residual beyond δ weighs δ/|r|): a step is taken only if the
Huber loss itself falls. All starts, and all resamples of a bootstrap, go down together as one batch of 5 × 5 systems, so that no
optimiser is called a thousand times; the minimum is the one that L-BFGS finds when it is not stopped early (tests/plan).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

DELTA = 1e-3  # Hoffmann et al. 2022, appendix D.3
LEAST, MOST = 1e-3, 5.0  # α and β: a loss that rises with size or tokens ends at the first
_QUIET = 12  # steps in a row that gain next to nothing end a fit


class Descent(NamedTuple):
    """theta: (fits, 5) of ln A, ln B, ln E, α, β; A and B at the centre of the data. value: (fits,) Huber loss."""

    theta: np.ndarray
    value: np.ndarray


def huber(residual: np.ndarray, delta: float = DELTA) -> np.ndarray:
    size = np.abs(residual)
    return np.where(size <= delta, 0.5 * residual**2, delta * (size - 0.5 * delta))


def residuals(theta: np.ndarray, log_n: np.ndarray, log_d: np.ndarray, log_l: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(fits, points) of log L less the law's, and the shares (3, fits, points) of A/N^α, B/D^β and E in the law's loss."""
    a, b, e, alpha, beta = (theta[:, [i]] for i in range(5))
    terms = np.stack([a - alpha * log_n, b - beta * log_d, np.broadcast_to(e, (len(theta), len(log_n)))])
    top = terms.max(0)
    shares = np.exp(terms - top)
    total = shares.sum(0)
    return log_l - top - np.log(total), shares / total


def jacobian(shares: np.ndarray, log_n: np.ndarray, log_d: np.ndarray) -> np.ndarray:
    """(fits, points, 5): how the law's log loss moves with ln A, ln B, ln E, α, β."""
    by_n, by_d, by_e = shares
    return np.stack([by_n, by_d, by_e, -by_n * log_n, -by_d * log_d], -1)


def descend(
    theta: np.ndarray, counts: np.ndarray, log_n: np.ndarray, log_d: np.ndarray, log_l: np.ndarray, *,
    delta: float = DELTA, steps: int = 500, gain: float = 1e-9,
) -> Descent:  # fmt: skip
    """theta: (fits, 5) starts. counts: (fits, points), how often each point counts. log_n, log_d, log_l: (points,), the first two
    centred. A fit ends when steps in a row lower its loss by a share of less than `gain`; all end after `steps`."""
    theta, done = theta.copy(), np.zeros(len(theta), dtype=int)
    damping = np.full(len(theta), 1e-2)
    value = (counts * huber(residuals(theta, log_n, log_d, log_l)[0], delta)).sum(1)
    for _ in range(steps):
        at = np.flatnonzero(done < _QUIET)
        if not len(at):
            break
        moved = theta[at] + _step(theta[at], counts[at], damping[at], log_n, log_d, log_l, delta)
        moved[:, 3:] = moved[:, 3:].clip(LEAST, MOST)
        new = (counts[at] * huber(residuals(moved, log_n, log_d, log_l)[0], delta)).sum(1)
        better = new < value[at]  # NaN is not
        done[at] = np.where(better & (value[at] - new > gain * value[at]), 0, done[at] + 1)
        damping[at] = np.where(better, damping[at] / 3, damping[at] * 4).clip(1e-9, 1e9)
        theta[at], value[at] = np.where(better[:, None], moved, theta[at]), np.where(better, new, value[at])
    return Descent(theta, value)


def _step(
    theta: np.ndarray, counts: np.ndarray, damping: np.ndarray, log_n: np.ndarray, log_d: np.ndarray, log_l: np.ndarray, delta: float
) -> np.ndarray:
    """(fits, 5): the damped Gauss–Newton step of the reweighted squares."""
    residual, shares = residuals(theta, log_n, log_d, log_l)
    slopes = jacobian(shares, log_n, log_d)
    weights = counts * np.minimum(1.0, delta / np.maximum(np.abs(residual), 1e-300))
    weighted = slopes * weights[:, :, None]
    square = weighted.transpose(0, 2, 1) @ slopes
    diagonal = np.einsum("bii->bi", square)
    floor = 1e-12 * diagonal.max(1, keepdims=True) + 1e-300
    damped = square + np.eye(5) * (damping[:, None] * diagonal + floor)[:, :, None]
    return np.linalg.solve(damped, (weighted * residual[:, :, None]).sum(1)[:, :, None])[:, :, 0]


def starts() -> np.ndarray:
    """(108, 5): a grid of shares and exponents around a loss scaled to 1, as Hoffmann et al. start from a grid."""
    grid = np.meshgrid((-3.0, -1.5, -0.5), (-3.0, -1.5, -0.5), (-1.5, -0.5, 0.0), (0.2, 0.6), (0.2, 0.6), indexing="ij")
    return np.stack([axis.ravel() for axis in grid], -1)
