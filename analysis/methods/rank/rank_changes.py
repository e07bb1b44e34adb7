"""What moves a rank number? Changes x notions, measured on the tap itself, beside what theory says.

Each change (centring, shifting, scaling all or one unit, rotating, halving the samples, units of pure noise, every unit
twice) is made on the rows of the tap, and every notion of the rank dossier is measured before and after: a cell is
after / before - 1. Eight units of noise, weaker than the eight of a tap, take its RankMe from
7.9 to 15.6.

Null: the same change made on independent Gaussian units with the means and variances of the tap: what the change does
where there is nothing to find. Interval: jackknife over groups of samples, of the logarithm of after / before; of
counts from the intervals of both. Marked are cells whose interval leaves 0 out.

When it lies: a number that does not move under a change is no better for it: what it should ignore depends on the
question. Changes are made one at a time. The weaker the noise, the less it moves.

Cost: 18 spectra of at most so many samples, O(n d min(n, d)) each (twice that for every unit twice). Memory O(n d).

References: Q. Garrido et al. (2023), "RankMe"; V. Thilak et al. (2024), "LiDAR", on RankMe and noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations, load_matrix
from analysis.compute.linear.tap_spectrum import TapSpectrum, tap_spectrum
from analysis.compute.machine import machine
from analysis.compute.rows.some_samples import MEAN, TOKENS, equal_samples, some_samples
from analysis.compute.subspaces.rank_changes import CHANGES, Noise, moved
from analysis.compute.subspaces.rank_notions import (
    NAMES,
    NOTIONS,
    RANKME,
)
from analysis.compute.subspaces.rank_report import NEITHER, shared_caveats
from analysis.results import Estimate, Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST = 12
SAME = 1e-6  # relative change that counts as none: rounding


@dataclass(frozen=True)
class RankChangesParams:
    tokens: str = param(MEAN, "What a row is, where the tap has tokens.", choices=TOKENS)
    noise_units: int | None = param(
        None, "Units of pure noise to add; automatic: as many as the tap has.", low=1, high=20_000
    )
    noise_scale: float = param(
        1.0, "Deviation of the noise, over the root mean variance of the tap's units.", low=1e-3, high=1e3
    )
    maximum_samples: int = param(2000, "Most samples; a seeded random subset above.", low=12, high=100_000)


def rank_changes(
    activations, params: RankChangesParams = RankChangesParams(), rng=None, progress=no_progress
) -> Matrix:
    """Relative change of every notion of rank under every change.

    Parameters
    ----------
    activations : Activations or array (rows, units)

    Returns
    -------
    Matrix
        `values` (changes, notions) after / before - 1, with `low`, `high` and `null`; `significant` where the interval
        leaves 0 out.

    Raises
    ------
    NotEnoughData, InputError, TooLarge
        Fewer than twelve finite rows; nothing varies; rows and units both above 8,192.
    """
    tap = as_activations(activations)
    rng = rng or np.random.default_rng(0)
    equal = equal_samples([tap], params.maximum_samples, 1, rng)
    rows, more = some_samples(tap, equal.positions[0], params.tokens, progress, (0.0, 0.1))
    loaded = load_matrix(rows, minimum_rows=FEWEST)
    if loaded.n_nonfinite:
        more = (
            *more,
            f"{loaded.n_nonfinite} of {loaded.n_total} rows hold NaN or infinity and were left out.",
        )
    x = np.asarray(loaded.values, dtype=np.float64)
    seed, noise = int(rng.integers(2**32)), Noise(params.noise_units or x.shape[1], params.noise_scale)
    chance = x.mean(axis=0) + x.std(axis=0) * rng.standard_normal(x.shape)
    owners = rows.layout.sample_of(loaded.rows)
    before, found = _moved(x, owners, seed, noise, progress, (0.1, 0.55), tap.name)
    _, null = _moved(chance, owners, seed, noise, progress, (0.55, 1.0), tap.name)
    values, low, high = (np.array([[cell[k] for cell in line] for line in found]) for k in range(3))
    null = np.array([[cell[0] for cell in line] for line in null])
    sure = (np.abs(values) > SAME) & ((low > 0) | (high < 0))
    return Matrix(
        title=f"What moves the rank of {tap.name}", reading=_reading(values, sure),
        caveats=(*equal.notes, *more, *_caveats(noise), NEITHER, *shared_caveats(before)),
        estimates=tuple(_estimates(values, low, high, null, before)), values=values, null=null, low=low, high=high,
        row_names=tuple(change.name for change in CHANGES), column_names=NAMES, significant=sure,
        value_name="relative change", diverging=True,
    )  # fmt: skip


def _moved(x, owners, seed: int, noise: Noise, progress, span, name: str):
    """The spectrum before, and a line of cells (value, low, high) for each change."""
    step = (span[1] - span[0]) / (len(CHANGES) + 1)
    before, lines = _spectrum(x, owners, progress, (span[0], span[0] + step), name), []
    for i, change in enumerate(CHANGES):
        rng = np.random.default_rng([seed, i])
        ends = span[0] + (i + 1) * step, span[0] + (i + 2) * step
        if change.same_samples:
            after = _spectrum(change.make(x, rng, noise), owners, progress, ends, name)
        else:
            kinds = np.unique(owners)
            stay = np.isin(owners, change.make(kinds[:, None], rng, noise)[:, 0])
            after = _spectrum(x[stay], owners[stay], progress, ends, name)
        lines.append([moved(notion, before, after, change.same_samples) for notion in NOTIONS])
    return before, lines


def _spectrum(x: np.ndarray, owners: np.ndarray, progress, span, name: str) -> TapSpectrum:
    """Of rows (n, d) of the samples `owners` (n,), rising. What is made for one change is not kept."""
    offsets = np.flatnonzero(np.r_[True, np.diff(owners) != 0, True])
    made = ArrayActivations(x, name, layout=Layout(offsets), digest="made for one change")
    return tap_spectrum(made, progress=progress, span=span, keep=False)


def _against_theory(values: np.ndarray) -> np.ndarray:
    """(changes, notions) where a number moved that theory says stays."""
    stays = np.array([[name not in change.moves for name in NAMES] for change in CHANGES])
    return stays & (np.abs(values) > SAME)


def _estimates(values, low, high, null, before: TapSpectrum) -> list[Estimate]:
    j = NAMES.index(RANKME)
    made = [
        Estimate(f"RankMe, {change.name}", float(values[i, j]), float(low[i, j]), float(high[i, j]),
                 interval="jackknife over groups of samples, t", null=float(null[i, j]), n=before.n, d=before.d,
                 null_method="the same change of independent Gaussian units", estimator="after / before - 1")
        for i, change in enumerate(CHANGES)
    ]  # fmt: skip
    broken = float(_against_theory(values).sum())
    return [
        *made,
        Estimate("cells that moved against theory", broken, null=0.0, null_method="theory", n=before.n, d=before.d,
                 estimator=f"relative change above {SAME:g}"),
    ]  # fmt: skip


def _reading(values: np.ndarray, sure: np.ndarray) -> str:
    most = np.unravel_index(np.abs(values).argmax(), values.shape)
    still = [
        change.name for change, line in zip(CHANGES, values, strict=True) if (np.abs(line) <= SAME).all()
    ]
    said = (
        f"The largest change is that of {NAMES[most[1]]} under '{CHANGES[most[0]].name}' ({values[most]:+.0%}); "
        f"{int(sure.sum())} of {values.size} cells move by more than their intervals."
    )
    if still:
        said += f" Nothing moves under {', '.join(still)}."
    broken = int(_against_theory(values).sum())
    return f"{said} {'All that theory says stays, stays' if not broken else f'{broken} cells moved against theory'}."


def _caveats(noise: Noise) -> list[str]:
    return [
        *(change.law for change in CHANGES),
        f"{noise.units} unit(s) of Gaussian noise were added, of {noise.scale:g} times the units' root mean variance.",
        "Counts change relative to at least 1; the numerical rank has no interval. The null takes rows as independent.",
    ]


def _cost(shapes, params: RankChangesParams) -> Cost:
    (rows, d), m = shapes[0], machine()
    n, wide = min(rows, params.maximum_samples), d + (params.noise_units or d)
    side = min(n, wide)
    flops = (
        2 * (6.0 * n * d * min(n, d) * (len(CHANGES) - 1) + 12.0 * n * wide * side) + 36 * 15.0 * side**3 / 2
    )
    held = n * d * 8 * 3.0 + n * wide * 8 * (4.0 if n >= wide else 5.0) + 6.0 * side**2 * 8 + 3200.0 * side
    return Cost(m.seconds(flops64=flops, moved=n * d * 18 * 200.0) + 0.05, held)


def _check() -> tuple[CheckLine, ...]:
    """Eight units and eight of noise: RankMe from 7.9 to 15.6; nothing moves against theory."""
    x = np.random.default_rng(8).standard_normal((1500, 8)) @ np.diag(np.linspace(0.8, 1.2, 8))
    found = rank_changes(x + 0.2, params=RankChangesParams(noise_units=8, noise_scale=0.7))
    cell = {
        (change.name, name): found.values[i, j]
        for i, change in enumerate(CHANGES)
        for j, name in enumerate(NAMES)
    }
    names = [change.name for change in CHANGES]
    before = float(np.exp(_entropy(np.linalg.svd(x + 0.2, compute_uv=False))))
    after = before * (1 + cell["adding noise units", RANKME])
    return (
        CheckLine("RankMe of eight units", 7.9, before, 0.1),
        CheckLine("with eight units of noise", 15.6, after, 0.2),
        CheckLine(
            "largest change by rotating",
            0.0,
            float(np.abs(found.values[names.index("rotating")]).max()),
            1e-9,
        ),
        CheckLine("moved against theory", 0.0, found.estimates[-1].value, 0.0),
        CheckLine("centred numbers under a shift", 0.0, abs(cell[names[1], "participation ratio"]), 1e-9),
        CheckLine("RankMe under a shift", -0.1, cell[names[1], RANKME], 0.0, "at most"),
        CheckLine(
            "participation ratio, one unit × 10", -0.5, cell[names[3], "participation ratio"], 0.0, "at most"
        ),
    )


def _entropy(sigma: np.ndarray) -> float:
    p = sigma / sigma.sum()
    return float(-(p * np.log(p)).sum())


METHODS = (
    Method(
        id="rank_changes", family="rank", title="What moves a rank", version=1, function=rank_changes,
        summary="Which change of the activations (centring, scale, rotation, n, noise) moves which rank, measured.",
        params=RankChangesParams, result=Matrix, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="each column says for itself what its number ignores",
        papers=(
            "RankMe: Assessing the downstream performance of pretrained self-supervised representations by their rank",
        ),
    ),
)  # fmt: skip
