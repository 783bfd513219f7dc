"""Published scaling laws, as printed: how the loss of a language model falls with its size N and its training tokens D, and
which N and D a budget of C FLOPs is best spent on.

    Kaplan et al. 2020 (arXiv 2001.08361)        N without embeddings   N ∝ C^0.73
    Hoffmann et al. 2022 (2203.15556)            all parameters         three approaches: N ∝ C^0.50, C^0.49, C^0.46
    Besiroglu et al. 2024 (2404.10102)           all parameters         approach 3 fitted again: N ∝ C^0.51

C = 6·N·D throughout (Kaplan §2.1; Hoffmann §3.3). What N counts is stated with every law, because it matters: Pearce & Song 2024
(arXiv 2406.12907) trace most of the gap between 0.73 and 0.50 to Kaplan's leaving embeddings out at small sizes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

PF_DAY = 1e15 * 86400  # FLOPs of one petaFLOP/s-day, Kaplan's unit of compute


class Best(NamedTuple):
    """Where a budget goes: params N, tokens D, with C = 6·N·D."""

    params: float
    tokens: float

    @property
    def flops(self) -> float:
        return 6 * self.params * self.tokens

    @property
    def ratio(self) -> float:
        """Tokens per parameter."""
        return self.tokens / self.params


@dataclass(frozen=True)
class Surface:
    """L(N, D) = E + A/N^α + B/D^β (Hoffmann et al. 2022, eq. 2), nats per token. E: what no model and no data remove."""

    E: float
    A: float
    B: float
    alpha: float
    beta: float

    def loss(self, params: float, tokens: float) -> float:
        return self.E + self.A / params**self.alpha + self.B / tokens**self.beta

    @property
    def exponent(self) -> float:
        """a of N ∝ C^a (eq. 4)."""
        return self.beta / (self.alpha + self.beta)

    def best(self, flops: float) -> Best:
        """The minimum of loss(N, C/6N), in closed form (eq. 4)."""
        g = (self.alpha * self.A / (self.beta * self.B)) ** (1 / (self.alpha + self.beta))
        params = g * (flops / 6) ** self.exponent
        return Best(params, flops / 6 / params)

    def best_of_params(self, params: float) -> Best:
        """The budget for which this size is best: αA/N^α = βB/D^β."""
        return Best(params, (self.beta * self.B / (self.alpha * self.A)) ** (1 / self.beta) * params ** (self.alpha / self.beta))

    def best_of_tokens(self, tokens: float) -> Best:
        return Best((self.alpha * self.A / (self.beta * self.B)) ** (1 / self.alpha) * tokens ** (self.beta / self.alpha), tokens)


Range = tuple[float, float, float]  # value, low, high: the middle 95 %


@dataclass(frozen=True, eq=False)
class Cloud:
    """A surface, and others that the same data would bear as well: rows (R, 5) of E, A, B, α, β. Intervals are of the constants
    alone: a single run misses the law by its own noise besides."""

    surface: Surface
    rows: np.ndarray

    def constants(self) -> dict[str, Range]:
        """By name; exponent: a of N ∝ C^a."""
        own, (*_, alpha, beta) = self.surface, self.rows.T
        columns = dict(zip(("E", "A", "B", "alpha", "beta"), self.rows.T, strict=True)) | {"exponent": beta / (alpha + beta)}
        return {name: _range(getattr(own, name), values) for name, values in columns.items()}

    def loss(self, params: float, tokens: float) -> Range:
        e, a, b, alpha, beta = self.rows.T
        return _range(self.surface.loss(params, tokens), e + a / params**alpha + b / tokens**beta)

    def best(self, flops: float) -> dict[str, Range]:
        """params, tokens and loss of the best model for a budget."""
        own, (e, a, b, alpha, beta) = self.surface.best(flops), self.rows.T
        size = (np.log(alpha * a / (beta * b)) + beta * math.log(flops / 6)) / (alpha + beta)
        params = np.exp(size.clip(-200, 200))  # exponents near 0 put the best size anywhere
        tokens = flops / 6 / params
        losses = e + a / params**alpha + b / tokens**beta
        return {"params": _range(own.params, params), "tokens": _range(own.tokens, tokens), "loss": _range(self.surface.loss(*own), losses)}


def _range(value: float, values: Any) -> Range:
    low, high = np.quantile(values, [0.025, 0.975])
    return float(value), float(low), float(high)


@dataclass(frozen=True)
class Line:
    """N = N₀·(C/C₀)^a: a frontier alone, without a loss. through: a budget and its best size; slope: a."""

    flops: float
    params: float
    slope: float

    @property
    def exponent(self) -> float:
        return self.slope

    @classmethod
    def between(cls, low: tuple[float, float], high: tuple[float, float]) -> Line:
        """Through two (FLOPs, parameters)."""
        return cls(*low, math.log(high[1] / low[1]) / math.log(high[0] / low[0]))

    def best(self, flops: float) -> Best:
        params = self.params * (flops / self.flops) ** self.slope
        return Best(params, flops / 6 / params)

    def best_of_params(self, params: float) -> Best:
        return self.best(self.flops * (params / self.params) ** (1 / self.slope))

    def best_of_tokens(self, tokens: float) -> Best:
        start = self.best(self.flops).tokens
        return self.best(self.flops * (tokens / start) ** (1 / (1 - self.slope)))


@dataclass(frozen=True)
class Law:
    """A frontier with its source. params: what N counts. surface: its loss, None where the source gives none of this form.
    note: what to know before use."""

    name: str
    frontier: Surface | Line
    source: str
    params: str
    note: str = ""

    @property
    def surface(self) -> Surface | None:
        return self.frontier if isinstance(self.frontier, Surface) else None


WHOLE, BODY = "all parameters, embeddings included", "parameters without embeddings"

# Hoffmann et al. 2022, Table 3 (approach 1) and Table A3 (approaches 2 and 3): (parameters, FLOPs, tokens) as printed.
SIZES = (4e8, 1e9, 1e10, 6.7e10, 1.75e11, 2.8e11, 5.2e11, 1e12, 1e13)
TABLE_1 = tuple(zip(SIZES, (1.92e19, 1.21e20, 1.23e22, 5.76e23, 3.85e24, 9.90e24, 3.43e25, 1.27e26, 1.30e28),
                    (8.0e9, 20.2e9, 205.1e9, 1.5e12, 3.7e12, 5.9e12, 11.0e12, 21.2e12, 216.2e12), strict=True))  # fmt: skip
TABLE_2 = tuple(zip(SIZES, (1.84e19, 1.20e20, 1.32e22, 6.88e23, 4.54e24, 1.18e25, 4.19e25, 1.59e26, 1.75e28),
                    (7.7e9, 20.0e9, 219.5e9, 1.7e12, 4.3e12, 7.1e12, 13.4e12, 26.5e12, 292.0e12), strict=True))  # fmt: skip
TABLE_3 = tuple(zip(SIZES, (2.21e19, 1.62e20, 2.46e22, 1.71e24, 1.26e25, 3.52e25, 1.36e26, 5.65e26, 8.55e28),
                    (9.2e9, 27.1e9, 410.1e9, 4.1e12, 12.0e12, 20.1e12, 43.5e12, 94.1e12, 1425.5e12), strict=True))  # fmt: skip

PRINTED = Surface(E=1.69, A=406.4, B=410.7, alpha=0.34, beta=0.28)  # eq. 10, two digits
SOURCE = Surface(E=math.exp(0.5267228), A=406.4, B=410.7, alpha=0.33917084, beta=0.2849083)  # the paper's TeX source, by Besiroglu et al.
REFIT = Surface(E=1.8172, A=482.01, B=2085.43, alpha=0.3478, beta=0.3658)  # Besiroglu et al. 2024, Table 1

# Covariance of (ln E, ln A, ln B, α, β) over 1000 resamples of the 240 points that Besiroglu et al. read off Hoffmann's Figure 4
# (their repository; five outliers left out, as they do), each fitted as fitting.py fits: computed for this table, not published.
REFIT_COVARIANCE = (
    (2.00740756e-04, 2.03190621e-03, 3.80406692e-03, 1.19939781e-04, 1.85605324e-04),
    (2.03190621e-03, 6.05667752e-02, -2.21245325e-02, 3.60818430e-03, -1.10965625e-03),
    (3.80406692e-03, -2.21245325e-02, 1.74577805e-01, -1.38104440e-03, 8.53681456e-03),
    (1.19939781e-04, 3.60818430e-03, -1.38104440e-03, 2.15261456e-04, -6.93287754e-05),
    (1.85605324e-04, -1.10965625e-03, 8.53681456e-03, -6.93287754e-05, 4.17731131e-04),
)  # fmt: skip


def _ends(table: tuple[tuple[float, float, float], ...]) -> Line:
    (low, low_flops, _), (high, high_flops, _) = table[0], table[-1]
    return Line.between((low_flops, low), (high_flops, high))


LAWS = {
    law.name: law
    for law in (
        Law("kaplan", Line(PF_DAY, 1.3e9, 0.73), "Kaplan et al. 2020, arXiv 2001.08361, §6.1 and Table 6: N = 1.3·10⁹ · C^0.73, C in PF-days",
            BODY, "C is Kaplan's C_min; overturned by Hoffmann et al. 2022: too large a model on too few tokens"),
        Law("chinchilla-1", _ends(TABLE_1), "Hoffmann et al. 2022, arXiv 2203.15556, approach 1: the line through the ends of Table 3 (Table 2: N ∝ C^0.50)",
            WHOLE, "minima over training curves; about 20 tokens per parameter"),
        Law("chinchilla-2", _ends(TABLE_2), "Hoffmann et al. 2022, approach 2: the line through the ends of Table A3 (Table 2: N ∝ C^0.49)",
            WHOLE, "minima of iso-FLOP parabolas"),
        Law("chinchilla-3", SOURCE, "Hoffmann et al. 2022, approach 3: eq. 10 with the digits of the paper's TeX source, which Besiroglu et al. 2024 give",
            WHOLE, "inconsistent with approaches 1 and 2 (the optimiser had stopped early, Besiroglu et al. 2024); it asks for too many tokens"),
        Law("chinchilla-3-printed", PRINTED, "Hoffmann et al. 2022, eq. 10 as printed", WHOLE,
            "two digits of α and β are not enough: at Chinchilla's budget they give 93 tokens per parameter, more digits 59"),
        Law("refit", REFIT, "Besiroglu et al. 2024, arXiv 2404.10102, Table 1: approach 3 fitted again to the points of Hoffmann's Figure 4",
            WHOLE, "agrees with approaches 1 and 2: about 20 tokens per parameter"),
    )
}  # fmt: skip
DEFAULT = "refit"


def refit_cloud(draws: int = 1000) -> Cloud:
    """The refit with its interval: normal draws about the published constants."""
    middle = [math.log(REFIT.E), math.log(REFIT.A), math.log(REFIT.B), REFIT.alpha, REFIT.beta]
    rows = np.random.default_rng(0).multivariate_normal(middle, np.array(REFIT_COVARIANCE), draws)
    rows[:, :3] = np.exp(rows[:, :3])
    return Cloud(REFIT, rows)


class Kaplan:
    """The losses of Kaplan et al. 2020, nats per token of WebText2; N without embeddings."""

    @staticmethod
    def of_params(params: float) -> float:
        """Trained to convergence on enough data (eq. 1.1)."""
        return (8.8e13 / params) ** 0.076

    @staticmethod
    def of_tokens(tokens: float) -> float:
        """A large model on limited data, stopped early (eq. 1.2)."""
        return (5.4e13 / tokens) ** 0.095

    @staticmethod
    def of_compute(flops: float) -> float:
        """The best N for this compute at a small batch (eq. 1.3)."""
        return (3.1e8 * PF_DAY / flops) ** 0.050

    @staticmethod
    def of_both(params: float, tokens: float) -> float:
        """eq. 1.5 with the constants of Table 2."""
        return ((6.4e13 / params) ** (0.076 / 0.103) + 1.8e13 / tokens) ** 0.103
