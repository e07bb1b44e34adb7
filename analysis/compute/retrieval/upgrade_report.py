"""What an upgrade matrix says: the mean of every cell with its interval, how many upgrades are compatible, in words."""

from __future__ import annotations

import numpy as np

from analysis.compute.retrieval.model_versions import Versions, residuals
from analysis.compute.statistics.nulls import add_one_p, bootstrap_mean, wilson
from analysis.compute.statistics.paired_gain import flipped_sums
from analysis.results import Estimate

DRAWS = 500
ROUNDING = 1e-9  # of a sum of gains
INTERVAL = f"bootstrap over queries, {DRAWS} draws (Wilson's where all queries agree)"


def with_intervals(each: np.ndarray, rng) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means of scores (…, q) over the queries and their bootstrap intervals; Wilson's where all queries score alike."""
    flat = each.reshape(-1, each.shape[-1])
    values, (low, high) = flat.mean(axis=1), bootstrap_mean(flat.T, rng, draws=DRAWS)
    for i in np.flatnonzero(flat.std(axis=1) == 0):
        low[i], high[i] = wilson(values[i] * flat.shape[1], flat.shape[1])
    ends = np.minimum(low, values), np.maximum(high, values)
    return tuple(x.reshape(each.shape[:-1]) for x in (values, *ends))


def upgrade_estimates(v: Versions, each, gains, found, null, measure: str, rng) -> tuple[Estimate, ...]:
    """From scores `each` (T, T, q) and `gains` (q, pairs); `found` by `with_intervals`; `null`: mean, low and high."""
    values, low, high = found
    q, count, expected = each.shape[2], len(v.names), null[0]
    made = {"n": q, "d": max(v.widths), "interval": INTERVAL}
    by_chance = {
        "null": expected, "null_low": null[1], "null_high": null[2], "estimator": f"{measure}, mean over queries",
        "null_method": "random ranking, exact; band as if the queries of a class were right or wrong together",
    }  # fmt: skip

    def cell(t: int, k: int) -> Estimate:
        name = f"{measure} of {v.names[t]} queries in the gallery of {v.names[k]}"
        return Estimate(name, float(values[t, k]), float(low[t, k]), float(high[t, k]), **by_chance, **made)

    lower = np.tril_indices(count)
    whole = each[lower].mean(axis=0)
    ends = [float(e[0]) for e in bootstrap_mean(whole[:, None], rng, draws=DRAWS)]
    mean = float(whole.mean())
    average = Estimate(
        f"average multi-model {measure}", mean, min(ends[0], mean), max(ends[1], mean), **by_chance, **made
    )
    single = [cell(t, k) for t, k in np.ndindex(count, count)] if count == 2 else []
    return (_compatibility(gains, rng, made), average, *single)


def _compatibility(gains: np.ndarray, rng, made: dict) -> Estimate:
    """Share of the pairs (q, pairs) with a gain; rounding is none."""

    def share(sums: np.ndarray) -> np.ndarray:
        return (sums > ROUNDING).mean(axis=1)

    value = float(share(gains.sum(axis=0)[None])[0])
    drawn = np.array([gains[rng.integers(len(gains), size=len(gains))].sum(axis=0) for _ in range(DRAWS)])
    low, high = np.percentile(share(drawn), [2.5, 97.5])
    null = share(flipped_sums(gains, rng))
    return Estimate(
        "average compatibility", value, float(min(low, value)), float(max(high, value)), null=float(null.mean()),
        null_low=float(np.percentile(null, 2.5)), null_high=float(np.percentile(null, 97.5)),
        null_method=f"sign of each query's gain drawn at random, {len(null)} times",
        p_value=float(add_one_p(value, null)), estimator="share of the pairs with C[t, k] > C[k, k], k < t", **made,
    )  # fmt: skip


def upgrade_reading(v: Versions, values, significant, expected: float, measure: str) -> str:
    count = len(v.names)
    t, k = np.tril_indices(count, -1)
    better = values[t, k] > values[k, k] + 1e-12
    if count == 2:
        old, new = v.names
        verdict = (
            "compatible, beyond chance"
            if significant[1, 0]
            else "better, but not shown to be more than chance"
        )
        verdict = verdict if better[0] else "not compatible"
        return (
            f"Queries of {new} in the gallery of {old} reach a {measure} of {values[1, 0]:.2f} against "
            f"{values[0, 0]:.2f} by {old} alone ({verdict}); re-indexed they reach {values[1, 1]:.2f}. A random "
            f"ranking gives {expected:.2f}."
        )  # fmt: skip
    worst = int(np.argmin(values[t, k] - values[k, k]))
    return (
        f"{int(better.sum())} of {len(t)} upgrades are compatible (the newer queries do better in the older gallery), "
        f"{int(significant[t, k].sum())} of them beyond chance. The worst is {v.names[t[worst]]} on "
        f"{v.names[k[worst]]}: {values[t, k][worst]:.2f} against {values[k, k][worst]:.2f}. A random ranking gives "
        f"{expected:.2f}."
    )  # fmt: skip


def fit_notes(v: Versions, turns: dict) -> list[str]:
    """How well the maps hold on samples that did not fit them, of the worst pair."""
    if not v.is_aligned:
        return []
    found = [residuals(v, t, k, r) for (t, k), r in turns.items() if r is not None]
    fitted, free, exchanged = max(found, key=lambda pair: pair[1])
    return [
        f"What rotation leaves over, at most: {free:.0%} on samples that did not fit the map, {fitted:.0%} on those "
        f"that did; 0% for equal versions, {exchanged:.0%} for samples exchanged."
    ]
