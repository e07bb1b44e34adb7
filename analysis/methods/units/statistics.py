"""What each unit does over the data: level, spread, tails, how often it is active, and whether it is dead.

Streaming moments up to the fourth power, merged over chunks (Pébay 2008):

    skewness          m3 / m2^1.5        kurtosis excess   m4 / m2² - 3        (central moments; Gaussian: 0)
    population sparseness of a unit (Treves & Rolls 1991, as 1 - a)   1 - (mean |x|)² / mean x²
    usage unevenness of the tap     d Σ p_j² / (Σ p_j)², p_j the share of rows on which unit j is not 0

When it lies: skewness and kurtosis of heavy-tailed units are set by a handful of rows (sort the rows before
believing them); "nonzero" means something only behind a ReLU or a top-k, after GELU or a LayerNorm every value is
nonzero; a unit that is dead here may live on other data.

Of n samples of a Gaussian unit, the kurtosis excess has mean -6 / (n + 1) and variance
24 n (n - 2) (n - 3) / ((n + 1)² (n + 3) (n + 5)) (Fisher 1930), which "kurtosis z" uses.

Cost: one pass, O(n d) operations, O(d) memory beside a chunk.

References: P. Pébay (2008), "Formulas for robust, one-pass parallel computation of covariances and arbitrary-order
statistical moments"; R. A. Fisher (1930), "The moments of the distribution for normal samples of measures of
departure from normality"; A. Treves & E. Rolls (1991); B. Paria et al. (2020) for the usage ratio.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri, stdtrit

from analysis.activations import as_activations
from analysis.compute.machine import machine
from analysis.compute.statistics.moments import UnitMoments, unit_moments_of
from analysis.compute.statistics.nulls import bootstrap, wilson
from analysis.compute.streaming import Pass, refuse_few
from analysis.results import Estimate, Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param

HELP = {
    "unit": "number of the unit in the tap",
    "name": "name of the unit",
    "state": "alive, constant (one value only), or dead (exactly 0 on every row)",
    "mean": "mean activation",
    "mean ±": "half of the 95 % interval of the mean (Student), samples as the independent units",
    "sd": "standard deviation over rows",
    "skewness": "asymmetry: 0 for a symmetric unit, positive with a long right tail",
    "kurtosis excess": "heaviness of the tails: 0 for a Gaussian, large when few rows carry the activity",
    "kurtosis z": "kurtosis excess less its mean for a Gaussian unit, over its standard deviation there",
    "minimum": "smallest activation",
    "maximum": "largest activation",
    "fraction positive": "share of rows above 0",
    "if Gaussian": "the share above 0 that a Gaussian with this mean and sd would have",
    "fraction nonzero": "share of rows that are not exactly 0",
    "sparseness": "1 - (mean |x|)² / mean x²: 0 when equally strong everywhere, near 1 when rarely active",
}


@dataclass(frozen=True)
class UnitStatisticsParams:
    sort: str = param(
        "kurtosis excess",
        "The column to sort by, falling.",
        choices=("kurtosis excess", "mean", "sd", "skewness", "maximum", "fraction nonzero", "sparseness"),
    )


def unit_statistics(
    activations, params: UnitStatisticsParams = UnitStatisticsParams(), rng=None, progress=no_progress
) -> Table:
    """One line per unit.

    Parameters
    ----------
    activations : Activations or array (rows, units)

    Returns
    -------
    Table
        See `HELP` for the columns; ratios of a unit that does not vary are 0. Estimates: share of dead units,
        median kurtosis excess, largest mean over deviation, usage unevenness.

    Raises
    ------
    NotEnoughData
        Fewer than eight finite rows.
    """
    activations = as_activations(activations)
    rng = rng or np.random.default_rng(0)
    seen = Pass()
    moments = unit_moments_of(activations, seen, progress)
    refuse_few(activations.name, moments.n if moments else 0, 8)
    samples = seen.independent
    columns = _columns(activations, moments, samples)
    dead = int((columns["state"] == "dead").sum())
    constant = int((columns["state"] == "constant").sum())
    estimates = _estimates(columns, moments, samples, rng)
    return Table(
        title=f"Units of {activations.name}",
        reading=(
            f"{dead} of {len(columns['unit'])} units are exactly 0 on all {moments.n:,} rows"
            + (f", {constant} more never change" if constant else "")
            + f". Half of the units that vary have a kurtosis excess above {estimates[1].value:.2g} (Gaussian: 0): "
            "the larger it is, the fewer rows carry the unit's activity."
        ),
        caveats=(*seen.notes, *_caveats(moments, samples)),
        estimates=estimates,
        columns=columns,
        index="unit",
        sort=params.sort,
        help=HELP,
    )


def _columns(activations, m: UnitMoments, samples: int) -> dict[str, np.ndarray]:
    varies = m.varies()
    sd = np.where(varies, np.sqrt(m.variance), 0.0)
    second = np.where(varies, m.m2 / m.n, 1.0)
    skewness = np.where(varies, m.m3 / m.n / second**1.5, 0.0)
    kurtosis = np.where(varies, m.m4 / m.n / second**2 - 3.0, 0.0)
    power = m.m2 / m.n + m.mean**2
    spread = np.divide((m.absolute / m.n) ** 2, power, out=np.ones_like(power), where=power > 0)
    z = np.divide(m.mean, sd, out=np.sign(m.mean) * 40.0, where=sd > 0)
    expected, error = gaussian_kurtosis(samples)
    return {
        "unit": np.arange(len(sd)),
        "name": np.array(activations.unit_names, dtype=str),
        "state": np.where(m.nonzero == 0, "dead", np.where(varies, "alive", "constant")),
        "mean": m.mean,
        "mean ±": stdtrit(samples - 1, 0.975) * sd / np.sqrt(samples),
        "sd": sd,
        "skewness": skewness,
        "kurtosis excess": kurtosis,
        "kurtosis z": np.where(varies, (kurtosis - expected) / error, 0.0),
        "minimum": m.minimum,
        "maximum": m.maximum,
        "fraction positive": m.positive / m.n,
        "if Gaussian": np.where(sd > 0, ndtr(z), m.positive / m.n),
        "fraction nonzero": m.nonzero / m.n,
        "sparseness": np.clip(1.0 - spread, 0.0, 1.0),
    }


def gaussian_kurtosis(n: int) -> tuple[float, float]:
    """Mean and standard deviation of the kurtosis excess m4 / m2² - 3 of n samples of a Gaussian (Fisher 1930).

    Below four samples it hardly can vary; the deviation at four is used.
    """
    n = max(n, 4)
    variance = 24.0 * n * (n - 2) * (n - 3) / ((n + 1) ** 2 * (n + 3) * (n + 5))
    return -6.0 / (n + 1), float(np.sqrt(variance))


def _estimates(columns, m: UnitMoments, samples: int, rng) -> tuple[Estimate, ...]:
    d, alive = len(columns["unit"]), columns["state"] == "alive"
    common = {"n": m.n, "d": d}
    dead = float((columns["state"] == "dead").mean())
    low, high = wilson(dead * d, d)
    found = [
        Estimate("share of dead units", dead, low, high, interval="Wilson, units as draws", null=0.0,
                 null_method="Gaussian units are never exactly 0", estimator="exactly 0 on every row", **common),
    ]  # fmt: skip
    kurtosis = columns["kurtosis excess"][alive] if alive.any() else np.zeros(1)
    low, high = bootstrap(kurtosis, lambda drawn: np.median(drawn, axis=1), rng)
    expected, error = gaussian_kurtosis(samples)
    found.append(
        Estimate("median kurtosis excess", float(np.median(kurtosis)), low, high,
                 interval="" if low is None else "bootstrap over units", null=expected,
                 null_low=expected - 1.96 * error, null_high=expected + 1.96 * error,
                 null_method="one Gaussian unit, Fisher (1930)", estimator="m4 / m2² - 3", **common)
    )  # fmt: skip
    ratio = np.divide(np.abs(m.mean), columns["sd"], out=np.zeros(d), where=columns["sd"] > 0)
    null = [float(-ndtri((1 - level ** (1 / d)) / 2) / np.sqrt(samples)) for level in (0.5, 0.025, 0.975)]
    found.append(
        Estimate("largest |mean| / sd of a unit", float(ratio.max()), null=null[0], null_low=null[1],
                 null_high=null[2], null_method="largest of d centred Gaussian units", estimator="plug-in", **common)
    )  # fmt: skip
    return (*found, *_unevenness(columns["fraction nonzero"], samples, rng, common))


def _unevenness(rate: np.ndarray, samples: int, rng, common) -> tuple[Estimate, ...]:
    """d Σp² / (Σp)²: how many times more products an inverted index costs than with evenly used units."""
    if rate.sum() == 0:
        return ()
    p = float(rate.mean())
    value = float((rate**2).mean() / p**2)
    low, high = bootstrap(rate, _uneven, rng)
    return (
        Estimate("usage unevenness", value, low, high, interval="" if low is None else "bootstrap over units",
                 null=1.0 + (1.0 - p) / max(p * samples, 1e-12), null_method="all units used equally often",
                 estimator="d Σp² / (Σp)²", **common),
    )  # fmt: skip


def _uneven(rates: np.ndarray) -> np.ndarray:
    """d Σp² / (Σp)² of each line of `rates` (resamples, d); 1 where no unit is used."""
    square = rates.mean(axis=1) ** 2
    return np.divide((rates**2).mean(axis=1), square, out=np.ones_like(square), where=square > 0)


def _caveats(m: UnitMoments, samples: int) -> list[str]:
    notes = []
    if samples < m.n:
        notes.append(f"Standard errors count the {samples:,} samples as independent, not the {m.n:,} tokens.")
    if m.n < 100:
        notes.append("Under 100 rows skewness and kurtosis say little.")
    if (m.nonzero == m.n).mean() > 0.9:
        notes.append("Nearly all values are nonzero: 'dead' and 'fraction nonzero' say nothing for this tap.")
    return notes


def _cost(shapes, params: UnitStatisticsParams) -> Cost:
    (n, d), m = shapes[0], machine()
    return Cost(m.seconds(moved=n * d * 90.0) + 0.005, min(n, 4096) * d * 8 * 5 + d * 500 + d * 500 * 8 * 2)


def _check() -> tuple[CheckLine, ...]:
    """Closed forms: an exponential unit, a uniform unit, a rectified Gaussian, a dead one; a mean of 1e6."""
    rng = np.random.default_rng(2)
    n = 60_000
    quantile = (np.arange(n) + 0.5) / n
    normal = ndtri(quantile)
    x = np.stack([-np.log(quantile), quantile + 1e6, np.maximum(normal, 0), np.zeros(n), normal], axis=1)
    x = x[rng.permutation(n)]
    c = unit_statistics(x).columns
    return (
        CheckLine("exponential: skewness", 2.0, c["skewness"][0], 0.02),
        CheckLine("exponential: kurtosis excess", 6.0, c["kurtosis excess"][0], 0.2),
        CheckLine("uniform + 1e6: sd", 1 / np.sqrt(12), c["sd"][1], 1e-5),
        CheckLine("uniform + 1e6: kurtosis excess", -1.2, c["kurtosis excess"][1], 1e-3),
        CheckLine("rectified Gaussian: sparseness", 1 - 1 / np.pi, c["sparseness"][2], 1e-3),
        CheckLine("Gaussian: kurtosis excess", 0.0, c["kurtosis excess"][4], 0.01),
        CheckLine("dead unit found", 1.0, float(c["state"][3] == "dead"), 0.0),
    )


METHODS = (
    Method(
        id="unit_statistics",
        family="units",
        title="Unit statistics",
        summary="Level, spread, tails, activity and dead units, one line per unit.",
        version=2,
        function=unit_statistics,
        params=UnitStatisticsParams,
        result=Table,
        check=_check,
        cost=_cost,
        minimum_rows=8,
        invariance="reordering the rows changes nothing; shape measures ignore a unit's shift and scale",
        papers=("Minimizing FLOPs to Learn Efficient Sparse Representations",),
    ),
)
