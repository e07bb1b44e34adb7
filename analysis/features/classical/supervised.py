"""A supervised dictionary: one feature for each value of known attributes.

    u_v = E[x | v] - E[x]   (conditional means),   or all attributes at once:   x ≈ mean + Σ_a u_a(v)   by least squares

Where every combination of values is as frequent as its values say (a balanced design) the two are the same; where
attributes come together, conditional means count a shared cause twice, and least squares do not. Each attribute's
directions, weighted by how frequent the values are, add up to 0. A column of numbers is one direction, the slope for
one standard deviation.

Codes are read off the activations: c = (x - mean) E + E[z], with E the ridge regression of z on x, z 1 for samples of
the value and 0 for others (the standardised number). So the code of "label = cat" is near 1 for cats where a linear
readout can tell them. It is the yardstick for an unsupervised dictionary on the same attributes, not a discovery: it
holds what the columns say. One pass, memory O(d² + d values).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.rows.known_factors import Factor, factors_of
from analysis.compute.statistics.moments import CrossMoments, Moments, is_varying
from analysis.errors import InputError
from analysis.features.classical.classical import Classical, Fitted
from analysis.features.classical.fit_rows import FitRows
from analysis.spec import param

JOINT, MEANS = "joint least squares", "conditional means"
BALANCED = 1e-9  # covariance of two values' indicators


@dataclass(frozen=True)
class SupervisedParams:
    columns: str = param("label", "Sample columns, with commas between; empty: all that can be attributes")
    fit: str = param(JOINT, "How directions are fitted", choices=(JOINT, MEANS))
    ridge: float = param(1e-3, "Of the readout, in units of the units' mean variance", low=0.0, high=1e6)


@dataclass(frozen=True)
class Design:
    """`names` (q,) of the values, `of` (q,) the number of their attribute, `numbers` (attributes,) bool; `x`, `z` and
    `both` the moments of rows and indicators."""

    names: tuple[str, ...]
    of: np.ndarray
    numbers: np.ndarray
    x: Moments
    z: Moments
    both: CrossMoments

    @property
    def balanced(self) -> bool:
        """Do attributes come independently of each other, exactly?"""
        apart = self.of[:, None] != self.of[None]
        return bool((np.abs(self.z.scatter[apart]) <= BALANCED * self.z.n).all())

    def directions(self, fit: str) -> np.ndarray:
        """(q, d)."""
        cross = self.both.cross.T
        if fit == MEANS:
            size = np.where(self.numbers[self.of], np.diag(self.z.scatter), self.z.n * self.z.mean)
            return cross / size[:, None]
        found = np.linalg.pinv(self.z.scatter, hermitian=True) @ cross
        for a in np.flatnonzero(~self.numbers):
            own = self.of == a
            found[own] -= self.z.mean[own] @ found[own]
        return found

    @property
    def free(self) -> int:
        """How many directions the rows cannot tell apart, beyond those that add up to 0."""
        rank = np.linalg.matrix_rank(self.z.scatter, hermitian=True)
        return int(len(self.names) - (~self.numbers).sum() - rank)


def make(rows: FitRows, params: SupervisedParams, rng, progress) -> Fitted:
    """Raises NotFound where no column is an attribute (one class, too many), InputError where nothing varies."""
    ids = np.asarray(rows.activations.samples["id"]).astype(str)
    factors, said = factors_of([rows.activations], ids, params.columns)
    known = np.all([f.known for f in factors], axis=0)
    names, of, z = _indicators(factors)
    design, z, said = _streamed(rows, factors, names, of, z, known, said, progress)
    if not is_varying(design.x.variance, design.x.mean).any():
        raise InputError(f"no unit of {rows.name} varies", "units that differ", "Choose another tap")
    found = design.directions(params.fit)
    if design.free:
        said.append(
            f"The attributes determine each other in {design.free} direction(s): what they share is split evenly."
        )
    if not design.balanced and params.fit == MEANS:
        said.append("The attributes come together: conditional means count what they share more than once.")
    level = params.ridge * float(design.x.scatter.trace()) / rows.units
    readout = np.linalg.lstsq(design.x.scatter + level * np.eye(rows.units), design.both.cross, rcond=None)[0]
    mean, mean_z = design.x.mean, design.z.mean
    other = np.abs(design.directions(JOINT) - design.directions(MEANS)).max()
    return Fitted(
        found, mean, encoder=readout, bias=np.where(design.numbers[design.of], 0.0, mean_z), caveats=tuple(said),
        components={"value": list(design.names), "frequency": np.where(design.numbers[design.of], 1.0, mean_z)},
        facts={"balanced": design.balanced, "joint_less_means": float(other),
               "held_out_by_columns": _by_columns(rows, known, z, found, mean, mean_z)},
    )  # fmt: skip


def _indicators(factors: list[Factor]) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Names (q,), attribute (q,) and values (samples, q)."""
    names, of, columns = [], [], []
    for a, f in enumerate(factors):
        if f.is_number:
            own = f.values[f.known]
            names, of = [*names, f.name], [*of, a]
            columns.append(np.where(f.known, (f.values - own.mean()) / own.std(), 0.0))
            continue
        for c, said in enumerate(f.classes):
            names, of = [*names, f"{f.name} = {said}"], [*of, a]
            columns.append((f.of == c).astype(np.float64))
    return names, np.array(of), np.stack(columns, axis=1)


def _streamed(rows: FitRows, factors, names, of, z, known, said, progress):
    """The design, the indicators (samples, q) of values that are there, and notes."""
    among = np.repeat(known, np.diff(rows.activations.layout.offsets))
    x, zz, both = None, None, None
    for at, block in rows.blocks(progress, (0.0, 0.9), "means of values", among):
        own = z[rows.samples_of(at)]
        parts = Moments.of(block), Moments.of(own), CrossMoments.of(block, own)
        x, zz, both = parts if x is None else (x.merge(parts[0]), zz.merge(parts[1]), both.merge(parts[2]))
    rows.refuse_few(0 if x is None else x.n, "samples of which every column is known")
    there = np.diag(zz.scatter) > 0
    if not there.all():
        gone = [n for n, t in zip(names, there, strict=True) if not t]
        said = [*said, f"Left out, as all rows or none have it: {', '.join(gone[:8])}."]
    zz = Moments(zz.n, zz.mean[there], zz.scatter[np.ix_(there, there)])
    both = CrossMoments(both.n, both.mean_x, both.mean_y[there], both.cross[:, there])
    if not there.any():
        raise InputError("every column is the same for all rows", "values that differ", "Name other columns")
    kept = tuple(n for n, t in zip(names, there, strict=True) if t)
    numbers = np.array([f.is_number for f in factors])
    used, of = np.unique(of[there], return_inverse=True)
    return Design(kept, of.reshape(-1), numbers[used], x, zz, both), z[:, there], list(said)


def _by_columns(rows: FitRows, known, z, found, mean, mean_z) -> float | None:
    """Share of the variance of held-out rows that the directions explain with the true values for codes."""
    samples = rows.samples_of(rows.held_rows)
    on = known[samples]
    x = rows.held[on].astype(np.float64)
    total = float(((x - x.mean(axis=0)) ** 2).sum()) if len(x) else 0.0
    left = x - mean - (z[samples[on]] - mean_z) @ found
    return 1 - float((left**2).sum()) / total if total > 0 else None


CLASSICAL = Classical(
    "supervised", "Supervised dictionary", "One feature for each value of known columns: the yardstick",
    SupervisedParams,
    ("Towards Principled Evaluations of Sparse Autoencoders for Interpretability and Control",
     "Towards Principled Evaluations of Sparse Autoencoders"), make,
)  # fmt: skip
