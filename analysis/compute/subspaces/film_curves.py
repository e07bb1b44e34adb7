"""Series, bands and nulls of a film of eigenvalues: single modes, or the ranks made of all."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis.compute.linear.sample_spectrum import log_interval
from analysis.compute.linear.spectra import ranks
from analysis.compute.subspaces.tracked_modes import Tracked


def mode_curves(film: Tracked, chance: Sequence[np.ndarray]) -> dict[str, dict]:
    """`chance`: eigenvalues (draws, d) of independent units at each checkpoint."""
    edge = np.array([c[:, 0].mean() for c in chance])
    n = film.patterns.shape[1]
    series, low, high = {}, {}, {}
    for j in range(film.eigenvalues.shape[1]):
        name = f"mode {j + 1}"
        series[name] = film.eigenvalues[:, j]
        low[name], high[name] = log_interval(film.eigenvalues[:, j], n * film.patterns[:, :, j].T ** 2 - 1)
    return {"series": series, "low": low, "high": high, "null": dict.fromkeys(series, edge)}


def rank_curves(spectra, chance: Sequence[np.ndarray]) -> dict[str, dict]:
    """`spectra`: ranks (r,) and their changes (n, r) by each sample, at each checkpoint."""
    names = list(ranks(np.ones(2)))
    values = np.array([v for v, _ in spectra])
    ends = [log_interval(v, changes) for v, changes in spectra]
    null = np.array([np.mean([list(ranks(row).values()) for row in c], axis=0) for c in chance])
    per = {
        "series": values,
        "low": np.array([e[0] for e in ends]),
        "high": np.array([e[1] for e in ends]),
        "null": null,
    }
    return {k: {name: v[:, i] for i, name in enumerate(names)} for k, v in per.items()}
