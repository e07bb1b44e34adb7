"""Would another run, or other samples, have drawn the same map?

The projection is drawn once, then again from other seeds and from resampled samples (halves, or a bootstrap). Each
further map is laid over the first by orthogonal Procrustes (neighbour maps, whose scale means nothing, are also
scaled). Per point and run, among the m points that both maps show:

    overlap       |N_k(i) ∩ N'_k(i)| / k,   N the k nearest on the map;   by chance k / (m - 1)
    displacement  |s y'_i R - y_i| / sqrt(mean |y|²),   in units of the map's spread

"stability" is the mean overlap over all runs. Principal components have no randomness: seeds do nothing, and only
resampling counts; all points are then placed on the axes of each draw.

When it lies: a stable map need not be a true one. A map of shuffled data comes back from seed to seed as well, because
the same noise has the same neighbours: that value is printed beside, and only what exceeds it, over samples, speaks for
the data. Halves have half as many points, so that neighbourhoods reach further and overlap falls; a bootstrap repeats
points, which a neighbour map draws as tight pairs. Displacement is small for any map of a few far-apart clumps.

Cost: one map for each run, and three or four for each shuffle. Memory O(n (d + runs)).

References: P. Schönemann (1966), "A generalized solution of the orthogonal Procrustes problem"; halves of the samples:
N. Meinshausen & P. Bühlmann (2010), "Stability selection".
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from analysis.activations import as_activations
from analysis.compute.machine import machine
from analysis.compute.maps.drawn_map import DRAWINGS, LINEAR, NAMES, drawing_seconds
from analysis.compute.maps.map_runs import (
    RESAMPLING,
    SAMPLES,
    SEEDS,
    Plan,
    Run,
    all_runs,
    compared,
    mean_over_runs,
    run_interval,
)
from analysis.compute.maps.shuffled_points import shuffled_points
from analysis.compute.neighbours.neighbours import METRICS
from analysis.compute.rows.cloud import Cloud, point_cloud
from analysis.compute.rows.points import OF_HELP
from analysis.results import Estimate, Scatter
from analysis.spec import CheckLine, Cost, Method, no_progress, param

PROJECTIONS = tuple(name for name in DRAWINGS if name in NAMES)
FEWEST = 12  # samples: a half must hold some


@dataclass(frozen=True)
class MapStabilityParams:
    projection: str = param("pca", "The map that is drawn again.", choices=PROJECTIONS)
    seeds: int = param(3, "Runs on the same points with another seed (none for PCA).", low=1, high=50)
    draws: int = param(4, "Runs on resampled samples; an even number shows each point in half of the halves.",
                       label="resampled runs", low=2, high=200)  # fmt: skip
    resampling: str = param(
        "half", "Halves of the samples, or as many drawn with replacement.", choices=RESAMPLING
    )
    shuffles: int = param(3, "Shuffled data sets whose stability is measured beside.", low=1, high=99)
    neighbors: int = param(15, "Neighbours on the map that should stay.", label="neighbours", low=1, high=500)
    metric: str = param("euclidean", "How neighbours are found in the data.", choices=METRICS)
    frames: bool = param(True, "Keep the aligned maps as frames of a series.")
    maximum_rows: int = param(5000, "Most points; a seeded random subset above.", low=50, high=200_000)
    of: str = param("rows", OF_HELP, label="points are", choices=("rows", "units"))


def map_stability(
    activations, params: MapStabilityParams = MapStabilityParams(), rng=None, progress=no_progress
) -> Scatter:
    """A map with how far each of its points can be relied on.

    Parameters
    ----------
    activations : Activations or array (rows, units)

    Returns
    -------
    Scatter
        The first map; columns "stability" (mean overlap), "kept over seeds", "kept over samples", "moved over seeds",
        "moved over samples" (displacement); NaN where no run shows the point. `frames`: the runs that place all
        points, laid over the first, which is last. Estimates: mean overlap and displacement with chance, and the
        overlap that maps of shuffled data reach.

    Raises
    ------
    NotEnoughData, InputError, TooLarge
        Fewer than twelve samples (neighbour maps: 31 points in a half); all points equal; too many units.
    """
    activations = as_activations(activations)
    rng = rng or np.random.default_rng(0)
    cloud = point_cloud(
        activations, rng, maximum_rows=params.maximum_rows, minimum=FEWEST, of=params.of, progress=progress,
        span=(0.0, 0.05),
    )  # fmt: skip
    seeds = 0 if params.projection in LINEAR else params.seeds
    plan = Plan(params.projection, params.metric, params.neighbors, params.resampling, seeds, params.draws)
    first, runs = all_runs(cloud.x, cloud.sample, plan, rng, progress=progress, span=(0.05, 0.7))
    few, shuffled = replace(plan, seeds=min(seeds, 1), draws=2), []
    for i in range(params.shuffles):
        part = (0.7 + 0.3 * i / params.shuffles, 0.7 + 0.3 * (i + 1) / params.shuffles)
        noise = shuffled_points(cloud, activations, params.of, rng)
        shuffled.append(all_runs(noise, cloud.sample, few, rng, keep=False, progress=progress, span=part)[1])
    estimates = []
    for name, made in runs.items():
        estimates += _estimates(name, made, [one[name] for one in shuffled], cloud, rng)
    overlaps = {name: np.stack([r.overlap for r in made]) for name, made in runs.items()}
    columns = {"stability": mean_over_runs(np.concatenate(list(overlaps.values())))}
    for name, made in runs.items():
        word = "seeds" if name == SEEDS else "samples"
        columns[f"kept over {word}"] = mean_over_runs(overlaps[name])
        columns[f"moved over {word}"] = mean_over_runs(np.stack([r.displacement for r in made]))
    frames, names = _frames(first, runs) if params.frames else (None, ())
    linear = params.projection in LINEAR
    return Scatter(
        title=f"Stability of the {NAMES[params.projection]} map of {activations.name}",
        reading=_reading(params, estimates, columns["stability"]),
        caveats=(*_caveats(params, cloud, activations), *cloud.notes),
        estimates=tuple(estimates),
        positions=first.astype(np.float32),
        rows=cloud.rows,
        of=params.of,
        axes=("PC 1", "PC 2") if linear else ("", ""),
        columns={name: column.astype(np.float32) for name, column in columns.items()},
        colour="stability",
        meaningful_axes=linear,
        frames=frames,
        frame_names=names,
    )


def _frames(first: np.ndarray, runs: dict[str, list[Run]]) -> tuple[np.ndarray | None, tuple[str, ...]]:
    whole, names = [], []
    for name, made in runs.items():
        for i, run in enumerate(made):
            if np.isfinite(run.places).all():
                whole.append(run.places)
                names.append(f"{name} {i + 1}")
    if not whole:
        return None, ()
    return np.stack([*whole, first]).astype(np.float32), (*names, "the map")


def _estimates(name: str, runs: list[Run], shuffled: list[list[Run]], cloud: Cloud, rng) -> list[Estimate]:
    n, d = cloud.x.shape
    how = "bootstrap over samples" + (" and runs" if len(runs) > 1 else ", one run")
    kept, low, high = run_interval(np.stack([r.overlap for r in runs]), cloud.sample, rng)
    noise = [float(np.mean([np.nanmean(r.overlap) for r in made])) for made in shuffled]
    moved = run_interval(np.stack([r.displacement for r in runs]), cloud.sample, rng)
    chance, closed = (
        float(np.mean([r.chance for r in runs])),
        "neighbours at random, k / (m - 1) (closed form)",
    )
    return [
        Estimate(f"neighbours kept, {name}", kept, low, high, interval=how, null=chance, null_method=closed, n=n, d=d,
                 estimator=f"mean over points and {len(runs)} run(s)"),
        Estimate(f"neighbours kept, {name}, shuffled data", float(np.mean(noise)), min(noise), max(noise),
                 interval=f"least and most of {len(noise)} shuffle(s)", n=n, d=d,
                 null=float(np.mean([r.chance for made in shuffled for r in made])), null_method=closed,
                 estimator=f"mean over points and {len(shuffled[0])} run(s) each"),
        Estimate(f"displacement, {name}", *moved, interval=how, null=float(np.mean([r.unmatched for r in runs])),
                 null_method="points exchanged before the maps are laid over each other", n=n, d=d,
                 estimator=f"mean over points and {len(runs)} run(s)", unit="spreads of the map"),
    ]  # fmt: skip


def _reading(params, estimates: list[Estimate], stability: np.ndarray) -> str:
    value, lines = {e.name: e for e in estimates}, []
    if params.projection in LINEAR:
        lines.append("Principal components have no randomness: seeds do nothing, only resampling counts.")
    for name in (SEEDS, SAMPLES):
        kept = value.get(f"neighbours kept, {name}")
        if kept is None:
            continue
        noise = value[f"neighbours kept, {name}, shuffled data"]
        moved = value[f"displacement, {name}"]
        lines.append(
            f"With {name}, {kept.value:.0%} of a point's neighbours on the map stay ({kept.null:.1%} by chance, "
            f"{noise.value:.0%} on a map of shuffled data) and a point moves by {moved.value:.2f} of the map's spread."
        )
    kept, noise = value[f"neighbours kept, {SAMPLES}"], value[f"neighbours kept, {SAMPLES}, shuffled data"]
    if kept.value <= noise.high:
        lines.append("That is no more than a map of shuffled data keeps: its neighbourhoods are no finding.")
    elif kept.value >= 0.6:
        lines.append("Other samples would show much the same neighbourhoods.")
    else:
        lines.append("Other samples would draw other neighbourhoods: believe only what stays.")
    loose = float(np.mean(stability[np.isfinite(stability)] < 0.3))
    lines.append(f"{loose:.0%} of the points keep less than 30% of their neighbours: colour by stability.")
    return " ".join(lines)


def _caveats(params, cloud: Cloud, activations) -> list[str]:
    notes = ["A stable map need not be a true one: the same distortion comes back as well."]
    if params.resampling == "half":
        notes.append(
            "A half has half as many points: with all of them neighbourhoods are somewhat more stable."
        )
    else:
        notes.append("A bootstrap repeats points, which neighbour maps draw as tight pairs.")
    if cloud.n_samples < len(cloud.x):
        notes.append("Samples are drawn whole, with all their tokens.")
    return notes


def _cost(shapes, params: MapStabilityParams) -> Cost:
    (rows, units), m = shapes[0], machine()
    n, d = (min(rows, params.maximum_rows), units) if params.of == "rows" else (units, units)
    linear = params.projection in LINEAR
    whole = drawing_seconds(n, d, params.projection)
    part = drawing_seconds(n // 2 if params.resampling == "half" else n, d, params.projection)
    seeds, again = (0, 0) if linear else (params.seeds, 1)
    runs = params.draws + seeds + params.shuffles * (2 + again)
    seconds = whole * (1 + seeds + params.shuffles * (1 + again)) + part * (
        params.draws + 2 * params.shuffles
    )
    seconds += runs * m.seconds(moved=n * (params.neighbors**2 * 4.0 + 6000)) + m.seconds(moved=n * d * 60.0)
    if params.of == "units":
        seconds += m.seconds(flops64=2.0 * rows * d * d + 80.0 * d**3)
    block = min(n, 4096) * params.neighbors**2
    return Cost(seconds + 0.05, n * d * 8 * 3.5 + n * runs * 60.0 + block + 2e6)


def _check() -> tuple[CheckLine, ...]:
    """Two strong axes come back from every half, an isotropic cloud's do not; unrelated maps share k / (m - 1)."""
    rng = np.random.default_rng(6)
    strong = rng.standard_normal((800, 12)) * np.r_[9.0, 5.0, np.full(10, 0.01)]
    firm = {e.name: e for e in map_stability(strong).estimates}
    loose = {e.name: e for e in map_stability(rng.standard_normal((800, 12))).estimates}
    kept, moved = f"neighbours kept, {SAMPLES}", f"displacement, {SAMPLES}"
    a, b = rng.standard_normal((2, 1000, 2))
    apart = compared(a, b, 15, False, rng)
    turned = compared(a, 3 * a @ np.array([[0.6, 0.8], [0.8, -0.6]]) + 7, 15, True, rng)
    return (
        CheckLine("two strong axes: neighbours kept", 0.95, firm[kept].value, 0.0, "at least"),
        CheckLine("two strong axes: displacement", 0.05, firm[moved].value, 0.0, "at most"),
        CheckLine("one round cloud: neighbours kept", 0.35, loose[kept].value, 0.0, "at most"),
        CheckLine("unrelated maps: neighbours kept", 15 / 999, float(apart.overlap.mean()), 0.004),
        CheckLine("unrelated maps: displacement as of exchanged points", apart.unmatched,
                  float(apart.displacement.mean()), 0.05),
        CheckLine("the same map turned, scaled and moved: neighbours kept", 1.0, float(turned.overlap.mean()), 0.0),
        CheckLine("the same map turned, scaled and moved: displacement", 0.0, float(turned.displacement.max()),
                  1e-12),
    )  # fmt: skip


METHODS = (
    Method(
        id="map_stability",
        family="projection",
        title="Stability of a map",
        summary="Which points of a map keep their neighbours with other seeds and other samples.",
        version=2,
        function=map_stability,
        params=MapStabilityParams,
        result=Scatter,
        check=_check,
        cost=_cost,
        minimum_rows=FEWEST,
        worker=True,
        invariance="of PCA and neighbour maps: rotating, shifting or rescaling all activations together changes the "
        "draws' numbers by chance only",
        libraries=("umap-learn", "openTSNE", "numba"),
    ),
)
