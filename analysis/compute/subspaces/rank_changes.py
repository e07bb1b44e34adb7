"""Changes of a representation that a rank number should or should not notice, and what theory says of each.

Every change takes rows (n, d) and a generator and gives rows; those of noise and of samples draw from it, the others do
not. `moves` names the notions that change in general; all others stay exactly as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from analysis.compute.linear.tap_spectrum import TapSpectrum
from analysis.compute.subspaces.rank_notions import (
    ABOVE,
    NAMES,
    NUMERICAL,
    RANKME,
    RATE,
    RAW_STABLE,
    Notion,
    Settings,
    interval,
    logs_without,
    number,
)

UNCENTRED = (RANKME, RAW_STABLE)
SHIFT, SCALE, ONE_UNIT = 3.0, 10.0, 10.0


@dataclass(frozen=True)
class Noise:
    """So many `units` of Gaussian noise, of `scale` times the root mean variance of the units."""

    units: int
    scale: float = 1.0


@dataclass(frozen=True)
class Change:
    """`make` (rows (n, d), generator, noise) -> rows; `moves` the notions that it changes in general, `law` the same in
    words; `same_samples`: whether the rows stay those of the same samples."""

    name: str
    make: Callable[[np.ndarray, np.random.Generator, Noise], np.ndarray]
    moves: tuple[str, ...]
    law: str
    same_samples: bool = True


def _centred(x, rng, noise):
    return x - x.mean(axis=0)


def _shifted(x, rng, noise):
    return x + SHIFT * _size(x) * rng.choice([-1.0, 1.0], x.shape[1])


def _size(x: np.ndarray) -> float:
    """Root mean variance of a unit."""
    return float(np.sqrt(x.var(axis=0).mean()))


def _scaled(x, rng, noise):
    return SCALE * x


def _one_unit(x, rng, noise):
    """The unit of the largest variance, ten times as large."""
    factor = np.ones(x.shape[1])
    factor[np.argmax(x.var(axis=0))] = ONE_UNIT
    return x * factor


def _rotated(x, rng, noise):
    q, r = np.linalg.qr(rng.standard_normal((x.shape[1],) * 2))
    return x @ (q * np.sign(np.diag(r)))


def _halved(x, rng, noise):
    return x[np.sort(rng.choice(len(x), len(x) // 2, replace=False))]


def _with_noise(x, rng, noise):
    return np.hstack([x, noise.scale * _size(x) * rng.standard_normal((len(x), noise.units))])


def _duplicated(x, rng, noise):
    return np.hstack([x, x])


CHANGES = (
    Change("centring", _centred, UNCENTRED, "Centring changes only what does not centre: RankMe and the stable rank."),
    Change(f"shifting by {SHIFT:g} deviations", _shifted, UNCENTRED, "Shifting all rows alike does as centring does."),
    Change(f"all × {SCALE:g}", _scaled, (), "Scaling everything changes none."),
    Change(f"largest unit × {ONE_UNIT:g}", _one_unit, tuple(n for n in NAMES if n != NUMERICAL),
           "Scaling one unit changes all but the numerical rank."),
    Change("rotating", _rotated, (), "Rotating changes none."),
    Change("half of the samples", _halved, NAMES, "Fewer samples lower most, until n is many times d.", False),
    Change("adding noise units", _with_noise, NAMES, "Units of pure noise raise nearly all: none of these numbers "
           "tells noise from signal but the count above the noise edge."),
    Change("every unit twice", _duplicated, (RATE, ABOVE),
           "A copy of every unit changes no spectrum but for its scale; the coding rate counts units, and the noise "
           "edge of a spectrum that stops early counts directions."),
)  # fmt: skip


def moved(
    notion: Notion, before: TapSpectrum, after: TapSpectrum, same_samples: bool
) -> tuple[float, float, float]:
    """Relative change of a notion, with its 95 % interval: of the logarithm, paired by groups where the samples are the
    same; of counts (relative to at least 1) from the intervals of both."""
    settings = Settings()
    one, other = (number(notion, t.raw if notion.raw else t.values, t, settings) for t in (before, after))
    value = (other - one) / (max(one, 1.0) if notion.counted else one)
    if notion.counted:
        ends = [interval(notion, t, settings, v, np.inf) for t, v in ((before, one), (after, other))]
        if value == 0 or ends[0][0] is None:
            return value, value, value
        (a, b), (c, d) = ends
        return value, min((c - b) / max(b, 1.0), value), max((d - a) / max(a, 1.0), value)
    logs = [logs_without(notion, t, settings) for t in (before, after)]
    paired = same_samples and len(logs[0]) == len(logs[1])
    half = before.half_width(logs[1] - logs[0]) if paired else np.hypot(*(before.half_width(s) for s in logs))
    ratio = other / one
    return value, float(ratio * np.exp(-half)) - 1, float(ratio * np.exp(min(half, 700.0))) - 1
