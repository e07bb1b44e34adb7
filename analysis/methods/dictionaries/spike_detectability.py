"""Does a feature bring enough variance to be told from noise at all, with so few samples?

Of n independent samples in d units with noise of variance v in every direction, c = d / n, a direction that adds
the variance l v shows in the spectrum only if l > √c. Then its eigenvalue tends to v (1 + l)(1 + c / l), and the
squared cosine of the axis found for it to (1 - c / l²) / (1 + c / l); below √c the axis found is unrelated to the true
one. Here l is measured for each feature of a dictionary: what is left when the other features have had their part is
regressed on its code, and the variance that this explains, less d v / rows which pure noise explains, is l v. v is the
variance per unit of what the whole dictionary leaves. Features that rebuild everything (units, all principal axes)
leave nothing: there v comes from the median eigenvalue of the activations, and 1 is taken off l for the noise that the
feature itself holds.

Null: l of codes that have nothing to do with the activations, a chi-square law with d degrees over the rows, less its
mean. Intervals: jackknife over groups of samples of the code's variance.

When it lies: noise is not white, and what a dictionary leaves is not noise alone, so v may be far too large or too
small; tokens of one sample count as one observation unless asked otherwise, which is too strict where they hardly
depend on each other, and counting each is too kind where they do; the threshold is that of finding a direction without
knowing its code: a dictionary that uses sparsity can find weaker ones, so "hidden" means that PCA could not, not that
it is wrong.

Cost: one pass, O(n k active) and O(entries d); memory 8 bytes per drawn row and unit, and per feature and unit.

References: J. Baik, G. Ben Arous & S. Péché (2005); D. Paul (2007); "Performance gaps in multi-view clustering under
the nested matrix-tensor model" (2024), whose matrix case this is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.dictionaries.own_part import (
    OwnParts,
    blocks_of,
    code_variances,
    cosines,
    own_parts,
    weighted_directions,
)
from analysis.compute.dictionaries.sparse_codes import likely_size
from analysis.compute.linear.spiked import axis_overlap, noise_in, shown_at
from analysis.compute.machine import machine
from analysis.compute.statistics.nulls import bootstrap, wilson
from analysis.compute.streaming import Pass, refuse_few
from analysis.errors import InputError
from analysis.features.tap_dictionary import tap_dictionary
from analysis.results import Estimate, Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST = 8  # rows
SAMPLES, TOKENS = "samples", "tokens"
SHOWS, BORDER, HIDDEN, DEAD = "shows", "on the border", "hidden", "dead"
HELP = {
    "feature": "The feature's name.",
    "strength": "l: variance that it adds along its direction, in units of the noise, less what noise alone gives.",
    "low": "95 % interval of l (jackknife over samples).",
    "high": "95 % interval of l (jackknife over samples).",
    "threshold": "√(d / n): weaker directions cannot be found in the spectrum.",
    "by chance": "97.5 % of codes that have nothing to do with the activations stay below this l.",
    "eigenvalue": "Eigenvalue to expect for it, in units of the noise.",
    "overlap": "Squared cosine to expect between its direction and the axis that PCA finds for it.",
    "agreement": "Cosine of its direction with the one that the data give to its code.",
    "share of variance": "Its variance along its direction, as a share of all variance.",
    "verdict": "shows (all of the interval above the threshold), on the border, hidden (all below), dead.",
}


@dataclass(frozen=True)
class SpikeDetectabilityParams:
    count: str = param(
        SAMPLES, "What counts as an independent observation at a tap with tokens.", choices=(SAMPLES, TOKENS)
    )
    maximum_rows: int = param(20_000, "Most rows; a seeded random subset above.", low=50, high=1_000_000)


def spike_detectability(
    activations, params: SpikeDetectabilityParams = SpikeDetectabilityParams(), rng=None, progress=no_progress
) -> Table:
    """Strength of every feature against the least that can be found.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        A tap that a feature set encoded; of any other the units themselves are the features.

    Returns
    -------
    Table
        A line for each feature, see `HELP`. Estimates: the share that shows, the median strength of those that fire.

    Raises
    ------
    NotFound, StoreDamaged
        The feature set beside the tap is missing or has changed.
    NotEnoughData, InputError
        Fewer than eight finite rows; no feature varies.
    """
    tap, rng, seen = as_activations(activations), rng or np.random.default_rng(0), Pass()
    made = tap_dictionary(tap)
    parts = own_parts(
        made.codes, made.source, made.features, params.maximum_rows, rng, seen, progress, (0.0, 0.6)
    )
    refuse_few(tap.name, len(parts.left), FEWEST)
    progress(0.6, "measuring strengths")
    columns, n, d = _columns(parts, np.array(tap.unit_names), params.count, rng)
    progress(1.0, "done")
    fires = columns["verdict"] != DEAD
    if not fires.any():
        raise InputError(f"no feature of {tap.name} varies", "at least one", "Choose another tap")
    count = lambda v: int((columns["verdict"] == v).sum())  # noqa: E731
    reading = (
        f"{count(SHOWS):,} of {int(fires.sum()):,} firing features bring more variance than the {np.sqrt(d / n):.3g} "
        f"times the noise that {n:,} {params.count} in {d} units need; {count(HIDDEN):,} are below and "
        f"{count(BORDER):,} on the border."
    )
    return Table(
        title=f"Which features of {tap.name} rise out of the noise", reading=reading,
        caveats=(*seen.notes, *made.notes, *_caveats(parts, params.count)),
        estimates=_estimates(columns, fires, n, d, rng),
        columns=columns, index="feature", sort="strength", help=HELP,
    )  # fmt: skip


def _columns(parts: OwnParts, names, count: str, rng) -> tuple[dict, int, int]:
    from scipy.special import gammaincinv

    (m, k), d, n = parts.lengths.shape, parts.left.shape[1], parts.n
    n = n if count == SAMPLES else m
    exact = parts.rebuilt_exactly
    noise = _spectrum_noise(parts) if exact else float((parts.left**2).sum()) / (m * d)
    c, luck, even = d / max(n - 1, 1), d / max(m - 1, 1), np.ones(m)
    raw, agree = np.zeros(k), np.zeros(k)
    variance, half = code_variances(parts, rng)
    for block in blocks_of(k, d):
        g, _ = weighted_directions(parts, even, block)
        v = variance[block]
        raw[block] = np.where(v > 0, (g**2).sum(axis=1) / np.where(v > 0, v, 1), 0.0) / noise
        agree[block] = cosines(g, parts.directions[block].astype(np.float64))
    fires = variance > 1e-12 * max(variance.max(initial=0), 1e-300)
    strength = np.where(fires, np.maximum(raw - (1.0 if exact else luck), 0.0), 0.0)
    wide = raw * np.where(fires, half / np.where(fires, variance, 1), 0.0)
    low, high = np.maximum(strength - wide, 0.0), strength + wide
    least = np.sqrt(c)
    total = max(parts.variance, 1e-300)
    columns = {
        "feature": names, "strength": strength, "low": low, "high": high, "threshold": np.full(k, least),
        "by chance": np.full(k, 2 * gammaincinv(d / 2, 0.975) / max(m - 1, 1) - luck),
        "eigenvalue": shown_at(strength, c), "overlap": axis_overlap(np.maximum(strength, 1e-9), c), "agreement": agree,
        "share of variance": variance * (parts.directions.astype(np.float64) ** 2).sum(axis=1) / total,
        "verdict": np.select([~fires, low > least, high < least], [DEAD, SHOWS, HIDDEN], BORDER),
    }  # fmt: skip
    return columns, n, d


def _spectrum_noise(parts: OwnParts) -> float:
    x = parts.lengths @ parts.directions.astype(np.float64)
    x -= x.mean(axis=0)
    values = np.linalg.svd(x, compute_uv=False) ** 2 / max(len(x) - 1, 1)
    values = values[values > 1e-12 * values[0]] if len(values) and values[0] > 0 else values[:0]
    if not len(values):
        return 1.0
    return noise_in(values, len(x), int((x.std(axis=0) > 0).sum())).variance


def _estimates(columns, fires, n: int, d: int, rng) -> tuple[Estimate, ...]:
    shows, k = int((columns["verdict"] == SHOWS).sum()), int(fires.sum())
    low, high = wilson(shows, k)
    own, chance = columns["strength"][fires], float(columns["by chance"][0])
    middle = float(np.median(own))
    least, most = bootstrap(own, lambda drawn: np.median(drawn, axis=1), rng)
    return (
        Estimate("share that shows", shows / k, low, high, interval="Wilson over features", null=0.0,
                 null_method="codes without relation stay below the threshold", n=n, d=d, estimator="l > √(d / n)"),
        Estimate("median strength", middle, least, most, interval="bootstrap over features", null=0.0,
                 null_low=0.0, null_high=max(chance, 0.0), n=n, d=d,
                 null_method="codes without relation: chi-square with d degrees",
                 estimator="explained variance over noise, less d / rows"),
    )  # fmt: skip


def _caveats(parts: OwnParts, count: str) -> list[str]:
    said = [
        "Hidden means that the spectrum alone could not show it; a sparse code may find weaker directions."
    ]
    if parts.rebuilt_exactly:
        said.append("These features rebuild everything: the noise is read from the median of the spectrum.")
    else:
        said.append("What the dictionary leaves is taken as white noise of that variance.")
    if len(parts.left) < parts.n_rows:
        said.append(f"A random {len(parts.left):,} of {parts.n_rows:,} rows used.")
    if parts.n < len(parts.left):
        said.append(
            f"Tokens of a sample count as one observation: n = {parts.n:,} samples."
            if count == SAMPLES
            else f"Every token counts as an observation of its own, though they come from {parts.n:,} samples."
        )
    return said


def _cost(shapes, params: SpikeDetectabilityParams) -> Cost:
    (n, k), m = shapes[0], machine()
    (d, active), some = likely_size(k), min(n, params.maximum_rows)
    seconds = (
        m.seconds(flops64=2.0 * some * active * d + 4.0 * min(some, d) * some * d, moved=60.0 * n * active)
        + 0.02
    )
    return Cost(seconds, some * (24.0 * d + 70.0 * active) + 8.0 * k * d + 300.0 * k)


def _check() -> tuple[CheckLine, ...]:
    """Noise with one direction of l = 3: strength, eigenvalue and overlap as in theory and as PCA finds them."""
    rng = np.random.default_rng(1)
    n, d = 1200, 300
    x = rng.standard_normal((n, d))
    x[:, 0] *= 2.0
    c = spike_detectability(ArrayActivations(x)).columns
    values, axes = np.linalg.eigh(np.cov(x.T))
    return (
        CheckLine("strength", 3.0, float(c["strength"][0]), 0.4),
        CheckLine("eigenvalue that PCA finds", float(values[-1]), float(c["eigenvalue"][0]), 0.25),
        CheckLine("squared cosine that PCA finds", float(axes[0, -1] ** 2), float(c["overlap"][0]), 0.04),
        CheckLine("noise that shows", 0.0, float((c["verdict"][1:] == SHOWS).sum()), 1.0),
    )


METHODS = (
    Method(
        id="spike_detectability", family="dictionaries", title="Features above the noise", version=2,
        function=spike_detectability,
        summary="Whether each feature brings enough variance for its direction to be found with so few samples.",
        params=SpikeDetectabilityParams, result=Table, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="rotating or scaling the activations with the directions; reordering features and rows",
        papers=("Performance Gaps in Multi-view Clustering under the Nested Matrix-Tensor Model",),
    ),
)  # fmt: skip
