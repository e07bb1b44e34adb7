"""Sparse CCA: few units of one tap that go along with few units of another, and how well on samples held out.

Two sparse combinations of units, one on each side, with the largest correlation that their number of units pays for:
maximise the covariance of two scores of variance 1, less μ times the sizes of all weights (units at deviation 1).
Each half of the alternation is a lasso regression on the other side's score; without a penalty it is ordinary CCA.
One μ serves both sides and all pairs; it is chosen on four fifths of the samples by five-fold cross-validation, as
the largest whose held-out correlation is within one standard error of the best. The remaining fifth has no part in
choosing or fitting: the correlations drawn and printed as held out are of these samples.

What is drawn: the correlations among the chosen units only, or their weights. By convention the largest weight on the
first tap is positive in each pair, and so is each correlation. Retrieval: is y_i the nearest to the prediction from
x_i, of all held-out samples?

Null: held out, exchanged samples: 0, and ranks of (m + 1) / 2. In-sample, the same penalty after exchanging all
training samples: with many units this is far from 0, which is why it is printed.

When it lies: of several units that say the same, one is chosen, and which one is luck; the objective has several
maxima; a unit that is left out is not irrelevant, only not needed; pairs after the first depend on those before.

Cost: second moments O(n (p + q)²), then for each penalty and fold some tens of lassos over the chosen units. Memory
O(n (p + q) + 8 (p + q)²).

References: D. Hardoon & J. Shawe-Taylor (2011), "Sparse canonical correlation analysis"; D. Witten, R. Tibshirani &
T. Hastie (2009); I. Wilms & C. Croux (2015); Q. Mai & X. Zhang (2019), "An iterative penalized least squares approach
to sparse canonical correlation analysis".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.machine import machine
from analysis.compute.rows.common_samples import common_samples
from analysis.compute.rows.tap_names import tap_names
from analysis.compute.similarity.sparse_canonical_fit import FEWEST, SparseFit, fit_of, held_out_estimates
from analysis.compute.similarity.sparse_canonical_path import FOLDS, cohort_bytes
from analysis.compute.similarity.sparse_canonical_view import heat_map, weight_map
from analysis.results import Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param

CORRELATIONS, WEIGHTS = "correlations of the chosen units", "weights"


@dataclass(frozen=True)
class SparseCcaParams:
    components: int = param(2, "Pairs of weights.", low=1, high=20)
    penalty: float | None = param(
        None,
        "Penalty μ in units of correlation; empty: chosen by cross-validation; 0: ordinary CCA.",
        low=0.0,
        high=1.0,
    )
    steps: int = param(10, "Penalties that are tried.", low=2, high=50)
    shuffles: int = param(
        3, "Refits with exchanged samples, for the null of the in-sample value.", low=1, high=200
    )
    show: str = param(CORRELATIONS, "What the cells hold.", choices=(CORRELATIONS, WEIGHTS))
    most_units: int = param(60, "Most units drawn of each side, those of largest weight.", low=1, high=2000)
    pooling: str = param("mean", "How the tokens of a sample become one value.", choices=("mean", "max"))
    maximum_samples: int = param(10_000, "Most samples; a seeded random subset above.", low=50, high=200_000)


def sparse_cca(x, y, params: SparseCcaParams = SparseCcaParams(), rng=None, progress=no_progress) -> Matrix:
    """Sparse canonical pairs of two taps.

    Parameters
    ----------
    x, y : Activations or arrays (rows, units), of the same samples (matched by id), any numbers of units.

    Returns
    -------
    Matrix
        The chosen units of x against those of y, `values` their correlations on held-out samples with interval, null
        band and significance (false-discovery rate 5 %); or all chosen units against pairs, `values` their weights.
        Estimates: for each pair the held-out and the in-sample correlation with their nulls; retrieval of mates.

    Raises
    ------
    InputError, NotEnoughData, ParameterError, TooLarge
        An id twice; nothing varies; fewer than 50 common samples; a penalty that leaves nothing; over 4 GiB.
    """
    taps, rng = [as_activations(x), as_activations(y)], rng or np.random.default_rng(0)
    data = common_samples(
        taps, rng, maximum=params.maximum_samples, minimum=FEWEST, pooling=params.pooling, progress=progress
    )
    names = tap_names([t.name for t in taps])
    fit = fit_of(
        *data.values, rng, k=params.components, penalty=params.penalty, steps=params.steps, shuffles=params.shuffles,
        progress=progress,
    )  # fmt: skip
    estimates = held_out_estimates(fit, rng)
    units = [t.unit_names for t in taps]
    draw = heat_map if params.show == CORRELATIONS else weight_map
    return draw(
        fit, names, units, params.most_units, title=f"Sparse CCA of {names[0]} and {names[1]}", estimates=estimates,
        reading=_reading(fit, names, estimates), caveats=(*_notes(fit, params), *data.notes),
    )  # fmt: skip


def _reading(fit: SparseFit, names, estimates) -> str:
    first, made = estimates[0], estimates[1]
    beyond = "beyond chance" if first.p_value <= 0.05 else "not shown to be more than chance"
    count = [int((w[:, 0] != 0).sum()) for w in (fit.pairs.u, fit.pairs.v)]
    return (
        f"{count[0]} unit(s) of {names[0]} and {count[1]} of {names[1]} correlate {first.value:.2f} on samples that "
        f"had no part in choosing them ({beyond}), and {made.value:.2f} in-sample (exchanged samples: {made.null:.2f})."
    )


def _notes(fit: SparseFit, params: SparseCcaParams) -> list[str]:
    how = (
        "as asked"
        if params.penalty is not None
        else f"chosen by {FOLDS}-fold cross-validation of {fit.n_train:,} samples"
    )
    notes = [
        f"Penalty {fit.penalty:.3g}, {how}; held out are {fit.n_test:,} other samples.",
        "Of units that say the same, one is chosen by luck: another split may choose another.",
    ]
    if fit.constant:
        notes.append(f"{fit.constant} constant unit(s) left out.")
    empty = int((fit.pairs.counts == 0).sum())
    if empty:
        notes.append(f"{empty} of {len(fit.pairs.counts)} pairs are empty: nothing more passes the penalty.")
    return notes


def _cost(shapes, params: SparseCcaParams) -> Cost:
    n = min(min(rows for rows, _ in shapes), params.maximum_samples)
    p, q = (units for _, units in shapes)
    fits = FOLDS * params.steps + params.steps * (1 + params.shuffles)
    flops = 4.0 * n * (p + q) ** 2 + fits * params.components * (
        2.0 * min(p, q) ** 3 + 400.0 * (p * p + q * q)
    )
    return Cost(
        machine().seconds(flops64=flops, calls=fits * params.components * (2000 + 20 * (p + q))) + 0.05,
        8.0 * 2 * n * (p + q) + cohort_bytes(int(0.8 * n), p, q),
    )  # fmt: skip


def _check() -> tuple[CheckLine, ...]:
    """Three units on each side that hold one thing: exactly these six are found. Without a penalty: the singular
    values of Q_XᵀQ_Y. Exchanged samples: nothing held out, and much in-sample."""
    rng = np.random.default_rng(12)
    z = rng.standard_normal((400, 1))
    x, y = rng.standard_normal((400, 40)), rng.standard_normal((400, 30))
    x[:, :3] += 1.5 * z
    y[:, 10:13] += 1.5 * z
    rho = 2.25 * 3 / (2.25 * 3 + 1)

    def found(a, b, **more) -> Matrix:
        return sparse_cca(
            ArrayActivations(a), ArrayActivations(b), SparseCcaParams(**{"components": 1, "steps": 8, **more})
        )

    planted, nothing = found(x, y), found(x, y[rng.permutation(400)], penalty=0.01)
    plain = found(x[:, :8], y[:, 8:14], penalty=0.0, components=3)
    made = [e.value for e in plain.estimates if "in-sample" in e.name]
    train = fit_of(
        x[:, :8], y[:, 8:14], np.random.default_rng(0), k=3, penalty=0.0, steps=2, shuffles=1
    ).train
    q = [np.linalg.qr(v[train] - v[train].mean(axis=0))[0] for v in (x[:, :8], y[:, 8:14])]
    ordinary = np.linalg.svd(q[0].T @ q[1], compute_uv=False)[:3]
    return (
        CheckLine("units found on the first side", 3.0, float(planted.values.shape[0]), 0.0),
        CheckLine("units found on the second side", 3.0, float(planted.values.shape[1]), 0.0),
        CheckLine("their held-out correlation", rho, planted.estimates[0].value, 0.06),
        CheckLine("no penalty: largest difference from ordinary CCA", 0.0, float(np.abs(ordinary - made).max()), 1e-9),
        CheckLine("exchanged samples: held out", 0.0, nothing.estimates[0].value, 4 / np.sqrt(79)),
        CheckLine("exchanged samples: in-sample", 0.4, nothing.estimates[1].value, 0.0, "at least"),
    )  # fmt: skip


METHODS = (
    Method(
        id="sparse_cca", family="similarity", title="Sparse CCA", version=1, function=sparse_cca,
        summary="Few units of one layer or network that go along with few of another, checked on held-out samples.",
        params=SparseCcaParams, result=Matrix, check=_check, cost=_cost, inputs=2, minimum_rows=FEWEST,
        invariance="shifting or scaling any single unit changes nothing; mixing units changes everything",
        papers=("Sparse Canonical Correlation Analysis",),
    ),
)  # fmt: skip
