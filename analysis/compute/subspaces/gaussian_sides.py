"""Samples of two taps of one space, class by class, where a sample may itself be a Gaussian."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.rows.samples import LabelledMatrix
from analysis.compute.subspaces.gaussian_classes import DiagonalGaussians, gaussians_of
from analysis.errors import InputError, NotEnoughData

FEWEST = 20  # samples of a tap


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
