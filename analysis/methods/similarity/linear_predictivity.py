"""Linear predictivity: how much of one representation is a linear function of another? Taps x taps, both ways.

Cell (a, b) is the share of the variance of tap b's units, on held-out samples, that ridge regression from tap a
explains: R² = 1 - Σ |y - ŷ|² / Σ |y - ȳ|² over five folds, its penalty chosen on the training part alone (generalised
cross-validation). 1 when b is a linear function of a, 0 when a tells nothing, below 0 when fits went astray. It is not
symmetric: a wide tap may hold all of a narrow one, and not the reverse.

Null: the samples of b exchanged, everything fitted anew, a given number of times: at or a little below 0. (In-sample
R² of unrelated data would be p / (n - 1) by least squares: here nothing is in-sample.) p-values hold for any data, by
999 exchanges of the held-out samples under the fits of each fold (`compute.linear.cross_prediction`).

Between layers of two networks (the arrangement of networks, each in the order of its layers) the cells at the same
relative depth are crossed by a line, and it is told how much more is explained there than elsewhere, against columns in
other orders.

When it lies: large units and directions rule the mean (`predicted_units` shows each); with more units than training
samples a low value says that samples are few; what is there but curved is not seen; the interval takes the fits as
they are, and is a little too narrow.

Cost: for a tap five singular value decompositions O(n d min(n, d)); for a pair and a way two products O(n p q), once
more for each exchange.

References: D. Yamins et al. (2014), "Performance-optimized hierarchical models predict neural responses in higher
visual cortex"; A. Hoerl & R. Kennard (1970), "Ridge regression"; G. Golub, M. Heath & G. Wahba (1979).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from analysis.activations import as_activations
from analysis.compute.linear.cross_prediction import (
    EXCHANGES,
    Predictor,
    orders_of,
    predict,
    predictor,
    reduced,
)
from analysis.compute.machine import machine
from analysis.compute.rows.common_samples import common_samples
from analysis.compute.rows.constant_units import constant_notes
from analysis.compute.similarity import relative_depth
from analysis.compute.similarity.similarity_grid import ALL, ARRANGEMENTS, Pair, arranged, compared, groups_of
from analysis.compute.similarity.similarity_report import Words, similarity_matrix
from analysis.results import Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST, FOLDS = 20, 5


@dataclass(frozen=True)
class LinearPredictivityParams:
    exchanges: int = param(
        1, "Times that the samples are exchanged and all is fitted anew, for the null.", low=1, high=100
    )
    arrangement: str = param(ALL, "Which taps are rows and columns.", choices=ARRANGEMENTS)
    pooling: str = param("mean", "How the tokens of a sample become one value.", choices=("mean", "max"))
    maximum_samples: int = param(5000, "Most samples; a seeded random subset above.", low=50, high=100_000)


def linear_predictivity(
    *taps, params: LinearPredictivityParams = LinearPredictivityParams(), rng=None, progress=no_progress
) -> Matrix:
    """Held-out R² of each tap predicted from each other one.

    Parameters
    ----------
    *taps : Activations or arrays (rows, units), of the same samples (matched by id), any numbers of units.

    Returns
    -------
    Matrix
        `values` (k, k): the column's tap predicted from the row's, 1 on the diagonal; or the first network's taps as
        predictors of the others'. `null`, `low` and `high` of each cell; `few` where the row's tap has more directions
        than there are training samples.

    Raises
    ------
    ParameterError, InputError, NotEnoughData, TooLarge
        Fewer than two taps; an id twice; equal samples; fewer than twenty common samples; over 4 GiB.
    """
    taps = [as_activations(t) for t in taps]
    rng = rng or np.random.default_rng(0)
    names = [t.name for t in taps]
    rows, columns = arranged(names, params.arrangement)
    data = common_samples(
        taps, rng, maximum=params.maximum_samples, minimum=FEWEST, pooling=params.pooling, progress=progress
    )
    n, units = len(data.ids), [x.shape[1] for x in data.values]
    notes = [*constant_notes(names, data.values), *data.notes]
    group, fold = groups_of(n, rng), rng.permutation(np.arange(n) % FOLDS)
    orders = [rng.permutation(n) for _ in range(params.exchanges)]
    sides, tests = [], orders_of(fold, rng)
    for i, x in enumerate(data.values):
        progress(0.3 + 0.3 * i / len(taps), "decomposing taps")
        sides.append(predictor(reduced(x), fold, tests))
    del data
    grid = compared(
        sides, lambda a, b: _pair(a, b, group, orders), rows, columns, n=n, units=units, symmetric=False,
        progress=progress, span=(0.6, 1.0),
    )  # fmt: skip
    words = Words(
        "held-out R²", f"ridge, {FOLDS} folds, variance-weighted",
        f"samples exchanged and fitted anew, {'once' if params.exchanges == 1 else f'{params.exchanges} times'}",
        bounds=(-np.inf, 1.0),
        arrow="{1} from {0}", interval="jackknife over groups of held-out samples, fits kept",
    )  # fmt: skip
    notes.insert(0, f"p-values come from {EXCHANGES} exchanges, so none is below {2 / (1 + EXCHANGES):.2g}.")
    notes.insert(0, "Units count by their variance, and the interval takes the fits as they are.")
    found = similarity_matrix(grid, words, names, notes)
    if not relative_depth.of_two_networks(grid, names):
        return found
    told = relative_depth.estimate(grid, "held-out R²", rng)
    return replace(
        found, estimates=(*found.estimates, told), path=relative_depth.line(*grid.values.shape),
        path_name=relative_depth.SAME,
        caveats=(*found.caveats, "Relative depth is the place among the taps given, which have to stand in order."),
    )  # fmt: skip


def _pair(one: Predictor, other: Predictor, group: np.ndarray, orders) -> Pair:
    """`other` predicted from `one`."""
    y = other.rows
    found = predict(one, y, one.rows.T @ y)
    nulls = [predict(one, z, one.rows.T @ z, tested=False).r2() for z in (y[order] for order in orders)]
    few = any(len(fit.singular) >= fit.n - 1 for fit in one.fits)
    return Pair(found.series(group), float(np.mean(nulls)), np.nan, found.p, few)


def _cost(shapes, params: LinearPredictivityParams) -> Cost:
    m, n = machine(), min(min(rows for rows, _ in shapes), params.maximum_samples)
    d = [units for _, units in shapes]
    r = [min(units, n) for units in d]
    flops = sum(12.0 * FOLDS * n * a * min(n, a) for a in r)
    flops += sum(4.0 * n * min(units, n) * units for units in d if units > n)
    pairs = [(a, b) for i, a in enumerate(r) for j, b in enumerate(r) if i != j]
    flops += (1 + params.exchanges) * sum((4.0 + 2.0 * FOLDS * a / n) * n * a * b for a, b in pairs)
    flops += sum(2.0 * n * b * n / FOLDS for _, b in pairs)
    tests = 8.0 * n * EXCHANGES
    held = 8.0 * n * (sum(d) + 2 * sum(r)) + 8.0 * FOLDS * sum(a * min(a, n) for a in r)
    work = 8.0 * n * max(d) * 3 + 8.0 * (n / FOLDS) ** 2 + tests / 2
    return Cost(m.seconds(flops64=flops, moved=held * 10 + tests * len(pairs) * 12) + 0.02, held + work)


def _check() -> tuple[CheckLine, ...]:
    """An invertible linear map: 1 both ways. One unit of two shared: 1/2. Noise as large as the signal: 1/2. More units
    than the other has: all of it one way, a share the other way. Unrelated: about 0."""
    rng = np.random.default_rng(5)
    x, y = rng.standard_normal((2, 2000, 20))
    mixed = x @ rng.standard_normal((20, 20)) + 3
    noisy, part = x + y, x[:, :5]

    def cells(a, b) -> np.ndarray:
        return linear_predictivity(a, b).values

    unrelated = linear_predictivity(x, y)
    return (
        CheckLine("an invertible linear map, forth", 1.0, cells(x, mixed)[0, 1], 1e-9),
        CheckLine("and back", 1.0, cells(x, mixed)[1, 0], 1e-9),
        CheckLine("noise as large as the signal", 0.5, cells(x, noisy)[0, 1], 0.03),
        CheckLine("5 of 20 units from all", 1.0, cells(x, part)[0, 1], 1e-9),
        CheckLine("all 20 from 5", 0.25, cells(x, part)[1, 0], 0.03),
        CheckLine("unrelated", 0.0, unrelated.values[0, 1], 0.02),
        CheckLine("its null", 0.0, unrelated.null[0, 1], 0.02),
        CheckLine("unrelated: pairs beyond chance", 2.0, float(unrelated.significant.sum()), 0.0),
    )


METHODS = (
    Method(
        id="linear_predictivity", family="similarity", title="Linear predictivity", version=3,
        function=linear_predictivity,
        summary="How much of each layer or network is a linear function of each other one, both ways.",
        params=LinearPredictivityParams, result=Matrix, check=_check, cost=_cost, inputs=2, more_inputs=True,
        begins="two networks",
        minimum_rows=FEWEST, papers=("Do Language Models Use Their Depth Efficiently?",),
        invariance="rotating, scaling or shifting either side; of the predictor every invertible linear map where "
        "samples are many, of the predicted one not: its large directions count most",
    ),
)  # fmt: skip
