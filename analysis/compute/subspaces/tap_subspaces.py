"""The leading subspace of each of several taps over the samples they share, and again without each group of samples.

Two spaces to have it in. *Units*: principal axes, a subspace of the d units; only taps with the same units can be
compared there. *Samples*: the principal components themselves, centred columns over the n common samples, a subspace of
the n - 1 dimensions that are left by centring; any taps can be compared there, of whatever networks and widths. Both
are the singular vectors of one centred matrix (n, d), so one cut between two eigenvalues defines both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh

from analysis.activations import Activations
from analysis.compute.rows.common_rows import CommonRows, common_rows, naming_tokens
from analysis.compute.rows.some_samples import MEAN
from analysis.compute.statistics.moments import Moments, is_varying
from analysis.compute.subspaces.spaces import UNITS, refuse_tokens_of_samples
from analysis.compute.subspaces.subspace import Cuts, Subspace, cuts_of
from analysis.errors import InputError, NotEnoughData, ParameterError
from analysis.spec import Progress, no_progress

FEWEST = 8  # samples
MOST_AUTOMATIC = 64  # dimensions of a cut that nobody asked for


@dataclass(frozen=True)
class TapSubspace:
    """`subspace` of the tap in its units; `bases`, orthonormal columns in the space of the comparison, on all samples
    and then without each group of samples."""

    name: str
    subspace: Subspace
    bases: tuple[np.ndarray, ...]

    @property
    def k(self) -> int:
        return self.subspace.k


@dataclass(frozen=True)
class TapSubspaces:
    """Of each tap; `dimensions` of the space they lie in (what chance depends on), of `n` samples."""

    members: tuple[TapSubspace, ...]
    dimensions: int
    n: int
    notes: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        return [m.name for m in self.members]


def shared_rows(
    taps: Sequence[Activations],
    space: str,
    tokens: str,
    rng,
    maximum: int,
    progress: Progress,
    span=(0.0, 0.2),
) -> CommonRows:
    """`common_rows` of taps that can be compared in that space. Raises InputError where their units differ, or for
    tokens in the space of samples."""
    refuse_other_units(taps, space)
    refuse_tokens_of_samples(space, tokens, taps)
    return common_rows(
        taps, rng, tokens=tokens, maximum=maximum, minimum=FEWEST, progress=progress, span=span
    )


def refuse_other_units(taps: Sequence[Activations], space: str) -> None:
    """Raise InputError where subspaces of units are asked for and the taps have different numbers of them."""
    odd = next((t for t in taps if t.shape[1] != taps[0].shape[1]), None)
    if space == UNITS and odd is not None:
        raise InputError(
            f"{taps[0].name} has {taps[0].shape[1]:,} units and {odd.name} has {odd.shape[1]:,}",
            "taps with the same units, to compare subspaces of units",
            "Compare subspaces of samples instead (space: samples)",
        )


def tap_subspaces(
    taps: Sequence[Activations],
    rng: np.random.Generator,
    *,
    space: str = UNITS,
    dimension: int | None = None,
    share: float | None = None,
    common: bool = False,
    tokens: str = MEAN,
    maximum: int = 10_000,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 0.7),
) -> TapSubspaces:
    """Subspaces cut at `dimension`, at a `share` of the variance, or at the widest gap; `common`: all at one dimension.

    Time O(n d²) for each tap and O(d² k) or more for each of ten groups left out; memory O(n Σ d + d²).

    Raises
    ------
    ParameterError
        Both a dimension and a share; a share where one dimension is wanted.
    InputError, NotEnoughData, TooLarge
        Different numbers of units in unit space; fewer than eight common samples; a cut that the data do not define.
    """
    if dimension is not None and share is not None:
        raise ParameterError(
            "a dimension and a share of the variance", "one of the two", "Leave one of them empty"
        )
    middle = span[0] + 0.3 * (span[1] - span[0])
    data = shared_rows(taps, space, tokens, rng, maximum, progress, (span[0], middle))
    every = []
    for i, tap in enumerate(taps):
        at = middle + 0.3 * (span[1] - middle) * i / len(taps)
        progress(at, "finding axes")
        every.append(cuts_of(data.tap(i, tap.name)))
    with naming_tokens(taps, tokens):
        if common:
            dimension = common_dimension(every) if dimension is None else dimension
        chosen = [chosen_cut(cuts, dimension, share) for cuts in every]
    groups = data.groups(rng)
    members = []
    for i, (x, subspace) in enumerate(zip(data.values, chosen, strict=True)):
        progress(middle + (0.3 + 0.7 * i / len(taps)) * (span[1] - middle), "leaving samples out")
        members.append(TapSubspace(taps[i].name, subspace, _bases(x, subspace, groups, space)))
    n = data.n_samples
    varying, said = _varying(data.values) if space == UNITS else (n - 1, [])
    notes = (*data.notes, *dict.fromkeys(note for cuts in every for note in cuts.notes), *said)
    return TapSubspaces(tuple(members), varying, n, notes)


def chosen_cut(cuts: Cuts, dimension: int | None, share: float | None) -> Subspace:
    """At the dimension, at the share, or at the widest gap."""
    if dimension is not None:
        return cuts.at(dimension)
    return cuts.automatic(_widest(cuts)) if share is None else cuts.holding(share)


def _widest(cuts: Cuts) -> int:
    """The most dimensions of an automatic cut: half of the units. Any two wider ones share directions whatever the
    data, and the gap before the one direction that a normalisation takes away would be the widest of all."""
    return min(MOST_AUTOMATIC, max(1, cuts.axes.d // 2))


def common_dimension(every: Sequence[Cuts]) -> int:
    """The dimension at which all can be cut and the product of their gaps is largest. Raises NotEnoughData."""
    held = set.intersection(*(set(c.held[c.held < len(c.values)].tolist()) for c in every))
    most = min(_widest(cuts) for cuts in every)
    held = sorted(k for k in held if k <= most)
    if not held:
        raise NotEnoughData(
            f"no dimension up to {most} at which all {len(every)} spectra have a gap",
            "one at which every subspace is defined",
            "Record more samples, or leave out what has no gap",
        )
    gaps = [sum(np.log(c.values[k - 1] / c.values[k]) for c in every) for k in held]
    return int(held[int(np.argmax(gaps))])


def _varying(values: Sequence[np.ndarray]) -> tuple[int, list[str]]:
    """How many units vary in one of the taps at least, and a note on those that do not."""
    varies = np.any([is_varying(x.var(axis=0), x.mean(axis=0)) for x in values], axis=0)
    still = int((~varies).sum())
    return int(varies.sum()), [
        f"{still} unit(s) that are constant everywhere left out of chance."
    ] if still else []


def _bases(x: np.ndarray, subspace: Subspace, groups, space: str) -> tuple[np.ndarray, ...]:
    k = subspace.k
    if k > len(x) - max(map(len, groups)) - 2:
        groups = []  # too few rows would be left to span it
    right = [subspace.basis, *axes_without(x, k, groups)]
    if space == UNITS:
        return tuple(right)
    rest = [np.arange(len(x)), *(np.setdiff1d(np.arange(len(x)), g) for g in groups)]
    return tuple(left_basis(x[at], basis) for at, basis in zip(rest, right, strict=True))


def left_basis(x: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """(n, k) orthonormal columns spanning the scores of the centred `x` (n, d) on `basis` (d, k)."""
    return np.linalg.qr((x - x.mean(axis=0)) @ basis)[0]


def axes_without(x: np.ndarray, k: int, groups: Sequence[np.ndarray]) -> list[np.ndarray]:
    """First `k` axes (d, k) of `x` (n, d) without each of the `groups`, which hold every row once. Time O(n d²) in
    all and O(d³) a group, with fewer rows than units O(n² d) a group."""
    n, d = x.shape
    if n >= d:
        parts = [Moments.of(x[g]) for g in groups]
        return [_leading(_merged(parts, leave).covariance, k) for leave in range(len(groups))]
    found = []
    for g in groups:
        kept = np.delete(x, g, axis=0)
        found.append(leading_axes(kept - kept.mean(axis=0), k))
    return found


def leading_axes(x: np.ndarray, k: int) -> np.ndarray:
    """First `k` right singular vectors (d, k) of `x` (n, d), centred as it shall be; k at most its rank. Time
    O(n d min(n, d))."""
    if len(x) >= x.shape[1]:
        return _leading(x.T @ x, k)
    return np.linalg.qr(x.T @ _leading(x @ x.T, k))[0]


def _merged(parts: Sequence[Moments], leave: int) -> Moments:
    rest = [part for i, part in enumerate(parts) if i != leave]
    total = rest[0]
    for part in rest[1:]:
        total = total.merge(part)
    return total


def _leading(symmetric: np.ndarray, k: int) -> np.ndarray:
    d = len(symmetric)
    return eigh(symmetric, subset_by_index=[d - min(k, d), d - 1])[1][:, ::-1]
