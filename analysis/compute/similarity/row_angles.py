"""Angles between paired rows, and between random directions of the same space.

angle = 2 atan2(|u - v|, |u + v|) of unit vectors u and v, in degrees: exact at 0 and 180, where the arc cosine loses
half of its digits. Between random directions of R^d the angle has density proportional to sin^(d - 2), so that cos² is
Beta(1/2, (d - 1)/2): median 90 degrees, symmetric about it, and closer to it the larger d.

The median of n values has an interval without assumptions, between two of the sorted values, and a test against 90
degrees by the signs (exact, binomial) or by the signed ranks (Wilcoxon 1945) of what is left when 90 is taken off.

References: W. Kahan (2006), "How futile are mindless assessments of roundoff in floating-point computation?";
T. Cai, J. Fan & T. Jiang (2013), "Distributions of angles in random packing on spheres".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import betainc, betaincinv

from analysis.activations import Activations
from analysis.compute.rows.common_samples import common_samples
from analysis.compute.rows.tap_names import tap_names
from analysis.errors import InputError, NotEnoughData, ParameterError
from analysis.spec import Progress

FEWEST = 6  # pairs: with fewer no two of the values hold the median with 95 %
RIGHT = 90.0
ROUNDING = 1e-9  # degrees from 90 that are none


@dataclass(frozen=True)
class PairedAngles:
    """`degrees` (n,) between the rows of two taps, at `position` (n,) among the first tap's samples, in a space of `d`
    units; `names` of the taps; `notes`, which count the rows of zeros that have no direction."""

    degrees: np.ndarray
    position: np.ndarray
    d: int
    names: tuple[str, ...]
    notes: tuple[str, ...]


def paired_angles(
    taps: Sequence[Activations], maximum: int, rng: np.random.Generator, progress: Progress
) -> PairedAngles:
    """Angles between the rows of two taps, samples matched by id, tokens averaged. O(n d).

    Raises InputError (different units, or one unit), ParameterError, NotEnoughData and TooLarge.
    """
    _refuse(taps)
    data = common_samples(taps, rng, maximum=maximum, minimum=FEWEST, progress=progress, span=(0.0, 0.5))
    names, notes = tap_names([t.name for t in taps]), list(data.notes)
    good = np.ones(len(data.ids), bool)
    for x, name in zip(data.values, names, strict=True):
        zero = ~x.any(axis=1)
        if zero.any():
            notes.append(f"{name}: {int(zero.sum()):,} row(s) of zeros have no direction and were left out.")
        good &= ~zero
    if good.sum() < FEWEST:
        raise NotEnoughData(
            f"{int(good.sum())} pair(s) of rows are not zero in both taps", f"at least {FEWEST}", "Record more samples"
        )  # fmt: skip
    ids = np.asarray(taps[0].samples["id"]).astype(str)
    if np.array_equal(ids, data.ids):  # also where ids repeat, which are matched by place
        position = np.arange(len(ids))
    else:
        if len(np.unique(ids)) < len(ids):
            raise InputError(
                f"two samples of {taps[0].name} have the same id", "an id of its own for each sample"
            )
        order = np.argsort(ids)
        position = order[np.searchsorted(ids, data.ids, sorter=order)]
    degrees = angles(*(x[good] for x in data.values))
    return PairedAngles(degrees, position[good], taps[0].shape[1], names, tuple(notes))


def _refuse(taps: Sequence[Activations]) -> None:
    if len(taps) != 2:
        raise ParameterError(f"{len(taps)} tap(s)", "two")
    one, other = taps
    if one.shape[1] != other.shape[1]:
        raise InputError(
            f"{one.name} has {one.shape[1]} units and {other.name} has {other.shape[1]}",
            "directions of one space, with the same units", "Choose two taps of the same width",
        )  # fmt: skip
    if one.shape[1] < 2:
        raise InputError(f"{one.name} has one unit", "at least two: on a line there are no angles")


def angles(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(n,) degrees between the rows of `x` and `y` (n, d), none of them zero."""
    u, v = (_unit(rows) for rows in (x, y))
    apart, along = (np.sqrt((w * w).sum(axis=1)) for w in (u - v, u + v))
    return np.degrees(2 * np.arctan2(apart, along))


def _unit(rows: np.ndarray) -> np.ndarray:
    rows = rows / np.abs(rows).max(axis=1, keepdims=True)  # squares neither overflow nor vanish
    return rows / np.sqrt((rows * rows).sum(axis=1, keepdims=True))


def random_below(degrees: np.ndarray, d: int) -> np.ndarray:
    """Chance that two random directions of R^d are at most `degrees` apart."""
    half = betainc((d - 1) / 2, 0.5, np.sin(np.radians(degrees)) ** 2) / 2
    return np.where(np.asarray(degrees) <= RIGHT, half, 1 - half)


def random_quantile(share: np.ndarray, d: int) -> np.ndarray:
    """The degrees that random directions of R^d stay below with chance `share`."""
    share = np.asarray(share, dtype=np.float64)
    tail = np.minimum(share, 1 - share)
    low = np.degrees(np.arcsin(np.sqrt(betaincinv((d - 1) / 2, 0.5, 2 * tail))))
    return np.where(share <= 0.5, low, 2 * RIGHT - low)


def random_median(n: int, d: int) -> tuple[float, float]:
    """Middle 95 % of the median of n independent random angles: exact for odd n, and for even n of the sorted values
    next to the median, the lower one's lower end and the upper one's upper end."""
    below, above = (n + 1) // 2, n // 2 + 1  # ranks of the two middle values
    low, high = betaincinv(below, n + 1 - below, 0.025), betaincinv(above, n + 1 - above, 0.975)
    low, high = random_quantile(np.array([low, high]), d)
    return float(low), float(high)


def median_interval(values: np.ndarray) -> tuple[float, float] | None:
    """Two of the sorted `values` (n,) that hold the median with at least 95 %; None for fewer than six."""
    from scipy.stats import binom

    n = len(values)
    outer = int(binom.ppf(0.025, n, 0.5))  # P(fewer than `outer` values below the median) < 2.5 %
    if outer < 1:
        return None
    ordered = np.sort(values)
    return float(ordered[outer - 1]), float(ordered[n - outer])


def sign_test(degrees: np.ndarray) -> float:
    """Two-sided exact p that a pair is as likely below 90 degrees as above; right angles take no side."""
    from scipy.stats import binomtest

    below, above = (degrees < RIGHT - ROUNDING).sum(), (degrees > RIGHT + ROUNDING).sum()
    return float(binomtest(int(below), int(below + above)).pvalue) if below + above else 1.0


def rank_test(degrees: np.ndarray) -> float:
    """Two-sided p of Wilcoxon's signed ranks of the degrees less 90; right angles take no part."""
    from scipy.stats import wilcoxon

    off = degrees - RIGHT
    off = off[np.abs(off) > ROUNDING]
    return float(wilcoxon(np.round(off, 9)).pvalue) if len(off) else 1.0
