"""What varies in a target group and not in a background: contrastive components, and what both have in common.

    difference    eigenvectors of Σ_t - α Σ_b with the largest values; α = 0 is PCA of the target
    ratio         Σ_t f = λ Σ_b f: the filters f along which the target varies most compared with the background;
                  a direction (what a code of 1 adds) is d = Σ_b f, the rest of the activations unchanged

Abid et al. 2018; the ratio is the generalised form, without an α to choose. With Σ_t = Σ_b + u uᵀ both name u: the
difference at α = 1, and the ratio as its direction d, while its filter is Σ_b⁻¹ u. The salient directions are followed
by common ones: principal components of both groups in what the salient filters leave over. Means are taken out group by
group: what shifts but does not vary is not found.

λ is chosen to be large, so by itself it says nothing: the ratio is measured again on held-out samples of both groups.
Needs the background to be alike in all else; large α looks where the background is small, that is, at noise.
Two passes, memory O(d²).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.arrays import first_sign
from analysis.compute.statistics.moments import Moments, is_varying
from analysis.errors import InputError
from analysis.features.classical.classical import Classical, Fitted
from analysis.features.classical.fit_rows import FitRows
from analysis.features.classical.held_out_ratios import held_out_ratios, ratio_said
from analysis.spec import param

DIFFERENCE, RATIO = "difference", "ratio"


@dataclass(frozen=True)
class ContrastiveParams:
    background: str = param("", "Rows to compare with: the name of a selection, or COLUMN=VALUE")
    target: str = param("", "Rows of interest, likewise; empty: all others")
    problem: str = param(
        DIFFERENCE, "Variance beyond the background's, or compared with it", choices=(DIFFERENCE, RATIO)
    )
    alpha: float = param(
        1.0, "How much of the background's variance is subtracted (difference)", low=0.0, high=1e6
    )
    components: int = param(8, "Salient directions", low=1, high=4096)
    common: int = param(8, "Directions of what both have in common, after them", low=0, high=4096)
    ridge: float = param(
        1e-3, "Added to the background in units of its mean variance (ratio)", low=0.0, high=1e6
    )


def make(rows: FitRows, params: ContrastiveParams, rng, progress) -> Fitted:
    """Raises ParameterError, NotFound, InputError for groups that are not there or are the same."""
    target, background, said = groups(rows, params.target, params.background)
    b = rows.moments(progress, (0.0, 0.45), background, "the background")
    seen, lost = rows.n_seen, rows.n_nonfinite
    t = rows.moments(progress, (0.45, 0.9), target, "the target")
    rows.n_seen, rows.n_nonfinite = rows.n_seen + seen, rows.n_nonfinite + lost
    units = is_varying(t.variance, t.mean) | is_varying(b.variance, b.mean)
    if not units.any():
        raise InputError(f"no unit of {rows.name} varies in either group", "units that differ")
    filters, directions, values, n_salient = separated(
        t.covariance[np.ix_(units, units)], b.covariance[np.ix_(units, units)], params
    )
    encoder, decoder = np.zeros((rows.units, len(values))), np.zeros((len(values), rows.units))
    encoder[units], decoder[:, units] = filters, directions
    if n_salient < params.components:
        said += (
            f"There are no more than {n_salient} salient directions in {int(units.sum())} units that vary.",
        )
    mean = _pooled_mean(t, b)
    codes = (rows.held - mean) @ encoder
    ratio, low, high = held_out_ratios(rows, codes, target, background, rng)
    said += ratio_said(low[:n_salient], "the background")
    return Fitted(
        decoder, mean, encoder=encoder, caveats=said,
        components={"part": ["salient"] * n_salient + ["common"] * (len(values) - n_salient), "value": values,
                    "held-out variance over the background's": ratio, "low": low, "high": high},
        facts={"rows_of_target": t.n, "rows_of_background": b.n},
    )  # fmt: skip


def groups(rows: FitRows, target: str, background: str) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """(rows,) bool of both, no row in both, and what is to be said."""
    behind = rows.group(background)
    front = rows.group(target) if target.strip() else ~behind
    both = front & behind
    if not (front & ~behind).any():
        raise InputError(
            f"the background '{background}' covers all rows of the target", "rows that are in the target alone",
            "Choose another background or target",
        )  # fmt: skip
    said = (f"{int(both.sum()):,} rows are in both groups and count as background.",) if both.any() else ()
    return front & ~behind, behind, said


def _pooled_mean(t: Moments, b: Moments) -> np.ndarray:
    return (t.n * t.mean + b.n * b.mean) / (t.n + b.n)


def separated(target: np.ndarray, background: np.ndarray, params: ContrastiveParams):
    """Filters (d, k), directions (k, d), values (k,) and how many are salient, of two covariances (d, d). O(d³)."""
    d = len(target)
    k = min(params.components, d)
    if params.problem == DIFFERENCE:
        values, vectors = np.linalg.eigh(target - params.alpha * background)
        directions = first_sign(vectors[:, ::-1][:, :k].T)
        filters = directions.T
    else:
        values, filters, directions = _generalised(target, background, params.ridge, k)
    values = values[::-1][:k]
    common = min(params.common, d - k)
    if not common:
        return filters, directions, values, k
    left = np.eye(d) - directions.T @ filters.T  # what the salient codes do not carry
    shared, axes = np.linalg.eigh(left @ (target + background) @ left.T / 2)
    more = first_sign(axes[:, ::-1][:, :common].T)
    return (
        np.hstack([filters, (more @ left).T]), np.vstack([directions, more]),
        np.r_[values, shared[::-1][:common]], k,
    )  # fmt: skip


def _generalised(target: np.ndarray, background: np.ndarray, ridge: float, k: int):
    """Rising values (d,), filters (d, k) and directions (k, d) of the largest, filters with fᵀ d = 1."""
    from scipy.linalg import LinAlgError, eigh

    level = ridge * max(float(np.trace(background)), np.finfo(float).tiny) / len(background)
    beside = background + level * np.eye(len(background))
    try:
        values, vectors = eigh(target, beside)
    except LinAlgError:
        raise InputError(
            "the background does not vary in some direction in which the target might", "a ridge above 0",
            "Set the ridge to 0.001, or take more background",
        ) from None  # fmt: skip
    filters = vectors[:, ::-1][:, :k]
    directions = filters.T @ beside
    length = np.sqrt((directions**2).sum(axis=1))
    length *= np.where((first_sign(directions) * directions).sum(axis=1) < 0, -1.0, 1.0)
    return values, filters * length, directions / length[:, None]


CLASSICAL = Classical(
    "contrastive", "Contrastive components", "What varies in one group and not in another, and what both share",
    ContrastiveParams,
    ("A. Abid et al. (2018), Exploring patterns enriched in a dataset with contrastive principal component analysis",
     "Separating common from salient patterns with Contrastive Representation Learning"), make,
)  # fmt: skip
