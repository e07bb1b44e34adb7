"""How much weight a representation gives to each known factor of its samples: what a linear probe can tell of it, and
how much of the variance it accounts for. Both beside what exchanged samples give.

Probe: held-out ridge regression (`ridge_probe`); for classes the balanced accuracy, the mean over classes of the share
that is told right, for a number R², both on samples that had no part in the fit. Null: the factor moved to other
samples, the whole fit repeated. Share of variance: |P X|² / |X|² for centred X and the projection P onto what the
factor spans over the samples, rank r; mean r / (n - 1) and variance under exchanged samples are exact
(`exchange_moments`), p by Cantelli's bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr, stdtrit

from analysis.compute.linear.ridge_probe import held_out_predictions
from analysis.compute.rows.known_factors import Factor
from analysis.compute.statistics.exchange_moments import Centred, cantelli_p, centred_moments
from analysis.compute.statistics.nulls import wilson
from analysis.spec import Progress, no_progress

Z95 = 1.959964
BLOCK_BYTES = 64 << 20  # of permuted targets at a time


@dataclass(frozen=True)
class Probe:
    """`value` with its 95 % interval; `null` (draws,) of moved factors; `each` (known samples,) whose mean is the
    value."""

    value: float
    low: float
    high: float
    null: np.ndarray
    each: np.ndarray

    @property
    def p(self) -> float:
        """Chance of as much by Student's t from the null's mean and deviation."""
        draws, spread = len(self.null), float(self.null.std(ddof=1))
        away = self.value - float(self.null.mean())
        if spread == 0:
            return 1.0 if away <= 0 else 1 / (draws + 1)
        return float(stdtr(draws - 1, -away / (spread * np.sqrt(1 + 1 / draws))))


@dataclass(frozen=True)
class Share:
    """Share of the variance; its `null` mean, `deviation` and `p`."""

    value: float
    null: float
    deviation: float
    p: float


def probes(
    x: np.ndarray,
    factors: Sequence[Factor],
    fold: np.ndarray,
    moves: np.ndarray,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 1.0),
) -> list[Probe]:
    """A probe of every factor in `x` (n, d). `fold` (n,); `moves` (draws, n), orders of the samples, the same for every
    representation that is to be compared. Time O(folds n d min(n, d) + draws n r Σ k)."""
    out: list[Probe] = [None] * len(factors)
    masks: dict[bytes, list[int]] = {}
    for i, factor in enumerate(factors):
        masks.setdefault(factor.known.tobytes(), []).append(i)
    for count, members in enumerate(masks.values()):
        ends = tuple(span[0] + (span[1] - span[0]) * (count + j) / len(masks) for j in (0, 1))
        known = factors[members[0]].known
        # an order of all samples gives one of those that are known
        orders = np.array([np.argsort(np.argsort(move[known])) for move in moves])
        mine = [factors[i] for i in members]
        for i, found in zip(
            members, _together(x[known], mine, fold[known], orders, progress, ends), strict=True
        ):
            out[i] = found
    return out


def _together(x, factors, fold, orders, progress, span) -> list[Probe]:
    """Probes of factors that are known of the same samples: their targets and all moved ones in few passes."""
    targets = [f.targets() for f in factors]
    widths = np.array([t.shape[1] for t in targets])
    every = [np.arange(len(x)), *orders]
    each = [np.empty((len(every), len(x))) for _ in factors]
    base = [np.empty((len(every), len(x))) for _ in factors]
    step = max(1, BLOCK_BYTES // int(8 * len(x) * widths.sum()))
    for start in range(0, len(every), step):
        some = every[start : start + step]
        ends = tuple(
            span[0] + (span[1] - span[0]) * min(s, len(every)) / len(every) for s in (start, start + step)
        )
        y = np.concatenate([t[order] for order in some for t in targets], axis=1)
        group = np.repeat(np.arange(len(some) * len(targets)), np.tile(widths, len(some)))
        indicators = np.tile([not f.is_number for f in factors], len(some))
        predicted = held_out_predictions(x, y, group, fold, indicators, progress, ends)
        for j, order in enumerate(some):
            for i, factor in enumerate(factors):
                columns = group == j * len(targets) + i
                each[i][start + j], base[i][start + j] = _scored(
                    factor, predicted[:, columns], y[:, columns], order, fold
                )
    return [_probe(f, e, b) for f, e, b in zip(factors, each, base, strict=True)]


def _scored(factor: Factor, predicted, y, order, fold) -> tuple[np.ndarray, np.ndarray]:
    """Per sample: right or not, over the size of its class (with ones beside), or the squared error saved (with that of
    the mean beside)."""
    if not factor.is_number:
        of = factor.of[factor.known][order]
        weight = len(of) / (len(factor.classes) * np.bincount(of))[of]
        return (predicted.argmax(axis=1) == of) * weight, np.ones(len(of))
    y = y[:, 0]
    whole = np.empty(len(y))
    for f in np.unique(fold):
        whole[fold == f] = (y[fold == f] - y[fold != f].mean()) ** 2
    return whole - (y - predicted[:, 0]) ** 2, whole


def _probe(factor: Factor, saved: np.ndarray, whole: np.ndarray) -> Probe:
    values = saved.mean(axis=1) / whole.mean(axis=1)
    value, n = float(values[0]), saved.shape[1]
    each = saved[0] / whole[0].mean()
    if factor.is_number:
        error = float((each - value * whole[0] / whole[0].mean()).std(ddof=1)) / np.sqrt(n)
        half = float(stdtrit(n - 1, 0.975)) * error
        low, high = value - half, min(value + half, 1.0)
    else:
        of, k = factor.of[factor.known], len(factor.classes)
        right = np.bincount(of, weights=saved[0] > 0) / np.bincount(of)
        spread = float((right * (1 - right) / np.bincount(of)).sum()) / k**2
        draws = value * (1 - value) / spread if spread > 0 else n
        low, high = wilson(value * draws, draws)
    return Probe(value, min(low, value), max(high, value), values[1:], each)


def share_of_variance(x: np.ndarray, factor: Factor) -> Share:
    """Of `x` (n, d). Time O(n d (min(n, d) + k))."""
    x = x[factor.known]
    x = x - x.mean(axis=0)
    scale = np.abs(x).max(initial=0.0)
    if scale == 0:
        return Share(0.0, 0.0, 0.0, 1.0)
    x /= scale
    basis = factor.basis()
    gram = x @ x.T if len(x) < x.shape[1] else x.T @ x
    lengths = np.einsum("ij,ij->i", x, x)
    total = float(lengths.sum())
    whole = Centred(total, float(np.vdot(gram, gram)), float(lengths @ lengths), len(x))
    mean, variance = centred_moments(whole, Centred.of_projection(basis))
    value = float(((basis.T @ x) ** 2).sum()) / total
    deviation = float(np.sqrt(variance)) / total
    return Share(value, mean / total, deviation, float(cantelli_p(value, mean / total, deviation)))
