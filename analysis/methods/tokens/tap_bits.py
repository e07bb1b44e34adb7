"""Which taps can be held at few bits, and by which means? Taps ranked by signal over noise.

Each row is held at b bits, 2^b levels between its least and its largest number (`analysis.tokens.cache.quantisers`),

    as it is   in the coordinates that the network has
    rotated    behind a random rotation
    mixed      on principal axes of the other half of the samples, the first eighth of them at twice the bits

Signal over noise is 10 log10 Σ x² / Σ (x - x̂)², rows less their mean. Beside it for each tap: the share of the variance
on the first eighth of the axes, how far the axes that two halves of the samples would choose agree, and by how much the
largest number of a row exceeds its root mean square.

Interval: Student's t over samples. Null: Gaussian rows with the same covariance, held the same way; of variance and
agreement rows with as many independent channels of one size.

When it lies: noise of a tap is not what the answer loses by it (see what coding a tap costs the answer); mixed rows
take b / 8 bits more on average; axes of few samples are theirs alone, which the agreement tells; taps of different
widths are not equally easy; the best and worst of many taps differ a little by chance.

Cost: O(n d²) for each tap, four times.

Reference: U. Saxena et al. (2024), "ResQ: mixed-precision quantization of large language models with low-rank
residuals".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.machine import machine
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.errors import NotEnoughData
from analysis.methods.tokens.channel_ranges import FEWEST, rows_of
from analysis.results import Estimate, Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.cache.outliers import by_sample, crest, gaussian_like, rotation
from analysis.tokens.cache.quantisers import (
    MIXED,
    PLAIN,
    ROTATED,
    WAYS,
    at_bits,
    axes_of,
    decibels,
    high_axes,
)

MOST_TAPS = 64
AXES, AXES_NULL, AGREE, AGREE_NULL, CREST = (
    "variance on an eighth", "by chance", "halves agree", "agree by chance", "largest over RMS",
)  # fmt: skip
HELP = {
    "tap": "What is held.",
    **{way: f"Signal over noise in dB, rows {way}." for way in (PLAIN, ROTATED)},
    MIXED: "The same on principal axes, an eighth of them at twice the bits.",
    "Gaussian": "Gaussian rows with the same covariance, as they are.",
    AXES: "Share of the variance on the first eighth of the principal axes of the other half of the samples.",
    AXES_NULL: "The same of as many independent channels of one size.",
    AGREE: "Mean squared cosine between the first eighths of the axes of two halves of the samples.",
    AGREE_NULL: "The same of as many independent channels of one size.",
    CREST: "Largest number of a row over its root mean square.",
}


@dataclass(frozen=True)
class TapBitsParams:
    bits: int = param(4, "Bits of a number.", low=1, high=16)
    maximum_rows: int = param(2000, "Most rows of a tap; a seeded random part above.", low=50, high=200_000)


def tap_bits(*taps, params: TapBitsParams = TapBitsParams(), rng=None, progress=no_progress) -> Table:
    """Signal over noise of taps at few bits.

    Parameters
    ----------
    *taps : Activations or arrays (rows, units), one or more; nothing has to match between them.

    Returns
    -------
    Table
        A line for each tap, the one that is held best first (see `help`). Estimates: signal over noise of each as it is
        and, of one tap, by all ways.

    Raises
    ------
    NotEnoughData
        A tap of fewer than ten finite rows, of one sample, or that does not vary.
    """
    taps, rng = [as_activations(t) for t in taps], rng or np.random.default_rng(0)
    lines, told, notes = [], [], []
    for i, tap in enumerate(taps):
        progress(i / len(taps), f"quantising {tap.name}")
        line, estimates, said = _tap(tap, params, rng, len(taps) == 1)
        lines.append(line)
        told += estimates
        notes += said
    progress(1.0, "done")
    order = sorted(range(len(taps)), key=lambda i: -lines[i][PLAIN])
    columns = {"tap": np.array([taps[i].name for i in order])}
    columns |= {name: np.array([lines[i][name] for i in order]) for name in HELP if name != "tap"}
    return Table(
        title=f"Taps at {params.bits} bits", columns=columns, index="tap", sort=PLAIN, help=HELP,
        estimates=tuple(told), reading=_reading(columns, params.bits),
        caveats=(*dict.fromkeys(notes), "Rows are less their mean; the two ends of each row are held, too.",
                 f"Mixed rows take {params.bits / 8:g} bits a number more than the others."),
    )  # fmt: skip


def _tap(tap, params: TapBitsParams, rng, alone: bool) -> tuple[dict, list[Estimate], list[str]]:
    x, owner, notes = rows_of(tap, params.maximum_rows, rng)
    x = x - x.mean(axis=0)
    if not x.any():
        raise NotEnoughData(f"{tap.name} does not vary", "rows that differ", "Choose another tap")
    half = np.isin(owner, rng.permutation(np.unique(owner))[::2])
    like, plain = gaussian_like(x, rng), rng.standard_normal(x.shape)
    each = {way: noise(x, owner, half, way, params.bits, rng) for way in WAYS}
    free = {way: noise(like, owner, half, way, params.bits, rng).mean() for way in WAYS}
    (held, agree), (held_null, agree_null) = shares(x, half), shares(plain, half)
    line = {way: float(v.mean()) for way, v in each.items()} | {
        "Gaussian": float(free[PLAIN]), AXES: held, AXES_NULL: held_null, AGREE: agree, AGREE_NULL: agree_null,
        CREST: float(crest(x).mean()),
    }  # fmt: skip
    return line, [
        Estimate(f"signal over noise, {way}" if alone else f"signal over noise, {tap.name}", float(each[way].mean()),
                 **mean_interval(each[way]), null=float(free[way]), n=len(each[way]), d=x.shape[1], unit="dB",
                 null_method="Gaussian rows of the same covariance, held the same way", estimator="mean over samples")
        for way in (WAYS if alone else (PLAIN,))
    ], notes  # fmt: skip


def noise(x: np.ndarray, owner: np.ndarray, half: np.ndarray, way: str, bits: int, rng) -> np.ndarray:
    """(samples,) decibels; principal axes are those of the half that a row is not in."""
    made = np.empty_like(x)
    turn = rotation(x.shape[1], rng) if way == ROTATED else None
    for part in (half, ~half):
        axes = turn if way == ROTATED else axes_of(way, x[~part] if (~part).any() else x, rng)
        made[part] = at_bits(x[part], bits, way, axes)
    signal, lost = (by_sample(np.square(v).sum(axis=1), owner) for v in (x, made - x))
    return np.array([decibels(float(a), float(b)) for a, b in zip(signal, lost, strict=True)])


def shares(x: np.ndarray, half: np.ndarray) -> tuple[float, float]:
    """(share of the variance on the first eighth of the axes of the other half, mean squared cosine of the halves')."""
    k = high_axes(x.shape[1])
    axes = [axes_of(MIXED, x[part], None)[:, :k] for part in (half, ~half)]
    held = sum(np.square(x[~part] @ a).sum() for part, a in zip((half, ~half), axes, strict=True))
    return float(held / np.square(x).sum()), float(np.square(axes[0].T @ axes[1]).sum() / k)


def _reading(columns, bits: int) -> str:
    plain, names = columns[PLAIN], columns["tap"]
    first = (
        f"At {bits} bits {names[0]} has {plain[0]:.1f} dB as it is (Gaussian rows {columns['Gaussian'][0]:.1f}), "
        f"{columns[ROTATED][0]:.1f} rotated and {columns[MIXED][0]:.1f} mixed"
    )
    return first + ("." if len(names) < 2 else f"; the hardest is {names[-1]} with {plain[-1]:.1f} dB.")


def _cost(shapes, params: TapBitsParams) -> Cost:
    m, rows = machine(), [(min(n, params.maximum_rows), d) for n, d in shapes]
    seconds = sum(
        m.seconds(flops64=30.0 * n * d * d + 100.0 * d**3, moved=8.0 * n * d * 200) for n, d in rows
    )
    return Cost(0.02 + seconds, max(8.0 * n * d * 8 + 8.0 * 6 * d * d for n, d in rows))


def _check() -> tuple[CheckLine, ...]:
    """One channel of 64 a hundred times the others: rotating helps little, twice the bits for it much. Two directions
    hold all the variance of rank 2. More bits are worth 6.02 dB each, of Gaussian rows too."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((600, 64))
    loud = x.copy()
    loud[:, 3] *= 100
    line = tap_bits(loud).columns
    flat = rng.standard_normal((200, 2)) @ rng.standard_normal((2, 64))
    bits = [float(tap_bits(x, params=TapBitsParams(bits=b)).columns[PLAIN][0]) for b in (5, 8)]
    two = tap_bits(x, loud)
    return (
        CheckLine("gained by mixing (dB)", 10.0, float(line[MIXED][0] - line[PLAIN][0]), 0.0, "at least"),
        CheckLine("rank 2: variance on an eighth", 1.0, float(tap_bits(flat).columns[AXES][0]), 1e-9),
        CheckLine("independent channels: by chance", 0.125, float(tap_bits(x).columns[AXES][0]), 0.02),
        CheckLine("worth of three bits (dB)", 18.06, bits[1] - bits[0], 0.3),
        CheckLine("Gaussian rows are as their null", float(tap_bits(x).columns["Gaussian"][0]),
                  float(tap_bits(x).columns[PLAIN][0]), 0.3),
        CheckLine("the best of two taps comes first", 0.0, float(np.diff(two.columns[PLAIN])[0]), 0.0, "at most"),
    )  # fmt: skip


METHODS = (
    Method(
        id="tap_bits", family="tokens", title="Taps at few bits", version=1, function=tap_bits,
        summary="Taps ranked by signal over noise at few bits: as they are, rotated, or with more bits on some axes.",
        params=TapBitsParams, result=Table, check=_check, cost=_cost, more_inputs=True, most_inputs=MOST_TAPS,
        matches="nothing", minimum_rows=FEWEST, invariance="one factor of all numbers and a constant of each channel",
        papers=("ResQ: mixed-precision quantisation with low-rank residuals",),
    ),
)  # fmt: skip
