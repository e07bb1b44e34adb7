"""The axis of a concept that is named by itself, instead of being made from the attribute under study.

    unit:12, unit:12-40      a unit of the tap (by number or name), or one minus another
    pc:3                     a principal axis of the samples, counted from 1
    probe:COLUMN             what a linear probe (ridge) reads of a number, or of two values
    probe:COLUMN=VALUE       the same of one value against all others
    weights:LAYER:NUMBER     a row, or column, of a layer of the tap's own checkpoint
    low and high             the line from one clicked sample to another, by their ids
    vector                   any direction, packed (`compute.rows.packed_direction`): a probe trained elsewhere, a
                             latent of an autoencoder; feature:SET:NUMBER or row:TAP:NUMBER beside it say which one

All are of unit length. A unit, weights and a vector know nothing of these samples; principal axes and clicked samples
are of them but know no attribute; a probe is fitted on the samples that it is given, so place others by it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations, sample_column
from analysis.compute.linear.linalg import principal_components
from analysis.compute.linear.named_axes import unit_axis
from analysis.compute.linear.ranking_axes import ridge_axis
from analysis.compute.rows.known_factors import factor_of
from analysis.compute.rows.packed_direction import unpack_direction
from analysis.errors import InputError, NotFound, ParameterError
from analysis.spec import param

GRAMMAR = "unit:12, unit:12-40, pc:1, probe:COLUMN, probe:COLUMN=VALUE or weights:LAYER:NUMBER"
AxisFit = Callable[[np.ndarray, np.ndarray], np.ndarray]  # x (n, d), these (n,) bool -> (d,)
ReadWeights = Callable[[Activations, str], tuple[np.ndarray, str]]


@dataclass(frozen=True)
class AxisParams:
    """An axis named by itself; the same parameters of every method that can take one."""

    direction: str = param("", f"An axis that is given: {GRAMMAR}. Empty: made from the attribute.")
    low: str = param("", "Id of a sample that stands low; with `high` it makes the axis.")
    high: str = param("", "Id of a sample that stands high.")
    vector: str = param("", "The direction itself as packed numbers, filled in by whoever names one.")

    @property
    def gives_axis(self) -> bool:
        return bool(self.direction or self.low or self.high or self.vector)

    @property
    def clicked(self) -> tuple[str, ...]:
        return tuple(one for one in (self.low, self.high) if one)


@dataclass(frozen=True)
class GivenAxis:
    """`label` in words; `ends`, the places of two clicked samples among those given; `fitted`, whether it learned from
    a column of the samples; `of_samples`, whether other samples would give another axis."""

    label: str
    fit: AxisFit
    ends: tuple[int, ...] = ()
    fitted: bool = False
    of_samples: bool = False
    notes: tuple[str, ...] = ()

    def along(self, x: np.ndarray, these: np.ndarray | None = None) -> np.ndarray:
        """(d,) of unit length, by the samples `these` (n,) bool of `x` (n, d) where samples matter. Raises InputError
        where there is none."""
        axis = self.fit(x, np.ones(len(x), bool) if these is None else these)
        length = float(np.linalg.norm(axis))
        if not length > 0:
            raise InputError(
                f"{self.label} has no direction", "samples that differ along it", "Choose another axis"
            )
        return axis / length


def given_axis(
    activations: Activations,
    asked: AxisParams,
    x: np.ndarray,
    samples: np.ndarray,
    units: np.ndarray,
    read_weights: ReadWeights,
) -> GivenAxis | None:
    """The axis that was named, or None.

    Parameters
    ----------
    x, samples : (n, d) pooled values and (n,) the samples' positions in the tap.
    units : (d,) which units of the tap the columns are, or a mask of them.
    read_weights : `sources.weight_directions.weight_direction`.

    Raises
    ------
    ParameterError
        More than one axis; a text that cannot be read; one clicked sample, or the same twice.
    NotFound
        No such unit, column, value, layer or sample.
    InputError
        Two samples with equal activations; a direction in constant units only.
    """
    if asked.vector:
        label = _from_elsewhere(asked.direction)
        _only(asked, asked.direction if label else "")
        vector = unpack_direction(asked.vector, activations.shape[1])
        return _fixed(label or "the given direction", vector, units)
    if asked.low or asked.high:
        _only(asked, "")
        return _clicked(activations, asked.low, asked.high, x, samples)
    if not asked.direction:
        return None
    kind, _, rest = (part.strip() for part in asked.direction.partition(":"))
    if kind == "unit":
        axis = unit_axis(rest, activations.unit_names)
        return _fixed(axis.label, axis.vector, units)
    if kind == "pc":
        return _component(rest, x)
    if kind == "probe":
        return _probe(activations, rest, samples)
    if kind == "weights":
        vector, label = read_weights(activations, rest)
        return _fixed(label, vector, units)
    if kind in ("row", "feature"):
        raise ParameterError(
            f"axis {asked.direction!r} without its numbers", "the direction itself, packed, as 'vector'",
            "The page reads it from the store or feature set; in Python, pass pack_direction(direction)",
        )  # fmt: skip
    raise ParameterError(f"axis {asked.direction!r}", GRAMMAR)


def _from_elsewhere(direction: str) -> str:
    """What is said of a packed direction that says where it comes from, or ""."""
    if direction.startswith("feature:"):
        name, _, number = direction.removeprefix("feature:").rpartition(":")
        return f"feature {number} of {name}"
    return direction.removeprefix("row:") if direction.startswith("row:") else ""


def _only(asked: AxisParams, direction: str) -> None:
    ways = [bool(asked.vector), bool(asked.low or asked.high), bool(asked.direction) and not direction]
    if sum(ways) > 1:
        raise ParameterError(
            "more than one axis (a direction, clicked samples, packed numbers)", "one of them", "Empty the others"
        )  # fmt: skip


def _fixed(label: str, vector: np.ndarray, units: np.ndarray) -> GivenAxis:
    whole, inside = float(vector @ vector), np.asarray(vector, np.float64)[units]
    kept = float(inside @ inside)
    if not kept > 1e-24 * whole:
        raise InputError(
            f"{label} lies in units that are constant here", "a direction in which samples differ",
            "Choose another axis, or a tap in which these units vary",
        )  # fmt: skip
    lost = 1 - kept / whole
    notes = (f"{lost:.1%} of {label}'s squared length lies in constant units.",) if lost > 1e-6 else ()
    return GivenAxis(label, lambda x, these: inside, notes=notes)


def _component(rest: str, x: np.ndarray) -> GivenAxis:
    most = min(x.shape[1], len(x) - 1)
    if not rest.isdecimal() or not 1 <= int(rest) <= most:
        raise ParameterError(f"axis pc:{rest}", f"a component from 1 to {most}")

    def fit(x: np.ndarray, these: np.ndarray) -> np.ndarray:
        directions = principal_components(x[these], int(rest))[1]
        if len(directions) < int(rest):
            raise ParameterError(f"axis pc:{rest}", f"a component from 1 to {len(directions)} (the rank)")
        return directions[int(rest) - 1]

    return GivenAxis(f"principal axis {rest}", fit, of_samples=True)


def _probe(activations: Activations, rest: str, samples: np.ndarray) -> GivenAxis:
    name, equals, value = (part.strip() for part in rest.partition("="))
    column = np.asarray(sample_column(activations, name))[samples]
    factor = factor_of(name, column)
    if factor is None:
        raise ParameterError(
            f"column '{name}' is neither 2 to 50 classes of five samples nor a number",
            "one or the other",
            "Choose another column",
        )
    if factor.is_number and not equals:
        known, y = factor.known, factor.values
    else:
        classes = factor.classes or ("a number",)
        if not equals and len(classes) != 2:
            raise ParameterError(
                f"probe:{name}, a column of {len(classes)} classes", f"probe:{name}=VALUE, one of "
                + ", ".join(classes[:20]),
            )  # fmt: skip
        wanted = value if equals else classes[1]
        if wanted not in classes:
            raise NotFound(
                f"no value {wanted!r} of '{name}'", "one of " + ", ".join(classes[:20]), "Name another"
            )
        known, y = factor.known, (factor.of == classes.index(wanted)).astype(np.float64)
    label = f"a probe of {name}" + (f" = {value}" if equals else "")

    def fit(x: np.ndarray, these: np.ndarray) -> np.ndarray:
        use = these & known
        if use.sum() < 3 or np.ptp(y[use]) == 0:
            raise InputError(
                f"'{name}' is constant among {int(use.sum())} samples",
                "values that differ",
                "Choose another column",
            )
        return ridge_axis(x[use], y[use])

    return GivenAxis(label, fit, fitted=True, of_samples=True)


def _clicked(activations: Activations, low: str, high: str, x: np.ndarray, samples: np.ndarray) -> GivenAxis:
    axis, places = clicked_axis(activations, low, high, x, samples)
    return GivenAxis(f"the line from {low} to {high}", lambda x, these: axis, places, of_samples=True)


def clicked_axis(
    activations: Activations, low: str, high: str, x: np.ndarray, samples: np.ndarray
) -> tuple[np.ndarray, tuple[int, int]]:
    """The vector (d,) from one clicked sample to another, named by id, and their places among `samples` (n,).

    Raises ParameterError (one id, or the same twice), NotFound, InputError (equal activations).
    """
    if not low or not high or low == high:
        raise ParameterError(
            f"samples {low!r} and {high!r}", "the ids of two different samples, one low and one high",
            "Click one that stands low and one that stands high",
        )  # fmt: skip
    ids, places = np.asarray(activations.samples["id"]).astype(str)[samples], []
    for one in (low, high):
        found = np.flatnonzero(ids == one)
        if not len(found):
            raise NotFound(
                f"no sample {one!r} with a finite row among those used",
                "an id of this store",
                "Click another sample",
            )
        places.append(int(found[0]))
    axis = x[places[1]] - x[places[0]]
    if np.linalg.norm(axis) <= 1e-12 * np.linalg.norm(x[places], axis=1).max():
        raise InputError(
            f"samples {low!r} and {high!r} have equal activations",
            "two samples that differ",
            "Click another one",
        )
    return axis, (places[0], places[1])
