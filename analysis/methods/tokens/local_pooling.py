"""Where does a token differ from those around it? Local norm pooling on the shape.

Of token i with the K tokens k that lie nearest to it,

    f_k = (x_k - x_i) / σ,   σ² the mean square of all x_k - x_i of the sample, over units
    response_i = | Σ_k f_k exp(f_k) / Σ_k exp(f_k) | / √d      unit by unit: norm, then pooling by softmax

which is what Mamba3D adds to a token before its own weights: large where the surroundings lie to one side of the token
(edges, corners, joints), small inside what is even. Beside it how alike neighbours are: σ over the same of any two
tokens of the sample (1: the place tells nothing).

Places are those of a second tap (centres of patches), else the grid, the tokens' own units where these are two or
three, else their order.

Interval: Student's t over samples. Null: K other tokens of the sample at random in the place of the nearest; of the
spread 1, exactly, for tokens exchanged inside the sample.

When it lies: σ is the sample's own, so that a flat shape with one loud token responds there only; factors and shifts
that the network has learned for the norm are not in it (record the module itself to see these); few neighbours make it
noisy, many wash it out; at the rim all neighbours lie on one side.

Cost: O(n T² + n T K d (draws + 1)).

Reference: X. Han, Y. Tang, Z. Wang & X. Li (2024), "Mamba3D: enhancing local features for 3D point cloud analysis via
state space model".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.compute.machine import machine
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.results import Estimate, Scatter
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.pooling.token_sets import RUN
from analysis.tokens.reordered import with_also
from analysis.tokens.sets.shapes import GRID, LINE, Shapes, read_shapes

DRAWS = 3
RESPONSE, SPREAD, ORDER = "response", "distance from its neighbours", "place in the order"


@dataclass(frozen=True)
class LocalPoolingParams:
    sample: int = param(
        0, "The sample that is drawn: its place in the store, from 0.", low=0, high=1_000_000_000
    )
    neighbours: int = param(4, "Nearest tokens that are pooled.", low=1, high=256)
    maximum_samples: int = param(64, "Most samples; a seeded random subset above.", low=2, high=5000)


def local_pooling(
    *taps, params: LocalPoolingParams = LocalPoolingParams(), rng=None, progress=no_progress
) -> Scatter:
    """Tokens of one sample where they lie, coloured by their response.

    Parameters
    ----------
    *taps : one or two Activations or arrays (rows, units)
        Tokens, and coordinates of the same tokens (two or three units).

    Returns
    -------
    Scatter
        The tokens of one sample. Estimates over samples: response, and the spread of neighbours.

    Raises
    ------
    ParameterError, NotFound, InputError, NotEnoughData
        No such sample; coordinates of other tokens; fewer than two samples of two tokens, or tokens all alike.
    """
    taps, rng = [as_activations(t) for t in taps], rng or np.random.default_rng(0)
    tap, also = taps[0], params.sample // RUN if taps[0].layout.is_pooled else params.sample
    whole = tap.shape[0] // RUN if tap.layout.is_pooled else tap.layout.n_samples
    some = with_also(whole, params.maximum_samples, rng, also, tap.name) if whole > 1 else None
    shapes = read_shapes(tap, taps[1] if len(taps) > 1 else None, params.maximum_samples, rng, progress, some)
    told, shown = [], None
    for i in range(shapes.n):
        progress(0.3 + 0.65 * i / shapes.n, "pooling neighbours")
        x = shapes.tokens(i)
        near = nearest(shapes.places[i], params.neighbours)
        response, away = responses(x, near)
        told.append((response.mean(), _by_chance(x, near.shape[1], rng), _spread(x, away)))
        if shapes.sets.samples[i] == also:
            shown = i, response, away
    if shown is None:
        shown = 0, *responses(shapes.tokens(0), nearest(shapes.places[0], params.neighbours))
    progress(1.0, "done")
    return _scatter(tap, shapes, shown, np.array(told), also, params)


def nearest(places: np.ndarray, count: int) -> np.ndarray:
    """(t, k) the other tokens nearest to each by `places` (t, 1 to 3), the earlier of equals."""
    square = np.square(places).sum(axis=1)
    far = square[:, None] + square - 2 * places @ places.T
    np.fill_diagonal(far, np.inf)
    far = np.round(far / max(float(square.max()), 1e-300), 12)  # equal distances stay equal
    return np.argsort(far, axis=1, kind="stable")[:, : min(count, len(places) - 1)]


def responses(x: np.ndarray, near: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """((t,) response, (t,) root mean square distance from the neighbours over units) of x (t, d), near (t, k)."""
    way = x[near] - x[:, None]
    away = np.sqrt(np.square(way).mean(axis=(1, 2)))
    size = float(np.sqrt(np.square(way).mean()))
    if not size > 1e-9 * max(float(np.abs(x).max()), 1e-300):
        return np.zeros(len(x)), np.zeros(len(x))
    f = way / size
    weight = np.exp(f - f.max(axis=1, keepdims=True))
    pooled = (weight * f).sum(axis=1) / weight.sum(axis=1)
    return np.sqrt(np.square(pooled).mean(axis=1)), away


def _by_chance(x: np.ndarray, k: int, rng) -> float:
    """Mean response with k others at random, without one twice."""
    t, found = len(x), []
    for _ in range(DRAWS):
        keys = rng.random((t, t))
        np.fill_diagonal(keys, 2.0)
        found.append(responses(x, np.argpartition(keys, k - 1, axis=1)[:, :k])[0].mean())
    return float(np.mean(found))


def _spread(x: np.ndarray, away: np.ndarray) -> float:
    """Of neighbours over that of any two tokens; 1 where all are alike."""
    any_two = np.sqrt(2 * x.var(axis=0, ddof=1).mean())
    return float(np.sqrt(np.square(away).mean()) / any_two) if any_two > 1e-9 * np.abs(x).max() else 1.0


def _scatter(tap, shapes: Shapes, shown, told, also: int, params) -> Scatter:
    i, response, away = shown
    places, t = shapes.places[i], len(response)
    line = places.shape[1] == 1
    axes = (
        ("place in the order", "response")
        if line
        else tuple(f"place ({a})" for a in "xyz"[: places.shape[1]])
    )
    most = int(response.argmax())
    who = f"Token {most}"
    if shapes.placed == GRID:  # places are (column, -row)
        who = f"The token in row {int(-places[most, 1]) + 1}, column {int(places[most, 0]) + 1}"
        places, axes = np.add(places, [1, tap.layout.grid[0]]), ("column", "row, from the bottom")
    facts = {"n": len(told), "d": tap.shape[1], "estimator": "mean over tokens and samples"}
    estimates = (
        Estimate("response", float(told[:, 0].mean()), **mean_interval(told[:, 0], 0.0), null=float(told[:, 1].mean()),
                 null_method=f"other tokens of the sample at random, {DRAWS} draws each", **facts),
        Estimate("response less that by chance", float((told[:, 0] - told[:, 1]).mean()),
                 **mean_interval(told[:, 0] - told[:, 1]), null=0.0, null_method="places that tell nothing", **facts),
        Estimate("spread of neighbours over that of any two", float(told[:, 2].mean()),
                 **mean_interval(told[:, 2], 0.0), null=1.0, null_method="tokens exchanged inside samples", **facts),
    )  # fmt: skip
    missing = () if shapes.sets.samples[i] == also else (
        f"Sample {params.sample} has no two finite tokens: the first that has is drawn.",)  # fmt: skip
    lost = (
        "Nothing tells where tokens lie: neighbours are those in their order. Give a tap of coordinates.",
    )
    return Scatter(
        title=f"Local norm pooling of {tap.name}: sample {int(shapes.sets.samples[i])}",
        positions=np.column_stack([places, response]) if line else places, rows=np.arange(t), of="tokens", axes=axes,
        columns={RESPONSE: response, SPREAD: away, ORDER: np.arange(t)}, colour=RESPONSE, estimates=estimates,
        reading=f"{who} differs most from those around it ({response[most]:.2f}; mean {response.mean():.2f}). "
                f"Over samples neighbours are apart by {estimates[2].value:.0%} of what any two tokens are, and the "
                f"response is {estimates[0].value:.2f} ({estimates[0].null:.2f} with neighbours at random).",
        caveats=(*shapes.sets.notes, *missing, *(lost if shapes.placed == LINE else ()),
                 f"{min(params.neighbours, t - 1)} neighbours by {shapes.placed}. Factors that a network has learned "
                 "for its norm are not in the response."),
    )  # fmt: skip


def _cost(shapes, params: LocalPoolingParams) -> Cost:
    (n, d), m = shapes[0], machine()
    samples = min(max(n // RUN, 1), params.maximum_samples)
    k = min(params.neighbours, RUN - 1)
    held = 8.0 * samples * RUN * (d + 2) + 8.0 * RUN * k * d * 6 + 2e4
    return Cost(0.02 + m.seconds(moved=8.0 * n * d + samples * RUN * k * d * 80.0 * (DRAWS + 1)), held)


def _check() -> tuple[CheckLine, ...]:
    """Equal tokens answer 0; two neighbours on both sides in closed form; a shape in two halves answers at the seam; a
    rotation of the places and a factor of the tokens change nothing."""
    rng = np.random.default_rng(0)
    x, places = rng.standard_normal((10, 20, 6)), rng.standard_normal((200, 3))
    layout = Layout(np.arange(11) * 20)

    def found(x, p=places, **more):
        taps = (
            ArrayActivations(v.reshape(len(p), -1), n, layout=layout)
            for v, n in ((x, "tokens"), (p, "places"))
        )
        return local_pooling(*taps, params=LocalPoolingParams(**more))

    plain, turn = found(x), np.linalg.qr(rng.standard_normal((3, 3)))[0]
    turned = found(3 * x + 1, places @ turn)
    three = responses(np.array([[0.0], [1.0], [-1.0]]), np.array([[1, 2], [0, 2], [0, 1]]))[0]
    size = np.sqrt((1 + 1 + 1 + 4 + 1 + 4) / 6)
    one = (np.exp(1 / size) - np.exp(-1 / size)) / (np.exp(1 / size) + np.exp(-1 / size)) / size
    smooth = np.repeat(places[:, :1], 6, axis=1)
    halves = (places[:, :1] > 0) * np.ones(6)
    return (
        CheckLine("equal tokens", 0.0, float(responses(np.ones((5, 3)), nearest(places[:5], 2))[0].max()), 0.0),
        CheckLine("two neighbours at ±1", float(one), float(three[0]), 1e-12),
        CheckLine("turned, scaled and shifted: the same", 0.0,
                  float(np.abs(turned.columns[RESPONSE] - plain.columns[RESPONSE]).max()), 1e-9),
        CheckLine("noise: spread", 1.0, plain.estimates[2].value, 0.05),
        CheckLine("noise: response less chance", 0.0, plain.estimates[1].value, 0.05),
        CheckLine("a smooth field: spread", 0.8, found(smooth).estimates[2].value, 0.0, "at most"),
        CheckLine("two halves: inside, far from the seam", 0.0,
                  float(found(halves).columns[RESPONSE][np.abs(places[:20, 0]).argmax()]), 1e-9),
    )  # fmt: skip


METHODS = (
    Method(
        id="local_pooling", family="tokens", title="Local norm pooling", version=2, function=local_pooling,
        summary="Where a token differs from those around it, by places (a second tap): local norm pooling.",
        params=LocalPoolingParams, result=Scatter, check=_check, cost=_cost, minimum_rows=2 * RUN, more_inputs=True,
        most_inputs=2,
        invariance="one factor and a shift of all tokens, rotations and scale of the places, the order of samples",
        papers=("Mamba3D: Enhancing Local Features for 3D Point Cloud Analysis via State Space Model",),
    ),
)  # fmt: skip
