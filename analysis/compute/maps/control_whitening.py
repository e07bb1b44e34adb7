"""Whitening by a control group, and what varies beyond it.

W = V (Λ + ε I)^(-1/2) with the control's covariance V Λ Vᵀ: afterwards the control has unit variance in every
direction (exactly, for ε = 0), and the principal components of the others are the directions in which they vary most
compared with the control. With ε from Ledoit and Wolf, (1 - a) Λ + a μ I takes the place of Λ + ε I, μ = tr Λ / d.

The axes are made on some samples; variances are compared on others: on the same samples the others would always vary
more than the control, because that is how the axes were chosen.

References: K. Donhauser et al. (2024), "Towards scientific discovery with dictionary learning"; O. Ledoit & M. Wolf
(2004), "A well-conditioned estimator for large-dimensional covariance matrices".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.neighbours.neighbours import near_one
from analysis.compute.statistics.nulls import add_one_p, against, bootstrap_mean
from analysis.errors import InputError, NotEnoughData
from analysis.results import Estimate

SMALLEST = 1e-12  # a variance below this share of the other counts as it: a ratio is huge, but finite
BLOCK = 50  # resamples at once


@dataclass(frozen=True)
class ControlWhitening:
    """`mean` (d,) and `to` (d, d): (x - mean) @ to is white on the control. `values` (d,) the control's variances,
    falling, and `kept` (d,) what they were replaced by; `shrinkage` a (0 with a stated ridge); n samples."""

    mean: np.ndarray
    to: np.ndarray
    values: np.ndarray
    kept: np.ndarray
    shrinkage: float
    n: int

    def place(self, x: np.ndarray) -> np.ndarray:
        """White coordinates (m, d) of the rows `x` (m, d). O(m d²)."""
        return (x - self.mean) @ self.to

    @property
    def level(self) -> float:
        """Mean variance of the whitened control itself: 1 without shrinkage or ridge."""
        return float((self.values / self.kept).mean())


def control_whitening(control: np.ndarray, ridge: float | None = None) -> ControlWhitening:
    """Fit to the rows `control` (n, d).

    ridge : ε in units of the mean variance; None for Ledoit and Wolf's shrinkage. Time O(n d² + d³).

    Raises
    ------
    InputError
        All control rows are equal; without a ridge, a direction in which they do not vary.
    NotEnoughData
        No ridge and n <= d.
    """
    n, d = control.shape
    mean = control.mean(axis=0)
    factor = np.linalg.qr(control - mean, mode="r")  # the factor keeps digits that the covariance would lose
    factor = np.pad(factor, ((0, d - len(factor)), (0, 0)))
    _, singular, vt = np.linalg.svd(factor)
    values = singular**2 / (n - 1)
    if values[0] <= 1e-26 * float(mean @ mean) or values[0] == 0:
        raise InputError("all control samples are equal", "a control that varies", "Choose another control")
    shrinkage = ledoit_wolf(control - mean) if ridge is None else 0.0
    if ridge == 0:
        _refuse_singular(values, n, d)
    kept = (1 - shrinkage) * values + (shrinkage if ridge is None else ridge) * values.mean()
    return ControlWhitening(mean, vt.T / np.sqrt(kept), values, kept, shrinkage, n)


def _refuse_singular(values: np.ndarray, n: int, d: int) -> None:
    if n <= d:
        raise NotEnoughData(
            f"{n} control sample(s) whiten {d} directions without a ridge",
            f"more than {d}",
            "Leave the ridge automatic, or state one above 0",
        )
    flat = int((values <= values[0] * n * np.finfo(float).eps).sum())
    if flat:
        raise InputError(
            f"the control does not vary in {flat} of {d} directions", "a ridge above 0", "Leave it automatic"
        )


def ledoit_wolf(centred: np.ndarray) -> float:
    """Shrinkage a in (0, 1] of the covariance of `centred` (n, d) towards a multiple of the identity. O(n d²)."""
    (n, d), centred = centred.shape, near_one(centred)[0]  # fourth powers of huge numbers overflow
    gram = centred.T @ centred / n if n >= d else centred @ centred.T / n
    square, mu = float((gram**2).sum()), float(np.trace(gram)) / d
    spread = square - d * mu**2
    noise = (float((np.einsum("ij,ij->i", centred, centred) ** 2).sum()) / n - square) / n
    if spread <= 1e-14 * square:
        return 1.0
    return float(np.clip(noise / spread, 1e-8, 1.0))


# ---------------------------------------------------------------------------- compared with the control
def variance_ratios(values: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(b, k) variance of the others over that of the control, for each row of `other` (b, e) bool; values (e, k)."""
    found = []
    for member in (other, ~other):
        weight = member.astype(np.float64)
        count = weight.sum(axis=1, keepdims=True)
        square = weight @ values**2 - (weight @ values) ** 2 / count
        found.append(np.maximum(square, 0.0) / np.maximum(count - 1, 1))
    return _ratio(*found)


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return above / np.maximum(np.maximum(below, SMALLEST * above), np.finfo(float).tiny)


def ratio_estimates(
    others: np.ndarray, control: np.ndarray, d: int, permutations: int, rng: np.random.Generator
) -> tuple[Estimate, ...]:
    """Variance of `others` (n, k) over that of `control` (m, k) along each axis; both held out. `d` units.

    The null exchanges membership between the samples, each taken from its own group's mean, so that a difference in
    means does not pass for one in variance. Time O((n + m) k (permutations + 500)).
    """
    values = np.concatenate([others - others.mean(axis=0), control - control.mean(axis=0)])
    other = np.arange(len(values)) < len(others)
    found = variance_ratios(values, other[None])[0]
    null = _blocks(
        permutations, lambda b: variance_ratios(values, rng.permuted(np.tile(other, (b, 1)), axis=1))
    )
    drawn = _blocks(500, lambda b: _ratio(*(_resampled(part, b, rng) for part in (others, control))))
    low, high = np.percentile(drawn, [2.5, 97.5], axis=0)
    return tuple(
        Estimate(
            f"variance along axis {j + 1} over the control's", float(v), float(min(low[j], v)),
            float(max(high[j], v)), interval="bootstrap over samples, axes held fixed",
            null_method=f"membership exchanged between held-out samples, {permutations} times",
            n=len(values), d=d, estimator="ratio of variances on samples that made neither the axes nor the "
            "whitening", **against(float(v), null[:, j]),
        )
        for j, v in enumerate(found)
    )  # fmt: skip


def _blocks(draws: int, make) -> np.ndarray:
    return np.concatenate([make(min(BLOCK, draws - start)) for start in range(0, draws, BLOCK)])


def _resampled(x: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
    """(draws, k) variances of bootstrap samples of `x` (n, k)."""
    return x[rng.integers(len(x), size=(draws, len(x)))].var(axis=1, ddof=1)


def level_estimate(white: np.ndarray, fitted: ControlWhitening, d: int, rng) -> Estimate:
    """Mean variance of the held-out control `white` (m, r) over all directions: how far the whitening carries over.

    Gaussian data without shrinkage give (n - 1) / (n - r - 2) on average for n samples that whitened.
    """
    m, r = white.shape
    square = ((white - white.mean(axis=0)) ** 2).sum(axis=1) * m / ((m - 1) * r)
    low, high = bootstrap_mean(square, rng, draws=500)
    return Estimate(
        "variance of the held-out control after whitening", float(square.mean()), float(low), float(high),
        interval="bootstrap over samples, whitening held fixed", null=fitted.level,
        null_method="the half of the control that whitened, by construction", n=m, d=d,
        estimator=f"mean over {r} directions",
    )  # fmt: skip


# ---------------------------------------------------------------------------- batches
def eta_squared(values: np.ndarray, of: np.ndarray) -> np.ndarray:
    """(k,) share of the variance of `values` (n, k) between the groups `of` (n,); 0 where nothing varies. O(n k)."""
    centred = values - values.mean(axis=0)
    counts = np.bincount(of)
    sums = np.stack([np.bincount(of, weights=column) for column in centred.T], axis=1)
    between = (sums**2 / np.maximum(counts, 1)[:, None]).sum(axis=0)
    total = (centred**2).sum(axis=0)
    return np.divide(between, total, out=np.zeros_like(total), where=total > 0)


def batch_estimates(
    values: np.ndarray, of: np.ndarray, name: str, d: int, permutations: int, rng: np.random.Generator
) -> tuple[Estimate, ...]:
    """How much of each axis's variance the batch `of` (n,) explains. Unrelated batches explain (K - 1) / (n - 1) on
    average, exactly so over all exchanges. `values` (n, k). Time O(n k (permutations + 200))."""
    n, batches = len(values), int(of.max()) + 1
    found = eta_squared(values, of)
    null = np.array([eta_squared(values, rng.permutation(of)) for _ in range(permutations)])
    drawn = []
    for _ in range(200):
        pick = rng.integers(n, size=n)
        drawn.append(eta_squared(values[pick], of[pick]))
    low, high = np.percentile(drawn, [2.5, 97.5], axis=0)
    band = np.percentile(null, [2.5, 97.5], axis=0)
    return tuple(
        Estimate(
            f"share of axis {j + 1} that '{name}' explains", float(v), float(min(low[j], v)),
            float(max(high[j], v)), interval="bootstrap over samples, axes held fixed; reads high for many batches",
            null=(batches - 1) / (n - 1), null_low=float(band[0, j]), null_high=float(band[1, j]),
            null_method=f"(K - 1) / (n - 1), exact; band from {permutations} exchanges of the batches",
            p_value=float(add_one_p(v, null[:, j])), n=n, d=d,
            estimator=f"eta squared over {batches} batches, held-out samples of the others",
        )
        for j, v in enumerate(found)
    )  # fmt: skip
