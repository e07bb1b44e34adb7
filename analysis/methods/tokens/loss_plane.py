"""Where on the plane of training's path is the loss low? The loss over the first two components of the weights' path.

    L(θ_T + a v_1 + b v_2),   v_1, v_2 the first principal components of the weights θ_1 … θ_T of the checkpoints

Cells with a checkpoint, at its nearest place on the plane, are framed; cells lower than all their neighbours are
hatched. The network is run with the changed weights; where it cannot be run, linear probes stand for it (as along the
path). Told are the share of the path's variance that lies in the plane, how far below the last checkpoint the lowest
cell is, and how much higher the loss is on the plane than at the checkpoints themselves.

Interval: Student's t over samples; the lowest of many cells is chosen on one half of the samples and told of the other.
Null: of a cell the loss as far away on a
plane of random directions that are as long in every tensor; of the share a random walk with the same steps at right
angles, whose first component has near 6 / π² = 61 % and the first two near 76 %; of the differences 0.

When it lies: two of millions of directions; a random walk has most of its variance in a plane too, so that a large
share says nothing by itself; components of checkpoints that were taken in even steps of a long run curve like cosines;
checkpoints lie beside the plane, and the loss under them is not theirs; units can be scaled without a change of the
network; running means of batch norms move along.

Cost: opening each checkpoint, then a pass of each sample for every cell, (1 + draws) side² + 2 checkpoints.

References: H. Li, Z. Xu, G. Taylor, C. Studer & T. Goldstein (2018), "Visualizing the loss landscape of neural nets";
J. Antognini & J. Sohl-Dickstein (2018); S. Maity et al. (2025), "Kolmogorov-Arnold attention".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.machine import machine
from analysis.compute.networks.optimiser_path import PathComponents, path_components, random_like, walk_shares
from analysis.compute.rows.tap_names import checkpoint_names
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.errors import InputError, NotEnoughData
from analysis.results import Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.networks.loss_field import FEWEST, Landscape, loss_field
from analysis.tokens.networks.plane_told import Plane, lowest, plane_estimates, plane_reading

OPENING, PASS = 1.5, 1e-3  # seconds
LISTED = 12  # checkpoints whose places are told


@dataclass(frozen=True)
class LossPlaneParams:
    side: int = param(13, "Cells along each component.", low=5, high=51)
    reach: float = param(0.3, "How far beyond the path the plane goes, in its lengths.", low=0.0, high=5.0)
    maximum_samples: int = param(64, "Most samples that the loss is of.", low=20, high=5000)
    draws: int = param(
        1, "Planes of random directions that cells are compared with.", low=1, high=20, late=True
    )
    column: str = param(
        "label", "Classes of probes, where the network cannot be run.", column=True, late=True
    )


def loss_plane(*taps, params: LossPlaneParams = LossPlaneParams(), rng=None, progress=no_progress) -> Matrix:
    """Loss over the plane of the first two components of a series of checkpoints.

    Parameters
    ----------
    *taps : three or more Activations or arrays (rows, units)
        Taps of the checkpoints in their order, of networks that can be run again; of others labelled rows, which probes
        are fitted to.

    Returns
    -------
    Matrix
        Mean loss (nats): columns along the first component, rows along the second, its far end on top. Estimates: the
        share of the path in the plane, the lowest cell, the loss below the checkpoints.

    Raises
    ------
    InputError, ShapeError, NotFound, NotEnoughData
        Checkpoints that are alike, on one line, or of other tensors; neither a loss nor labels; fewer than 20 samples.
    """
    taps, rng = [as_activations(t) for t in taps], rng or np.random.default_rng(0)
    names = checkpoint_names([t.name for t in taps])
    progress(0.0, "opening checkpoints")
    field = loss_field(taps, names, params, rng, lambda f: progress(0.3 * f, "opening checkpoints"))
    path = path_components(field.vectors)
    if len(path.axes) < 2:
        found = "on one line" if len(path.axes) else "alike"
        raise InputError(
            f"weights of {names[0]} to {names[-1]} that are {found}", "a path that turns",
            "Look at the loss along the path, or choose more checkpoints",
        )  # fmt: skip
    done = iter(range(10**7))
    total = params.side**2 * (1 + params.draws) + 2 * len(names)

    def loss(weights: np.ndarray) -> np.ndarray:
        progress(min(0.3 + 0.7 * next(done) / total, 1.0), "running the network with other weights")
        return field.loss(weights)

    plane, lost = measured(field, path, loss, params, rng)
    progress(1.0, "done")
    return _matrix(field, path, plane, names, lost)


def measured(field: Landscape, path: PathComponents, loss, params, rng) -> tuple[Plane, int]:
    """(losses over the plane, samples that were left out as some loss of theirs is not finite)."""
    last = field.vectors[-1].astype(np.float64)
    x, y = (_axis(path.places[:, j], params) for j in (0, 1))
    own = over(loss, last, path.axes, x, y)
    drawn = [
        over(loss, last, [random_like(axis, field.parts, rng) for axis in path.axes], x, y)
        for _ in range(params.draws)
    ]
    at = np.stack([loss(v.astype(np.float64)) for v in field.vectors])
    below = np.stack([loss(last + place @ path.axes) for place in path.places])
    every = [own, *drawn, at, below]
    good = np.all([np.isfinite(v).reshape(-1, v.shape[-1]).all(axis=0) for v in every], axis=0)
    if good.sum() < 4:
        raise NotEnoughData(
            f"{int(good.sum())} samples of which {field.what} has a loss", "four", "Record labels"
        )
    half = np.zeros(int(good.sum()), bool)
    half[rng.permutation(len(half))[: len(half) // 2]] = True
    chance = np.mean([v[..., good].mean(axis=-1) for v in drawn], axis=0)
    return Plane(x, y, own[..., good], chance, at[:, good], below[:, good], half), int((~good).sum())


def _axis(places: np.ndarray, params) -> np.ndarray:
    low, high = min(places.min(), 0.0), max(places.max(), 0.0)
    more = params.reach * (high - low)
    return np.linspace(low - more, high + more, params.side)


def over(loss, last: np.ndarray, axes, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(y, x, n) losses on a plane through the weights `last`."""
    return np.stack([[loss(last + a * axes[0] + b * axes[1]) for a in x] for b in y])


def _matrix(field: Landscape, path: PathComponents, plane: Plane, names, lost: int) -> Matrix:
    means = plane.own.mean(axis=2)
    ends = [mean_interval(cell, 0.0) for cell in plane.own.reshape(-1, plane.own.shape[2])]
    low, high = (np.array([e[side] for e in ends]).reshape(means.shape) for side in ("low", "high"))
    told = plane_estimates(field.vectors.shape[1], path, plane, names)
    rows = slice(None, None, -1)  # the second component rises upwards
    return Matrix(
        title=f"Loss over the plane of the path from {names[0]} to {names[-1]}, {field.what}",
        values=means[rows], row_names=_said(plane.y, "second")[rows], column_names=_said(plane.x, "first"),
        value_name="loss (nats)", null=plane.chance[rows], low=low[rows], high=high[rows],
        few=lowest(means)[rows], few_means="lower than all cells around them",
        outlines=_framed(path.places, plane), outline_name="checkpoints, each at its nearest place on the plane",
        estimates=told, reading=plane_reading(told, plane, names),
        caveats=(*field.notes, *([f"{lost} sample(s) without a finite loss left out."] if lost else []),
                 _way(path.places, names), "Distances are lengths of weights. Checkpoints lie beside the plane, and "
                 "the loss of a framed cell is not theirs."),
    )  # fmt: skip


def _way(places: np.ndarray, names) -> str:
    """Where the path goes, of long ones a part."""
    some = np.unique(np.linspace(0, len(names) - 1, min(len(names), LISTED)).astype(int))
    said = "; ".join(f"{names[i]} {places[i, 0]:+.3g}, {places[i, 1]:+.3g}" for i in some)
    return f"The path, along the first and the second component: {said}."


def _said(places: np.ndarray, which: str) -> tuple[str, ...]:
    return tuple(f"{which} {place:+.3g}" for place in places)


def _framed(places: np.ndarray, plane: Plane) -> np.ndarray:
    """(k, 4) cells nearest to the checkpoints `places` (S, 2), rows counted from the top, each once."""
    columns, rows = (
        np.abs(line[:, None] - p).argmin(axis=0) for line, p in zip((plane.x, plane.y), places.T, strict=True)
    )
    rows = len(plane.y) - 1 - rows
    return np.unique(np.stack([rows, rows + 1, columns, columns + 1], axis=1), axis=0)


def _cost(shapes, params: LossPlaneParams) -> Cost:
    n, s, m = shapes[-1][0], len(shapes), machine()
    cells, samples = params.side**2, min(n, params.maximum_samples)
    evals = cells * (1 + params.draws) + 2 * s
    rows = sum(min(a, 2000) * b for a, b in shapes)
    seconds = OPENING * s + PASS * samples * evals + m.seconds(moved=60.0 * sum(a * b for a, b in shapes))
    return Cost(seconds, 40.0 * rows / s + 8.0 * samples * evals * 3 + 1e5, samples * evals)


def _planted(side: int) -> tuple[PathComponents, Plane]:
    """Weights of five tensors walked in the plane of the first two, in a bowl whose bottom is at 1, 0.5."""
    h, bottom = np.array([3.0, 1.0, 0.5, 0.25, 4.0]), np.array([1.0, 0.5, 0, 0, 0])
    angle = np.linspace(0, 2, 6)[:, None]
    vectors = np.concatenate([4 * np.cos(angle), np.sin(angle), np.zeros((6, 3))], axis=1)
    bowl = Landscape(vectors, np.zeros(5, int), lambda w: np.full(8, h @ (w - bottom) ** 2), "a bowl", ())
    path, params = path_components(vectors), LossPlaneParams(side=side, reach=1.0)
    return path, measured(bowl, path, bowl.loss, params, np.random.default_rng(0))[0]


def _check() -> tuple[CheckLine, ...]:
    """A bowl: cells are its values, its bottom is the lowest cell and the only minimum; a path in a plane has all of
    its variance there; a random walk 6/π² and 1.5/π², on average of walks that are drawn too."""
    h, bottom = np.array([3.0, 1.0]), np.array([1.0, 0.5])
    path, plane = _planted(41)
    end = np.array([4 * np.cos(2.0), np.sin(2.0)])
    cells = end + plane.x[None, :, None] * path.axes[0, :2] + plane.y[:, None, None] * path.axes[1, :2]
    exact = (h * (cells - bottom) ** 2).sum(axis=2)
    row, column = np.unravel_index(plane.own.mean(axis=2).argmin(), exact.shape)
    step = max(np.diff(plane.x)[0], np.diff(plane.y)[0])
    walk = np.cumsum(np.random.default_rng(1).standard_normal((60, 4000)), axis=0)
    drawn = path_components(walk)
    return (
        CheckLine("cells are the bowl", 0.0, float(np.abs(plane.own[..., 0] - exact).max()), 1e-9),
        CheckLine("the bottom is found to a cell", 0.0, float(np.abs(cells[row, column] - bottom).max()),
                  float(step)),
        CheckLine("cells lower than their neighbours", 1.0, float(lowest(plane.own.mean(axis=2)).sum()), 0.0),
        CheckLine("a path in a plane: share of the plane", 1.0, float(path.shares.sum()), 1e-12),
        CheckLine("checkpoints in the plane: loss below them", 0.0,
                  float(np.abs(plane.below - plane.at).max()), 1e-9),
        CheckLine("a random walk: first share", 6 / np.pi**2, float(walk_shares(np.ones(60))[0]), 0.01),
        CheckLine("a drawn walk: share of the plane", 7.5 / np.pi**2, float(drawn.shares.sum()), 0.03),
    )  # fmt: skip


METHODS = (
    Method(
        id="loss_plane", family="tokens", title="Loss over the plane of training", version=1, function=loss_plane,
        summary="Loss over the first two components of a series of checkpoints, with the path, minima and shares.",
        params=LossPlaneParams, result=Matrix, check=_check, cost=_cost, inputs=3, more_inputs=True, most_inputs=64,
        matches="nothing", checkpoints=True, minimum_rows=FEWEST,
        invariance="the order of samples; one rotation of the weights of all checkpoints",
        papers=("Kolmogorov-Arnold Attention: Is Learnable Attention Better For Vision Transformers?",),
        libraries=("torch", "transformers"),
    ),
)  # fmt: skip
