"""Every notion of rank of a tap, named by its formula, with interval and null, from its spectrum alone.

Three different quantities are published as "effective rank" and differ by a factor of ten on the same data, so each has
its formula in its name. λ are eigenvalues of the centred covariance, σ = √λ; μ those of the rows as they are. None
depends on the unit of measurement: multiplying all activations by a number changes nothing.

The coding rate is that of rows scaled to a mean squared length of 1: R = ½ Σ log2(1 + d λ / (ε² Σλ)) (Yu et al. 2020;
`compute.clusters.coding_rate` for rows that are each of length 1, which need the data).

Intervals: the jackknife over groups of samples (`compute.linear.tap_spectrum`), for smooth numbers on the logarithmic
scale; for counts from the intervals of what is counted. They speak of other samples of the same number, not of what
more samples would give: the null shows how far n is from enough. Where n is not many times d they are too wide, about
1.3 times at n = 4 d, and two to five times at n < d. Null: independent Gaussian units of the same
variances, mean 0, as many independent samples.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from analysis.compute import kept
from analysis.compute.linear.axis_error import Z95, positive_interval
from analysis.compute.linear.spectra import axes_for, entropy_rank, participation_ratio
from analysis.compute.linear.spiked import Noise, noise_in
from analysis.compute.linear.tap_spectrum import TapSpectrum
from analysis.compute.statistics.nulls import gaussian_eigenvalues, null_draws


@dataclass(frozen=True)
class Settings:
    """`tolerance` of the ε-rank, as a share of the largest σ; `epsilon` of the coding rate."""

    tolerance: float = 0.01
    epsilon: float = 0.5


@dataclass(frozen=True)
class Shape:
    """Independent `samples`, units `d`, and those `alive` that change."""

    samples: int
    d: int
    alive: int


@dataclass(frozen=True)
class Notion:
    """`of` (spectrum (r,), shape, settings) -> number; `raw`: of the μ; `counted`: a whole number, whose (low, high)
    `band` (spectrum, `without` groups, tap, settings) gives, None for a property of the data at hand; `cap` (r, d,
    settings): the most that r directions of d units can give."""

    name: str
    formula: str
    of: Callable[[np.ndarray, Shape, Settings], float]
    raw: bool = False
    counted: bool = False
    band: Callable | None = None
    unit: str = "directions"
    cap: Callable[[int, int, Settings], float] = lambda r, d, settings: float(r)


def coding_rate(lam: np.ndarray, d: int, epsilon: float) -> float:
    """Bits of a row of mean squared length 1 up to an error ε, of covariance eigenvalues (r,) of d units."""
    lam = np.maximum(lam, 0.0)
    return float(np.log1p(lam * (d / (epsilon**2 * lam.sum()))).sum() / (2 * np.log(2)))


def _numerical(lam: np.ndarray, d: int) -> int:
    return int((lam > lam[0] * d * np.finfo(float).eps).sum())


def _noise(lam: np.ndarray, at: Shape) -> Noise:
    return noise_in(lam[: _numerical(lam, at.d)], at.samples, at.alive)


def _share_band(share: float):
    def band(lam, without, tap: TapSpectrum, settings) -> tuple[int, int]:
        half = tap.half_width(np.cumsum(without, axis=1) / without.sum(axis=1, keepdims=True))
        held = np.cumsum(lam) / lam.sum()
        return _first(held + half >= share), _first(held - half >= share)

    return band


def _first(reached: np.ndarray) -> int:
    return int(np.argmax(reached)) + 1 if reached.any() else len(reached)


def _tolerance_band(lam, without, tap: TapSpectrum, settings) -> tuple[int, int]:
    ratio = lam / lam[0]
    half = tap.half_width(without / np.maximum(without[:, :1], 1e-300))
    low, high = positive_interval(ratio, half / Z95)
    return int((low >= settings.tolerance**2).sum()), int((high >= settings.tolerance**2).sum())


def _edge_band(lam, without, tap: TapSpectrum, settings) -> tuple[int, int]:
    """At least those whose interval is above the edge; at most those above the mean of the largest of noise."""
    low, _ = positive_interval(lam, tap.half_width(without) / Z95)
    noise = _noise(lam, shape_of(tap))
    return int((low > noise.edge).sum()), int((lam > noise.middle).sum())


def _rate_cap(r: int, d: int, settings: Settings) -> float:
    return r * float(np.log1p(d / (settings.epsilon**2 * r))) / (2 * np.log(2))


PARTICIPATION, ENTROPY, CENTRED_SIGMA = (
    "participation ratio",
    "entropy rank of σ²",
    "entropy rank of σ, centred",
)
RANKME, STABLE, RAW_STABLE = "RankMe", "stable rank, centred", "stable rank"
TOLERANCE, NUMERICAL = "ε-rank", "numerical rank"
AXES_90, AXES_99, RATE, ABOVE = "axes for 90 %", "axes for 99 %", "coding rate", "axes above noise"

NOTIONS = (
    Notion(PARTICIPATION, "(Σλ)² / Σλ²", lambda s, at, o: participation_ratio(s)),
    Notion(ENTROPY, "exp(-Σ p ln p), p = λ / Σλ", lambda s, at, o: entropy_rank(s)),
    Notion(CENTRED_SIGMA, "exp(-Σ p ln p), p = √λ / Σ√λ", lambda s, at, o: entropy_rank(np.sqrt(s))),
    Notion(RANKME, "exp(-Σ p ln p), p = √μ / Σ√μ: rows not centred", lambda s, at, o: entropy_rank(np.sqrt(s)), True),
    Notion(STABLE, "Σλ / λ_1", lambda s, at, o: float(s.sum() / s[0])),
    Notion(RAW_STABLE, "‖X‖²_F / ‖X‖²_2 = Σμ / μ_1: rows not centred", lambda s, at, o: float(s.sum() / s[0]), True),
    Notion(TOLERANCE, "number of √λ ≥ ε √λ_1", lambda s, at, o: float((s >= o.tolerance**2 * s[0]).sum()),
           counted=True, band=_tolerance_band),
    Notion(NUMERICAL, "number of λ > λ_1 d 2⁻⁵²", lambda s, at, o: float(_numerical(s, at.d)), counted=True),
    Notion(AXES_90, "smallest k with Σ_{i≤k} λ_i ≥ 0.90 Σλ", lambda s, at, o: float(axes_for(s, 0.90)), counted=True,
           band=_share_band(0.90)),
    Notion(AXES_99, "smallest k with Σ_{i≤k} λ_i ≥ 0.99 Σλ", lambda s, at, o: float(axes_for(s, 0.99)), counted=True,
           band=_share_band(0.99)),
    Notion(RATE, "½ Σ log2(1 + d λ / (ε² Σλ))", lambda s, at, o: coding_rate(s, at.d, o.epsilon), unit="bits",
           cap=_rate_cap),
    Notion(ABOVE, "number of λ above the Marchenko-Pastur edge, noise by the median λ",
           lambda s, at, o: float((s > _noise(s, at).edge).sum()), counted=True, band=_edge_band),
)  # fmt: skip
NAMES = tuple(notion.name for notion in NOTIONS)
BY_NAME = dict(zip(NAMES, NOTIONS, strict=True))


@dataclass(frozen=True)
class Ranked:
    """A notion of one tap: `value`, its 95 % interval [`low`, `high`] (None: none), `null` (draws,) and the `cap`."""

    notion: Notion
    value: float
    low: float | None
    high: float | None
    null: np.ndarray
    cap: float

    @property
    def null_mean(self) -> float:
        return float(self.null.mean())


def shape_of(tap: TapSpectrum) -> Shape:
    return Shape(tap.samples, tap.d, tap.d - tap.constant)


def ranked(tap: TapSpectrum, null: np.ndarray, names=NAMES, settings: Settings = Settings()) -> list[Ranked]:
    """These notions of a tap; `null` (draws, d) eigenvalues of `null_spectra`. O(names (G + draws) d)."""
    return [_ranked(BY_NAME[name], tap, null, settings) for name in names]


def _ranked(notion: Notion, tap: TapSpectrum, null: np.ndarray, settings: Settings) -> Ranked:
    spectrum, at = tap.raw if notion.raw else tap.values, shape_of(tap)
    value = number(notion, spectrum, tap, settings)
    cap = notion.cap(min(tap.n, tap.d) if notion.raw else min(tap.n - 1, at.alive), tap.d, settings)
    chance = np.array([notion.of(row[row > 0], at, settings) for row in null])
    return Ranked(notion, value, *interval(notion, tap, settings, value, cap), chance, cap)


def number(notion: Notion, spectrum: np.ndarray, tap: TapSpectrum, settings: Settings) -> float:
    """The notion of a spectrum (r,) with the tap's samples and units."""
    return notion.of(spectrum, shape_of(tap), settings)


def interval(notion: Notion, tap: TapSpectrum, settings: Settings, value: float, cap: float):
    """(low, high), or (None, None) for a property of the data at hand and for fewer than three groups."""
    if len(tap.sizes) < 3 or (notion.counted and notion.band is None):
        return None, None
    if notion.counted:
        low, high = notion.band(tap.values, tap.without(), tap, settings)
        return float(min(low, value)), float(max(high, value))
    half = tap.half_width(logs_without(notion, tap, settings))
    return value * float(np.exp(-half)), min(value * float(np.exp(min(half, 700.0))), max(cap, value))


def logs_without(notion: Notion, tap: TapSpectrum, settings: Settings) -> np.ndarray:
    """(G,) logarithm of a smooth notion without each group."""
    rows = tap.without(notion.raw)
    return np.log([max(number(notion, row, tap, settings), 1e-300) for row in rows])


def null_spectra(tap: TapSpectrum, seed: int, draws: int | None = None) -> np.ndarray:
    """Eigenvalues (draws, d), falling, of independent Gaussian units with the tap's variances and samples; kept in a
    workspace. O(draws d³)."""
    draws = draws or null_draws(tap.d)
    made_of = {
        "variances": kept.content_digest(tap.variances), "n": tap.samples, "draws": draws, "seed": seed, "version": 1,
    }  # fmt: skip
    found = kept.find("null spectra", made_of) if kept.shelved() else None
    if found is not None:
        return found["values"]
    rng = np.random.default_rng([seed, tap.samples, tap.d])
    values = gaussian_eigenvalues(tap.variances[tap.variances > 0], max(tap.samples, 2), rng, draws)
    # what is below rounding is no direction: wide data have min(n - 1, d) of them
    values[values <= values[:, :1] * tap.d * np.finfo(float).eps] = 0.0
    if kept.shelved():
        kept.keep("null spectra", made_of, {"values": values})
    return values
