"""Where an edit leads: real samples moved along the axis of an attribute, and the real samples nearest to where they
land.

The samples are cut in three: one part makes the axis, the *references* are the ones looked for, and samples of the
last part are moved. So none finds itself, and an axis made of nothing leads nowhere: samples that had a part in it
lean along it by chance, and moved samples would find more and more of them. How far off the data a moved sample is, is
told by the distances of unmoved samples to their own nearest reference: the share of these that are smaller.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations, sample_column
from analysis.compute.linear.cross_fitting import folds_of
from analysis.compute.rows.known_factors import Factor, factor_of
from analysis.compute.subspaces.attribute_data import SampleValues, sample_values
from analysis.errors import InputError, NotEnoughData, ParameterError
from analysis.spec import Progress, no_progress

FEWEST = 6  # samples of a group in each part
OTHERS = "others"
ANY, BETWEEN = "any direction", "from one sample to another"
RANDOM = (BETWEEN, ANY)


@dataclass(frozen=True)
class Ends:
    """`target` and `source` (n,) bool, the samples an edit leads to and those that are moved, with their names;
    `numbers` (n,) where the attribute is one, NaN where not known."""

    target: np.ndarray
    source: np.ndarray
    names: tuple[str, str]
    numbers: np.ndarray | None = None

    def axis(self, x: np.ndarray, these: np.ndarray) -> np.ndarray:
        """(d,) of unit length from the samples `these` (n,) bool of `x` (n, d): from the mean of the source to that of
        the target, or the covariance with the number. Raises InputError where the two agree."""
        if self.numbers is None:
            axis = x[these & self.target].mean(axis=0) - x[these & self.source].mean(axis=0)
        else:
            these = these & np.isfinite(self.numbers)
            number = self.numbers[these]
            axis = (x[these] - x[these].mean(axis=0)).T @ (number - number.mean()) / len(number)
        length = float(np.linalg.norm(axis))
        if not length > 1e-12 * float(np.abs(x).max()):
            raise InputError(
                f"'{self.names[0]}' and '{self.names[1]}' have the same mean",
                "groups that differ",
                "Choose other classes or another tap",
            )
        return axis / length


@dataclass(frozen=True)
class EditPath:
    """`references` (r, d) and `moved` (q, d) samples, their positions `reference_samples`, `moved_samples` in the tap;
    `axis` (d,) of unit length; `deviation` along it; `apart`, the distance of the two groups' means along it, in
    deviations; `is_target` (r,) bool; `real` (h,) rising distances of samples that are no references to their nearest
    one."""

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


def ends_of(factor: Factor, target: str, source: str) -> Ends:
    """Which samples an edit starts from and leads to: classes by name ("": the most frequent and the next; "others":
    all but the target), of a number the lowest and the highest quarter.

    Raises ParameterError where a name is not one of the classes.
    """
    if factor.is_number:
        if target or source:
            raise ParameterError(
                f"'{target or source}' of '{factor.name}', a number",
                "no class",
                "Leave both empty: samples of the lowest quarter are moved towards the highest",
            )
        low, high = np.quantile(factor.values[factor.known], [0.25, 0.75])
        ends = factor.known & (factor.values >= high), factor.known & (factor.values <= low)
        names = (f"{factor.name} in its highest quarter", f"{factor.name} in its lowest quarter")
        return Ends(*ends, names, np.where(factor.known, factor.values, np.nan))
    order = np.argsort(-np.bincount(factor.of[factor.known], minlength=len(factor.classes)), kind="stable")
    for name in (target, source):
        if (name and name not in (*factor.classes, OTHERS)) or target == OTHERS:
            raise ParameterError(f"class {name!r}", "one of " + ", ".join(factor.classes), "Name a class")
    first = (
        factor.classes.index(target)
        if target
        else int(order[0] if factor.classes[order[0]] != source else order[1])
    )
    rest = [int(c) for c in order if c != first]
    second = rest if source == OTHERS else [factor.classes.index(source) if source else rest[0]]
    if first in second:
        raise ParameterError(
            f"target and source are both {target!r}", "two different classes", "Name another class"
        )
    inside, other = factor.of == first, np.isin(factor.of, second)
    name = OTHERS if source == OTHERS else factor.classes[second[0]]
    return Ends(inside, other, (f"{factor.name} = {factor.classes[first]}", f"{factor.name} = {name}"))


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
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 0.3),
) -> EditPath:
    """Cut the samples, fit the axis, and measure how near unmoved samples are to the references.

    Raises
    ------
    NotFound, ParameterError
        No such column; no such class, or a column that is neither classes nor a number.
    NotEnoughData
        Fewer than six samples of a group in one part.
    """
    values = sample_column(tap, column)
    found = sample_values(
        tap, rng, pooling=pooling, maximum=maximum, minimum=6 * FEWEST, progress=progress, span=span
    )
    factor = factor_of(column, np.asarray(values)[found.samples])
    if factor is None:
        raise ParameterError(
            f"column '{column}' is no attribute: neither 2 to 50 classes of five samples nor a number that varies",
            "one or the other",
            "Choose another column, or record more samples of its classes",
        )
    ends = ends_of(factor, target, source)
    part = folds_of(ends.target * 2 + ends.source, 3, rng)
    few = min(int((side & (part == i)).sum()) for side in (ends.target, ends.source) for i in range(3))
    if few < FEWEST:
        raise NotEnoughData(
            f"{few} sample(s) of '{ends.names[0]}' or '{ends.names[1]}' in one third", f"at least {FEWEST}",
            "Record more samples, or choose larger groups",
        )  # fmt: skip
    lost = int((~factor.known).sum())
    said = [f"{lost} sample(s) without a usable '{column}' are neither moved nor a target."] if lost else []
    return _path(found, ends, part, rng, most_moved, said)


def _path(found: SampleValues, ends: Ends, part, rng, most_moved: int, said: list[str]) -> EditPath:
    makes, is_reference = part == 0, part == 1
    x, notes = found.values, [*found.notes, *said]
    references, axis = x[is_reference], ends.axis(x, makes)
    movable = np.flatnonzero((part == 2) & ends.source)
    if len(movable) > most_moved:
        notes.append(f"A random {most_moved:,} of {len(movable):,} samples of the source are moved.")
        movable = np.sort(rng.choice(movable, size=most_moved, replace=False))
    along = x @ axis
    deviation, apart = float(along.std()), along[is_reference & ends.target].mean()
    apart -= along[is_reference & ends.source].mean()
    real = np.sort(np.sqrt(np.maximum(_squared(x[~is_reference], references).min(axis=1), 0.0)))
    return EditPath(
        references, x[movable], found.samples[is_reference], found.samples[movable], axis, deviation,
        float(apart / deviation), ends.target[is_reference], real, ends.names, tuple(notes),
    )  # fmt: skip


def _squared(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Squared distances (p, q); rounding of the difference of squares is taken about the mean of `b`."""
    middle = b.mean(axis=0)
    a, b = a - middle, b - middle
    return (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T


def _midrank_share(sorted_values: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Share of `sorted_values` (h,) below each of `values` (n,), equal ones counting half."""
    below = np.searchsorted(sorted_values, values, "left") + np.searchsorted(sorted_values, values, "right")
    return below / (2 * len(sorted_values))
