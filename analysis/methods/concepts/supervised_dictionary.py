"""What does it cost to rebuild the data with atoms that tell the labels, and to tell labels with atoms that rebuild?

A dictionary X ≈ W H is fitted with a logistic loss on labels, from scores on its atoms and from covariates, in one
objective (`compute.subspaces.supervised_dictionary`); ξ weighs the reconstruction. The curve runs over ξ from labels
alone (0) to reconstruction alone (∞: principal components, or NMF): held-out reconstruction error (share of squares,
codes found without labels) against held-out log loss. Where the curve bends sharply few atoms do both. Principal angles
between the span of the best rebuilding atoms and the directions that tell labels best say whether these are the same.

Null of the log loss: the class shares, and drawn beside it the covariates alone; of the reconstruction error: r random
directions, 1 - r / d; of the overlap of the two spans: random subspaces. Samples are held out in folds of like classes.

When it lies: not convex, so that a better fit may exist (each ξ begins where the larger one ended); the best ξ was
chosen on the held-out samples, which flatters it a little; the filter form is used, labels from scores on atoms, not
from codes that saw the labels; with few samples the log loss rises again towards ξ = 0, where the most is fitted; the
ridge matters there; units with large variance rule the reconstruction.

Cost: folds x ξ x some 30 rounds of O(n d (r + 20 C)); memory O(n d).

References: J. Lee, H. Lyu & W. Yao (2022), "Supervised dictionary learning with auxiliary covariates"; C. Eckart &
G. Young (1936).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.linear.cross_fitting import folds_of
from analysis.compute.machine import machine
from analysis.compute.subspaces.angles import overlap, principal_angles
from analysis.compute.subspaces.supervised_data import (
    FEWEST,
    SupervisedParams,
    atom_basis,
    label_basis,
    path,
    supervised_data,
    trial,
    tried,
    without_data,
)
from analysis.compute.subspaces.supervised_report import (
    AGAINST_XI,
    TRADE_OFF,
    Path,
    path_caveats,
    path_curve,
)
from analysis.results import Curve
from analysis.spec import CheckLine, Cost, Method, no_progress, param


@dataclass(frozen=True)
class SupervisedDictionaryParams(SupervisedParams):
    drawn: str = param(TRADE_OFF, "What the curve shows.", choices=(TRADE_OFF, AGAINST_XI))
    points: int = param(5, "Weights ξ between the two ends.", low=2, high=25)
    least: float = param(0.01, "Smallest ξ between the ends.", label="smallest ξ", low=1e-6, high=1.0)
    most: float = param(100.0, "Largest ξ between the ends.", label="largest ξ", low=1.0, high=1e6)
    folds: int = param(3, "Folds of held-out samples.", low=2, high=10)


def supervised_dictionary(
    activations,
    params: SupervisedDictionaryParams = SupervisedDictionaryParams(),
    rng=None,
    progress=no_progress,
) -> Curve:
    """Held-out reconstruction error against held-out log loss, over ξ.

    Parameters
    ----------
    activations : Activations with the class column and those of the covariates

    Returns
    -------
    Curve
        Estimates: both at the two ends and at the ξ of the least log loss; the overlap of rebuilding atoms and telling
        directions.

    Raises
    ------
    NotFound, ParameterError, NotEnoughData, InputError, TooLarge
        As `compute.subspaces.supervised_data`.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    data = supervised_data(tap, params, rng, progress, (0.0, 0.1))
    weights = np.geomspace(max(params.most, params.least), params.least, params.points)
    fold, n = folds_of(data.of, params.folds, rng), len(data.of)
    left, size, loss = (np.empty((params.points + 2, n)) for _ in range(3))
    plain, alone, shared, angles = np.empty(n), np.empty(n), [], []
    steps, done = params.folds * (params.points + 1), iter(range(10**9))
    for f in range(params.folds):
        some, others = np.flatnonzero(fold != f), np.flatnonzero(fold == f)
        one = trial(data, some, params)
        found = path(one.problem, weights, rng,
                     lambda: progress(0.1 + 0.9 * next(done) / steps, "fitting dictionaries"))  # fmt: skip
        plain[others], alone[others] = without_data(data, some, others, params.penalty)
        for i, d in enumerate(found):
            left[i, others], size[i, others], loss[i, others] = tried(
                one, d, data.x[others], data.of[others], data.z[others]
            )
        pair = atom_basis(found[0]), label_basis(found[-1], len(data.names))
        if min(b.shape[1] for b in pair):
            angles.append(principal_angles(*pair))
            shared.append((float(overlap(angles[-1])), pair[0].shape[1], pair[1].shape[1]))
    progress(1.0, "done")
    made = Path(
        weights, left, size, loss, plain, alone, tuple(shared), tuple(angles), data.x.shape[1], data.z_names
    )
    return path_curve(made, tap.name, params, rng, caveats=(*path_caveats(made, data, params), *data.notes))


def _cost(shapes, params: SupervisedDictionaryParams) -> Cost:
    (rows, d), m, c = shapes[0], machine(), 10  # ten classes are usual
    n = min(rows, params.maximum_samples)
    r = min(params.atoms, d)
    fits = params.folds * (params.points + 1) * params.slower
    flops = fits * 12 * (20 * 4.0 * n * d * c + 6.0 * n * d * r)
    seconds = m.seconds(flops64=flops, moved=24.0 * rows * d, calls=fits * 12 * 25 * 40)
    return Cost(seconds + 0.05, 8.0 * n * d * 5.5 + 8.0 * 30 * r * (d + c))


def planted_dictionary(rng, n: int, d: int, apart: float, unit: int) -> ArrayActivations:
    """Units of falling variance, unit 0 the most; classes `apart` along one unit. Covariate "age" tells nothing."""
    label = np.arange(n) % 2
    x = rng.standard_normal((n, d)) * np.linspace(3, 0.3, d)
    x[:, unit] += apart * (label - 0.5)
    return ArrayActivations(x, "planted", {"label": label, "age": rng.standard_normal(n)})


def _check() -> tuple[CheckLine, ...]:
    """Labels along the unit of least variance: rebuilding atoms miss it, telling ones are orthogonal to them; along the
    unit of most variance they are the same. The first error is that of principal components."""
    rng = np.random.default_rng(3)
    few = {"atoms": 2, "points": 2, "folds": 2}
    low = supervised_dictionary(planted_dictionary(rng, 200, 8, 1.5, 7), SupervisedDictionaryParams(**few))
    high = supervised_dictionary(planted_dictionary(rng, 200, 8, 12.0, 0), SupervisedDictionaryParams(**few))
    a, b = ({e.name: e.value for e in r.estimates} for r in (low, high))
    return (
        CheckLine("labels in the least unit: overlap", 0.0, a["overlap of rebuilding and telling atoms"], 0.25),
        CheckLine("labels in the largest unit: overlap", 1.0, b["overlap of rebuilding and telling atoms"], 0.1),
        CheckLine("least unit, reconstruction alone: log loss of nothing", float(np.log(2)),
                  a["log loss, reconstruction alone"], 0.1),
        CheckLine("least unit, labels alone: told", 0.2, a["log loss, labels alone"], 0.0, "at most"),
        CheckLine("largest unit: told by rebuilding atoms", 0.2, b["log loss, reconstruction alone"], 0.0, "at most"),
        CheckLine("reconstruction is best without labels", 0.0,
                  a["reconstruction error, reconstruction alone"] - a["reconstruction error, labels alone"], 0.0,
                  "at most"),
    )  # fmt: skip


METHODS = (
    Method(
        id="supervised_dictionary", family="concepts", title="Dictionaries that rebuild and tell", version=1,
        function=supervised_dictionary,
        summary="Reconstruction error against log loss of labels, for dictionaries fitted to both with covariates.",
        params=SupervisedDictionaryParams, result=Curve, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="shifting all activations or scaling them by one factor; rotating them, where atoms are free",
        papers=("Supervised Dictionary Learning with Auxiliary Covariates",),
    ),
)  # fmt: skip
