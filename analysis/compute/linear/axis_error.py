"""How sure the axes of a principal component analysis are: one more pass over the rows.

The first-order change of an eigenvalue when one row is added is s² - λ (s the row's score on the axis), so the
variance of the estimated eigenvalue is the variance of the mean of s² - λ: no normality is assumed, and with
tokens the sum over a sample's rows is taken first (an infinitesimal jackknife with samples as clusters).
Whether two neighbouring eigenvalues differ at all is Anderson's (1963) test, scaled by how much heavier than
Gaussian the tails and the clusters are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations
from analysis.compute.linear.linalg import PrincipalAxes
from analysis.compute.streaming import SampleSums, finite_blocks
from analysis.results import Estimate
from analysis.spec import Progress, no_progress

Z95 = 1.959964


@dataclass(frozen=True)
class AxisErrors:
    """Standard errors (k,) of the leading eigenvalues, of their shares of the total and of the shares' running
    sum; `inflation` (k,) is the eigenvalue's variance over the Gaussian 2 λ² / n; `extras` (j,) standard errors
    of smooth functions of the spectrum."""

    eigenvalue: np.ndarray
    share: np.ndarray
    cumulative: np.ndarray
    inflation: np.ndarray
    extras: np.ndarray
    n_samples: int


class AxisErrorSum:
    """Accumulates the rows' contributions. `gradients` (j, k): derivatives of j functions with respect to the
    leading k eigenvalues, whose standard errors are wanted too."""

    def __init__(self, axes: PrincipalAxes, gradients: np.ndarray | None = None) -> None:
        self.axes = axes
        self.k = len(axes.directions)
        self.values = axes.eigenvalues[: self.k]
        self.gradients = np.zeros((0, self.k)) if gradients is None else gradients
        self._sums = SampleSums(3 * self.k + len(self.gradients))

    def add(self, samples: np.ndarray, scores: np.ndarray, norms: np.ndarray) -> None:
        """`samples` (m,), `scores` (m, k), `norms` (m,) squared distances from the mean."""
        squares = scores**2
        change = squares - self.values
        share = (squares - self.values / self.axes.total * norms[:, None]) / self.axes.total
        self._sums.add(samples, np.hstack([change, share, share.cumsum(axis=1), change @ self.gradients.T]))

    def finish(self) -> AxisErrors:
        variance = self._sums.variance_of_mean(self.axes.n)
        inflation = variance[: self.k] * self.axes.n / (2 * self.values**2)
        eigenvalue, share, cumulative, extras = np.split(np.sqrt(variance), np.arange(1, 4) * self.k)
        return AxisErrors(eigenvalue, share, cumulative, inflation, extras, self._sums.n_samples)


def scored_blocks(
    activations: Activations,
    axes: PrincipalAxes,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 1.0),
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield (rows (m,), scores (m, k), squared distances from the mean (m,)) over the finite rows."""
    for rows, block in finite_blocks(activations, None, progress, "projecting", span):
        block -= axes.mean
        yield rows, block @ axes.directions.T, np.einsum("ij,ij->i", block, block)


def separation_p(eigenvalues: np.ndarray, n: int, inflation: np.ndarray | None = None) -> np.ndarray:
    """p-values (k - 1,) of "eigenvalue i equals eigenvalue i + 1" (Anderson 1963, two at a time).

    The statistic n (2 ln((a + b) / 2) - ln a - ln b) is chi-squared with 2 degrees of freedom for Gaussian
    rows; it is divided by the mean inflation of the pair where that exceeds 1. Comparing the gap with its own
    normal standard error instead would be wrong: sample eigenvalues repel each other, and a 5 % test would find
    a difference between equal eigenvalues in 15 % of cases.
    """
    a, b = eigenvalues[:-1], eigenvalues[1:]
    statistic = n * (2 * np.log((a + b) / 2) - np.log(a) - np.log(b))
    if inflation is not None:
        statistic = statistic / np.maximum(1.0, (inflation[:-1] + inflation[1:]) / 2)
    return np.exp(-statistic / 2)


def unresolved_blocks(p: np.ndarray, level: float = 0.05) -> np.ndarray:
    """Block number (k,) of each axis: neighbours whose difference is not significant share one."""
    return np.concatenate([[0], np.cumsum(p < level)]).astype(np.int64)


def component_names(shares: np.ndarray, p: np.ndarray, level: float = 0.05) -> tuple[str, ...]:
    """Names of the first axes, one per share of the variance: "PC 1 (31.2% of variance)"; an axis that is not told
    apart from its neighbours, drawn or not, names the block: "PC 2 (9.1% of variance; one block PC 2–3)"."""
    blocks, names = unresolved_blocks(p, level), []
    for i, share in enumerate(shares):
        members = np.flatnonzero(blocks == blocks[i]) + 1 if i < len(blocks) else [i]
        block = f"; one block PC {members[0]}–{members[-1]}" if len(members) > 1 else ""
        names.append(f"PC {i + 1} ({share:.1%} of variance{block})")
    return tuple(names)


def block_words(blocks: np.ndarray) -> str:
    """What the first block of `unresolved_blocks` means, in words; "" where every axis stands alone."""
    sizes = np.bincount(blocks)
    if sizes.max(initial=0) < 2:
        return ""
    first = int(np.argmax(sizes > 1))
    return (
        "Axes that share a block cannot be told apart by these data: the first block starts at axis "
        f"{sizes[:first].sum() + 1} and holds {sizes[first]}. Only the subspace they span means something, "
        "not each axis."
    )


def positive_interval(value, error):
    """95 % interval (low, high) of positive numbers from their standard errors, on the logarithmic scale."""
    value = np.asarray(value, dtype=np.float64)
    factor = np.exp(np.minimum(Z95 * np.asarray(error) / np.maximum(value, 1e-300), 700.0))
    return value / factor, value * factor


def share_interval(value, error):
    """95 % interval (low, high) of shares in (0, 1) from their standard errors, on the logit scale."""
    value = np.clip(np.asarray(value, dtype=np.float64), 1e-15, 1 - 1e-15)
    logit = np.log(value / (1 - value))
    half = np.minimum(Z95 * np.asarray(error) / (value * (1 - value)), 700.0)
    return 1 / (1 + np.exp(half - logit)), 1 / (1 + np.exp(-half - logit))


def separation_estimates(axes: PrincipalAxes, errors: AxisErrors, p: np.ndarray) -> list[Estimate]:
    """Ratio of neighbouring eigenvalues; under equality n_eff ln² ratio / 4 is chi-squared, 2 degrees."""
    common = {"n": axes.n, "d": axes.d, "estimator": "eigenvalue of the float64 covariance"}
    found = []
    for i, p_value in enumerate(p):
        a, b = axes.eigenvalues[i : i + 2]
        relative = np.hypot(errors.eigenvalue[i] / a, errors.eigenvalue[i + 1] / b)
        low, high = positive_interval(a / b, a / b * relative)
        spread = 2 * np.sqrt(max(1.0, errors.inflation[i : i + 2].mean()) / axes.n)
        found.append(
            Estimate(
                f"variance of PC {i + 1} over PC {i + 2}", float(a / b), float(low), float(high),
                interval="asymptotic, any tails", null=float(np.exp(spread * np.sqrt(np.pi / 2))),
                null_low=float(np.exp(spread * 0.225)), null_high=float(np.exp(spread * 2.716)),
                null_method="equal eigenvalues, Anderson (1963)", p_value=float(p_value), **common,
            )
        )  # fmt: skip
    return found
