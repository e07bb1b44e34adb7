"""Samples of two taps of one space, class by class, where a sample may itself be a Gaussian."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations
from analysis.compute.rows.samples import LabelledMatrix, labelled_matrix
from analysis.compute.subspaces.gaussian_classes import DiagonalGaussians, gaussians_of
from analysis.errors import InputError, NotEnoughData
from analysis.spec import Progress, param

FEWEST, SMALLEST = 20, 5  # samples of a tap, of a class
SAMPLES, POSTERIORS = "samples", "means, then log-variances"


@dataclass(frozen=True)
class GaussianParams:
    """What every view of classes as Gaussians in two taps asks."""

    column: str = param("label", "The sample column with the classes, in both taps.", column=True)
    unseen: str = param("", "Classes never seen in training, with commas between; empty: no such split.")
    holds: str = param(SAMPLES, "What the units are: values, or a variational encoder's means and log-variances.",
                       choices=(SAMPLES, POSTERIORS), late=True)  # fmt: skip
    pooling: str = param(
        "mean", "How the tokens of a sample become one value.", choices=("mean", "max"), late=True
    )
    maximum_samples: int = param(
        5000, "Most samples of a tap; a seeded random subset above.", low=50, high=100_000, late=True
    )


@dataclass(frozen=True)
class Side:
    """Samples `x` (n, d) of the classes `of` (n,), their `variances` (n, d) or None."""

    x: np.ndarray
    of: np.ndarray
    variances: np.ndarray | None

    def gaussians(self, stay: np.ndarray, classes: int) -> DiagonalGaussians:
        """Of the samples `stay` (n,) bool."""
        variances = None if self.variances is None else self.variances[stay]
        return gaussians_of(self.x[stay], self.of[stay], classes, variances)


@dataclass(frozen=True)
class TwoSides:
    """The two taps' `sides` and the `names` (C,) of their classes; `notes` on the classes, `read` on the samples."""

    sides: tuple[Side, Side]
    names: list[str]
    notes: list[str]
    read: list[str]

    def gaussians(self, stays: Sequence[np.ndarray] | None = None) -> list[DiagonalGaussians]:
        """Of each side, of its samples `stays` (bool), all by default."""
        stays = [np.ones(len(s.x), bool) for s in self.sides] if stays is None else stays
        return [s.gaussians(stay, len(self.names)) for s, stay in zip(self.sides, stays, strict=True)]

    def counts(self, near: np.ndarray) -> np.ndarray:
        """(C, C) samples of the first side by their class and the one they are `near` (n,)."""
        c, of = len(self.names), self.sides[0].of
        return np.array([np.bincount(near[of == i], minlength=c) for i in range(c)])


def two_sides(
    taps: Sequence[Activations],
    params: GaussianParams,
    rng: np.random.Generator,
    progress: Progress,
    until: float,
) -> TwoSides:
    """Read from two taps of one width; `progress` goes up to `until`.

    Raises InputError for different widths, and as `labelled_matrix` and `sides_of`.
    """
    if taps[0].shape[1] != taps[1].shape[1]:
        raise InputError(
            f"{taps[0].name} has {taps[0].shape[1]} units and {taps[1].name} {taps[1].shape[1]}",
            "two taps of one space", "Choose the two encoders' latents",
        )  # fmt: skip
    tables = [
        labelled_matrix(t, params.column, params.pooling, minimum=SMALLEST, maximum_samples=params.maximum_samples,
                        rng=rng, progress=progress, span=(until * i / 2, until * (i + 1) / 2))
        for i, t in enumerate(taps)
    ]  # fmt: skip
    sides, names, notes = sides_of(tables, params.column, params.holds == POSTERIORS)
    return TwoSides(tuple(sides), names, notes, list(dict.fromkeys(n for t in tables for n in t.notes)))


def sides_of(
    tables: list[LabelledMatrix], column: str, posteriors: bool
) -> tuple[list[Side], list[str], list[str]]:
    """Two taps' samples of the classes that both have, the names of these and notes; with `posteriors` the second half
    of the units are log-variances.

    Raises NotEnoughData for fewer than two common classes or 20 samples of them, InputError for an odd number of
    units.
    """
    names = [n for n in tables[0].names if n in tables[1].names]
    if len(names) < 2:
        raise NotEnoughData(
            f"{len(names)} class(es) of '{column}' are in both taps",
            "at least two",
            "Choose another column",
        )
    notes = (
        [] if all(len(t.names) == len(names) for t in tables) else [f"{len(names)} classes are in both taps."]
    )
    sides = []
    for table in tables:
        place = np.array([names.index(n) if n in names else -1 for n in table.names])
        of = place[table.of]
        x, of, variances = table.values[of >= 0], of[of >= 0], None
        if len(x) < FEWEST:
            raise NotEnoughData(
                f"{len(x)} sample(s) of the common classes in a tap", f"at least {FEWEST}",
                "Record more samples",
            )  # fmt: skip
        if (x == x[0]).all():
            raise InputError(
                "all samples of the common classes are equal in a tap", "samples that differ",
                "Choose another tap",
            )  # fmt: skip
        if posteriors:
            if x.shape[1] % 2:
                raise InputError(f"{x.shape[1]} units", "as many means as log-variances", "Change 'holds'")
            x, logs = np.split(x, 2, axis=1)
            variances = np.exp(np.clip(logs, -60.0, 60.0))
        sides.append(Side(x, of, variances))
    return sides, names, notes


def nearest_mean(x: np.ndarray, means: np.ndarray) -> np.ndarray:
    """(n,) number of the mean (C, d) nearest to each row of `x` (n, d)."""
    middle = means.mean(axis=0)
    x, means = x - middle, means - middle
    return ((means**2).sum(axis=1) - 2 * x @ means.T).argmin(axis=1)
