"""Are predicted heat maps the Gaussians that they were trained to be, and how far are their peaks off?

    g(p) = exp(-|p - c|² / (2 σ²))     target of a landmark at c, σ in cells
    as it is                 1 - Σ (h - g)² / Σ (g - mean g)²
    up to height and base    squared correlation of h and g: the best a + b g
    of its own               the same of the Gaussian a + b exp(-|p - c|² / (2 σ²)) that is nearest to the map

Targets come of sample columns with x and y of each landmark, of a second tap with two units for each (one row a
sample), or of a second tap of target maps. Without any, each map is compared with its own Gaussian, and its peak with
that one's centre. A place is read off a map in five ways: the largest cell, a quarter cell on towards the larger
neighbour, the vertex of the parabola through the logarithms of the neighbours, the soft-argmax, and the fitted centre.
Of a perfect map the largest cell is (√2 + ln(1 + √2)) / 6 = 0.383 cells off, a quarter on half of that, the vertex and
the fit nothing; what each way leaves of the very targets is said beside it.

Drawn is one sample: each map brought to the height and base of its target by least squares, and the target.

Interval: Student's t over samples, means over landmarks within each. Null: targets of other samples, of the same
landmark; of a map's own Gaussian 200 maps with their places shuffled (a fixed target explains 1 / (T - 1) of a map of T
places shuffled on average, half of it upside down, which counts as nothing here); without targets the distances that
the Gaussians themselves leave when they are read in the same way.

When it lies: a narrow peak on much noise is explained badly and may be placed well, and the other way round; landmarks
that hardly move have small distances under the null too; a map of two peaks has no one Gaussian; logits are no
Gaussians, their sigmoid may be; targets cut off by the edge pull the soft-argmax inwards.

Cost: O(n L T) for each of up to 25 steps of the fits.

References: H. Liu, F. Liu, X. Fan & D. Huang (2021), "Polarized self-attention: towards high-quality pixel-wise
regression"; F. Zhang et al. (2020), "Distribution-aware coordinate representation for human pose estimation".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.compute.machine import machine
from analysis.errors import NotEnoughData
from analysis.results import TokenMap
from analysis.sources.stored_pictures import pictures_below
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.gaussian_maps import OFF, bells
from analysis.tokens.heatmap_fit import PLACES, Seen, board_of, by_map, estimates, seen
from analysis.tokens.landmark_targets import EDGE, IN_TURN, MIDDLE, OWN, XS_FIRST, Targets, targets_of
from analysis.tokens.paired_sets import cells_of, place_of
from analysis.tokens.pooling.token_sets import RUN

FEWEST, REACH = 4, 1.5  # samples; ends of the colours, in heights of a target


@dataclass(frozen=True)
class HeatmapTargetsParams:
    sample: int = param(
        0, "The sample that is drawn: its place in the store, from 0.", low=0, high=1_000_000_000
    )
    columns: str = param(
        "", "Sample columns of landmarks, x and y of each in turn, with commas; empty: none are known."
    )
    width: float = param(2.0, "Width σ of the targets, in cells.", low=0.2, high=100.0)
    cell_size: float = param(
        1.0, "Coordinates to a cell: 1 where they are in cells, 4 where they are pixels of cells of 4 x 4.",
        low=1e-6, high=1e6,
    )  # fmt: skip
    zero: str = param(MIDDLE, "Where the coordinate 0 is.", choices=(MIDDLE, EDGE))
    order: str = param(IN_TURN, "How coordinates are ordered.", choices=(IN_TURN, XS_FIRST))
    sharpness: float = param(
        5.0, "β of the soft-argmax, per standard deviation of a map.", low=0.01, high=1000.0
    )
    shown: int = param(4, "Most landmarks drawn, the worst explained first.", low=1, high=12)
    maximum_samples: int = param(
        100, "Most samples; a seeded random subset above.", low=4, high=20_000, late=True
    )


def heatmap_targets(
    *taps, params: HeatmapTargetsParams = HeatmapTargetsParams(), rng=None, progress=no_progress
) -> TokenMap:
    """Heat maps against Gaussian targets.

    Parameters
    ----------
    *taps : one or two Activations or arrays (rows, units)
        Heat maps, a row for each place and a unit for each landmark; and, where there is one, a tap of coordinates or
        of target maps of the same samples.

    Returns
    -------
    TokenMap
        Predictions and targets of one sample. Estimates: shares explained, widths in cells, distances in cells.

    Raises
    ------
    NotFound, ParameterError, InputError, NotEnoughData
        No such sample or column; not two coordinates for each map; maps of other places; maps that are all flat, or
        fewer than four samples.
    """
    taps, rng = [as_activations(t) for t in taps], rng or np.random.default_rng(0)
    found = targets_of(taps, params, rng, progress, FEWEST)
    drawn = place_of(found.sets, taps[0], params.sample)
    told = seen(found, params.sharpness, rng, progress)
    samples = len(np.unique(np.flatnonzero(told.good) // found.known.shape[1]))
    if samples < FEWEST:
        raise NotEnoughData(f"{samples} sample(s) with a map that varies and a target", f"at least {FEWEST}")
    made = estimates(found, told, params.sharpness)
    progress(1.0, "done")
    return _drawn(taps, found, told, drawn, made, params)


def _drawn(taps, found: Targets, told: Seen, drawn: int, made, params) -> TokenMap:
    sets, landmarks = found.sets, found.known.shape[1]
    rows = np.arange(drawn * landmarks, (drawn + 1) * landmarks)
    rows = rows[told.good[rows]]
    where = np.cumsum(told.good) - 1
    share = told.own.r2[where] if found.named == OWN else told.alike
    rows = rows[np.argsort(share[rows], kind="stable")][: params.shown]
    maps, names = [], []
    every = by_map(sets.x)[rows], by_map(found.maps)[rows]
    there, bell = sets.present[drawn], told.own.maps(cells_of(sets)) if found.named == OWN else None
    for k, h, target in zip(rows, *every, strict=True):
        g = target if bell is None else bell[where[k]]
        maps += [np.where(there, v, np.nan) for v in (_onto(h, g, there), g)]
        unit = taps[0].unit_names[k % landmarks]
        names += [f"{unit}: prediction", f"{unit}: {'its Gaussian' if found.named == OWN else 'target'}"]
    sample, grid = int(sets.samples[drawn]), board_of(sets)
    grid = grid if min(grid) > 1 else None
    if not maps:
        maps, names = [np.full(sets.x.shape[1], np.nan)], ["no map to draw"]
    top = max(float(np.nanmax(np.abs(m), initial=0.0)) for m in maps)
    return TokenMap(
        title=f"Heat maps of {taps[0].name} and {found.named}: sample {sample}",
        samples=np.full(len(maps), sample), values=np.stack(maps), value_name="heights of the target", grid=grid,
        names=tuple(names), ends=(0.0, float(np.clip(top, 1e-12, REACH))), estimates=made,
        pictures=None if sets.gathered else pictures_below(taps[0], sets.samples[drawn : drawn + 1], grid),
        reading=_reading(found, told, made),
        caveats=(*found.notes, *_caveats(found, told, len(rows))),
    )  # fmt: skip


def _onto(h: np.ndarray, g: np.ndarray, there: np.ndarray) -> np.ndarray:
    """The map brought to base and height of its target: (h - a) / b of the least squares h = a + b g."""
    a, b = h[there] - h[there].mean(), g[there] - g[there].mean()
    size = float(b @ b)
    slope = float(a @ b) / size if size > 0 else 0.0
    if slope <= 0:  # no peak where the target has one: in its own height
        low, high = h[there].min(), h[there].max()
        return (h - low) / max(high - low, 1e-300)
    return (h - h[there].mean()) / slope + g[there].mean()


def _reading(found: Targets, told: Seen, made) -> str:
    by = {e.name: e for e in made}
    own, width = made[:2]
    end = "fit" if found.named == OWN else "target"
    ways = (PLACES[0], PLACES[1], PLACES[3])
    left = [told.floor(name) for name in ways]
    far = [by[f"{name}: distance from the {end}"] for name in ways]
    first = (
        f"A Gaussian of its own explains {own.value:.0%} of a map (shuffled: {own.null:.1%}), with a width of "
        f"{width.value:.2f} cells. "
    )
    if found.named != OWN:
        raw, alike = made[2:4]
        first += (
            f"The target explains {raw.value:.0%} as it is and {alike.value:.0%} up to height and base (targets of "
            f"other samples: {raw.null:.0%} and {alike.null:.0%}). "
        )
    return first + (
        f"The largest cell is {far[0].value:.2f} cells from the {end}, a quarter cell on {far[1].value:.2f}, the "
        f"soft-argmax {far[2].value:.2f}; perfect maps would leave {left[0]:.2f}, {left[1]:.2f} and {left[2]:.2f}."
    )


def _caveats(found: Targets, told: Seen, shown: int) -> list[str]:
    t, landmarks = found.sets.x.shape[1], found.known.shape[1]
    said = [
        "Every unit is taken for the heat map of a landmark: of a tap of anything else these numbers mean nothing.",
        f"Predictions are drawn at the height and base of their target. Of a map of {t} places that were shuffled a "
        f"fixed target explains at most {1 / max(t - 1, 1):.2%} on average.",
    ]  # fmt: skip
    if told.flat:
        said.append(f"{told.flat:,} map(s) that do not vary are left out.")
    if shown < landmarks:
        said.append(f"{shown} of {landmarks} landmarks are drawn, the worst explained first.")
    if found.named == OWN:
        said.append("No targets are known: nothing is said of where landmarks are.")
    if min(board_of(found.sets)) == 1:
        said.append("Places have no grid: they are taken to lie in a line.")
    return said


def _cost(shapes, params: HeatmapTargetsParams) -> Cost:
    (n, d), m = shapes[0], machine()
    rows = min(n, params.maximum_samples * RUN)
    held = 8.0 * rows * d * 12.0 + 4e6
    return Cost(0.1 + m.seconds(flops64=4000.0 * rows * d, moved=8.0 * n * d + 800.0 * rows * d), held)


def _check() -> tuple[CheckLine, ...]:
    """Planted Gaussians anywhere in their cells: explained whole, of their width, the largest cell and a quarter on off
    as the closed form says, the vertex and the fit not at all; shuffled they explain 1 / (T - 1), both signs together;
    in the middle of the map a soft-argmax is not off either."""
    rng, side, n = np.random.default_rng(0), 15, 160
    layout = Layout(np.arange(n + 1) * side**2, (side, side))
    places = np.stack(np.divmod(np.arange(side**2), side)[::-1], axis=1).astype(float)
    centre = rng.uniform(4, 10, (n, 2))
    maps = bells(centre, 1.5, places)

    def found(x, centre, **more):
        columns = {"x": centre[:, 0], "y": centre[:, 1]}
        tap = ArrayActivations(x.reshape(-1, 1), "planted", columns, layout)
        params = HeatmapTargetsParams(width=1.5, maximum_samples=n, **more)
        return {e.name: e.value for e in heatmap_targets(tap, params=params).estimates}

    asked, at = {"columns": "x, y"}, "{}: distance from the target".format
    whole, alone = found(maps, centre, **asked), found(3 + 2 * maps, centre)
    half, middle = found(maps / 2, centre, **asked), np.full((n, 2), 7.0)
    still = found(bells(middle, 1.5, places), middle, **asked)
    mixed = rng.permuted(maps, axis=1)
    as_it_is, up_to = "explained by the target as it is", "explained up to height and base"
    chance = sum(found(x, centre, **asked)[up_to] for x in (mixed, -mixed))
    left = np.square(maps).sum(axis=1) / np.square(maps - maps.mean(axis=1)[:, None]).sum(axis=1) / 4
    return (
        CheckLine("planted: explained as it is", 1.0, whole[as_it_is], 1e-12),
        CheckLine("half its height: as it is", float((1 - left).mean()), half[as_it_is], 1e-9),
        CheckLine("half its height: up to it", 1.0, half[up_to], 1e-12),
        CheckLine("places shuffled, both signs", 1 / (side**2 - 1), chance, 0.0015),
        CheckLine(
            "without targets: its own Gaussian", 1.0, alone["explained by a Gaussian of its own"], 1e-9
        ),
        CheckLine("and its width", 1.5, alone["width of that Gaussian"], 1e-6),
        CheckLine("largest cell", OFF, whole[at(PLACES[0])], 0.025),
        CheckLine("a quarter cell on", OFF / 2, whole[at(PLACES[1])], 0.0125),
        CheckLine("vertex of the logarithms", 0.0, whole[at(PLACES[2])], 1e-9),
        CheckLine("fitted Gaussian", 0.0, whole[at(PLACES[4])], 1e-6),
        CheckLine("soft-argmax in the middle of the map", 0.0, still[at(PLACES[3])], 1e-9),
    )


METHODS = (
    Method(
        id="heatmap_targets", family="tokens", title="Heat maps against Gaussian targets", version=1,
        function=heatmap_targets,
        summary="How Gaussian predicted heat maps are, what their targets explain, how far each kind of peak is off.",
        params=HeatmapTargetsParams, result=TokenMap, check=_check, cost=_cost, more_inputs=True, most_inputs=2,
        roles=("heat maps", "targets"), minimum_rows=FEWEST,
        invariance="the order of samples; without targets one positive factor and shift of each map",
        papers=("Polarized Self-Attention: Towards High-quality Pixel-wise Regression",),
    ),
)  # fmt: skip
