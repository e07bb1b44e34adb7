"""From where to where an edit leads, and along which axis.

The axis is made of the attribute (difference of means, or what a linear probe reads), or given
(`compute.groups.concept_axis`). A given one is followed as it points, from the class with the lowest mean along it to
the one with the highest; of two clicked samples, from the class of the one to that of the other; where a class is
named, towards it. Without an attribute it leads from the lowest to the highest quarter along itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.groups.concept_axis import AxisParams, GivenAxis, ReadWeights
from analysis.compute.linear.cross_fitting import folds_of
from analysis.compute.linear.ranking_axes import ridge_axis
from analysis.compute.rows.known_factors import Factor
from analysis.errors import InputError, ParameterError

OTHERS = "others"
MEANS, PROBE = "difference of means", "read by a probe"
MADE = (MEANS, PROBE)


@dataclass(frozen=True)
class AxisAsked:
    """How the axis comes about: `made` of the attribute, or `given`; `read` reads weights for it."""

    made: str = MEANS
    given: AxisParams | None = None
    read: ReadWeights | None = None


@dataclass(frozen=True)
class Ends:
    """`target` and `source` (n,) bool, the samples an edit leads to and those that are moved, with their names;
    `numbers` (n,) where the attribute is one, NaN where not known."""

    target: np.ndarray
    source: np.ndarray
    names: tuple[str, str]
    numbers: np.ndarray | None = None

    def axis(self, x: np.ndarray, these: np.ndarray, made: str = MEANS) -> np.ndarray:
        """(d,) of unit length from the samples `these` (n,) bool of `x` (n, d): from the mean of the source to that of
        the target, or the covariance with the number; or what a ridge probe reads. Raises InputError where the two
        agree."""
        if made == PROBE:
            values = self.target - 1.0 * self.source if self.numbers is None else self.numbers
            use = these & (self.target | self.source if self.numbers is None else np.isfinite(self.numbers))
            axis = ridge_axis(x[use], values[use])
        elif self.numbers is None:
            axis = x[these & self.target].mean(axis=0) - x[these & self.source].mean(axis=0)
        else:
            these = these & np.isfinite(self.numbers)
            number = self.numbers[these]
            axis = (x[these] - x[these].mean(axis=0)).T @ (number - number.mean()) / len(number)
        length = float(np.linalg.norm(axis))
        if not length > 1e-12 * float(np.abs(x).max()):
            raise InputError(
                f"'{self.names[0]}' and '{self.names[1]}' have the same mean", "groups that differ",
                "Choose other classes or another tap",
            )  # fmt: skip
        return axis / length


def ends_of(factor: Factor, target: str, source: str) -> Ends:
    """Which samples an edit starts from and leads to: classes by name ("": the most frequent and the next; "others":
    all but the target), of a number the lowest and the highest quarter.

    Raises ParameterError where a name is not one of the classes.
    """
    if factor.is_number:
        if target or source:
            raise ParameterError(
                f"'{target or source}' of '{factor.name}', a number", "no class",
                "Leave both empty: samples of the lowest quarter are moved towards the highest",
            )  # fmt: skip
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


def along_given(
    x: np.ndarray, given: GivenAxis, factor: Factor | None, named: tuple[str, str], rng: np.random.Generator
) -> tuple[Ends, np.ndarray, np.ndarray, list[str]]:
    """Ends, parts (-1 for clicked samples, which are of none), the axis (d,) and notes, of an axis that is given."""
    n = len(x)
    classes = factor is not None and not factor.is_number
    part = folds_of(factor.of if classes else np.zeros(n, np.int64), 3, rng)
    part[list(given.ends)] = -1
    line, notes = given.along(x, part == 0), list(given.notes)
    along = x @ line
    if not classes:
        if any(named):
            raise ParameterError(f"class {(named[0] or named[1])!r}", "a column of classes to name one of")
        if factor is not None:
            return ends_of(factor, "", ""), part, line, notes
        low, high = np.quantile(along, [0.25, 0.75])
        names = (f"in the highest quarter along {given.label}", f"in the lowest quarter along {given.label}")
        return Ends(along >= high, along <= low, names), part, line, notes
    target, source = named
    if not any(named):
        target, source = _classes_at_ends(factor, along, part == 0, given.ends)
    ends = ends_of(factor, target, source)
    apart = along[(part == 0) & ends.target].mean() - along[(part == 0) & ends.source].mean()
    if any(named) and apart < 0:
        line = -line
        notes.append(
            f"{given.label} points from '{ends.names[0]}' to '{ends.names[1]}': it is followed backwards."
        )
    return ends, part, line, notes


def _classes_at_ends(factor: Factor, along: np.ndarray, these: np.ndarray, clicked) -> tuple[str, str]:
    """Names of the classes to move to and from: those of the clicked samples if they differ, else the classes with the
    highest and the lowest mean along the axis."""
    if clicked:
        low, high = (int(factor.of[place]) for place in clicked)
        if low != high and min(low, high) >= 0:
            return factor.classes[high], factor.classes[low]
    of = np.where(these, factor.of, -1)
    counts = np.bincount(of[of >= 0], minlength=len(factor.classes))
    sums = np.bincount(of[of >= 0], along[of >= 0], len(factor.classes))
    means = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    return factor.classes[int(np.nanargmax(means))], factor.classes[int(np.nanargmin(means))]
