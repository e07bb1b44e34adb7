"""Which atoms rebuild the data, which tell the labels, and do covariates tell them as well?

One supervised dictionary (as in supervised_dictionary, at one weight ξ) is fitted to half of the samples. On the other
half a logistic regression of the labels on the samples' scores on its atoms and on the covariates, all standardised,
gives each a loading on every class, centred over the classes, with intervals and tests that the fit of the atoms has no
part in. Atoms come in one gauge: of length 1, and where they may be negative the principal axes of their span, since
atoms that may be mixed freely are no more determined than that.

Null of a loading: 0 (intervals: Wald, for all classes of a predictor together, Šidák); q of a predictor is
of the likelihood ratio to a fit without it, "q alone" of a fit of it alone to none, both Benjamini and Hochberg's over
the predictors. Of the variance along an atom: a random direction, 1 / d.

When it lies: halves are halves, the other split gives other atoms; scores that go together share a loading between
them; classes that are told without error have no finite loadings, only q can then be read; association
with the label is no cause of it; with fewer samples than some ten for each predictor and class Wald's intervals are too
short.

Cost: some 30 rounds of O(n d (r + 20 C)), and r + q regressions of O(n (r + q) C) a step. Memory O(n d + (r + q)² C²).

References: J. Lee, H. Lyu & W. Yao (2022), "Supervised dictionary learning with auxiliary covariates"; A. Agresti
(2013), "Categorical data analysis".
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.linear.cross_fitting import folds_of
from analysis.compute.machine import machine
from analysis.compute.subspaces.atoms_report import (
    HELP,
    atom_caveats,
    atom_columns,
    atom_estimates,
    atom_reading,
    judge,
)
from analysis.compute.subspaces.supervised_data import FEWEST, SupervisedParams, supervised_data, trial
from analysis.compute.subspaces.supervised_dictionary import fit, normalised, reconstructive
from analysis.results import Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param


@dataclass(frozen=True)
class SupervisedAtomsParams(SupervisedParams):
    atoms: int = param(5, "How many atoms.", low=1, high=50)
    xi: float = param(1.0, "Weight of the reconstruction.", label="ξ", low=0.0, high=1e6)


def supervised_atoms(
    activations, params: SupervisedAtomsParams = SupervisedAtomsParams(), rng=None, progress=no_progress
) -> Table:
    """Atoms and covariates with what they tell.

    Parameters
    ----------
    activations : Activations with the class column and those of the covariates

    Returns
    -------
    Table
        A row for each atom and covariate, the largest loading first, see `HELP`. Estimates: held-out log loss and
        reconstruction error of the dictionary, and the loadings.

    Raises
    ------
    NotFound, ParameterError, NotEnoughData, InputError, TooLarge
        As for supervised_dictionary.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    data = supervised_data(tap, params, rng, progress, (0.0, 0.2))
    half = folds_of(data.of, 2, rng)
    some, others = np.flatnonzero(half == 0), np.flatnonzero(half == 1)
    progress(0.3, "fitting the dictionary")
    one = trial(data, some, params)
    problem = replace(one.problem, xi=params.xi)
    found = fit(problem, reconstructive(problem, rng), rounds=60)
    found = normalised(found, problem.x, problem.nonnegative)
    progress(0.8, "judging the atoms")
    judged = judge(data, one, found, some, others, params)
    progress(1.0, "done")
    names = (*(f"atom {i + 1}" for i in range(len(found.atoms))), *data.z_names)
    estimates = atom_estimates(judged, names, data, params, rng)
    return Table(
        title=f"Atoms of {tap.name} that tell '{params.column}' (ξ = {params.xi:g})", index="predictor", help=HELP,
        columns=atom_columns(judged, names, found, data, tap.unit_names), estimates=estimates,
        reading=atom_reading(judged, names, estimates), caveats=(*atom_caveats(data, judged, params), *data.notes),
    )  # fmt: skip


def _cost(shapes, params: SupervisedAtomsParams) -> Cost:
    (rows, d), m, c = shapes[0], machine(), 10  # ten classes are usual
    n = min(rows, params.maximum_samples)
    r = min(params.atoms, d)
    flops = 20 * (20 * 4.0 * n / 2 * d * c + 6.0 * n * d * r) + n * (r + 5.0) ** 2 * c**2
    held = 8.0 * n * d * 3.5 + 8.0 * 30 * r * (d + c) + 24.0 * ((r + 4) * c) ** 2
    return Cost(m.seconds(flops64=flops, moved=24.0 * rows * d, calls=1e5) * params.slower + 0.1, held)


def _check() -> tuple[CheckLine, ...]:
    """Labels drawn from a logistic model of one unit and one covariate: the atom along that unit and the covariate tell
    them, with the covariate's coefficient inside its interval; one that tells nothing has 0 inside."""
    rng = np.random.default_rng(8)
    x = rng.standard_normal((600, 6)) * np.array([4, 3, 2, 0.5, 0.5, 0.5])
    told, idle = rng.standard_normal((2, 600))
    label = (rng.random(600) < 1 / (1 + np.exp(-(0.4 * x[:, 0] + told)))).astype(int)
    tap = ArrayActivations(x, samples={"label": label, "told": told, "idle": idle})
    found = supervised_atoms(tap, SupervisedAtomsParams(covariates="told, idle", atoms=3))
    row = {name: i for i, name in enumerate(found.columns["predictor"])}
    c, told, idle = found.columns, row["told"], row["idle"]
    return (
        CheckLine("half of its log odds: low end", 0.5, float(c["loading low"][told]), 0.0, "at most"),
        CheckLine("and high end", 0.5, float(c["loading high"][told]), 0.0, "at least"),
        CheckLine("it is found", 0.01, float(c["q"][told]), 0.0, "at most"),
        CheckLine("covariate that tells nothing: low end", 0.0, float(c["loading low"][idle]), 0.0, "at most"),
        CheckLine("and high end", 0.0, float(c["loading high"][idle]), 0.0, "at least"),
        CheckLine("atom 1 is the unit of most variance", 1.0, float("× 0" in c["units"][row["atom 1"]][:10]), 0.0),
        CheckLine("its share of the variance: 16 / 29.75", 16 / 29.75, float(c["variance"][row["atom 1"]]), 0.06),
    )  # fmt: skip


METHODS = (
    Method(
        id="supervised_atoms", family="concepts", title="Atoms and covariates that tell labels", version=1,
        function=supervised_atoms,
        summary="Atoms fitted to rebuild and to tell, with their loadings on the classes beside those of covariates.",
        params=SupervisedAtomsParams, result=Table, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="shifting all activations or scaling them by one factor",
        papers=("Supervised Dictionary Learning with Auxiliary Covariates",),
    ),
)  # fmt: skip
