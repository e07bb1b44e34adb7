"""Is a way better than what looks at no network? Differences of the same samples, and all tests together."""

from __future__ import annotations

import numpy as np

from analysis.compute.statistics.multiple_testing import benjamini_hochberg
from analysis.compute.statistics.paired_gain import gain_p
from analysis.compute.statistics.sample_groups import mean_interval


def paired_columns(
    values: np.ndarray, other: np.ndarray, name: str, rng
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Columns of the mean of values - other, (n, ways) and (n, 1) or (n, ways), with 95 % ends by Student's t; and p
    (ways,) of no gain, by random signs."""
    apart = values - other
    ends = [mean_interval(apart[:, k]) for k in range(apart.shape[1])]
    mean = apart.mean(axis=0)
    columns = {
        name: mean,
        f"{name}, low": np.array([e.get("low", m) for e, m in zip(ends, mean, strict=True)]),
        f"{name}, high": np.array([e.get("high", m) for e, m in zip(ends, mean, strict=True)]),
    }
    return columns, np.array([gain_p(apart[:, k], rng) for k in range(apart.shape[1])])


def adjusted(tests: dict[str, np.ndarray], counted: np.ndarray) -> dict[str, np.ndarray]:
    """Benjamini-Hochberg q by name of all tests (ways,) of the ways that are `counted` together; 1 for the others."""
    every = np.concatenate([p[counted] for p in tests.values()]) if tests else np.zeros(0)
    q, out, at = benjamini_hochberg(every), {}, 0
    for name, p in tests.items():
        out[name] = np.ones(len(p))
        out[name][counted] = q[at : at + int(counted.sum())]
        at += int(counted.sum())
    return out
