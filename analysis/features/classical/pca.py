"""Principal components: the orthogonal directions of the most variance.

    Σ v = λ v,   c = V (x - mean),   x' = mean + Vᵀ c        (rows of V of length 1, λ falling, no whitening)

No other k directions leave less of the variance over (Eckart & Young 1936). From moments merged in float64 over one
pass, whatever the number of rows; with fewer rows than units from the rows themselves. Codes have a sign; the entry of
largest magnitude of a direction is positive. Where two variances are nearly equal their directions are any two of the
plane. Most activations have fewer concepts in a row than components: these are axes of variance, not concepts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.linear.linalg import axes_of_moments, principal_components
from analysis.features.classical.classical import Classical, Fitted
from analysis.features.classical.fit_rows import FitRows
from analysis.spec import param

ALIKE = 0.05  # two variances closer than this share of the larger


@dataclass(frozen=True)
class PCAParams:
    components: int = param(32, "How many directions", low=1, high=8192)


def make(rows: FitRows, params: PCAParams, rng, progress) -> Fitted:
    """Time O(n d²), memory O(d²)."""
    mean, directions, values, total = axes_of(rows, params.components, progress)
    share = values / total
    said = []
    if len(directions) < params.components:
        said.append(
            f"The rows span {len(directions)} directions: there are no more than so many components of the "
            f"{params.components} asked for."
        )
    alike = np.flatnonzero(-np.diff(values) < ALIKE * values[:-1])
    if len(alike):
        said.append(
            f"{len(alike)} pair(s) of neighbouring components have variances within {ALIKE:.0%} of each other: such "
            "directions may turn into each other with other rows."
        )
    return Fitted(
        directions, mean, components={"variance": values, "share of variance": share}, caveats=tuple(said)
    )


def axes_of(rows: FitRows, k: int, progress, span=(0.0, 0.9)):
    """Mean (d,), directions (r, d), variances (r,) falling, and the total variance."""
    n = int(rows.fitted.sum())
    if n < rows.units:
        x = rows.loaded(n, progress, span)[1]
        mean, directions, values = principal_components(x, k)
        return mean, directions, values, float(((x - mean) ** 2).sum() / (len(x) - 1))
    axes = axes_of_moments(rows.name, rows.moments(progress, span), k)
    return axes.mean, axes.directions, axes.eigenvalues[: len(axes.directions)], axes.total


CLASSICAL = Classical(
    "pca", "PCA", "Orthogonal directions of the most variance", PCAParams,
    ("K. Pearson (1901), On lines and planes of closest fit to systems of points in space",), make,
)  # fmt: skip
