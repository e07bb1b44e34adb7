"""Where on the picture, or in the text, tokens survive, against tokens that are kept at random.

Of N free tokens of a sample K are left as they were. Kept at random, a line of m of them (a row or a column of the
grid; a tenth of a text) would have a hypergeometric number,

    mean m K / N,    variance m (K / N) (1 - K / N) (N - m) / (N - 1)

and z is what there is more, summed over samples, over the root of the summed variances. How likely that is by chance is
told exactly, of the sum of such numbers: a few samples of which little is left are skewed, and their z goes far.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln, ndtr

from analysis.compute.statistics.sample_groups import share_interval
from analysis.tokens.state import GONE, TokenState, grouped_sums
from analysis.tokens.view import TokenLayout

PARTS, MANY, LEAST = 10, 100_000, 1e-12  # of a text; tokens up to which chance is exact; rounding of it


@dataclass(frozen=True)
class Survival:
    """Of m lines called `names` (m,) and n samples: `kept`, `there` (n, m) free tokens left and at the beginning,
    `expected` and `variance` (n, m) of those kept at random; `free`, `left` (n,) free tokens on all lines, and how many
    of them are left."""

    names: tuple[str, ...]
    kept: np.ndarray
    there: np.ndarray
    expected: np.ndarray
    variance: np.ndarray
    free: np.ndarray
    left: np.ndarray

    @property
    def z(self) -> np.ndarray:
        """(m,) standard deviations beyond random keep; 0 where chance leaves no choice."""
        more, spread = (self.kept - self.expected).sum(axis=0), np.sqrt(self.variance.sum(axis=0))
        return np.where(spread > 0, more / np.where(spread > 0, spread, 1), 0.0)

    @property
    def has_choice(self) -> bool:
        """Whether chance could have decided otherwise anywhere."""
        return bool((self.variance > 0).any())

    @functools.cached_property
    def p(self) -> np.ndarray:
        """(m,) two-sided, of as many tokens kept at random."""
        return np.array([_two_sided(*(x.astype(int) for x in (self.free, self.there[:, i], self.left, self.kept[:, i])))
                         for i in range(len(self.names))])  # fmt: skip

    def beyond(self, tests: int | None = None) -> np.ndarray:
        """(m,) bool: lines that random keep would show on none of `tests` lines (of these) in 95 % (Bonferroni)."""
        return self.p * (tests or len(self.names)) < 0.05


def left_alone(state: TokenState) -> np.ndarray:
    """(B, T) bool: input tokens that are still there with nothing merged into them."""
    inside = grouped_sums((state.place != GONE) * 1.0, state.place, state.at.shape[1])
    return (state.place != GONE) & (np.take_along_axis(inside, np.maximum(state.place, 0), axis=1) == 1)


def survival(layout: TokenLayout, state: TokenState) -> Survival:
    """Of the state behind the last layer."""
    free, alone = layout.free, left_alone(state) & layout.free
    names, lines = _lines(layout)
    there = np.stack([(free & line).sum(axis=1) for line in lines], axis=1).astype(float)
    kept = np.stack([(alone & line).sum(axis=1) for line in lines], axis=1).astype(float)
    n, k = free.sum(axis=1)[:, None].astype(float), alone.sum(axis=1)[:, None].astype(float)
    share = k / np.maximum(n, 1)
    variance = there * share * (1 - share) * (n - there) / np.maximum(n - 1, 1)
    return Survival(names, kept, there, there * share, variance, n[:, 0], k[:, 0])


def _two_sided(free: np.ndarray, there: np.ndarray, left: np.ndarray, kept: np.ndarray) -> float:
    """Chance of a sum as far out as that of `kept` (n,), of hypergeometric numbers: of `free` tokens `there` are on the
    line and `left` are kept."""
    chance, found = _chance_of_sums(free, there, left), int(kept.sum())
    return float(min(1.0, 2 * min(chance[: found + 1].sum(), chance[found:].sum()) + LEAST))


def _chance_of_sums(free: np.ndarray, there: np.ndarray, left: np.ndarray) -> np.ndarray:
    """Of every sum from 0. By the product of the characteristic functions; normal above MANY."""
    total = int(np.minimum(there, left).sum())
    if total > MANY:
        mean, variance = (
            there * left / free,
            there * left * (free - left) * (free - there) / (free**2 * np.maximum(free - 1.0, 1.0)),
        )
        ends = np.concatenate([[-np.inf], np.arange(total) + 0.5, [np.inf]])
        return np.diff(ndtr((ends - mean.sum()) / np.sqrt(max(variance.sum(), LEAST))))
    cases = Counter(zip(free.tolist(), there.tolist(), left.tolist(), strict=True))
    return _chance_of_cases(tuple(cases), tuple(cases.values()), total)


@functools.lru_cache(maxsize=256)
def _chance_of_cases(cases, counts, total: int) -> np.ndarray:
    """(total + 1,) of different (free, there, left) and how many there are of each."""
    wave = np.ones((total + 1) // 2 + 1, complex)
    for (n, m, k), many in zip(cases, counts, strict=True):
        i = np.arange(max(0, m + k - n), min(m, k) + 1)
        chance = np.zeros(total + 1)
        chance[i] = np.exp(log_choose(m, i) + log_choose(n - m, k - i) - log_choose(n, k))
        wave = wave * np.fft.rfft(chance) ** many
    return np.maximum(np.fft.irfft(wave, total + 1), 0)


def log_choose(n, k):
    """Logarithm of the number of k of n things."""
    return gammaln(n + 1.0) - gammaln(np.asarray(k) + 1.0) - gammaln(n - np.asarray(k) + 1.0)


def worst_line(where: Survival) -> tuple[int, dict]:
    """(the line of the largest |z|, what an `Estimate` says of the share that is left there). The null is such that it
    holds for the line that strays most, whichever that is; the interval, of samples as draws, is a wide one."""
    at = int(np.abs(where.z).argmax())
    has = where.there[:, at] > 0
    if not has.any():
        return at, {"value": 0.0, **share_interval(np.zeros(1), len(where.names)), "null": 0.0, "n": 1}
    there = where.there[has, at]
    rate, usual = where.kept[has, at] / there, where.expected[has, at] / there
    chance = np.cumsum(
        _chance_of_sums(*(x[has].astype(int) for x in (where.free, where.there[:, at], where.left)))
    )
    beyond = 0.025 / len(where.names)
    ends = [float(np.searchsorted(chance, q) / there.sum()) for q in (beyond, 1 - beyond)]
    return at, share_interval(rate, len(where.names)) | {
        "value": float(rate.mean()), "null": float(usual.mean()), "null_low": ends[0], "null_high": min(ends[1], 1.0),
        "null_method": "as many tokens kept at random, the line that strays most", "n": len(rate),
        "estimator": "mean over samples, line of the largest |z|", "unit": "share of tokens",
    }  # fmt: skip


def together(parts: Sequence[Survival]) -> Survival:
    """Several groups of samples of one layout as one."""
    return Survival(parts[0].names, *(np.concatenate([getattr(p, f) for p in parts])
                                      for f in ("kept", "there", "expected", "variance", "free", "left")))  # fmt: skip


def _lines(layout: TokenLayout) -> tuple[tuple[str, ...], list[np.ndarray]]:
    """Names, and of each which tokens (B, T) are on it."""
    if layout.grid is not None:
        rows, columns = layout.grid
        high = rows // max(layout.frames, 1)
        row, column = layout.cell // columns % high, layout.cell % columns
        on = layout.cell >= 0
        return (
            (*(f"row {i + 1}" for i in range(high)), *(f"column {j + 1}" for j in range(columns))),
            [on & (row == i) for i in range(high)] + [on & (column == j) for j in range(columns)],
        )
    order, count = np.cumsum(layout.free, axis=1) - 1, np.maximum(layout.free.sum(axis=1, keepdims=True), 1)
    part = order * PARTS // count
    return tuple(f"tenth {i + 1}" for i in range(PARTS)), [layout.free & (part == i) for i in range(PARTS)]
