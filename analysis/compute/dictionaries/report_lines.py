"""What the report on a dictionary says: a line for it and for each of its rivals, estimates, and plain sentences."""

from __future__ import annotations

import numpy as np

from analysis.compute.dictionaries.coherence import coherence, coherence_together, welch_bound
from analysis.compute.dictionaries.reconstruction import CLASSES, OWN, PRINCIPAL, RANDOM, Sums, Yardsticks
from analysis.compute.dictionaries.sparse_codes import together
from analysis.compute.statistics.nulls import share_over
from analysis.compute.statistics.ratios import ratio_interval
from analysis.compute.streaming import Pass
from analysis.results import Estimate

TOGETHER = 5  # rows in which two features are active, to count as active together
HELP = {
    "dictionary": "The dictionary of the tap, and what it is measured against.",
    "explained variance": "1 - squared error over the variance about the mean.",
    "low": "95 % interval of it: bootstrap over samples.",
    "high": "95 % interval of it: bootstrap over samples.",
    "active per row": "L0: how many features are not 0 in a row, on average.",
    "active, 5 % of rows": "In the twentieth of rows with fewest, so many features or fewer are active.",
    "active, 95 % of rows": "In 95 % of rows, so many features or fewer are active.",
    "features": "How many features it has.",
    "density": "Active features over all features.",
    "dead": "Share of features that are 0 in every row looked at.",
    "coherence": "Largest |cosine| of two of its directions.",
    "coherence together": f"Largest |cosine| of two features that are active together in {TOGETHER} rows or more; not "
    "measured of a random dictionary.",
    "least coherence": "No dictionary of this size can have less (Welch).",
}


def report_columns(
    directions: np.ndarray, known: Yardsticks, found: Sums, active: int, linear: bool, rng
) -> dict[str, np.ndarray]:
    """A line for each dictionary; `active` as `reconstruction_sums` was given it."""
    k, d = directions.shape
    n = int(found.per_row.sum())
    own, few, many = found.active.sum() / n, *_quantiles(found.per_row)
    pairs = together(found.some) if found.some else np.zeros((k, k))
    frame = min(active, len(known.axes))
    used = found.random.shape[0] if linear else active
    lines = {
        OWN: (own, few, many, k, (found.fired == 0).mean(), coherence(directions),
              coherence_together(directions, pairs, TOGETHER)),
        PRINCIPAL: (frame, frame, frame, frame, 0.0, 0.0, 0.0),
        RANDOM: (used, used, used, len(found.random), (found.random_fired == 0).mean() if used < k else 0.0,
                 coherence(found.random), np.nan),
    }  # fmt: skip
    if known.codes is not None:
        means = known.means - known.moments.mean
        lines[CLASSES] = (1, 1, 1, len(means), 0.0, coherence(means), 0.0)
    rows, names = [], list(lines)
    for name in names:
        left, total = found.explained(name)
        use = total > 0
        value = 1 - left.sum() / total.sum() if use.any() else 0.0
        low, high = ratio_interval(left[use], total[use], rng) if use.any() else (1 - value, 1 - value)
        l0, a, b, size, dead, alike, alike_on = lines[name]
        rows.append(
            (value, 1 - high, 1 - low, l0, a, b, size, l0 / size, dead, alike, alike_on, welch_bound(size, d))
        )
    return {"dictionary": np.array(names)} | dict(
        zip(list(HELP)[1:], np.array(rows, np.float64).T.copy(), strict=True)
    )


def _quantiles(per_row: np.ndarray) -> tuple[int, int]:
    below = np.cumsum(per_row) / per_row.sum()
    return int(np.searchsorted(below, 0.05)), int(np.searchsorted(below, 0.95))


def report_estimates(c: dict[str, np.ndarray], found: Sums, seen: Pass) -> tuple[Estimate, ...]:
    n, at = seen.independent, {name: i for i, name in enumerate(c["dictionary"])}
    own, random = at[OWN], at[RANDOM]
    common = {"n": n, "d": int(c["features"][own])}
    over = "bootstrap over samples"
    rng = np.random.default_rng(0)
    has = found.rows > 0
    low, high = ratio_interval(found.active[has], found.rows[has], rng)
    chance = f"one random dictionary, {int(c['active per row'][random])} active"
    drawn = sum(b.shape[0] for b in found.some)  # fewer rows, and so more that are dead
    return (
        Estimate("explained variance", float(c["explained variance"][own]), float(c["low"][own]),
                 float(c["high"][own]), interval=over, null=float(c["explained variance"][random]),
                 null_low=float(c["low"][random]), null_high=float(c["high"][random]), null_method=chance,
                 estimator="1 - squared error / variance about the mean", **common),
        Estimate("active features per row (L0)", float(c["active per row"][own]), low, high, interval=over,
                 estimator="mean count of what is not 0", **common),
        Estimate(f"dead share in {int(found.per_row.sum()):,} rows", **share_over(found.fired == 0, "features"),
                 null=float(c["dead"][random]), null_method=f"{chance}, in {drawn:,} rows",
                 estimator="features that never fired", **common),
        Estimate("coherence", float(c["coherence"][own]), null=float(c["coherence"][random]), null_method=chance,
                 estimator="largest |cosine| of two directions", **common),
    )  # fmt: skip


def report_reading(c: dict[str, np.ndarray], seen: Pass) -> str:
    others = [
        f"{name} {value:.4g}"
        for name, value in zip(c["dictionary"][1:], c["explained variance"][1:], strict=True)
    ]
    n, features = seen.n_rows - seen.n_nonfinite, int(c["features"][0])
    return (
        f"With {c['active per row'][0]:.3g} of {features:,} features active per row it explains "
        f"{c['explained variance'][0]:.4g} of the variance of {n:,} rows; on the same axis: {', '.join(others)}. "
        f"{c['dead'][0]:.1%} of the features never fired. Its most similar two directions have |cosine| "
        f"{c['coherence'][0]:.3g}; no dictionary of this size can stay below {c['least coherence'][0]:.3g}."
    )


def report_caveats(found: Sums, seen: Pass) -> tuple[str, ...]:
    n = int(found.per_row.sum())
    said = [
        "Variance says nothing of what the network uses: look at the loss recovered as well.",
        "Principal components and class means were fitted on these rows.",
        f"A feature that fires in fewer than {3 / n:.2g} of rows may look dead in {n:,} rows (rule of three).",
    ]
    drawn = sum(b.shape[0] for b in found.some)
    if drawn < n:
        said.append(
            f"The random dictionary and features active together were looked at on {drawn:,} of {n:,} rows."
        )
    if seen.independent < n:
        said.append(f"Intervals take the {seen.independent:,} samples as independent, not the {n:,} rows.")
    return tuple(said)
