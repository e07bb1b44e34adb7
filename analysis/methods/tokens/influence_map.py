"""Which parts of the picture reach one place of a layer, how far, and which way? Its effective receptive field.

    I_p(cell) = mean over pixels of the cell and random directions v of (∂ <v, y_p> / ∂ pixel)²,   as a share of its sum

y_p is what the layer gives at place p: the field of a convolution is a blob, of attention it may be anything, a scan
leaves streaks along its order. Over samples, of one place:

    distance    Σ I |cell - p|;   down, across: Σ I |rows apart|, Σ I |columns apart| (decay along either axis)
    across over down    1 without a preferred direction; a scan by rows reaches farther across
    half        fewest cells that hold half of I
    own row, behind    share of I in the row of p (streaks), and of what comes later row by row (0 of a causal scan)

Beside it the same of a scan by rows over what the layer itself gives for the same picture: y_p = Σ_{s <= p} C_p · B_s
2^(-(p - s) / f) x_s, B = y, C = y / √d, which forgets half in f cells.

Without a network the rows of a sample read each other, y_p = Σ softmax(x_p' x / √d) x, and I is the squared derivative
by each row.

Interval: Student's t over samples. Null: all cells alike; of the direction the picture turned round, 1. The plain plane
recurrence h(i, j) = a h(i - 1, j) + b h(i, j - 1) + x is the known answer: C(i + j, i) a^i b^j.

When it lies: derivatives are local, and a saturated network has small ones where it nonetheless looks; what reaches a
place need not be used; borders have fewer cells on one side; a class token reads what no place does; few directions v
stand for all.

Cost: a pass forward, and (places x directions) back, of each sample.

References: W. Luo, Y. Li, R. Urtasun & R. Zemel (2016), "Understanding the effective receptive field in deep
convolutional neural networks"; "Mamba2D"; "VCMamba".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.compute.machine import machine
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.compute.streaming import refuse_few
from analysis.errors import InputError, NotFound
from analysis.results import Estimate, TokenMap
from analysis.sources.input_influence import Influence, input_influence
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.mixers.fields import (
    NUMBERS,
    closed,
    derivative,
    measured,
    raster,
    recurrence,
    stepped,
)
from analysis.tokens.mixers.rows_influence import rows_influence
from analysis.tokens.subject import AUTOMATIC, ROWS, SOURCES

OPENING, FEWEST, LEAST = 6.0, 2, 1e-300
CORNER, SCANNED = (0.25, 0.25), "scan by rows"


@dataclass(frozen=True)
class InfluenceMapParams:
    sample: int | None = param(
        None,
        "The sample that is drawn by itself, counted in no mean where it was not read for it; automatic: the "
        "first read.",
        low=0,
        high=1_000_000_000,
    )
    down: float = param(0.5, "Where the place lies, as a share of the height.", low=0.0, high=1.0)
    across: float = param(0.5, "Where it lies, as a share of the width.", low=0.0, high=1.0)
    forgets: float = param(8.0, "Cells after which the scan by rows has forgotten half.", low=0.5, high=1e5)
    scale: float = param(0.5, "Power that is drawn, so that small shares are seen.", low=0.1, high=1.0)
    directions: int = param(4, "Random directions of what the layer gives.", low=1, high=64)
    maximum_samples: int = param(16, "Most samples; a seeded random subset above.", low=2, high=500)
    source: str = param(
        AUTOMATIC, "Whose places: of the network's layer, or the recorded rows.", choices=SOURCES, late=True
    )


def influence_map(
    activations, params: InfluenceMapParams = InfluenceMapParams(), rng=None, progress=no_progress
) -> TokenMap:
    """Effective receptive fields of two places of a layer.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        A tap of a network of pictures that can be run again, at a layer with places; other rows read each other.

    Returns
    -------
    TokenMap
        Mean maps of two places, and that of one sample. Estimates: reach, direction and size of the middle's field.

    Raises
    ------
    NotFound, InputError, NotEnoughData
        No such sample; nothing that reaches the place; fewer than two samples of two tokens.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    found, notes, where = _influence(tap, params, rng, progress)
    maps = found.maps / np.maximum(found.maps.sum(axis=(2, 3), keepdims=True), LEAST)
    good = found.maps[:, 0].sum(axis=(1, 2)) > 0
    refuse_few(f"places of {tap.name} that anything reaches", int(good.sum()), FEWEST, "sample(s)")
    told = _estimates(maps[good, 0], maps[good, 2], tap.shape[1], params)
    grid, alone = maps.shape[2:], found.one
    shown = np.stack([maps[good, 0].mean(axis=0), maps[good, 2].mean(axis=0), alone[0], alone[2],
                      maps[good, 1].mean(axis=0)]).reshape(5, -1)  # fmt: skip
    one = f"sample {found.drawn}"
    progress(1.0, "done")
    return TokenMap(
        title=f"What reaches a place of {where}", samples=np.arange(len(shown)), grid=grid,
        values=(shown / np.maximum(shown.max(axis=1, keepdims=True), LEAST)) ** params.scale,
        value_name=f"(share / largest)^{params.scale:g}",
        names=("the place, mean", f"{SCANNED}, mean", f"{one}, the place", f"{one}, {SCANNED}",
               "a quarter from the corner, mean"),
        pictures=None if found.pictures is None else found.pictures[[0, 0, 1, 1, 0]],
        estimates=told, reading=_reading(told, grid, params), caveats=(*notes, *_caveats(found, good, params)),
    )  # fmt: skip


def _influence(tap, params, rng, progress) -> tuple[Influence, tuple[str, ...], str]:
    places, why = ((params.down, params.across), CORNER), ()
    if params.source != ROWS:
        try:
            found = input_influence(tap, params.maximum_samples, places, params.directions, rng,
                                    lambda f, doing="": progress(0.95 * f, doing), params.sample,
                                    lambda y, grid: raster(y, grid, places[0], params.forgets))  # fmt: skip
            return found, (found.note,), tap.name
        except (InputError, NotFound) as error:
            why = (f"The network is not run: {str(error).split('. ')[0]}.",)
    return rows_influence(tap, params, places, why, rng, progress)


def _estimates(maps: np.ndarray, scans: np.ndarray, d: int, params) -> tuple[Estimate, ...]:
    place, out = (params.down, params.across), []
    flat = measured(np.full((1, *maps.shape[1:]), 1 / maps[0].size), place)[0]
    line = 1 in maps.shape[1:]
    for of, after in ((maps, ""), (scans, f", {SCANNED}")):
        value = measured(of, place)
        out += [
            Estimate(name + after, float(value[:, i].mean()), **mean_interval(value[:, i], 0.0, _most(name)), d=d,
                     null=float(flat[i]), null_method="all cells alike", n=len(value),
                     estimator="around the place, mean over samples",
                     unit="" if "over" in name or "share" in name else "cells")
            for i, name in enumerate(NUMBERS) if not (line and i in (1, 2, 3, 5))
        ]  # fmt: skip
    return tuple(out)


def _most(name: str) -> float:
    return 1.0 if "share" in name else np.inf


def _reading(told, grid, params) -> str:
    by = {e.name: e for e in told}
    far, half = by[NUMBERS[0]], by[NUMBERS[4]]
    turn, own = by.get(NUMBERS[3]), by.get(f"{NUMBERS[3]}, {SCANNED}")
    where = "the middle" if params.down == params.across == 0.5 else "the place"
    return (
        f"What reaches {where} comes from {far.value:.2g} cells away on average (all alike: {far.null:.2g}); "
        f"{half.value:.0f} of {grid[0] * grid[1]} cells hold half of it ({half.null:.0f})."
        + ("" if turn is None else f" It comes {turn.value:.2f} times as far across as down, of a scan by rows over "
           f"the same places {own.value:.2f} times.")
    )  # fmt: skip


def _caveats(found: Influence, good, params) -> list[str]:
    said = [f"{int(good.sum())} samples, {params.directions} random directions; derivatives are local."]
    if found.drawn not in found.samples:
        said.append(f"Sample {found.drawn} is drawn only: the means are of {len(found.samples)} others.")
    return (
        said if good.all() else [*said, f"Nothing reaches the place in {int((~good).sum())} of the samples."]
    )


def _cost(shapes, params: InfluenceMapParams) -> Cost:
    (n, k), m = shapes[0], machine()
    passes = min(n, params.maximum_samples)
    held = 26.0 * n * k + 9.0 * 17 * n + 8e4  # of a network its own memory comes on top
    return Cost(OPENING + m.seconds(moved=8.0 * n * k + 300.0 * passes * k * params.directions), held,
                passes * (1 + 2 * params.directions))  # fmt: skip


def _check() -> tuple[CheckLine, ...]:
    """The field of a plane recurrence h(i, j) = a h(i - 1, j) + b h(i, j - 1) + x is C(m, i) a^i b^j over a quadrant:
    as far across as down where a = b. One cell alone; all alike; the derivative of rows."""
    rng = np.random.default_rng(0)
    point, flat = np.zeros((1, 5, 5)), np.full((1, 5, 5), 0.04)
    point[0, 2, 2] = 1.0
    stripe = np.zeros((1, 5, 5))
    stripe[0, 2] = 0.2
    steps, even = (
        stepped(0.3, 0.25, 12),
        np.tile([1.0, -1.0], (25, 1)) * np.sign(np.arange(25) - 11.5)[:, None],
    )
    scan = raster(even, (5, 5), (0.5, 0.5), 2.0)
    plane = {b: recurrence(0.2, b) for b in (0.2, 0.6)}
    x, v = rng.standard_normal((6, 3)), rng.standard_normal(3)
    step, numeric = 1e-6, np.zeros((6, 3))

    def said(rows):
        weights = np.exp(rows @ rows[2] / 3**0.5)
        return float(v @ (weights / weights.sum() @ rows))

    for i in range(6):
        for j in range(3):
            moved = x.copy()
            moved[i, j] += step
            numeric[i, j] = (said(moved) - said(x)) / step
    tap = ArrayActivations(rng.standard_normal((64, 8)), layout=Layout(np.arange(0, 65, 16), grid=(4, 4)))
    told = influence_map(tap).estimates
    return (
        CheckLine("one cell: distance", 0.0, float(measured(point)[0, 0]), 1e-12),
        CheckLine("one cell holds half", 1.0, float(measured(point)[0, 4]), 0.0),
        CheckLine("all alike: across over down", 1.0, float(measured(flat)[0, 3]), 1e-9),
        CheckLine("all alike: 13 of 25 hold half", 13.0, float(measured(flat)[0, 4]), 0.0),
        CheckLine("a row of cells: across", 1.2, float(measured(stripe)[0, 2]), 1e-12),
        CheckLine("a row of cells: down", 0.0, float(measured(stripe)[0, 1]), 1e-12),
        CheckLine("plane recurrence step by step: C(i + j, i) a^i b^j", 0.0,
                  float(np.abs(steps - closed(0.3, 0.25, 12)).max()), 1e-15),
        CheckLine("its sum where a + b < 1: 1 / (1 - a - b)", 1 / 0.45, float(stepped(0.3, 0.25, 60).sum()), 1e-9),
        CheckLine("nothing outside its quadrant", 0.0, float(recurrence(0.2, 0.6)[0, :7].sum()), 0.0),
        CheckLine("scan by rows: a quarter, two cells before", 0.25, float(scan[1, 4] / scan[2, 1]), 1e-12),
        CheckLine("scan by rows: nothing from behind it", 0.0, float(measured(scan[None])[0, 6]), 0.0),
        CheckLine("plane recurrence, a = b: across over down", 1.0, float(measured(plane[0.2])[0, 3]), 1e-9),
        CheckLine("plane recurrence, b = 3 a", 3.0, float(measured(plane[0.6])[0, 3]), 0.0, "at least"),
        CheckLine("derivative of rows", 0.0, float(np.abs(derivative(x, 2, v) - numeric).max()), 1e-4),
        CheckLine("rows at random: no direction", 1.0, told[3].value, 0.6),
    )  # fmt: skip


METHODS = (
    Method(
        id="influence_map", family="tokens", title="What reaches a place", version=4, function=influence_map,
        summary="Effective receptive field of a layer: what of the picture reaches a place, how far and which way.",
        params=InfluenceMapParams, result=TokenMap, check=_check, cost=_cost, minimum_rows=4,
        invariance="one factor of all inputs; rotations of what the layer gives, on average over directions",
        papers=("Mamba2D: A Natively Multi-Dimensional State-Space Model for Vision Tasks",
                "VCMamba: Bridging Convolutions with Multi-Directional Mamba for Efficient Visual Representation"),
        libraries=("torch", "transformers"),
    ),
)  # fmt: skip
