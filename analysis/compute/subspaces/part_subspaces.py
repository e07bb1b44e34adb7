"""Subspaces of the units of one tap, whatever they are spanned by: axes of all samples, of some of them, directions of
a layer's weights, or some of the units themselves; all of them in one list, to be compared.

Those of samples are cut between eigenvalues that are told apart, where there are such, and found anew without each
group of samples. Weights and units have no sampling error: they are the same without any group.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout
from analysis.compute.linear.spectra import axes_for
from analysis.compute.subspaces.subspace import LEVEL, Cuts, Subspace, cuts_of
from analysis.compute.subspaces.tap_subspaces import TapSubspace, axes_without, chosen_cut
from analysis.errors import LoupeError, NotEnoughData

ROUNDING = 1e-12


@dataclass(frozen=True)
class PartRows:
    """Rows `x` (n, d) of the units that vary, the `sample` (n,) of each, and the `groups` of rows to leave out."""

    x: np.ndarray
    sample: np.ndarray
    groups: tuple[np.ndarray, ...]


def of_rows(data: PartRows, name: str, rows: np.ndarray, dimension: int | None, fewest: int) -> TapSubspace:
    """The leading axes of those `rows` (n,) bool about their own mean. Raises NotEnoughData with fewer than `fewest`
    samples, or directions than `dimension`; InputError where nothing varies."""
    x, sample = data.x[rows], np.unique(data.sample[rows], return_inverse=True)[1].reshape(-1)
    n = int(sample.max()) + 1 if len(sample) else 0
    if n < fewest:
        raise NotEnoughData(f"{name} has {n} sample(s)", f"at least {fewest}", "Choose a larger group")
    layout = Layout(np.searchsorted(sample, np.arange(n + 1)).astype(np.int64))
    found = _cut(cuts_of(ArrayActivations(x, name=name, layout=layout, digest="held")), dimension)
    places = np.cumsum(rows) - 1
    groups = [places[g[rows[g]]] for g in data.groups]
    return TapSubspace(name, found, (found.basis, *_left_out(x, found.basis, groups)))


def _cut(cuts: Cuts, dimension: int | None) -> Subspace:
    """Where the data define it; else at the dimension, or the widest gap, with the p-value that says so."""
    try:
        return chosen_cut(cuts, dimension, None)
    except NotEnoughData:
        values, r = cuts.values, len(cuts.values)
        if dimension is not None and dimension > r:
            raise
        if r == 1:  # of rank one: nothing follows
            return Subspace(cuts.name, cuts.axes.directions.T, values, 0.0, float(cuts.axes.total), 0.0, cuts.axes.n,
                            cuts.samples)  # fmt: skip
        most = max(1, min(r - 1, cuts.axes.d // 2))
        k = dimension or int(np.argmax(values[:most] / np.maximum(values[1 : most + 1], 1e-300))) + 1
        p = float(cuts.p[k - 1]) if k < r else 1.0
        following = float(values[k]) if k < r else 0.0
        return Subspace(
            cuts.name, cuts.axes.directions[:k].T, values[:k], following, float(cuts.axes.total), p, cuts.axes.n,
            cuts.samples,
        )  # fmt: skip


def is_clear(part: TapSubspace) -> bool:
    """Whether the data define the cut."""
    return part.subspace.p < LEVEL


def _left_out(x: np.ndarray, basis: np.ndarray, groups: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Axes without each group, the same ones where it has no row here; none where too few rows would be left."""
    k, own = basis.shape[1], [g for g in groups if len(g)]
    if k > len(x) - max(map(len, own)) - 2:
        return []
    found = iter(axes_without(x, k, own))
    return [next(found) if len(g) else basis for g in groups]


def of_directions(
    name: str, table: np.ndarray, dimension: int | None, share: float, groups: int
) -> TapSubspace:
    """The leading right singular directions of `table` (m, d), about the origin: `dimension` of them, or as many as
    hold the `share` of its energy. Raises NotEnoughData where it has fewer."""
    _, sizes, directions = np.linalg.svd(table, full_matrices=False)
    energy = sizes**2
    rank = int((sizes > ROUNDING * max(float(sizes.max(initial=0.0)), 1e-300) * max(table.shape)).sum())
    if not rank:
        raise NotEnoughData(
            f"the weights of {name} are 0 on these units", "some that are not", "Leave them out"
        )
    k = min(axes_for(energy, share), rank) if dimension is None else dimension
    if k > rank:
        raise NotEnoughData(
            f"{name} has {rank} direction(s)", f"at least {k}, as were asked for", "Lower the dimension"
        )
    return _fixed(name, directions[:k].T, energy[:k], float(energy.sum()), len(table), groups)


def of_units(name: str, units: np.ndarray, d: int, groups: int) -> TapSubspace:
    """Some of the units themselves, by their numbers. Raises NotEnoughData where there are none."""
    if not len(units):
        raise NotEnoughData("none of its units varies", "one that does", "Leave it out")
    return _fixed(name, np.eye(d)[:, units], np.ones(len(units)), float(len(units)), 0, groups)


def _fixed(
    name: str, basis: np.ndarray, variances: np.ndarray, total: float, n: int, groups: int
) -> TapSubspace:
    space = Subspace(name, basis, variances, 0.0, total, 0.0, n, n)
    return TapSubspace(name, space, (basis,) * (groups + 1))


def blocks(count: int, parts: int) -> list[np.ndarray]:
    """Numbers 0 .. count - 1 in so many equal runs. Raises NotEnoughData where they do not divide."""
    if parts > count or count % parts:
        raise NotEnoughData(
            f"{count} in {parts} equal blocks", f"a number of blocks that divides {count}", "Change the heads"
        )
    return list(np.arange(count).reshape(parts, -1))


def kept_parts(makers) -> tuple[list[TapSubspace], list[str]]:
    """What each (name, maker) gives, and what is said of those that have no subspace."""
    found, notes = [], []
    for name, make in makers:
        try:
            found.append(make())
        except LoupeError as refusal:
            notes.append(f"{name} left out: {refusal.found}.")
    return found, notes
