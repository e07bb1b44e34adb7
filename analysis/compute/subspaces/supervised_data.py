"""Samples with labels and covariates for supervised dictionaries, and one dictionary fitted to some of them and tried
on others."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from analysis.activations import Activations, sample_column
from analysis.compute.linear.softmax_regression import softmax_fit
from analysis.compute.rows.known_factors import Factor, factor_of
from analysis.compute.rows.samples import labelled_matrix
from analysis.compute.statistics.moments import is_varying
from analysis.compute.subspaces.attribute_data import attributes_of
from analysis.compute.subspaces.supervised_dictionary import (
    Dictionary,
    Problem,
    discriminative,
    fit,
    reconstructive,
)
from analysis.errors import InputError, NotEnoughData, ParameterError
from analysis.spec import Progress, param

FREE, NONNEGATIVE = "unconstrained", "not negative (NMF)"
FEWEST, SMALLEST = 40, 6
CLOSE = {"rounds": 12, "settled": 1e-4}  # each point of a path begins near its end


@dataclass(frozen=True)
class SupervisedParams:
    """What every view of a supervised dictionary asks."""

    column: str = param("label", "The sample column with the classes to tell.", column=True)
    covariates: str = param("", "Sample columns that may help to tell them, with commas between.")
    atoms: int = param(5, "How many atoms.", low=1, high=100)
    constraint: str = param(FREE, "Whether atoms and codes may be negative.", choices=(FREE, NONNEGATIVE))

    penalty: float = param(0.01, "Ridge on the directions that tell labels.", low=1e-6, high=10.0, late=True)
    pooling: str = param(
        "mean", "How the tokens of a sample become one value.", choices=("mean", "max"), late=True
    )
    maximum_samples: int = param(
        1000, "Most samples; a seeded random subset above.", low=50, high=20_000, late=True
    )

    @property
    def slower(self) -> float:
        """How many times longer a fit takes than a free one: counted on runs."""
        return 2.7 if self.constraint == NONNEGATIVE else 1.0


@dataclass(frozen=True)
class SupervisedData:
    """`x` (n, d) values of the units that vary, `units` (d,) which those are; `of` (n,) classes among `names`; `z`
    (n, q) standardised covariates with `z_names`; `ids` (n,); `notes`."""

    x: np.ndarray
    units: np.ndarray
    of: np.ndarray
    names: tuple[str, ...]
    z: np.ndarray
    z_names: tuple[str, ...]
    ids: np.ndarray
    notes: tuple[str, ...]


def supervised_data(
    tap: Activations, params: SupervisedParams, rng, progress: Progress, span
) -> SupervisedData:
    """The samples with a label and every covariate (`params.covariates`, columns with commas between).

    Raises
    ------
    NotFound, ParameterError
        No such column; a covariate that is the label, or no covariate (constant, all different).
    NotEnoughData, InputError, TooLarge
        Fewer than two classes of six samples, or 40 samples; no unit that varies.
    """
    data = labelled_matrix(
        tap, params.column, params.pooling, minimum=SMALLEST, maximum_samples=params.maximum_samples, rng=rng,
        progress=progress, span=span,
    )  # fmt: skip
    z, z_names, known, notes = _covariates(tap, params, data.samples)
    x, of = data.values[known], data.of[known]
    counts = np.bincount(of, minlength=len(data.names))
    if len(x) < FEWEST or (counts < SMALLEST).any():
        raise NotEnoughData(
            f"{len(x)} sample(s) with a label and all covariates, {counts.min()} of the smallest class",
            f"at least {FEWEST} and {SMALLEST} of each class", "Name fewer covariates, or record more samples",
        )  # fmt: skip
    units = is_varying(x.var(axis=0), x.mean(axis=0))
    if not units.any():
        raise InputError(f"no unit of {tap.name} varies", "units that differ", "Choose another tap")
    if not units.all():
        notes.append(f"{int((~units).sum())} constant unit(s) left out.")
    ids = np.asarray(tap.samples["id"]).astype(str)[data.samples[known]]
    return SupervisedData(
        x[:, units], np.flatnonzero(units), of, data.names, z, z_names, ids, (*notes, *data.notes)
    )


def _covariates(tap: Activations, params: SupervisedParams, samples: np.ndarray):
    asked = [name.strip() for name in params.covariates.split(",") if name.strip()]
    factors, known, notes = [], np.ones(len(samples), bool), []
    for name in asked:
        factor = factor_of(name, sample_column(tap, name)[samples])
        if factor is None or name == params.column:
            raise ParameterError(
                f"covariate '{name}'", "a column of numbers or of some classes, other than the label"
            )
        factors.append(factor)
        known &= factor.known
    if not known.all():
        notes.append(f"{int((~known).sum())} sample(s) without all covariates left out.")
    columns, names = [], []
    for f in factors:
        cut = Factor(f.name, np.ones(int(known.sum()), bool), f.classes, f.of[known], f.values[known])
        made, said, _ = attributes_of(cut)
        for column, one in zip(made, said, strict=True):
            if column.std() > 0:
                columns.append((column - column.mean()) / column.std())
                names.append(one)
    z = np.column_stack(columns) if columns else np.zeros((int(known.sum()), 0))
    return z, tuple(names), known, notes


@dataclass(frozen=True)
class Trial:
    """A problem on some samples, ready for others: `shift` (d,) and `scale` come from the first."""

    problem: Problem
    shift: np.ndarray
    scale: float

    def ready(self, x: np.ndarray) -> np.ndarray:
        x = (x - self.shift) / self.scale
        return np.maximum(x, 0.0) if self.problem.nonnegative else x


def trial(data: SupervisedData, some: np.ndarray, params: SupervisedParams) -> Trial:
    """The problem of the samples `some`: units centred, or moved up where negative; mean square 1."""
    x, nonnegative = data.x[some], params.constraint == NONNEGATIVE
    shift = np.minimum(x.min(axis=0), 0.0) if nonnegative else x.mean(axis=0)
    scale = float(np.sqrt(((x - shift) ** 2).mean()))
    if scale == 0:
        raise InputError("half of the samples are all equal", "samples that differ", "Record more samples")
    rank = min(params.atoms, x.shape[1], len(x) - 1)
    problem = Problem((x - shift) / scale, data.of[some], len(data.names), data.z[some], rank, 1.0, params.penalty,
                      nonnegative)  # fmt: skip
    return Trial(problem, shift, scale)


def path(problem: Problem, weights: np.ndarray, rng, ticked) -> list[Dictionary]:
    """From reconstruction alone (first) through the `weights`, falling, each begun where the last ended, to labels
    alone (last)."""
    found = [reconstructive(problem, rng)]
    for xi in weights:
        ticked()
        found.append(fit(replace(problem, xi=float(xi)), found[-1], **CLOSE))
    ticked()
    last = replace(problem, xi=0.0)
    found.append(fit(last, found[-1] if problem.nonnegative else discriminative(last), **CLOSE))
    return found


def tried(one: Trial, d: Dictionary, x, of, z) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of samples that were not fitted: squared residual (n,), squared length (n,) and log loss (n,)."""
    ready = one.ready(x)
    left = ((ready - d.rebuilt(ready, one.problem.nonnegative)) ** 2).sum(axis=1)
    return left, (ready**2).sum(axis=1), log_losses(d.scores(ready, z), of)


def log_losses(scores: np.ndarray, of: np.ndarray) -> np.ndarray:
    top = scores.max(axis=1)
    return np.log(np.exp(scores - top[:, None]).sum(axis=1)) + top - scores[np.arange(len(of)), of]


def without_data(data: SupervisedData, some, others, penalty: float) -> tuple[np.ndarray, np.ndarray]:
    """Log losses of `others` by the class shares of `some`, and by the covariates alone."""
    c = len(data.names)
    share = np.log(np.maximum(np.bincount(data.of[some], minlength=c), 0.5) / len(some))
    plain = -(share - np.log(np.exp(share).sum()))[data.of[others]]
    if not data.z.shape[1]:
        return plain, plain
    alone = softmax_fit(data.z[some], data.of[some], c, penalty)
    return plain, log_losses(data.z[others] @ alone.weights + alone.intercept, data.of[others])


def label_basis(d: Dictionary, classes: int) -> np.ndarray:
    """(d, k) orthonormal: the directions whose scores tell the labels, k at most the number of classes less one."""
    left, s, _ = np.linalg.svd(d.atoms.T @ d.loadings, full_matrices=False)
    return left[:, : classes - 1][:, s[: classes - 1] > 1e-6 * max(float(s[0]), 1e-300)]


def atom_basis(d: Dictionary) -> np.ndarray:
    """(d, k) orthonormal: what the atoms span."""
    _, s, right = np.linalg.svd(d.atoms, full_matrices=False)
    return right[s > 1e-9 * max(float(s[0]), 1e-300)].T
