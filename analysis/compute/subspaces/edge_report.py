"""What is said of eigenvalues that stand out of noise: how many, how strong, and how sure their axes."""

from __future__ import annotations

import numpy as np

from analysis.compute.linear.noise_edges import Edges
from analysis.compute.linear.spiked import axis_overlap, strength
from analysis.compute.linear.tap_spectrum import TapSpectrum
from analysis.compute.subspaces.subspace_error import error_by_chance, subspace_error
from analysis.results import Estimate

DRAWS, SHOWN = 20, 10


def edge_estimates(values, low, high, found: Edges, spectrum: TapSpectrum, moved: bool) -> list[Estimate]:
    made = {"n": spectrum.n, "d": spectrum.d}
    sure = int(found.signal.sum())
    band = int((low > found.edge).sum()), int((values > found.middle).sum())
    how = f"{DRAWS} moves of the units' samples" if moved else "noise of one variance, Tracy and Widom"
    out = [
        Estimate("directions above noise", sure, min(band[0], sure), max(band[1], sure),
                 interval="intervals above the edge; above the middle of noise", null=0.0,
                 null_method=how, unit="directions", p_value=float(found.p[0]),
                 estimator=f"above {found.edge:.3g} noise variances", **made),
        Estimate("noise variance", found.variance, estimator="median eigenvalue over that of the law", **made),
        Estimate("least strength that shows, √c", float(np.sqrt(found.c)), unit="noise variances", **made),
    ]  # fmt: skip
    bounds = np.stack([values, low, high])[:, : min(sure, SHOWN)]
    if 0 < sure < len(values):
        out.append(_span(values, sure, spectrum))
    strong = strength(bounds, found.c)
    overlap = np.where(bounds > (1 + np.sqrt(found.c)) ** 2, axis_overlap(strong, found.c), 0.0)
    made["interval"] = "from that of the eigenvalue"
    for i in range(bounds.shape[1]):
        out += [
            Estimate(f"strength of direction {i + 1}", *(float(v) for v in strong[:, i]), unit="noise variances",
                     null=float(np.sqrt(found.c)), null_method="least that shows", p_value=float(found.p[i]),
                     estimator="λ = (1 + l)(1 + c / l) solved for l", **made),
            Estimate(f"squared overlap of axis {i + 1} with the truth", *(float(v) for v in overlap[:, i]), null=0.0,
                     null_method="a direction that does not show", estimator="(1 - c / l²) / (1 + c / l)", **made),
        ]  # fmt: skip
    return out


def _span(values: np.ndarray, k: int, spectrum: TapSpectrum) -> Estimate:
    """How far the span of the first k axes is from the true one."""
    n, d = spectrum.n, spectrum.d
    value = max(subspace_error(values, k, n, d), 1e-300)
    half = spectrum.half_width(
        np.log([max(subspace_error(row, k, n, d), 1e-300) for row in spectrum.without()])
    )
    ends = value * np.exp(-half), min(value * np.exp(min(half, 700.0)), max(float(min(k, d - k)), value))
    return Estimate(
        f"expected Σ sin² θ of the span of the first {k}", value, *(float(v) for v in ends),
        interval="jackknife over groups of samples, t", null=error_by_chance(k, d), null_method="random subspaces", n=n,
        d=d, estimator="Σ λ_i λ_j / (λ_i - λ_j)² / n, large samples",
    )  # fmt: skip
