"""Where an edit leads: real samples moved along an axis, and the real samples nearest to where they land.

The samples are cut in three: one part makes the axis, the *references* are the ones looked for, and samples of the
last part are moved. So none finds itself, and an axis made of nothing leads nowhere: samples that had a part in it
lean along it by chance, and moved samples would find more and more of them. How far off the data a moved sample is, is
told by the distances of unmoved samples to their own nearest reference: the share of these that are smaller.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from analysis.activations import Activations, sample_column
from analysis.compute.groups.concept_axis import AxisParams, given_axis
from analysis.compute.linear.cross_fitting import folds_of
from analysis.compute.rows.known_factors import factor_of
from analysis.compute.subspaces.attribute_data import SampleValues, sample_values
from analysis.compute.subspaces.edit_ends import MADE, MEANS, AxisAsked, Ends, along_given, ends_of
from analysis.errors import NotEnoughData, ParameterError
from analysis.spec import Progress, no_progress, param

FEWEST = 6  # samples of a group in each part
ANY, BETWEEN = "any direction", "from one sample to another"
RANDOM = (BETWEEN, ANY)
REST = "a third of the samples is looked for, and samples of another third are moved."


@dataclass(frozen=True)
class EditParams(AxisParams):
    """What every view of samples that are moved along an axis asks."""

    column: str = param("label", "The sample column with the attribute: classes, or a number.", column=True)
    target: str = param(
        "", "Class to move towards; empty: the most frequent one, or the one furthest along a given axis."
    )
    source: str = param(
        "", "Class to move from, or 'others'; empty: the next most frequent one, or the least far along."
    )
    strength: float = param(
        3.0, "Length of the path, in deviations of the data along the axis.", low=0.1, high=50.0
    )
    neighbours: int = param(10, "How many nearest real samples are looked at.", low=1, high=100)
    axis: str = param(
        MEANS, "How the axis is made of the attribute.", label="axis made by", choices=MADE, late=True
    )
    random: str = param(BETWEEN, "Random moves to compare with.", choices=RANDOM, late=True)
    pooling: str = param(
        "mean", "How the tokens of a sample become one value.", choices=("mean", "max"), late=True
    )
    maximum_samples: int = param(
        4000, "Most samples; a seeded random subset above.", low=50, high=20_000, late=True
    )


@dataclass(frozen=True)
class EditPath:
    """`references` (r, d) and `moved` (q, d) samples, their positions `reference_samples`, `moved_samples` in the tap;
    `axis` (d,) of unit length; `deviation` along it; `apart`, the distance of the two groups' means along it, in
    deviations; `is_target` (r,) bool; `real` (h,) rising distances of samples that are no references to their nearest
    one. `given` names an axis that was; `clicked` (0 or 2, d) are the samples that made one, low and high."""

    references: np.ndarray
    moved: np.ndarray
    reference_samples: np.ndarray
    moved_samples: np.ndarray
    axis: np.ndarray
    deviation: float
    apart: float
    is_target: np.ndarray
    real: np.ndarray
    names: tuple[str, str]
    notes: tuple[str, ...]
    given: str = ""
    clicked: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    clicked_samples: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))

    @property
    def made_words(self) -> str:
        """How the samples were shared out, for a caveat."""
        if len(self.clicked_samples):
            return "Two clicked samples made the axis and are neither looked for nor counted; " + REST
        return (
            f"The axis is {self.given}; " if self.given else "A third of the samples made the axis; "
        ) + REST

    def landed(self, steps: np.ndarray, directions: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Every moved sample at every step along one unit direction for each (q, d): `share` (q, s) of the k nearest
        references that are targets, and `off` (q, s), the share of other samples that are nearer to theirs. O(q r (d +
        s))."""
        start = _squared(self.moved, self.references)
        along = np.einsum("ij,ij->i", self.moved, directions)[:, None] - directions @ self.references.T
        share, off = np.empty((2, len(self.moved), len(steps)))
        for i, step in enumerate(steps * self.deviation):
            away = start + 2 * step * along + step**2
            near = np.argpartition(away, k - 1, axis=1)[:, :k]
            share[:, i] = self.is_target[near].mean(axis=1)
            nearest = np.sqrt(np.maximum(away.min(axis=1), 0.0))
            off[:, i] = _midrank_share(self.real, nearest)
        return share, off

    def nearest(self, one: int, step: float, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Positions (k,) among the references nearest to moved sample `one` after `step` deviations, and distances."""
        away = np.linalg.norm(self.references - self.moved[one] - step * self.deviation * self.axis, axis=1)
        order = np.argsort(away, kind="stable")[:k]
        return order, away[order]

    def random_directions(self, kind: str, rng: np.random.Generator) -> np.ndarray:
        """(q, d) of unit length, one for each moved sample: uniform, or from one reference to another."""
        q, d = self.moved.shape
        if kind == ANY:
            out = rng.standard_normal((q, d))
        else:
            a = rng.integers(len(self.references), size=q)
            b = (a + rng.integers(1, len(self.references), size=q)) % len(self.references)
            out = self.references[b] - self.references[a]
        lengths = np.linalg.norm(out, axis=1, keepdims=True)
        return np.where(lengths > 0, out / np.maximum(lengths, 1e-300), self.axis)


def asked_path(
    tap: Activations,
    params: EditParams,
    most_moved: int,
    weight_direction,
    rng: np.random.Generator,
    progress: Progress = no_progress,
) -> EditPath:
    """`edit_path` as `params` ask for it; `weight_direction` as for `given_axis`. Raises ParameterError for fewer
    references than neighbours, too."""
    path = edit_path(
        tap, params.column, params.target, params.source, rng, pooling=params.pooling,
        maximum=params.maximum_samples, most_moved=most_moved,
        axis=AxisAsked(params.axis, params, weight_direction), progress=progress,
    )  # fmt: skip
    if params.neighbours > len(path.references):
        raise ParameterError(
            f"{params.neighbours} neighbours",
            f"at most {len(path.references)}, the references",
            "Lower it, or record more samples",
        )
    return path


def edit_path(
    tap: Activations,
    column: str,
    target: str,
    source: str,
    rng: np.random.Generator,
    *,
    pooling: str,
    maximum: int,
    most_moved: int,
    axis: AxisAsked | None = None,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 0.3),
) -> EditPath:
    """Cut the samples, find the axis, and measure how near unmoved samples are to the references.

    Raises
    ------
    NotFound, ParameterError
        No such column; no such class, or a column that is neither classes nor a number; as `given_axis`.
    NotEnoughData
        Fewer than six samples of a group in one part.
    """
    axis = axis or AxisAsked()
    asked = axis.given or AxisParams()
    free = asked.gives_axis and column not in tap.samples  # a given axis needs no attribute
    values = None if free else sample_column(tap, column)
    found = sample_values(
        tap, rng, pooling=pooling, maximum=maximum, minimum=6 * FEWEST, keep=asked.clicked, progress=progress,
        span=span,
    )  # fmt: skip
    factor = None if free else factor_of(column, np.asarray(values)[found.samples])
    if factor is None and not asked.gives_axis:
        raise ParameterError(
            f"column '{column}' is no attribute: neither 2 to 50 classes of five samples nor a number that varies",
            "one or the other",
            "Choose another column, or record more samples of its classes",
        )
    given = given_axis(tap, asked, found.values, found.samples, np.flatnonzero(found.units), axis.read)
    if given is None:
        ends = ends_of(factor, target, source)
        part = folds_of(ends.target * 2 + ends.source, 3, rng)
        line, notes = ends.axis(found.values, part == 0, axis.made), ()
    else:
        ends, part, line, notes = along_given(found.values, given, factor, (target, source), rng)
    few = min(int((side & (part == i)).sum()) for side in (ends.target, ends.source) for i in range(3))
    if few < FEWEST:
        raise NotEnoughData(
            f"{few} sample(s) of '{ends.names[0]}' or '{ends.names[1]}' in one third", f"at least {FEWEST}",
            "Record more samples, or choose larger groups",
        )  # fmt: skip
    lost = 0 if factor is None else int((~factor.known).sum())
    if lost:
        notes = [*notes, f"{lost} sample(s) without a usable '{column}' are neither moved nor a target."]
    return _path(found, ends, part, line, given, notes, rng, most_moved)


def _path(found: SampleValues, ends: Ends, part, axis, given, notes, rng, most_moved: int) -> EditPath:
    is_reference = part == 1
    x, notes = found.values, [*notes, *found.notes]
    references = x[is_reference]
    movable = np.flatnonzero((part == 2) & ends.source)
    if len(movable) > most_moved:
        notes.append(f"A random {most_moved:,} of {len(movable):,} samples of the source are moved.")
        movable = np.sort(rng.choice(movable, size=most_moved, replace=False))
    along = x @ axis
    deviation, apart = float(along.std()), along[is_reference & ends.target].mean()
    apart -= along[is_reference & ends.source].mean()
    others = x[(part == 0) | (part == 2)]
    real = np.sort(np.sqrt(np.maximum(_squared(others, references).min(axis=1), 0.0)))
    clicked = () if given is None else given.ends
    return EditPath(
        references, x[movable], found.samples[is_reference], found.samples[movable], axis, deviation,
        float(apart / deviation), ends.target[is_reference], real, ends.names, tuple(notes),
        "" if given is None else given.label, x[list(clicked)], found.samples[list(clicked)],
    )  # fmt: skip


def along(path: EditPath) -> str:
    """The way in words, for a title."""
    return f"along {path.given}" if path.given else f"from {path.names[1]} to {path.names[0]}"


def _squared(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Squared distances (p, q); rounding of the difference of squares is taken about the mean of `b`."""
    middle = b.mean(axis=0)
    a, b = a - middle, b - middle
    return (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T


def _midrank_share(sorted_values: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Share of `sorted_values` (h,) below each of `values` (n,), equal ones counting half."""
    below = np.searchsorted(sorted_values, values, "left") + np.searchsorted(sorted_values, values, "right")
    return below / (2 * len(sorted_values))
