"""Does a dictionary rebuild its tap with few features, and better than what costs nothing to make?

Explained variance is 1 - Σ |x - x'|² / Σ |x - mean|², total and mean from centred moments merged over chunks
(`compute.dictionaries.reconstruction`). Beside it, on the same rows and the same axis: principal components, as many as
the dictionary has active features per row; a random dictionary of the same size with the same number of active features
and one least-squares factor (of a dictionary without a sparse rule: as many random projections); where there are
labels, the class means, a supervised dictionary with one active feature. L0 counts what is not 0. Dead are features
that fired in none of the rows looked at, whose number is said. Coherence is the largest |cosine| of two directions,
overall and of features that were active together in five rows, beside the bound that no dictionary of this size can
go below (Welch).

When it lies: components and class means were fitted on these very rows, a dictionary may have been trained on others;
variance says nothing of what the network uses, so that a dictionary with less of it can lose less of the network's
output; a few loud units rule it; principal components of L0 dimensions are the same for all rows, the features of a
sparse code are not; a feature that is dead in few rows may fire in more.

Cost: two passes, O(n d² + n L0 d), O(k² d) for the directions, O(rows k d) for the random dictionary.

References: L. Gao et al. (2024), "Scaling and evaluating sparse autoencoders"; A. Makelov, G. Lange & N. Nanda (2024);
L. Welch (1974).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.dictionaries.coherence import coherence, coherence_together, welch_bound
from analysis.compute.dictionaries.reconstruction import (
    CLASSES,
    FEWEST,
    OWN,
    PRINCIPAL,
    RANDOM,
    Sums,
    Yardsticks,
    reconstruction_sums,
    yardsticks,
)
from analysis.compute.dictionaries.sparse_codes import together
from analysis.compute.machine import machine
from analysis.compute.rows.class_codes import class_codes
from analysis.compute.rows.cluster_columns import label_column
from analysis.compute.statistics.ratios import ratio_interval
from analysis.compute.streaming import Pass
from analysis.errors import NotEnoughData
from analysis.features import rules
from analysis.features.feature_set import FeatureSet
from analysis.features.tap_dictionary import TapDictionary, tap_dictionary
from analysis.results import Estimate, Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param

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
    "coherence together": f"Largest |cosine| of two features that are active together in {TOGETHER} rows or more.",
    "least coherence": "No dictionary of this size can have less (Welch).",
}


@dataclass(frozen=True)
class DictionaryReportParams:
    column: str | None = param(
        None, "Labels for the supervised dictionary; automatic: 'label' where there is one.", column=True
    )
    maximum_rows: int = param(
        20_000, "Most rows for the random dictionary and for features active together; drawn at random.",
        low=100, high=1_000_000,
    )  # fmt: skip


def dictionary_report(
    activations, params: DictionaryReportParams = DictionaryReportParams(), rng=None, progress=no_progress
) -> Table:
    """A tap that a feature set encoded, judged against principal components, a random and a supervised dictionary.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        An encoded tap; of any other the units themselves are the features.

    Returns
    -------
    Table
        A line for each of the dictionaries on one axis, see `HELP`; estimates of the first.

    Raises
    ------
    NotFound, StoreDamaged
        No such column; the feature set beside the tap is missing or has changed.
    NotEnoughData, InputError
        Fewer than eight finite rows; nothing varies.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    made, seen, notes = tap_dictionary(tap), Pass(), []
    codes, classes = _classes(tap, label_column(tap, params.column), notes)
    known = yardsticks(made.source, codes, classes, seen, progress, (0.0, 0.3))
    active = _typical_active(made, rng)
    found = reconstruction_sums(
        made.codes, made.source, made.features.decode_beside, known, seen, active=active,
        linear=made.features.rule == rules.LINEAR, maximum_rows=params.maximum_rows, rng=rng, progress=progress,
        span=(0.3, 0.8),
    )  # fmt: skip
    progress(0.8, "comparing directions")
    columns = _columns(made.features, known, found, active, rng)
    progress(1.0, "done")
    estimates = _estimates(made.features, columns, found, seen)
    notes = (*seen.notes, *notes, *made.notes, *_caveats(found, seen))
    return Table(
        title=f"{made.features.name} on {made.source.name}, beside what costs nothing",
        reading=_reading(columns, seen), caveats=notes, estimates=estimates, columns=columns, index="dictionary",
        help=HELP,
    )  # fmt: skip


def _classes(tap, column: str | None, notes: list[str]) -> tuple[np.ndarray | None, int]:
    """Class of each sample, -1 for none, and how many; None where there is no column or only one class."""
    if column is None:
        notes.append("There are no labels, so no supervised dictionary to compare with.")
        return None, 0
    try:
        found = class_codes(np.asarray(tap.samples[column]), column, 2)
    except NotEnoughData as few:
        notes.append(f"No supervised dictionary: {few.found}.")
        return None, 0
    codes = np.full(len(found.stay), -1)
    codes[found.stay] = found.codes
    notes.extend(found.notes)
    return codes, len(found.names)


def _typical_active(made: TapDictionary, rng) -> int:
    """Mean number of active features of a row, rounded, at least 1: of an encoded tap from its entries."""
    entries, (n, k) = getattr(made.codes, "n_entries", None), made.codes.shape
    if entries is None:
        return k if made.features.rule == rules.LINEAR else max(1, made.features.active or k)
    return max(1, round(entries / max(n - len(made.codes.gaps), 1)))


# ---------------------------------------------------------------------------- numbers
def _columns(features: FeatureSet, known: Yardsticks, found: Sums, active: int, rng) -> dict[str, np.ndarray]:
    d, k = features.n_units, features.n_features
    n = int(found.per_row.sum())
    own, few, many = found.active.sum() / n, *_quantiles(found.per_row)
    pairs = together(found.some) if found.some else np.zeros((k, k))
    frame = min(active, len(known.axes))
    used = found.random.shape[0] if features.rule == rules.LINEAR else active
    lines = {
        OWN: (own, few, many, k, (found.fired == 0).mean(), coherence(features.directions),
              coherence_together(features.directions, pairs, TOGETHER)),
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
        alike_on = alike if not np.isfinite(alike_on) else alike_on
        rows.append(
            (value, 1 - high, 1 - low, l0, a, b, size, l0 / size, dead, alike, alike_on, welch_bound(size, d))
        )
    return {"dictionary": np.array(names)} | dict(
        zip(list(HELP)[1:], np.array(rows, np.float64).T.copy(), strict=True)
    )


def _quantiles(per_row: np.ndarray) -> tuple[int, int]:
    below = np.cumsum(per_row) / per_row.sum()
    return int(np.searchsorted(below, 0.05)), int(np.searchsorted(below, 0.95))


def _estimates(
    features: FeatureSet, c: dict[str, np.ndarray], found: Sums, seen: Pass
) -> tuple[Estimate, ...]:
    n, at = seen.independent, {name: i for i, name in enumerate(c["dictionary"])}
    own, random = at[OWN], at[RANDOM]
    common = {"n": n, "d": features.n_features}
    over = "bootstrap over samples"
    rng = np.random.default_rng(0)
    has = found.rows > 0
    low, high = ratio_interval(found.active[has], found.rows[has], rng)
    chance = f"random dictionary, {int(c['active per row'][random])} active"
    return (
        Estimate("explained variance", float(c["explained variance"][own]), float(c["low"][own]),
                 float(c["high"][own]), interval=over, null=float(c["explained variance"][random]),
                 null_low=float(c["low"][random]), null_high=float(c["high"][random]), null_method=chance,
                 estimator="1 - squared error / variance about the mean", **common),
        Estimate("active features per row (L0)", float(c["active per row"][own]), low, high, interval=over,
                 estimator="mean count of what is not 0", **common),
        Estimate(f"dead share in {int(found.per_row.sum()):,} rows", float(c["dead"][own]),
                 null=float(c["dead"][random]), null_method=chance, estimator="features that never fired", **common),
        Estimate("coherence", float(c["coherence"][own]), null=float(c["coherence"][random]), null_method=chance,
                 estimator="largest |cosine| of two directions", **common),
    )  # fmt: skip


def _reading(c: dict[str, np.ndarray], seen: Pass) -> str:
    others = [
        f"{name} {value:.4g}"
        for name, value in zip(c["dictionary"][1:], c["explained variance"][1:], strict=True)
    ]
    return (
        f"With {c['active per row'][0]:.3g} of {int(c['features'][0]):,} features active per row it explains "
        f"{c['explained variance'][0]:.4g} of the variance of {seen.n_rows - seen.n_nonfinite:,} rows; on the same axis: "
        f"{', '.join(others)}. {c['dead'][0]:.1%} of the features never fired. Its most similar two directions have "
        f"|cosine| {c['coherence'][0]:.3g}; no dictionary of this size can stay below {c['least coherence'][0]:.3g}."
    )


def _caveats(found: Sums, seen: Pass) -> tuple[str, ...]:
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


def _cost(shapes, params: DictionaryReportParams) -> Cost:
    (n, k), m = shapes[0], machine()
    some, chunk = min(n, params.maximum_rows), min(n, 4096)
    flops = 2.0 * n * k * k + 4.0 * some * k * k + 6.0 * k**3
    seconds = m.seconds(flops64=flops, flops32=4.0 * some * k * k, moved=100.0 * n * k) + 0.1
    return Cost(
        seconds, chunk * k * 8.0 * 7 + some * k * 16.0 + 40.0 * k * k + 64.0 * n + 4e5 * min(n, 2000) / 1000
    )


def _check() -> tuple[CheckLine, ...]:
    """Units as features rebuild everything; ten of forty are dead; unit directions are orthogonal."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((400, 40)) * np.repeat([1.0, 0.0], [30, 10])
    x[:, :30] *= rng.random((400, 30)) < 0.5
    c = dictionary_report(x).columns
    return (
        CheckLine("explained variance", 1.0, float(c["explained variance"][0]), 1e-9),
        CheckLine("active per row", float((x != 0).sum() / 400), float(c["active per row"][0]), 1e-9),
        CheckLine("dead share", 0.25, float(c["dead"][0]), 0.0),
        CheckLine("coherence", 0.0, float(c["coherence"][0]), 1e-6),
    )


METHODS = (
    Method(
        id="dictionary_report", family="dictionaries", title="Dictionary report", version=1,
        function=dictionary_report,
        summary="Explained variance, active and dead features and coherence, beside PCA, random and class means.",
        params=DictionaryReportParams, result=Table, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="reordering features and rows; rotating the source with the directions",
        papers=("Towards Principled Evaluations of Sparse Autoencoders for Interpretability and Control",
                "Online Unsupervised Feature Learning for Visual Tracking"),
    ),
)  # fmt: skip
