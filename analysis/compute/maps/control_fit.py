"""A control and the others among the points of a map, and the axes along which the others vary most beyond it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations, row_column, sample_column
from analysis.arrays import first_sign
from analysis.compute.groups.mean_difference import Entries
from analysis.compute.linear.fisher import Basis, basis_of
from analysis.compute.linear.linalg import principal_components
from analysis.compute.linear.named_axes import NamedAxis, named_axis
from analysis.compute.maps.control_whitening import ControlWhitening, control_whitening
from analysis.compute.rows.cloud import Cloud
from analysis.compute.rows.samples import known_labels, listed
from analysis.errors import InputError, NotEnoughData, ParameterError

GRAMMAR = "class:A, class:A-B, selection:A or selection:A-B"
FEWEST = 10  # samples of the control, and of the others


@dataclass(frozen=True)
class ControlFit:
    """`basis` of all samples, `whitening` in it, unit-space `origin` (d,) and `axes` (d, k) of the drawn coordinates,
    of which the first `found` are not empty."""

    basis: Basis
    whitening: ControlWhitening
    origin: np.ndarray
    axes: np.ndarray
    found: int

    def white(self, x: np.ndarray) -> np.ndarray:
        """White coordinates (n, r) of points `x` (n, d). O(n d r)."""
        return self.whitening.place((x - self.basis.mean) @ self.basis.vectors)


def control_axis(
    text: str, activations: Activations, cloud: Cloud, column: str, selections: dict[str, np.ndarray]
) -> NamedAxis:
    """The control (side 1) and the others (side -1) among the points; "class:" alone takes the largest class.

    Raises ParameterError, NotFound as `named_axis`; NotEnoughData for a single class.
    """
    kind, _, rest = text.partition(":")
    if kind.strip().lower() not in ("class", "selection"):
        raise ParameterError(f"control {text!r}", GRAMMAR, "Name a class or a selection")
    if kind.strip().lower() == "class" and not rest.strip():
        labels = row_column(activations, column)[cloud.rows]
        names, counts = np.unique(labels[known_labels(labels)].astype(str), return_counts=True)
        if len(names) < 2:
            raise NotEnoughData(
                f"column '{column}' has one class or none ({listed(names, counts)})",
                "at least two: a control and others",
                "Choose another column, or a selection as the control",
            )
        text = f"class:{names[counts.argmax()]}"
    return named_axis(text, activations, cloud.x, cloud.rows, column, selections)


def refuse_few(lines: Entries, axis: NamedAxis) -> None:
    """Raises NotEnoughData below ten samples of either group, five in each half."""
    for side, name, role in ((1, axis.groups[0], "the control"), (-1, axis.groups[1], "the others")):
        counts = [int(((lines.side == side) & half).sum()) for half in (lines.fit, ~lines.fit)]
        if min(counts) < FEWEST // 2:
            raise NotEnoughData(
                f"{role}, {name!r}: {sum(counts)} sample(s)",
                f"at least {FEWEST}: half make the picture, half test it",
                "Choose a larger group",
            )


def control_fit(lines: Entries, components: int, ridge: float | None, others: str) -> ControlFit:
    """Whitening by the control's fit half, axes by the others'. O(n d min(n, d)).

    Raises as `control_whitening`; InputError when the samples of the `others` are all equal.
    """
    basis = basis_of(lines.values)
    whitening = control_whitening(basis.z[lines.fit & (lines.side > 0)], ridge)
    white = whitening.place(basis.z[lines.fit & (lines.side < 0)])
    if (white == white[0]).all():
        raise InputError(f"all samples of {others!r} are equal", "others that vary", "Choose another control")
    directions = principal_components(white, components)[1]
    weights = first_sign(np.ascontiguousarray((basis.vectors @ (whitening.to @ directions.T)).T)).T
    axes = np.pad(weights, ((0, 0), (0, components - weights.shape[1])))
    return ControlFit(basis, whitening, basis.mean + basis.vectors @ whitening.mean, axes, weights.shape[1])


def owners(cloud: Cloud, side: np.ndarray) -> np.ndarray:
    """The sample of each entry, in the order in which `mean_difference.entries` makes them."""
    here = np.flatnonzero(side)
    return np.unique(2 * cloud.sample[here] + (side[here] > 0)) // 2


def batches(
    activations: Activations, cloud: Cloud, samples: np.ndarray, column: str
) -> tuple[np.ndarray, np.ndarray]:
    """Batch number of each of the `samples` that has one, and which have (bool). Raises NotFound; ParameterError for
    one batch, or fewer than two samples a batch."""
    values = sample_column(activations, column)[cloud.sample_numbers[samples]]
    known = known_labels(values)
    names, of = np.unique(values[known].astype(str), return_inverse=True)
    if len(names) < 2 or 2 * len(names) > len(of):
        raise ParameterError(
            f"batch column '{column}' has {len(names)} value(s) in {len(of)} held-out samples",
            "at least two batches, with two samples each on average",
            "Choose another column, or none",
        )
    return of, known
