"""Second moments of activations with a concept: all that erasing in closed form needs to know of the data.

Partial -> merge -> finish, so that of a tap of any length no more is in memory than a few (d, d): blocks of rows are
centred by themselves and merged (Chan, Golub & LeVeque 1983).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import CHUNK_ROWS, Activations
from analysis.compute.groups.concept import Concept, ConceptParams, asked_concept
from analysis.compute.groups.concept_samples import large_enough
from analysis.compute.rows.samples import pooled_means
from analysis.compute.statistics.moments import CrossMoments, Moments, is_varying
from analysis.compute.streaming import Pass
from analysis.errors import InputError
from analysis.spec import Progress, no_progress


@dataclass(frozen=True)
class ConceptMoments:
    """`mean` (d,) and `covariance` (d, d) of n rows (divided by n); `cross` (d, q) = Σ_xz of the indicators of the
    classes, or of the standardised number; `between` (d, q), the columns √p_c (μ_c - μ), or `cross` again; `halves`
    (d,) what the mean projection of a number removes. `n` rows."""

    n: int
    mean: np.ndarray
    covariance: np.ndarray
    cross: np.ndarray
    between: np.ndarray
    halves: np.ndarray | None = None

    @property
    def scale(self) -> float:
        """Root mean variance of a unit."""
        return float(np.sqrt(np.trace(self.covariance) / len(self.mean)))

    def of_units(self, units: np.ndarray) -> ConceptMoments:
        """Only the units (m,)."""
        halves = None if self.halves is None else self.halves[units]
        inner = self.covariance[np.ix_(units, units)]
        return ConceptMoments(self.n, self.mean[units], inner, self.cross[units], self.between[units], halves)


def concept_moments(x: np.ndarray, concept: Concept) -> ConceptMoments:
    """Of rows `x` (n, d). O(n d²); memory besides x a few (d, d)."""
    columns, sums = _columns(concept), _Sums()
    for start in range(0, len(x), CHUNK_ROWS):
        sums.add(x[start : start + CHUNK_ROWS], columns[start : start + CHUNK_ROWS])
    return _finished(sums, concept)


def tap_concept_moments(
    activations: Activations,
    ask: ConceptParams,
    *,
    minimum: int,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 1.0),
) -> tuple[ConceptMoments, np.ndarray, Concept]:
    """Of all samples of a tap that have the concept, tokens pooled by their mean: moments of the units (m,) that vary,
    those units, and the concept of the samples that took part.

    Two passes: which samples have a finite row, then their moments. O(n d²); memory a few (d, d), whatever n is.

    Raises
    ------
    NotFound, InputError, NotEnoughData, TooLarge, ParameterError
        As `analysis.compute.groups.concept_samples.concept_samples`.
    """
    at, concept, _ = asked_concept(activations, ask, minimum)
    middle = span[0] + 0.3 * (span[1] - span[0])
    finite = [s for s, _ in pooled_means(activations, Pass(), progress, (span[0], middle))]
    kept = np.isin(at, np.concatenate(finite)) if finite else np.zeros(len(at), bool)
    concept, stay, _ = large_enough(concept.only(kept), minimum)
    at = at[kept][stay]
    place = np.full(activations.layout.n_samples, -1)
    place[at] = np.arange(len(at))
    columns, sums = _columns(concept), _Sums()
    for samples, values in pooled_means(activations, Pass(), progress, (middle, span[1])):
        own = place[samples]
        if (own >= 0).any():
            sums.add(values[own >= 0], columns[own[own >= 0]])
    moments = _finished(sums, concept)
    varies = is_varying(np.diag(moments.covariance), moments.mean)
    if not varies.any():
        raise InputError(
            f"every unit of {activations.name} is constant", "units that vary", "Choose another tap"
        )
    units = np.flatnonzero(varies)
    return (moments if varies.all() else moments.of_units(units)), units, concept


class _Sums:
    """Running moments of rows and of their columns."""

    def __init__(self) -> None:
        self.x: Moments | None = None
        self.xz: CrossMoments | None = None

    def add(self, x: np.ndarray, z: np.ndarray) -> None:
        """Rows (m, d) with their columns (m, q)."""
        x, z = np.asarray(x, dtype=np.float64), np.asarray(z, dtype=np.float64)
        mean, of = x.mean(axis=0), z.mean(axis=0)
        centred = x - mean  # once for both
        own = Moments(len(x), mean, centred.T @ centred)
        cross = CrossMoments(len(x), mean, of, centred.T @ (z - of))
        self.x = own if self.x is None else self.x.merge(own)
        self.xz = cross if self.xz is None else self.xz.merge(cross)


def _columns(concept: Concept) -> np.ndarray:
    """(n, C) indicators of the classes; of a number (n, 2): standardised values, and which are in the upper half."""
    if not concept.is_number:
        return (concept.of[:, None] == np.arange(len(concept.classes))).astype(np.float64)
    values = concept.values
    upper = values > np.median(values)
    if not upper.any():  # more than half share the largest value
        upper = values == values.max()
    return np.column_stack([(values - values.mean()) / values.std(), upper.astype(np.float64)])


def _finished(sums: _Sums, concept: Concept) -> ConceptMoments:
    n, mean, cross = sums.x.n, sums.x.mean, sums.xz.cross / sums.x.n
    covariance = sums.x.scatter / n
    if concept.is_number:
        share = sums.xz.mean_y[1]
        halves = cross[:, 1] / (share * (1 - share))  # from E x 1 - E x E 1 to the difference of both means
        number = cross[:, :1]
        return ConceptMoments(n, mean, covariance, number, number, halves)
    return ConceptMoments(n, mean, covariance, cross, cross / np.sqrt(np.maximum(sums.xz.mean_y, 1e-300)))
