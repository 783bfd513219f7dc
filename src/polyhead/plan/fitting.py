"""Your own scaling law: L(N, D) = E + A/N^α + B/D^β fitted to measured losses, how sure it is, and whether the data can bear it.

The fit is Hoffmann et al.'s (2022, §3.3) done as Besiroglu et al. (2024, arXiv 2404.10102) ask: Huber loss of 10⁻³ on log L, summed, many
starts, run to the end; intervals from resampled points, each resample fitted anew.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from polyhead.errors import DataError

from .huber import DELTA, LEAST, Descent, descend, jacobian, residuals, starts
from .points import Points
from .scaling import Cloud, Surface

FEWEST = 6  # points: five constants, and one more to see how far off they are


@dataclass(frozen=True, eq=False)
class Fit(Cloud):
    """The constants of `points`, and those of resamples of them. miss: the middle absolute residual of log L. value: the Huber loss,
    summed. agree: share of starts that ended at this minimum. thin: what the data cannot bear, in sentences."""

    points: Points
    miss: float
    value: float
    agree: float
    thin: list[str] = field(default_factory=list)

    def beyond(self, flops: float) -> float:
        """Decades of compute past the largest measured point."""
        return float(np.log10(flops / self.points.flops.max()))


def fit(points: Points, *, resamples: int = 200, seed: int = 0, delta: float = DELTA) -> Fit:
    """The law of these points. DataError where five constants cannot be had at all: fewer than six points, or one size or one number
    of tokens alone. Everything less is fitted, and said in `thin`."""
    _possible(points)
    log_n, log_d, log_l = np.log(points.params), np.log(points.tokens), np.log(points.loss)
    middle = (log_n.mean(), log_d.mean(), log_l.mean())
    centred = (log_n - middle[0], log_d - middle[1], log_l - middle[2])
    ones = np.ones((1, len(log_n)))
    first = starts()
    every = np.repeat(ones, len(first), 0)
    rough = descend(first, every, *centred, delta=0.05, steps=60)
    found = descend(rough.theta, every, *centred, delta=delta)
    best = int(np.nanargmin(found.value))
    agree = float((found.value < found.value[best] * (1 + 1e-4)).mean())
    again = _resample(found.theta[best], len(log_n), resamples, seed, centred, delta)
    residual = residuals(found.theta[[best]], *centred)[0][0]
    rows = _constants(again.theta, middle)
    own = Surface(*map(float, _constants(found.theta[[best]], middle)[0]))
    _falls(own, points)
    told = _thin(points) + _flat(found.theta[[best]], centred) + _loose(rows, own)
    return Fit(own, rows, points, float(np.median(np.abs(residual))), float(found.value[best]), agree, told)


def _resample(theta: np.ndarray, n: int, resamples: int, seed: int, centred: tuple[np.ndarray, ...], delta: float) -> Descent:
    """Points drawn with replacement, each draw fitted from the best minimum; draws of fewer than five points are drawn again."""
    draw = np.random.default_rng(seed)
    rows: list[np.ndarray] = []
    while len(rows) < resamples:
        counts = np.bincount(draw.integers(0, n, n), minlength=n)
        if (counts > 0).sum() >= 5:
            rows.append(counts)
    return descend(np.repeat(theta[None], resamples, 0), np.array(rows, dtype=np.float64), *centred, delta=delta, steps=300)


def _constants(theta: np.ndarray, middle: tuple[float, float, float]) -> np.ndarray:
    """(fits, 5) of E, A, B, α, β, from logarithms about the middle of the data."""
    a, b, e, alpha, beta = theta.T
    n, d, loss = middle
    with np.errstate(over="ignore"):
        return np.stack([np.exp(e + loss), np.exp(a + alpha * n + loss), np.exp(b + beta * d + loss), alpha, beta], -1)


def _possible(points: Points) -> None:
    n = len(points.loss)
    if n < FEWEST:
        raise DataError("a law has five constants and needs more points than that", expected=f"{FEWEST} points or more", received=str(n),
                        change="train more sizes on more lengths; three sizes by three lengths are a beginning")  # fmt: skip
    for name, values in (("size", points.params), ("number of tokens", points.tokens)):
        if len(np.unique(values)) < 2:
            raise DataError(f"every point has the same {name}, so how loss falls with it cannot be seen", expected="two or more",
                            received=f"{values[0]:g} alone", change=f"vary the {name}")  # fmt: skip


def _falls(own: Surface, points: Points) -> None:
    """DataError where a term of the law does nothing from the least to the most of the data."""
    for what, values, scale, exponent in (("size", points.params, own.A, own.alpha), ("tokens", points.tokens, own.B, own.beta)):
        gain = float(np.ptp(scale * values**-exponent))
        if exponent < 2 * LEAST or gain < 1e-3 * points.loss.min():
            raise DataError(
                f"the losses do not fall with {what}, so there is no law of this form", expected=f"losses that are lower for more {what}",
                received=f"{gain:.2g} nats from the least to the most {what}",
                change="leave out runs that failed, and vary size and tokens each on its own",
            )  # fmt: skip


def _thin(points: Points) -> list[str]:
    """What the design lacks, whatever was measured."""
    told = []
    log_n, log_d = np.log10(points.params), np.log10(points.tokens)
    for name, values in (("sizes", log_n), ("numbers of tokens", log_d)):
        few, wide = len(np.unique(values.round(2))), float(np.ptp(values))
        if few < 4:
            told.append(f"only {few} {name}: a power law and its floor take four or more")
        if wide < 1:
            told.append(f"{name} span a factor of {10**wide:.1f}: less than ten, over which most curves look like a power law")
    if len(points.loss) < 12:
        told.append(f"{len(points.loss)} points for five constants")
    tied = float(np.corrcoef(log_n, log_d)[0, 1])
    if abs(tied) > 0.95:
        told.append(f"size and tokens rise together (correlation {tied:.2f}), so what each does cannot be told; vary one at a fixed other")
    return told


def _flat(theta: np.ndarray, centred: tuple[np.ndarray, ...]) -> list[str]:
    """Directions in which the constants move without the loss noticing: singular values of the scaled slopes."""
    log_n, log_d, log_l = centred
    shares = residuals(theta, log_n, log_d, log_l)[1]
    slopes = jacobian(shares, log_n, log_d)[0]
    size = np.linalg.norm(slopes, axis=0)
    if (size < 1e-6 * size.max()).any():
        lost = [name for name, s in zip(("A", "B", "E", "alpha", "beta"), size, strict=True) if s < 1e-6 * size.max()]
        return [f"the losses do not depend on {' and '.join(lost)}: the fit has put that term to nothing"]
    _, values, directions = np.linalg.svd(slopes / size, full_matrices=False)
    if values[0] < 200 * values[-1]:
        return []
    names = np.array(("A", "B", "E", "alpha", "beta"))[np.abs(directions[-1]) > 0.35]
    return [f"a flat direction: {', '.join(names)} can move together by much and change the fitted losses by little"]


def _loose(rows: np.ndarray, own: Surface) -> list[str]:
    """Constants whose intervals say next to nothing."""
    told = []
    for name, values, value in (("alpha", rows[:, 3], own.alpha), ("beta", rows[:, 4], own.beta)):
        low, high = np.quantile(values, [0.025, 0.975])
        if high - low > abs(value):
            told.append(f"{name} is known only as {low:.2f} to {high:.2f}")
    low, high = np.quantile(rows[:, 0], [0.025, 0.975])
    if low < 0.2 * high:
        told.append(f"the floor E is anywhere from {low:.2g} to {high:.2g} nats: the data do not reach down to it")
    return told
