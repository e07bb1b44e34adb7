"""The linear map that carries a sequence one step on (dynamic mode decomposition), and how far it can be followed.

    z_{t+1} = K z_t + b,    z the scores of x on the leading principal axes, K by least squares over all steps

of sequences (the tokens of a sample, or the rows of a tap in their order). The constant b makes the map ignore where
the origin lies. An eigenvalue of K inside the unit circle decays, on it persists, its angle is the frequency.
Eigenvectors are not orthogonal: where their condition number is large, eigenvalues say little of a few steps (transient
growth).

References: P. J. Schmid (2010), "Dynamic mode decomposition of numerical and experimental data"; L. N. Trefethen & M.
Embree (2005), "Spectra and pseudospectra".
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from analysis.activations import Activations
from analysis.compute.linear.spectra import axes_for
from analysis.compute.streaming import Pass, finite_blocks, refuse_few
from analysis.errors import InputError, NotEnoughData, TooLarge
from analysis.spec import Progress, no_progress, param

SEGMENTS = 10  # of one long sequence, in place of samples
FEWEST_STEPS, STEPS_PER_AXIS = 20, 5
MOST_BYTES = 4 << 30


@dataclass(frozen=True)
class KoopmanParams:
    """What every view of the map of one step asks."""

    share: float = param(
        0.999, "Share of the variance that the axes of the map hold.", low=0.5, high=1.0, late=True
    )
    maximum_rows: int = param(20_000, "Most rows: the first sequences.", low=50, high=500_000, late=True)


@dataclass(frozen=True)
class Sequences:
    """`x` (m, d) rows in their order, centred; `run` (m,) numbers stretches without a gap; `group` (m,) what counts as
    independent, 0 .. groups - 1 rising: samples, or tenths of one sequence; `fold` (m,) 0 or 1; `notes`."""

    x: np.ndarray
    run: np.ndarray
    group: np.ndarray
    fold: np.ndarray
    notes: tuple[str, ...]

    @property
    def groups(self) -> int:
        return int(self.group[-1]) + 1

    def starts(self, horizon: int) -> np.ndarray:
        """Rows from which `horizon` steps can be taken without a gap."""
        return (
            np.flatnonzero(self.run[:-horizon] == self.run[horizon:])
            if horizon < len(self.run)
            else self.run[:0]
        )

    def longest(self) -> int:
        """Steps of the longest stretch."""
        return int(np.bincount(self.run).max()) - 1

    def only(self, mine: np.ndarray) -> Sequences:
        """The rows `mine` (m,) bool; a stretch of which the middle is left out becomes two."""
        at = np.flatnonzero(mine)
        run = np.r_[0, np.cumsum((np.diff(at) != 1) | (np.diff(self.run[at]) != 0))]
        group = np.unique(self.group[at], return_inverse=True)[1]
        return replace(self, x=self.x[at], run=run, group=group, fold=self.fold[at])

    def shuffled(self, rng: np.random.Generator) -> Sequences:
        """The rows of each stretch in random order: no step means anything."""
        order = np.lexsort((rng.random(len(self.run)), self.run))
        return replace(self, x=self.x[order])


@dataclass(frozen=True)
class StepMap:
    """`basis` (r, d) orthonormal, `mean` (d,), `matrix` K (r, r), `shift` b (r,)."""

    basis: np.ndarray
    mean: np.ndarray
    matrix: np.ndarray
    shift: np.ndarray

    def eigenvalues(self) -> np.ndarray:
        """(r,) complex, by falling magnitude."""
        values = np.linalg.eigvals(self.matrix)
        return values[np.lexsort((-values.imag, -np.abs(values).round(12)))]

    def condition(self) -> float:
        """Condition number of the unit eigenvectors: 1 for a normal K; limited to 1e16, where K has too few."""
        return float(min(np.linalg.cond(np.linalg.eig(self.matrix)[1]), 1e16))


def sequences_of(
    activations: Activations, maximum: int, rng: np.random.Generator, progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 0.2),
) -> Sequences:  # fmt: skip
    """At most `maximum` rows, of the first samples; a tap without tokens is one sequence in the order of its rows.
    Below ten sequences the tenths of all rows stand for them, and the first half of the rows is one fold.

    Raises
    ------
    NotEnoughData, InputError, TooLarge
        Fewer than twenty steps, or ten in one half; rows that are all equal; over 4 GiB.
    """
    n, layout, name = activations.shape[0], activations.layout, activations.name
    x, rows, notes = _first_rows(activations, maximum, progress, span)
    if len(x) == maximum < n:
        notes.append(f"The first {len(x):,} of {n:,} rows used.")
    owner = np.zeros(len(x), int) if layout.is_pooled else layout.sample_of(rows)
    numbers, group = np.unique(owner, return_inverse=True)
    if layout.is_pooled:
        notes.append("The rows of the tap, in their order, are taken as one sequence.")
    if len(numbers) < SEGMENTS:
        notes.append(f"There are {len(numbers)} sequence(s): tenths of all rows count as independent.")
        group = np.arange(len(x)) * SEGMENTS // len(x)
        fold = (group >= SEGMENTS // 2).astype(int)
    else:
        fold = rng.permutation(np.arange(len(numbers)) % 2)[group]
    gap = (np.diff(rows) != 1) | (np.diff(fold) != 0) | (np.diff(owner) != 0)
    found = Sequences(x - x.mean(axis=0), np.r_[0, np.cumsum(gap)], group, fold, tuple(notes))
    steps = np.bincount(fold[found.starts(1)], minlength=2)
    if steps.sum() < FEWEST_STEPS or steps.min() < FEWEST_STEPS // 2:
        raise NotEnoughData(
            f"{name} has {steps.sum()} steps from one row to the next, {steps.min()} of them in one half",
            f"at least {FEWEST_STEPS}, and {FEWEST_STEPS // 2} in each half", "Record more or longer sequences",
        )  # fmt: skip
    return found


def _first_rows(activations, maximum: int, progress, span) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Finite rows (m, d) of the first `maximum`, their numbers (m,), and notes."""
    n, d = activations.shape
    if 8 * min(n, maximum) * d > MOST_BYTES:
        raise TooLarge(f"{min(n, maximum):,} rows of {d:,} units", "at most 4 GiB", "Lower 'maximum rows'")
    seen, rows, blocks, held = Pass(), [np.empty(0, int)], [np.empty((0, d))], 0
    for at, block in finite_blocks(activations, seen, progress, "reading sequences", span):
        rows.append(at[: maximum - held])
        blocks.append(block[: maximum - held])
        held += len(rows[-1])
        if held >= maximum:
            break
    x, rows = np.concatenate(blocks), np.concatenate(rows)
    refuse_few(activations.name, len(x), FEWEST_STEPS + 1)
    if (x == x[0]).all():
        raise InputError(
            f"all rows of {activations.name} are equal", "rows that differ", "Choose another tap"
        )
    return x, rows, [note for note in seen.notes if not note.startswith("There is one sample")]


def step_map(data: Sequences, share: float) -> StepMap:
    """K on the fewest principal axes that hold `share` of the variance, at most one for every five steps. O(m d²)."""
    start = data.starts(1)
    mean = data.x.mean(axis=0)
    centred = data.x - mean
    size, axes = _axes(centred)
    k = min(axes_for(size**2, share), max(1, len(start) // STEPS_PER_AXIS))
    z = centred @ axes[:k].T
    given = np.hstack([z[start], np.ones((len(start), 1))])
    found = np.linalg.lstsq(given, z[start + 1], rcond=None)[0]
    return StepMap(axes[:k], mean, found[:-1].T, found[-1])


def _axes(centred: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Singular values (r,) above rounding, falling, and axes (r, d) of `centred` (m, d)."""
    if len(centred) < centred.shape[1]:
        _, size, axes = np.linalg.svd(centred, full_matrices=False)
        keep = size > size[0] * 1e-12
    else:  # squared, which leaves half of the digits
        values, vectors = np.linalg.eigh(centred.T @ centred)
        size, axes = np.sqrt(np.maximum(values[::-1], 0.0)), vectors[:, ::-1].T
        keep = size > size[0] * 1e-7
    return size[keep], axes[keep]


def prediction_sums(data: Sequences, share: float, horizons: int) -> np.ndarray:
    """(3, horizons, groups): squared error of the map, squared error of persistence (nothing changes), and the squared
    distance from the mean, of rows h steps ahead; the map is fitted on one fold and followed on the other."""
    sums = np.zeros((3, horizons, data.groups))
    for side in (0, 1):
        test = data.fold == side
        model = step_map(data.only(~test), share)
        x, run, group = data.x[test], data.run[test], data.group[test]
        centred, z = x - model.mean, (x - model.mean) @ model.basis.T
        for h in range(1, horizons + 1):
            z = z @ model.matrix.T + model.shift
            start = np.flatnonzero(run[:-h] == run[h:])
            if not len(start):
                break
            error = centred[start + h] - z[start] @ model.basis
            still = centred[start + h] - centred[start]
            for i, e in enumerate((error, still, centred[start + h])):
                sums[i, h - 1] += np.bincount(group[start], np.einsum("ij,ij->i", e, e), data.groups)
    return sums
