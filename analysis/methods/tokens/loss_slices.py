"""What is the loss along the path of training? Slices through the last checkpoint along components of the path.

    L(θ_T + a v_j),   v_1, v_2 the first principal components of the weights θ_1 … θ_T of the checkpoints

with the loss of each checkpoint where the path lies along the first component, the barrier on the straight line from
the first checkpoint to the last, max L - (1 - t) L_1 - t L_T, and the curvature along components at the end. The
network is run with the changed weights. Where it cannot be run, the path is one of linear probes of each tap's classes,
and the loss that of the last tap.

Interval: Student's t over samples. Null: slices along random directions with as much of their length in every tensor,
and of a curvature the range that 95 % of more such directions have, at three places each; of a component's share of
the path a random walk with the same steps at right angles, whose first component has most of it too (near 61 %); a
barrier of 0; the loss of the first checkpoint.

When it lies: two components are two of millions of directions, and what is flat there need not be flat; a random walk
looks like a path with a direction (compare the share with its null); units can be scaled without any change of the
network, and then curvatures mean nothing by themselves; what is no weight (running means of batch norms)
moves along; the loss is that of a few samples.

Cost: opening each checkpoint, then a pass of each sample for every place: (places + checkpoints) x (2 + 2 draws), and
for both neighbours of the end along every random direction.

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
from analysis.results import Curve
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.networks.loss_field import FEWEST, Landscape, loss_field
from analysis.tokens.networks.slices_told import (
    BENT,
    LINE,
    NAMES,
    PATH,
    RANDOM,
    bend_places,
    bent_at,
    second,
    slice_estimates,
    slice_reading,
)

OPENING, PASS = 1.5, 1e-3  # seconds


@dataclass(frozen=True)
class LossSlicesParams:
    places: int = param(11, "Places along each component.", low=5, high=101)
    reach: float = param(0.5, "How far beyond the path slices go, in its lengths.", low=0.0, high=5.0)
    maximum_samples: int = param(64, "Most samples that the loss is of.", low=20, high=5000)
    draws: int = param(2, "Random directions drawn for each component.", low=1, high=20, late=True)
    directions: int = param(
        19, "Random directions that each curvature is compared with.", low=19, high=500, late=True
    )
    column: str = param(
        "label", "Classes of probes, where the network cannot be run.", column=True, late=True
    )


def loss_slices(
    *taps, params: LossSlicesParams = LossSlicesParams(), rng=None, progress=no_progress
) -> Curve:
    """Loss along the principal components of a series of checkpoints.

    Parameters
    ----------
    *taps : three or more Activations or arrays (rows, units)
        Taps of the checkpoints in their order, of networks that can be run again; of others labelled rows, which probes
        are fitted to.

    Returns
    -------
    Curve
        x = distance from the last checkpoint in weights, lines for both components and the path, random directions as
        null. Estimates: shares of the path, losses, barrier, curvature.

    Raises
    ------
    InputError, ShapeError, NotFound, NotEnoughData
        Checkpoints that are alike, or of other tensors; neither a loss nor labels; fewer than 20 samples.
    """
    taps, rng = [as_activations(t) for t in taps], rng or np.random.default_rng(0)
    names = checkpoint_names([t.name for t in taps])
    progress(0.0, "opening checkpoints")
    field = loss_field(taps, names, params, rng, lambda f: progress(0.3 * f, "opening checkpoints"))
    path = path_components(field.vectors)
    if not len(path.axes):
        raise InputError(f"{names[0]} to {names[-1]} have the same weights", "checkpoints that differ")
    x = _axis(path.places[:, 0], params)
    done = iter(range(10**6))
    total = (len(x) * (1 + params.draws) + 3 * params.directions) * len(path.axes) + len(names) + LINE + 1

    def loss(weights: np.ndarray) -> np.ndarray:
        progress(min(0.3 + 0.7 * next(done) / total, 1.0), "running the network with other weights")
        return field.loss(weights)

    made = _slices(field, path, x, loss, params, rng)
    progress(1.0, "done")
    return _curve(field, path, x, made, names)


def _axis(places: np.ndarray, params) -> np.ndarray:
    low, high = min(places.min(), 0.0), max(places.max(), 0.0)
    more = params.reach * (high - low)
    return np.unique(np.concatenate([np.linspace(low - more, high + more, params.places), places, [0.0]]))


def _slices(field: Landscape, path: PathComponents, x, loss, params, rng) -> dict:
    """Losses (places, n) by what they are along."""
    last, out = field.vectors[-1].astype(np.float64), {}
    three = x[bend_places(x, int(np.searchsorted(x, 0.0)))]
    out[PATH] = np.stack([loss(v.astype(np.float64)) for v in field.vectors])
    for j, axis in enumerate(path.axes):
        out[NAMES[j]] = np.stack([loss(last + a * axis) for a in x])
        others = [random_like(axis, field.parts, rng) for _ in range(params.draws)]
        out[NAMES[j], RANDOM] = np.mean([[loss(last + a * o) for a in x] for o in others], axis=0)
        others = (random_like(axis, field.parts, rng) for _ in range(params.directions))
        out[NAMES[j], BENT] = np.stack(
            [
                second(three, np.stack([loss(last + a * o) if a else out[PATH][-1] for a in three]))
                for o in others
            ]
        )
    first = field.vectors[0].astype(np.float64)
    t = np.linspace(0, 1, LINE + 2)[1:-1]
    out["line"] = np.stack(
        [loss((1 - s) * first + s * last) - (1 - s) * out[PATH][0] - s * out[PATH][-1] for s in t]
    )
    good = np.all([np.isfinite(v).all(axis=0) for v in out.values()], axis=0)
    if good.sum() < 2:
        raise NotEnoughData(
            f"{int(good.sum())} samples of which {field.what} has a loss", "two", "Record labels"
        )
    return {k: v[:, good] for k, v in out.items()} | {"lost": int((~good).sum())}


def _curve(field: Landscape, path: PathComponents, x, made: dict, names) -> Curve:
    lost = made.pop("lost")
    series, null, low, high = {}, {}, {}, {}
    on = np.searchsorted(x, path.places[:, 0])
    for name in (*NAMES[: len(path.axes)], PATH):
        ends = [mean_interval(v, 0.0) for v in made[name]]
        for out, y in ((series, made[name].mean(axis=1)), (low, np.array([e["low"] for e in ends])),
                       (high, np.array([e["high"] for e in ends]))):  # fmt: skip
            out[name] = y
            if name == PATH:
                out[name] = np.full(len(x), np.nan)
                out[name][on] = y
        if name != PATH:
            null[name] = made[name, RANDOM].mean(axis=1)
    told = slice_estimates(field.vectors.shape[1], path, x, made, names)
    return Curve(
        title=f"Loss along the path from {names[0]} to {names[-1]}, {field.what}", x=x,
        x_name=f"distance from {names[-1]} along a component, in weights", y_name="loss (nats)",
        series=series, low=low, high=high, null=null, joined=True, controls=(PATH,),
        marks={NAMES[0]: path.places[:, 0]}, mark_name="checkpoints", estimates=told,
        reading=slice_reading(told, names),
        caveats=(*field.notes, *([f"{lost} sample(s) without a finite loss left out."] if lost else []),
                 f"Dashed: {RANDOM}. The path lies along the first component, and beside it."),
    )  # fmt: skip


def _cost(shapes, params: LossSlicesParams) -> Cost:
    n, s, m = shapes[-1][0], len(shapes), machine()
    evals = (params.places + s + 1) * 2 * (1 + params.draws) + 4 * params.directions + s + LINE
    rows = sum(min(a, 2000) * b for a, b in shapes)
    samples = min(n, params.maximum_samples)
    seconds = OPENING * s + PASS * samples * evals + m.seconds(moved=60.0 * sum(a * b for a, b in shapes))
    return Cost(seconds, 40.0 * rows / s + 8.0 * samples * evals * 3 + 1e5, samples * evals)


def _check() -> tuple[CheckLine, ...]:
    """A bowl Σ h_i θ_i² walked down one axis: the slice is its parabola and no barrier; two wells with a hill between
    have it as barrier; the walk at right angles has the shares of a random walk."""
    h = np.array([3.0, 1.0, 0.5, 0.25])
    vectors = np.outer([-2.0, -1.0, 0.0], [1.0, 0, 0, 0])
    bowl = Landscape(vectors, np.zeros(4, int), lambda w: np.full(3, float(h @ w**2)), "a bowl", ())
    path, rng, params = path_components(vectors), np.random.default_rng(0), LossSlicesParams(places=5)
    x = _axis(path.places[:, 0], params)
    made = _slices(bowl, path, x, bowl.loss, params, rng)
    by = {e.name: e for e in slice_estimates(4, path, x, made, "abc")}
    at, height = np.array([[-1.0], [0.9], [1.0]]), lambda w: np.full(3, float((w[0] ** 2 - 1) ** 2))
    wells = Landscape(at, np.zeros(1, int), height, "wells", ())
    hill = path_components(wells.vectors)
    found = _slices(wells, hill, _axis(hill.places[:, 0], params), wells.loss, params, rng)
    steps = np.ones(60)
    return (
        CheckLine("one way: share of the first component", 1.0, float(path.shares[0]), 1e-12),
        CheckLine(
            "the slice is the parabola",
            0.0,
            float(np.abs(made[NAMES[0]].mean(axis=1) - 3 * x**2).max()),
            1e-9,
        ),
        CheckLine(
            "its curvature", 6.0, float(bent_at(x, made[NAMES[0]], int(np.searchsorted(x, 0.0))).mean()), 1e-9
        ),
        CheckLine("a bowl has no barrier", 0.0, by["barrier on the straight line"].value, 0.0, "at most"),
        CheckLine("two wells: the hill between them", 1.0, float(found["line"].mean(axis=1).max()), 1e-9),
        CheckLine("a random walk: first share", 6 / np.pi**2, float(walk_shares(steps)[0]), 0.01),
        CheckLine("and second", 1.5 / np.pi**2, float(walk_shares(steps)[1]), 0.01),
    )


METHODS = (
    Method(
        id="loss_slices", family="tokens", title="Loss along the path of training", version=3, function=loss_slices,
        summary="Loss along components of a series of checkpoints, beside random directions; barrier and shares.",
        params=LossSlicesParams, result=Curve, check=_check, cost=_cost, inputs=3, more_inputs=True, most_inputs=64,
        matches="nothing", checkpoints=True, minimum_rows=FEWEST,
        invariance="the order of samples; one rotation of the weights of all checkpoints",
        papers=("Kolmogorov-Arnold Attention: Is Learnable Attention Better For Vision Transformers?",),
        libraries=("torch", "transformers"),
    ),
)  # fmt: skip
