"""What does pooling tokens to a shape T x h x w do to their lengths and to the answer? Space pooled alone, time alone,
and the shape asked for.

Tokens behind the second layer are averaged in cells of time, rows and columns, as equal as can be; the network goes on
with the means.

    length   Σ_cells |mean of the cell| / Σ_cells mean length in it: at most 1, 1 at its own shape, about 1 / √s for s
             independent tokens in a cell
    answer   cosine between the answers with pooled tokens and with all

Interval: Student's t over samples. Null: of lengths cells of as many tokens of the sample in another order; of the
answer as many tokens kept at random behind the same layer.

When it lies: pooled lengths follow how alike neighbours are, and say nothing of what a mean lost; a common offset of
all tokens keeps means long; images are videos of one frame; of rows without a network there
is no answer, and samples in a row stand for frames where no column names clips.

Cost: two passes of the network for each sample and shape.

Reference: L. Xu, Y. Zhao, D. Zhou, Z. Lin, S. K. Ng & J. Feng (2024), "PLLaVA: parameter-free LLaVA extension from
images to videos for video dense captioning".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.compute.machine import machine
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.compute.streaming import refuse_few
from analysis.errors import ParameterError
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.pooling.nested_grids import cell_means
from analysis.tokens.pooling.pooled_volumes import volumes
from analysis.tokens.pooling.volume_rule import Shape, ladder
from analysis.tokens.pooling.weighted_volume import volume_cells
from analysis.tokens.sets.clips import CLIP_HELP, FRAME_HELP, FRAMES_HELP
from analysis.tokens.subject import AUTOMATIC, SOURCES

OPENING, FEWEST = 6.0, 2  # seconds; samples
LENGTH, ANSWER, SPACE, TIME = "length", "answer", "space pooled", "time pooled"


@dataclass(frozen=True)
class PooledShapesParams:
    times: int | None = param(
        None, "Cells along time of the shape that is asked for; automatic: all frames.", low=1, high=10_000
    )
    rows: int | None = param(None, "Cells along rows; automatic: half of them.", low=1, high=512)
    columns: int | None = param(None, "Cells along columns; automatic: half of them.", low=1, high=512)
    maximum_samples: int = param(24, "Most samples or clips; a seeded random subset above.", low=2, high=2000)
    source: str = param(
        AUTOMATIC, "Whose tokens: the network's, or the recorded rows.", choices=SOURCES, late=True
    )
    clip: str | None = param(None, CLIP_HELP, column=True, late=True)
    frame: str | None = param(None, FRAME_HELP, column=True, late=True)
    frames: int | None = param(None, FRAMES_HELP, low=2, high=100_000, late=True)


def pooled_shapes(
    activations, params: PooledShapesParams = PooledShapesParams(), rng=None, progress=no_progress
) -> Curve:
    """Lengths and answers over shapes.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Any tap of a transformer that can be run again; otherwise its tokens, as clips of frames.

    Returns
    -------
    Curve
        Over the share of tokens left: length of pooled tokens and, of a network, cosine of the answer, with space
        pooled alone and with time pooled alone. Estimates: both at the shape asked for.

    Raises
    ------
    ParameterError, NotFound, NotEnoughData
        A shape larger than that of the tokens; no such column; fewer than two samples.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    who, notes = volumes(tap, params, rng, lambda f, doing="": progress(0.2 * f, doing))
    refuse_few(tap.name, who.n, FEWEST, "sample(s) or clip(s)")
    asked = _asked(who.shape, params)
    lines = {SPACE: ladder(who.shape, False), TIME: ladder(who.shape, True)}
    lines = {name: shapes for name, shapes in lines.items() if len(shapes) > 1} or {SPACE: [who.shape]}
    every = list(dict.fromkeys([asked, *(s for shapes in lines.values() for s in shapes)]))
    found: dict[Shape, list[tuple]] = {s: [] for s in every}
    for k in range(who.n):
        one = who.read(k)
        for j, shape in enumerate(every):
            progress(0.2 + 0.8 * (k + j / len(every)) / who.n, "pooling to shapes")
            found[shape].append(_measured(one, shape, rng))
    progress(1.0, "done")
    each = {s: np.array(v, float) for s, v in found.items()}  # (n, 4): length, its null, answer, its null
    return _curve(tap, who, asked, lines, each, (*notes, *who.notes))


def _asked(shape: Shape, params) -> Shape:
    given = (params.times, params.rows, params.columns)
    usual = (shape[0], max(shape[1] // 2, 1), max(shape[2] // 2, 1))
    asked = tuple(u if g is None else g for g, u in zip(given, usual, strict=True))
    if any(a > s for a, s in zip(asked, shape, strict=True)):
        raise ParameterError(
            f"a shape of {_said(asked)}", f"at most {_said(shape)}, the tokens that there are", "Ask for fewer cells"
        )  # fmt: skip
    return asked


def _said(shape: Shape) -> str:
    return " x ".join(map(str, shape))


def shrinking(x: np.ndarray, present: np.ndarray, cell: np.ndarray) -> float:
    """Lengths of the means of cells over mean lengths in them, of tokens x (P, d) in `cell` (P,); 1 where all are 0."""
    means, inside = cell_means(x[None], present[None], cell)
    usual = cell_means(np.linalg.norm(x, axis=1)[None, :, None], present[None], cell)[0].sum()
    return float(np.linalg.norm(means, axis=2)[inside > 0].sum() / usual) if usual > 0 else 1.0


def _measured(one, shape: Shape, rng) -> tuple[float, float, float, float]:
    cell = volume_cells(one.shape, shape)
    there = np.flatnonzero(one.present)
    mixed = one.x.copy()
    mixed[there] = one.x[rng.permutation(there)]
    own, by_chance = shrinking(one.x, one.present, cell), shrinking(mixed, one.present, cell)
    return own, by_chance, *one.answers(shape, rng)


def _curve(tap, who, asked: Shape, lines, each, notes) -> Curve:
    whole = np.prod(who.shape)
    share = {s: float(np.prod(s) / whole) for s in each}
    x = np.array(sorted({share[s] for shapes in lines.values() for s in shapes}))
    place = {v: i for i, v in enumerate(x)}
    series, low, high, null = {}, {}, {}, {}
    for line, shapes in lines.items():
        for what, at in ((LENGTH, 0), (ANSWER, 2)) if who.answers else ((LENGTH, 0),):
            name = f"{what}, {line}"
            y, a, b, chance = np.full((4, len(x)), np.nan)
            for s in shapes:
                values, i = each[s][:, at], place[share[s]]
                ends = mean_interval(values, 0.0 if at == 0 else -1.0, 1.0)
                y[i], a[i], b[i] = (
                    values.mean(),
                    ends.get("low", values.mean()),
                    ends.get("high", values.mean()),
                )
                chance[i] = each[s][:, at + 1].mean()
            series[name], low[name], high[name], null[name] = y, a, b, chance
    told = _estimates(who, asked, each[asked], tap.shape[1])
    return Curve(
        title=f"Tokens of {tap.name} pooled to shapes of {_said(who.shape)}", x=x, x_name="share of tokens left",
        y_name="length kept · cosine of the answer", series=series, low=low, high=high, null=null,
        joined=True, log_x=len(x) > 1, estimates=told, caveats=(*notes, *_caveats(who)),
        reading=_reading(who, asked, told),
    )  # fmt: skip


def _estimates(who, asked: Shape, values: np.ndarray, d: int) -> tuple[Estimate, ...]:
    n, at = len(values), f"pooled to {_said(asked)}"
    out = [
        Estimate(f"length, {at}", float(values[:, 0].mean()), **mean_interval(values[:, 0], 0.0, 1.0),
                 null=float(values[:, 1].mean()), null_method="tokens of a sample in another order", n=n, d=d,
                 estimator="of pooled tokens over mean length, mean over samples"),
    ]  # fmt: skip
    if who.answers:
        gain = values[:, 2] - values[:, 3]
        out += [
            Estimate(f"answer, {at}", float(values[:, 2].mean()), **mean_interval(values[:, 2], -1.0, 1.0),
                     null=float(values[:, 3].mean()), null_method="as many tokens kept at random behind the same layer",
                     n=n, d=d, estimator="cosine to the answer with all tokens, mean over samples"),
            Estimate("nearer than random tokens", float(gain.mean()), **mean_interval(gain), null=0.0,
                     null_method="no difference", n=n, d=d, estimator="difference of cosines, mean over samples"),
        ]  # fmt: skip
    return tuple(out)


def _reading(who, asked: Shape, told) -> str:
    first = told[0]
    said = (
        f"Pooled from {_said(who.shape)} to {_said(asked)} (time x rows x columns), tokens keep {first.value:.0%} of "
        f"their length (in another order {first.null:.0%})"
    )
    if not who.answers:
        return f"{said}; no network answers."
    return (
        f"{said}, and the answer has cosine {told[1].value:.3f} to that with all tokens (as many tokens at random "
        f"{told[1].null:.3f})."
    )


def _caveats(who) -> list[str]:
    said = []
    if who.shape[0] == 1:
        said.append("There is one frame: only space can be pooled.")
    if who.answers:
        said.append("Tokens are pooled behind the second layer; class token and text stay as they are.")
    return said


def _cost(shapes, params: PooledShapesParams) -> Cost:
    (n, k), m = shapes[0], machine()
    passes = 8 * params.maximum_samples
    held = 20.0 * n * k + 300.0 * n + 1e5  # of a network its own memory comes on top
    return Cost(OPENING + m.seconds(flops64=1e7 * passes, moved=8.0 * n * k), held, passes)


def _check() -> tuple[CheckLine, ...]:
    """Clips of 4 frames of 2 x 2: to their own shape nothing happens; equal tokens keep their length; of tokens ± in
    turn along time pairs vanish, across space none; independent tokens of one cell keep about 1 / √16."""
    rng = np.random.default_rng(0)

    def found(x, **more):
        tap = ArrayActivations(x.reshape(-1, x.shape[-1]), name="planted",
                               layout=Layout(np.arange(len(x) + 1) * 16, grid=(8, 2)))  # fmt: skip
        return pooled_shapes(tap, PooledShapesParams(frames=4, **more)).estimates[0].value

    free = rng.standard_normal((40, 16, 200))
    turns = np.ones((3, 4, 4, 5)) * np.array([1.0, -1, 1, -1])[None, :, None, None]
    return (
        CheckLine("to its own shape", 1.0, found(free, times=4, rows=2, columns=2), 1e-12),
        CheckLine("equal tokens", 1.0, found(np.ones((3, 16, 5)), times=1, rows=1, columns=1), 1e-12),
        CheckLine("± in turn: time pooled by two", 0.0, found(turns, times=2, rows=2, columns=2), 1e-12),
        CheckLine("± in turn: space pooled", 1.0, found(turns, times=4, rows=1, columns=1), 1e-12),
        CheckLine("sixteen independent tokens", 0.25, found(free, times=1, rows=1, columns=1), 0.01),
    )


METHODS = (
    Method(
        id="pooled_shapes", family="tokens", network="blocks", title="Tokens pooled to a shape", version=2,
        function=pooled_shapes,
        summary="Tokens averaged to time x rows x columns: what becomes of their lengths, and of the answer.",
        params=PooledShapesParams, result=Curve, check=_check, cost=_cost, minimum_rows=32,
        invariance="one scale for all tokens; the order of samples",
        papers=("PLLaVA : Parameter-free LLaVA Extension from Images to Videos for Video Dense Captioning",),
        libraries=("torch", "transformers"),
    ),
)  # fmt: skip
