"""How does a dictionary spend its budget: how many features in which rows, and how many rows for which feature?

Drawn either way: rows per feature by rank (log-log) with a Zipf fit, dead features left out and counted; or the
distribution of features per row. Both margins of the same token × feature matrix. Beside: whether the declared budget
of the architecture holds (TopK: at most k in every row; matching pursuit likewise), how much the number of features
varies over rows, and whether rows on which more features are spent are rebuilt worse or better (rank correlation).

Null: of rows per feature, every feature with the same share; of features per row, features that fire independently at
their rates (normal law of the same mean and variance); of the correlation, exchanged rows. Intervals: samples left out
in ten groups.

When it lies: the exponent hangs on which ranks are fitted (evenly spaced in their logarithm here) and on rare features,
which a longer recording would reveal; a budget that is global to a batch (BatchTopK, Mutual Choice) is a threshold at
inference, so that its number here depends on these data; a TopK that is always full has no choice of how many.

Cost: one pass over the codes; the error of at most `maximum rows` rows.

References: K. Ayonrinde (2024), "Adaptive sparse allocation with mutual choice & feature choice sparse autoencoders";
G. Zipf (1949).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.arrays import finite_rows
from analysis.compute.correlation.correlations import fisher_interval
from analysis.compute.dictionaries.allocation import Spent, even_counts, independent_share, ranks, spent, zipf
from analysis.compute.dictionaries.allocation_report import spending_estimates
from analysis.compute.dictionaries.sparse_codes import likely_size
from analysis.compute.machine import machine
from analysis.compute.statistics.sample_groups import groups_of
from analysis.compute.streaming import Pass, refuse_few
from analysis.errors import InputError
from analysis.features import rules
from analysis.features.rivals import some_rows
from analysis.features.tap_dictionary import TapDictionary, tap_dictionary
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST = 8  # rows
PER_FEATURE, PER_ROW = "rows per feature", "features per row"
BUDGETED = (rules.TOPK, rules.PURSUIT)


@dataclass(frozen=True)
class AllocationParams:
    drawn: str = param(PER_FEATURE, "Which margin to draw.", choices=(PER_FEATURE, PER_ROW))
    maximum_rows: int = param(5_000, "Most rows of which the error is looked at.", low=100, high=1_000_000)


def allocation(
    activations, params: AllocationParams = AllocationParams(), rng=None, progress=no_progress
) -> Curve:
    """Rows per feature, or features per row, of a dictionary.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        A tap that a feature set encoded; of any other the units themselves are the features.

    Returns
    -------
    Curve
        Estimates: Zipf exponent, features per row with their spread, dead share, rows over the budget, and the rank
        correlation of features spent and error.

    Raises
    ------
    NotEnoughData, InputError
        Fewer than eight finite rows; no feature fires.
    """
    tap, rng, seen = as_activations(activations), rng or np.random.default_rng(0), Pass()
    made = tap_dictionary(tap)
    n_samples = tap.layout.n_samples
    found = spent(tap, groups_of(n_samples, rng), seen, progress, (0.0, 0.7))
    n = int(found.rows.sum())
    refuse_few(tap.name, n, FEWEST)
    count = found.fired.sum(axis=0)
    if not count.any():
        raise InputError(f"no feature of {tap.name} fires in {n:,} rows", "features that are not all dead")
    progress(0.7, "comparing errors")
    even = even_counts(int(count.sum()), len(count), n, rng)
    estimates = (*spending_estimates(found, even), *_budget(made, found, n),
                 *_error(made, tap, params.maximum_rows, rng))  # fmt: skip
    progress(1.0, "done")
    drawn = _by_rank(count, even) if params.drawn == PER_FEATURE else _by_row(found, count, n)
    return Curve(
        title=f"How {made.features.name} spends its features on {made.source.name}",
        reading=_reading(estimates, count, n), caveats=(*seen.notes, *made.notes, *_caveats(made)),
        estimates=estimates, **drawn,
    )  # fmt: skip


def _by_rank(count: np.ndarray, even: np.ndarray) -> dict:
    kept, (s, a) = np.sort(count[count > 0])[::-1], zipf(count)
    at, flat = ranks(len(kept)), np.sort(even)[::-1]
    own, fit = f"features ({len(kept):,} alive)", f"Zipf fit, exponent {s:.2f}"
    return {
        "x": at.astype(np.float64), "x_name": "rank of the feature", "y_name": "log10 of the rows in which it fires",
        "series": {own: np.log10(kept[at - 1]), fit: (a - s * np.log(at)) / np.log(10)},
        "null": {own: np.log10(np.maximum(flat[at - 1], 1))}, "log_x": True,
    }  # fmt: skip


def _by_row(found: Spent, count: np.ndarray, n: int) -> dict:
    share = found.per_row.sum(axis=0) / n
    there = np.flatnonzero(share)
    sizes = np.arange(max(there[0] - 2, 0), min(there[-1] + 3, len(share)))
    if len(sizes) > 400:
        sizes = np.unique(np.linspace(sizes[0], sizes[-1], 400).astype(np.int64))
    return {
        "x": sizes.astype(np.float64), "x_name": "active features", "y_name": "share of rows",
        "series": {"rows": share[sizes]}, "null": {"rows": independent_share(sizes, count, n)},
    }  # fmt: skip


def _budget(made: TapDictionary, found: Spent, n: int) -> tuple[Estimate, ...]:
    k = made.features.active
    if made.features.rule not in BUDGETED or not k:
        return ()
    over = int(found.per_row[:, k + 1 :].sum())
    return (
        Estimate(f"rows with more than the declared {k} features", float(over), null=0.0, null_method="the rule itself",
                 n=n, d=found.fired.shape[1], estimator="count", unit="rows"),
    )  # fmt: skip


def _error(made: TapDictionary, tap, most: int, rng) -> tuple[Estimate, ...]:
    """Rank correlation of features spent and squared error of a row."""
    rows = some_rows(tap.shape[0], most, rng)
    x = np.asarray(made.source.take(rows))
    good = finite_rows(x)
    x = x[good].astype(np.float32)
    if made.of_units or len(x) < FEWEST:
        return ()
    codes = made.features.encode(x)
    active = (codes != 0).sum(axis=1)
    error = ((x - made.features.decode_beside(codes, x)).astype(np.float64) ** 2).sum(axis=1)
    if (active == active[0]).all() or (error == error[0]).all():
        return ()
    from scipy.stats import spearmanr

    value = float(spearmanr(active, error).statistic)
    low, high = fisher_interval(np.array(value), min(len(x), tap.layout.n_samples), ranks=True)
    return (
        Estimate("rank correlation of features spent and error", value, min(float(low), value), max(float(high), value),
                 interval="Fisher with Bonett and Wright's variance, samples as draws", null=0.0,
                 null_method="exchanged rows, exact", n=len(x), d=tap.shape[1], estimator="Spearman"),
    )  # fmt: skip


def _reading(estimates, count: np.ndarray, n: int) -> str:
    e = {x.name: x for x in estimates}
    s, l0 = e["Zipf exponent of rows per feature"], e["active features per row"]
    said = (
        f"{l0.value:.3g} of {len(count):,} features are active in a row; {int((count == 0).sum()):,} never fired in "
        f"{n:,} rows. Rows per feature fall with rank as a power of {s.value:.2f} (same share for all: {s.null:.2f})."
    )
    if "spread of features per row" in e:
        said += f" Features per row vary {e['spread of features per row'].value:.2g} times as much as independent ones."
    over = [x for x in estimates if x.name.startswith("rows with more")]
    if over:
        budget = over[0].name.removeprefix("rows with more than the declared ")
        said += (
            f" The declared budget of {budget} {'holds in every row' if not over[0].value else 'is broken'}."
        )
    return said


def _caveats(made: TapDictionary) -> tuple[str, ...]:
    said = ["A straight line over few ranks is no law: look at the curve."]
    if made.features.rule == rules.JUMP:
        said.append("A threshold spends as many features as the data ask for: other data, another number.")
    asked = made.features.about.get("parameters", {}).get("k")
    if asked and made.features.rule not in BUDGETED:
        said.append(
            f"It was trained to spend {asked} a row on average over a batch, which rows here need not keep to."
        )
    if made.features.rule in BUDGETED:
        said.append(
            "The budget is per row, so the dictionary has little choice of how many features a row gets."
        )
    return tuple(said)


def _cost(shapes, params: AllocationParams) -> Cost:
    (n, k), m = shapes[0], machine()
    d, active = likely_size(k)
    some = min(n, params.maximum_rows)
    seconds = m.seconds(moved=n * active * 150.0, flops32=4.0 * some * k * d) + 0.05
    return Cost(seconds, min(n, 4096) * active * 60.0 + 300.0 * k + some * d * 8.0)


def _check() -> tuple[CheckLine, ...]:
    """Counts 600 / r: exponent 1. Features that are on together: twice the spread of independent ones."""
    rng = np.random.default_rng(0)
    x = np.zeros((600, 20))
    for r in range(20):
        x[rng.choice(600, 600 // (r + 1), replace=False), r] = 1
    by_rank = {e.name: e.value for e in allocation(ArrayActivations(x)).estimates}
    pairs = np.repeat((rng.random((4000, 6)) < 0.3) * 1.0, 2, axis=1)
    twice = {e.name: e.value for e in allocation(ArrayActivations(pairs)).estimates}
    return (
        CheckLine("Zipf exponent", 1.0, by_rank["Zipf exponent of rows per feature"], 0.02),
        CheckLine("features per row", sum(600 // (r + 1) for r in range(20)) / 600, by_rank["active features per row"],
                  1e-12),
        CheckLine("pairs: spread", 2.0, twice["spread of features per row"], 0.2),
        CheckLine("pairs: exponent", 0.0, twice["Zipf exponent of rows per feature"], 0.05),
    )  # fmt: skip


METHODS = (
    Method(
        id="allocation", family="dictionaries", title="Budget: features per row, rows per feature", version=3,
        function=allocation,
        summary="How activity is shared out over rows and features, with a Zipf fit and the declared budget checked.",
        params=AllocationParams, result=Curve, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="reordering rows and features; scaling any feature",
        papers=("Mutual Choice & Feature Choice SAEs",),
    ),
)  # fmt: skip
