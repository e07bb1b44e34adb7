"""Which parts of the picture reach one place of a layer, how far, and which way? Its effective receptive field.

    I_p(cell) = mean over pixels of the cell and random directions v of (∂ <v, y_p> / ∂ pixel)²,   as a share of its sum

y_p is what the layer gives at place p: the field of a convolution is a blob, of attention it may be anything, a scan
leaves streaks along its order. Over samples, of the place in the middle:

    distance    Σ I |cell - p|;   down, across: Σ I |rows apart|, Σ I |columns apart| (decay along either axis)
    across over down    1 without a preferred direction; a scan by rows reaches farther across
    half        fewest cells that hold half of I

Without a network the rows of a sample read each other, y_p = Σ softmax(x_p' x / √d) x, and I is the squared derivative
by each row.

Interval: Student's t over samples. Null: all cells alike; of the direction the picture turned round, 1.

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
from analysis.tokens.mixers.fields import NUMBERS, derivative, measured, recurrence
from analysis.tokens.mixers.reading import MOST_TOKENS, row_tokens
from analysis.tokens.subject import AUTOMATIC, ROWS, SOURCES

OPENING, FEWEST, LEAST = 6.0, 2, 1e-300
PLACES = {"in the middle": (0.5, 0.5), "a quarter from the corner": (0.25, 0.25)}


@dataclass(frozen=True)
class InfluenceMapParams:
    sample: int | None = param(
        None,
        "The sample that is drawn by itself, counted in no mean where it was not read for it; automatic: the "
        "first read.",
        low=0,
        high=1_000_000_000,
    )
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
    told = _estimates(maps[good, 0], tap.shape[1])
    grid = maps.shape[2:]
    shown = np.stack([*maps[good].mean(axis=0), found.one[0]]).reshape(len(PLACES) + 1, -1)
    progress(1.0, "done")
    return TokenMap(
        title=f"What reaches a place of {where}", samples=np.arange(len(shown)), grid=grid,
        values=(shown / np.maximum(shown.max(axis=1, keepdims=True), LEAST)) ** params.scale,
        value_name=f"(share / largest)^{params.scale:g}",
        names=(*(f"{name}, mean" for name in PLACES), f"sample {found.drawn}, in the middle"),
        pictures=None if found.pictures is None else found.pictures[[0] * len(PLACES) + [1]],
        estimates=told, reading=_reading(told, grid), caveats=(*notes, *_caveats(found, good, params)),
    )  # fmt: skip


def _influence(tap, params, rng, progress) -> tuple[Influence, tuple[str, ...], str]:
    why = ()
    if params.source != ROWS:
        try:
            found = input_influence(tap, params.maximum_samples, tuple(PLACES.values()), params.directions, rng,
                                    lambda f, doing="": progress(0.95 * f, doing), params.sample)  # fmt: skip
            return found, (found.note,), tap.name
        except (InputError, NotFound) as error:
            why = (f"The network is not run: {str(error).split('. ')[0]}.",)
    rows = row_tokens(
        tap, params.maximum_samples, rng, lambda f, doing="": progress(0.4 * f, doing), params.sample
    )
    read, one = rows.seen.n_samples, 0 if params.sample is None else list(rows.samples).index(params.sample)
    grid = rows.grid or (1, max(int(c.max()) for c in rows.cell[:read]) + 1)
    if grid[0] * grid[1] > MOST_TOKENS:
        raise InputError(f"a grid of {grid[0]} x {grid[1]} tokens", f"at most {MOST_TOKENS:,} tokens")
    maps = []
    for i, (x, cell) in enumerate(zip(rows.x, rows.cell, strict=True)):
        progress(0.4 + 0.55 * i / len(rows.x), "differentiating rows")
        maps.append([_of_rows(x, cell, grid, place, params.directions, rng) for place in PLACES.values()])
    said = "No network was run: rows read each other by softmax, and the derivative is by each of them."
    if rows.cell[one].max() >= grid[0] * grid[1]:
        said += (
            f" Of sample {rows.samples[one]} the first {grid[1]} tokens are drawn, as many as others have."
        )
    return (
        Influence(
            np.array(maps[:read]), rows.samples[:read], np.array(maps[one]), int(rows.samples[one]), None, ""
        ),
        (*why, *rows.notes, said),
        f"the rows of {tap.name}",
    )


def _of_rows(x, cell, grid, place, directions: int, rng) -> np.ndarray:
    """(rows, columns) of one sample's tokens x (t, d) at `cell` (t,)."""
    want = min(int(place[0] * grid[0]), grid[0] - 1) * grid[1] + min(int(place[1] * grid[1]), grid[1] - 1)
    p = int(np.abs(cell - want).argmin())
    out = np.zeros(grid[0] * grid[1])
    for _ in range(directions):
        v = rng.standard_normal(x.shape[1])
        slope = derivative(x, p, v / np.linalg.norm(v))
        inside = (cell >= 0) & (cell < out.size)
        np.add.at(out, cell[inside], np.square(slope[inside]).sum(axis=1) / directions)
    return out.reshape(grid)


def _estimates(maps: np.ndarray, d: int) -> tuple[Estimate, ...]:
    value = measured(maps)
    flat = measured(np.full((1, *maps.shape[1:]), 1 / maps[0].size))[0]
    line = 1 in maps.shape[1:]
    return tuple(
        Estimate(name, float(value[:, i].mean()), **mean_interval(value[:, i], 0.0), null=float(flat[i]),
                 null_method="all cells alike", n=len(value), d=d, unit="" if "over" in name else "cells",
                 estimator="around the middle, mean over samples")
        for i, name in enumerate(NUMBERS) if not (line and i in (1, 2, 3))
    )  # fmt: skip


def _reading(told, grid) -> str:
    by = {e.name: e for e in told}
    far, half = by[NUMBERS[0]], by[NUMBERS[4]]
    turn = by.get(NUMBERS[3])
    return (
        f"What reaches the middle comes from {far.value:.2g} cells away on average (all alike: {far.null:.2g}); "
        f"{half.value:.0f} of {grid[0] * grid[1]} cells hold half of it ({half.null:.0f})."
        + ("" if turn is None else f" It comes {turn.value:.2f} times as far across as down.")
    )


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
                passes * (1 + len(PLACES) * params.directions))  # fmt: skip


def _check() -> tuple[CheckLine, ...]:
    """The field of a plane recurrence h(i, j) = a h(i - 1, j) + b h(i, j - 1) + x is C(m, i) a^i b^j over a quadrant:
    as far across as down where a = b. One cell alone; all alike; the derivative of rows."""
    rng = np.random.default_rng(0)
    point, flat = np.zeros((1, 5, 5)), np.full((1, 5, 5), 0.04)
    point[0, 2, 2] = 1.0
    stripe = np.zeros((1, 5, 5))
    stripe[0, 2] = 0.2
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
        CheckLine("plane recurrence, a = b: across over down", 1.0, float(measured(plane[0.2])[0, 3]), 1e-9),
        CheckLine("plane recurrence, b = 3 a", 3.0, float(measured(plane[0.6])[0, 3]), 0.0, "at least"),
        CheckLine("derivative of rows", 0.0, float(np.abs(derivative(x, 2, v) - numeric).max()), 1e-4),
        CheckLine("rows at random: no direction", 1.0, told[3].value, 0.6),
    )  # fmt: skip


METHODS = (
    Method(
        id="influence_map", family="tokens", title="What reaches a place", version=2, function=influence_map,
        summary="Effective receptive field of a layer: what of the picture reaches a place, how far and which way.",
        params=InfluenceMapParams, result=TokenMap, check=_check, cost=_cost, minimum_rows=4,
        invariance="one factor of all inputs; rotations of what the layer gives, on average over directions",
        papers=("Mamba2D: A Natively Multi-Dimensional State-Space Model for Vision Tasks",
                "VCMamba: Bridging Convolutions with Multi-Directional Mamba for Efficient Visual Representation"),
        libraries=("torch", "transformers"),
    ),
)  # fmt: skip
