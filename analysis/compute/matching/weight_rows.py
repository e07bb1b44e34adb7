"""The weights of a tap's units as rows, and the pairing of two taps' units by what they do."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations
from analysis.compute.correlation.correlations import null_quantile
from analysis.errors import ShapeError, TooLarge

MOST_BYTES = 4 << 30


@dataclass(frozen=True)
class Weights:
    """`rows` (units, dimensions) float64; `usable` (units,) bool, finite and not zero; `turned`, whether the tap held
    units as columns."""

    rows: np.ndarray
    usable: np.ndarray
    turned: bool


def weights_of(tap: Activations, units: int, name: str) -> Weights:
    """The weights of the `units` units of another tap called `name`: one row for each, or one column for each where the
    rows do not fit.

    Raises ShapeError where neither fits, TooLarge over 4 GiB.
    """
    n, d = tap.shape
    if units not in (n, d):
        raise ShapeError(
            f"{tap.name} has {n} rows and {d} columns", f"a row (or column) for each of the {units} units of {name}",
            "Choose the weights, or decoder directions, of that tap",
        )  # fmt: skip
    if 8 * n * d > MOST_BYTES:
        raise TooLarge(f"{tap.name} needs {8 * n * d / 2**30:.1f} GiB", "at most 4 GiB")
    rows = np.asarray(tap.take(np.arange(n)), dtype=np.float64)
    turned = n != units
    rows = rows.T if turned else rows
    finite = np.isfinite(rows).all(axis=1)
    usable = finite & (np.where(finite[:, None], rows, 0.0) != 0).any(axis=1)
    return Weights(rows, usable, turned)


def least_beyond_chance(n: int, partners: int, level: float = 0.95) -> float:
    """The correlation that the best of so many unrelated Gaussian partners stays below with probability `level`, at n
    samples."""
    one_sided = 1 - level ** (1 / partners)
    return null_quantile(n, 1 - 2 * one_sided)
