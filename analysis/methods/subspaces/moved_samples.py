"""Which samples moved: the part of every sample in one step of the subspace movie.

In the space of units: the share of a sample's squared distance from the mean that lies in the difference subspace,
over the taps of the step,

    Σ_t |Dᵀ (x_t - mean_t)|² / Σ_t |x_t - mean_t|²

so samples with a share near 1 lie along what turned. In the space of samples a coordinate is a sample, and what it adds
to the movement is Σ_i m_i d_is² with sizes m_i = (2 sin θ_i/2)²; all samples together add up to it.

Null: a difference in random directions: dimensions / units for a share, movement / samples for a part, exactly. A
sample counts as moved where it exceeds that, and the mean sample, by more than its spread when the axes are found
without each group of samples (Student's t, Benjamini-Hochberg at 5 %).

When it lies: activations are never spread evenly, so that an average sample has a larger share than in random
directions (both are stated); a share says where a sample lies, not that it is the cause; samples far from the mean pull
the axes towards themselves; only directions of large variance are followed.

Cost: as the subspace movie without its null: O(12 n d min(n, d)) for each tap; memory O(n Σ d).

References: K. Fukui et al. (2024), "Second-order difference subspace"; K. Fukui & A. Maki (2015).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.machine import machine
from analysis.compute.rows.columns_by_id import column_by_id
from analysis.compute.rows.constant_units import constant_notes
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.compute.subspaces.moved import chosen_step, coordinate_parts, energy_parts, step_words
from analysis.compute.subspaces.series import FEWEST, SeriesParams, asked_series
from analysis.compute.subspaces.spaces import SAMPLES, UNITS, space_words
from analysis.results import Estimate, Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param

LEVEL = 0.05
SHARE, PART = "share", "part"
HELP = {
    "sample": "Id of the sample.",
    "label": "Its label.",
    SHARE: "Of its squared distance from the mean, that which lies in the difference subspace.",
    PART: "What the sample adds to the movement; all samples add up to it.",
    "low": "Lower end of the 95 % interval.",
    "high": "Upper end of it.",
    "over the mean sample": "Its share, or part, over the mean of all samples.",
    "moved": f"More than the mean sample and than random directions, false-discovery rate {LEVEL:.0%}.",
}


@dataclass(frozen=True)
class MovedSamplesParams(SeriesParams):
    step: int = param(
        0,
        "Place in the series of the tap that the step leads to, from 1; 0: the largest.",
        low=0,
        high=10_000,
    )


def moved_samples(
    *taps, params: MovedSamplesParams = MovedSamplesParams(), rng=None, progress=no_progress
) -> Table:
    """Shares, or parts, of all samples in one step, or bend, of a series of subspaces.

    Parameters
    ----------
    *taps : three or more Activations or arrays (rows, units), of the same samples (matched by id).

    Returns
    -------
    Table
        One row per sample, the most moved first. Estimates: that one, the mean, and the number of samples that moved.

    Raises
    ------
    ParameterError, InputError, NotEnoughData, TooLarge
        No such step; nothing moves; other widths in the space of units; no taps with a held cut; fewer than 20 samples.
    """
    taps, rng = [as_activations(t) for t in taps], rng or np.random.default_rng(0)
    params, data, series = asked_series(taps, params, rng, 0, progress)
    names = series.names
    progress(0.95, "finding what moved")
    step = chosen_step(series, params.order, params.measure, params.step)
    by_unit = params.space == UNITS
    found = energy_parts(series, step) if by_unit else coordinate_parts(series, step, params.measure)
    what, moved, mean = SHARE if by_unit else PART, found.q < LEVEL, float(found.values.mean())
    order = np.argsort(-found.values, kind="stable")
    columns = {"sample": data.ids, **_labels(taps[0], data.ids), what: found.values, "low": found.low,
               "high": found.high, "over the mean sample": found.values / mean, "moved": moved}  # fmt: skip
    top, where = int(order[0]), step_words(series, step, params.order)
    estimates = _estimates(found, what, data.ids[top], top, moved, series, params)
    progress(1.0, "done")
    return Table(
        title=f"Samples that moved {where}", reading=_reading(estimates, step, series, where, what, params),
        caveats=(
            space_words(params.space),
            f"The difference subspace has {int(step.difference.moved.sum())} dimension(s).",
            "The most moved sample was picked because it is: its interval is that of a sample chosen beforehand.",
            *constant_notes(names, data.values), *data.notes,
        ),
        estimates=estimates, columns={k: v[order] for k, v in columns.items()}, index="sample", sort=what,
        help={k: v for k, v in HELP.items() if k in columns},
    )  # fmt: skip


def _labels(tap, ids: np.ndarray) -> dict[str, np.ndarray]:
    return {"label": column_by_id(tap, ids, "label").astype(str)} if "label" in tap.samples else {}


def _estimates(found, what, name, top, moved, series, params) -> tuple[Estimate, ...]:
    estimator = "|Dᵀx|² / |x|²" if what == SHARE else params.measure
    common = {"n": series.n, "d": series.d, "estimator": estimator}
    null = {"null": found.null, "null_method": "random directions, exact"}
    about = mean_interval(found.values, 0.0) if what == SHARE else {}
    return (
        Estimate(f"largest {what}, sample {name}", float(found.values[top]), float(found.low[top]),
                 float(found.high[top]), interval="jackknife over groups of samples, t", **found.against_largest(),
                 **common),
        Estimate(f"mean {what}", float(found.values.mean()), **about, **null, **common),
        Estimate("samples that moved", float(moved.sum()), null=0.0, null_method="false-discovery control", **common),
    )  # fmt: skip


def _reading(estimates, step, series, where, what, params) -> str:
    top, mean, count = estimates
    size = step.difference.movement(params.measure)
    form = f"{top.value:.1%}" if what == SHARE else f"{top.value:.3g}"
    return (
        f"The {params.order} {where} is {size:.3g}. {top.name[0].upper()}{top.name[1:]}: {form}, "
        f"{top.value / mean.value:.1f} times the mean, {top.value / mean.null:.1f} times what random directions give "
        f"on average and {_beside_largest(top)}. {count.value:.0f} of {series.n:,} samples exceed mean and average by "
        "more than their spread."
    )


def _beside_largest(top: Estimate) -> str:
    """How the most moved one compares with the most moved one of random directions."""
    return (
        "no more than the largest they give"
        if top.value <= top.null_high
        else "more than the largest they give"
    )


def _cost(shapes, params: MovedSamplesParams) -> Cost:
    m, n = machine(), min(min(s[0] for s in shapes), params.maximum_samples)
    flops = sum(13 * (2.0 * n * d * min(n, d) + 4.0 * min(n, d) ** 3) for _, d in shapes)
    widest, held = max(d for _, d in shapes), 8.0 * 2.2 * n * sum(d for _, d in shapes)
    block = min(n, 4096) * widest * 8.0 * 9 + 4.0 * 8 * min(n, widest) ** 2
    return Cost(m.seconds(flops64=flops, moved=held * 20) + 0.05, held + block + 8.0 * n * 60)


def _check() -> tuple[CheckLine, ...]:
    """The first axis turns by 0.3 into a unit in which only eight samples differ: they lie in the difference, the
    others do not; in the space of samples all parts add up to the movement."""
    rng = np.random.default_rng(8)
    x, i = np.zeros((200, 5)), np.arange(192)
    x[:192, 0], x[:192, 1] = np.where(i % 2, 3.0, -3.0), np.where(i // 2 % 2, 5.0, -5.0)
    x[192:, 2] = np.where(np.arange(8) % 2, 1.0, -1.0)
    turn = np.eye(5)
    turn[[0, 0, 2, 2], [0, 2, 0, 2]] = np.cos(0.3), -np.sin(0.3), np.sin(0.3), np.cos(0.3)
    one = moved_samples(x, x, x @ turn.T, params=MovedSamplesParams(dimension=2))
    shares = dict(zip(one.columns["sample"].tolist(), one.columns[SHARE].tolist(), strict=True))
    y = rng.standard_normal((200, 6)) * np.sqrt([40, 25, 1, 1, 1, 1])
    z = y @ np.linalg.qr(np.eye(6) + 0.3 * rng.standard_normal((6, 6)))[0] + rng.standard_normal((200, 6))
    two = moved_samples(y, y, z, params=MovedSamplesParams(dimension=2, space=SAMPLES))
    size = two.columns[PART].sum()
    angles = np.linalg.svd(_scores(y).T @ _scores(z), compute_uv=False)
    return (
        CheckLine("least share of the eight that lie along the turn", (np.cos(0.15) ** 2),
                  min(shares[str(i)] for i in range(192, 200)), 1e-10),
        CheckLine("largest share of the others", 0.05, max(shares[str(i)] for i in range(192)), 0.0, "at most"),
        CheckLine("parts add up to Σ 2 (1 - cos θ)", float((2 - 2 * angles).sum()), float(size), 1e-10),
    )  # fmt: skip


def _scores(x: np.ndarray) -> np.ndarray:
    centred = x - x.mean(axis=0)
    return np.linalg.svd(centred, full_matrices=False)[0][:, :2]


METHODS = (
    Method(
        id="moved_samples", family="subspaces", title="Samples that moved", version=4, function=moved_samples,
        summary="Which samples lie along a step, or a bend, in the path of the main subspace.",
        params=MovedSamplesParams, result=Table, check=_check, cost=_cost, inputs=3, more_inputs=True,
        minimum_rows=FEWEST,
        invariance="any basis of a subspace; rotating all taps alike; shifting a tap; scaling the taps alike",
        papers=("Second-order difference subspace",),
    ),
)  # fmt: skip
