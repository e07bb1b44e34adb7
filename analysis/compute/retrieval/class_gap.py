"""How much more alike samples of one class are than samples of two, with what exchanged labels give."""

from __future__ import annotations

import numpy as np

from analysis.compute.correlation.sample_relations import Lines
from analysis.compute.statistics.nulls import against
from analysis.results import Estimate

CLASS_SAMPLES, EXCHANGES, GROUPS = 1500, 200, 10


def class_gap(
    lines: Lines, named: np.ndarray, of: np.ndarray, common: dict, rng: np.random.Generator
) -> Estimate:
    """Mean similarity inside classes less that between them, of at most 1,500 of the samples `named` (n,), positions
    whose class numbers are `of` (n,). `common` names d and the estimator. O(200 n² C)."""
    if len(named) > CLASS_SAMPLES:
        part = np.sort(rng.choice(len(named), CLASS_SAMPLES, replace=False))
        named, of = named[part], of[part]
    alike = lines.between(named, named)
    np.fill_diagonal(alike, 0.0)
    value = gap(alike, of)
    null = np.array([gap(alike, rng.permutation(of)) for _ in range(EXCHANGES)])
    group = rng.permutation(len(of)) % GROUPS
    rest = [gap(alike[np.ix_(group != g, group != g)], of[group != g]) for g in range(GROUPS)]
    reach = 2.262157 * float(np.sqrt((GROUPS - 1) * np.var(rest)))  # Student's t, nine degrees of freedom
    return Estimate(
        "more alike inside classes than between", value, value - reach, value + reach,
        interval="jackknife over ten groups of samples", null_method=f"labels exchanged {EXCHANGES} times",
        **against(value, null), **{**common, "n": len(of)},
    )  # fmt: skip


def gap(alike: np.ndarray, of: np.ndarray) -> float:
    """The same of all pairs of different samples: `alike` (n, n) with 0 on the diagonal, classes `of` (n,)."""
    members = (of == np.arange(of.max() + 1)[:, None]).astype(np.float64)
    counts, inside = members.sum(axis=1), float(np.einsum("cn,cn->", members @ alike, members))
    pairs, n = float((counts * (counts - 1)).sum()), len(of)
    return inside / max(pairs, 1) - (float(alike.sum()) - inside) / max(n * (n - 1) - pairs, 1)
