"""Which layer of a network finds the moments of a query in a video? Similarity over layers and time, beside the truth.

    s_t = cos(frame_t - m, query - m')      by layer; frame_t the mean of the frame's tokens
    AUROC: share of pairs of a frame inside the moment and one outside in which the first is higher

Frames are samples. A column of them says what is to be found in a frame (the id, text or label of a query; empty:
nothing). The queries are the samples of the last tap where it is of other samples than the frames (text embeddings, as
wide as the layers, m and m' 0); else a query is the mean of its frames in all *other* clips, at each layer, whatever
its width, m and m' the mean of all frames. A video that stands still gives flat rows. No frame sees another here.

Interval: jackknife over clips; Wilson's, clips as draws, where all say the same. Null: the moments
of each clip turned in a circle by a random number of frames, which keeps their lengths and how alike neighbours are;
for the best layer the best of all layers after each turn. All queries of a clip are turned together, and queries
that are means of frames are made again of the frames then inside. Cells of the table
count after Benjamini-Hochberg at 5 %.

When it lies: a layer that is as wide as the text embedding need not share its space: deep inside CLIP it does not, and
half and less says so; few moments leave little to tell layers apart; moments of one clip cut from one scene are easy.

Cost: O(layers n d + layers queries clips F³).

Reference: Y. Liu, J. He, W. Li, J. Kim, D. Wei, H. Pfister & C. W. Chen (2024), "R²-Tuning: efficient image-to-video
transfer learning for video temporal grounding".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.machine import machine
from analysis.compute.statistics.multiple_testing import benjamini_hochberg
from analysis.compute.statistics.nulls import add_one_p, wilson
from analysis.compute.statistics.sample_groups import jackknife_half
from analysis.errors import NotEnoughData
from analysis.results import Estimate, Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.sets.clips import CLIP_HELP, FRAME_HELP, RUN
from analysis.tokens.sets.localising import Found, Frames, find, frames_of
from analysis.tokens.sets.moments import auroc

MAP, TABLE, LEVEL = "one clip: layers over time", "layers over queries", 0.05


@dataclass(frozen=True)
class FrameLocalisationParams:
    show: str = param(MAP, "What is drawn.", choices=(MAP, TABLE))
    sample: int = param(0, "The clip, or a frame of it.", low=0, high=1_000_000_000)
    query: str | None = param(
        None, "Its id, text or label; automatic: what occurs first in the clip, else in all clips."
    )
    moments: str | None = param(
        None, "Says of each frame what is to be found in it; automatic: 'moment', 'query' or 'label'.", column=True
    )  # fmt: skip
    draws: int = param(400, "Random turns of the moments.", low=20, high=20_000)
    maximum_clips: int = param(50, "Most clips; a seeded random subset above.", low=1, high=2000)
    clip: str | None = param(None, CLIP_HELP, column=True, late=True)
    frame: str | None = param(None, FRAME_HELP, column=True, late=True)


def frame_localisation(
    *taps, params: FrameLocalisationParams = FrameLocalisationParams(), rng=None, progress=no_progress
) -> Matrix:
    """Layers over time, or over queries.

    Parameters
    ----------
    *taps : Activations or arrays (rows, units)
        Layers of one recording, of frames; last, where there are such, embeddings of queries.

    Returns
    -------
    Matrix
        Similarity of each frame with a query by layer, or the AUROC of each layer and query.

    Raises
    ------
    NotFound, InputError, NotEnoughData
        No column of moments or query; layers of other samples; no clip with frames inside and outside.
    """
    taps, rng = [as_activations(t) for t in taps], rng or np.random.default_rng(0)
    progress(0.0, "reading frames")
    frames = frames_of(taps, params, rng, lambda f, doing="": progress(0.5 * f, doing))
    found = find(frames, params.draws, rng, lambda f, doing="": progress(0.5 + 0.5 * f, doing))
    progress(1.0, "done")
    if not found.queries:
        raise NotEnoughData(
            f"no query of {taps[0].name} has a clip with frames inside and outside of its moment", "one or more",
            "Mark moments in a sample column, or name the column of clips",
        )  # fmt: skip
    estimates, best = _estimates(found, taps[0].shape[1])
    if params.show == TABLE:
        return _table(frames, found, estimates, best)
    return _over_time(frames, found, estimates, best, params)


def _estimates(found: Found, d: int) -> tuple[tuple[Estimate, ...], int]:
    """And which layer is best over all queries."""
    mean, chance = found.value.mean(axis=1), found.chance.mean(axis=2)  # (L,), (draws, L)
    best = int(mean.argmax())
    top = chance.max(axis=1)
    without = found.without
    half = None if without is None else jackknife_half(without[:, best])
    around = {"interval": "none: fewer than three clips"} if half is None else {
        "low": float(max(mean[best] - half, 0.0)), "high": float(min(mean[best] + half, 1.0)),
        "interval": "jackknife over clips"}  # fmt: skip
    if half == 0:  # all clips say the same, which is no certainty
        lower, upper = wilson(mean[best] * found.clips, found.clips)
        around = {
            "low": min(lower, mean[best]),
            "high": max(upper, mean[best]),
            "interval": "Wilson, clips as draws",
        }
    low, high = np.quantile(top, [0.025, 0.975])
    told = [
        Estimate(f"AUROC, {found.layers[best]}, the best layer", float(mean[best]), **around,
                 null=float(top.mean()), null_low=float(low), null_high=float(high), n=found.clips, d=d,
                 p_value=float(add_one_p(mean[best] - 1e-12, top)), estimator="mean over queries and clips",
                 null_method="moments turned in a circle, best layer of each turn")
    ]  # fmt: skip
    if len(mean) > 1:
        spread = float(mean.max() - mean.min())
        null = chance.max(axis=1) - chance.min(axis=1)
        lo, hi = np.quantile(null, [0.025, 0.975])
        told.append(
            Estimate("best less worst layer", spread, null=float(null.mean()), null_low=float(lo), null_high=float(hi),
                     n=found.clips, d=d, interval="none: a difference of extremes",
                     p_value=float(add_one_p(spread - 1e-12, null)), null_method="moments turned in a circle",
                     estimator="difference of AUROC")
        )  # fmt: skip
    return tuple(told), best


def _table(frames: Frames, found: Found, estimates, best: int) -> Matrix:
    sides = [add_one_p(sign * found.value - 1e-12, sign * found.chance) for sign in (1.0, -1.0)]
    p = np.minimum(2 * np.minimum(*sides), 1.0)
    different = len(set(found.value.argmax(axis=0).tolist()))
    usual = np.mean([len(set(one.argmax(axis=0).tolist())) for one in found.chance])
    return Matrix(
        title=f"Which layer finds which query, {frames.name}",
        reading=f"{found.layers[best]} finds moments best (AUROC {found.value[best].mean():.2f}; the best by "
                f"chance {estimates[0].null:.2f}); the best layer of single queries is one of {different} layer(s), "
                f"by chance of {usual:.1f}.",
        caveats=tuple(frames.notes), estimates=estimates, values=found.value, row_names=found.layers,
        column_names=tuple(found.queries), value_name="AUROC", null=found.chance.mean(axis=0),
        significant=benjamini_hochberg(p.ravel()).reshape(p.shape) <= LEVEL,
        limits=(0.0, 1.0),
    )  # fmt: skip


def _over_time(frames: Frames, found: Found, estimates, best: int, params) -> Matrix:
    clip = frames.asked
    named = frames.labels[clip]
    query = params.query or next((q for q in named if q in found.queries), found.queries[0])
    scores = frames.scores(clip, query)
    inside = named == query
    numbers = frames.numbers[clip]
    within = (
        f"the moment of {query} is marked with ●"
        if inside.any()
        else f"nothing of {query} is marked in this clip"
    )
    own = ""
    if inside.any() and not inside.all():
        each = auroc(scores, inside)
        own = f" There {found.layers[int(each.argmax())]} tells it best (AUROC {each.max():.2f})."
    return Matrix(
        title=f"Where layers find {query}: {frames.clip_names[clip]}, {frames.name}",
        reading=f"Columns are frames; {within}.{own} Over all clips {found.layers[best]} finds moments best (AUROC "
                f"{estimates[0].value:.2f}; the best by chance {estimates[0].null:.2f}).",
        caveats=(*frames.notes, "Cosines of different layers are of different spaces: compare along a row."),
        estimates=estimates, values=scores, row_names=found.layers,
        column_names=tuple(f"{x:g}{' ●' * bool(i)}" for x, i in zip(numbers, inside, strict=True)),
        value_name="cosine with the query", diverging=True,
    )  # fmt: skip


def _cost(shapes, params: FrameLocalisationParams) -> Cost:
    m, n, layers = machine(), shapes[0][0], max(len(shapes) - 1, 1)
    clips = min(max(n // RUN, 1), params.maximum_clips)
    held = (
        8.0 * clips * RUN * sum(d for _, d in shapes) * 1.2 + 40.0 * n + 8.0 * params.draws * layers * 4 + 1e5
    )
    return Cost(0.02 + m.seconds(moved=held * 4, calls=300.0 * clips * RUN) + 1e-6 * n, held)


def _check() -> tuple[CheckLine, ...]:
    """A query along its moments' frames in the second layer alone; a still video; turning frames turns columns."""
    rng = np.random.default_rng(0)
    text = np.eye(2, 20)
    noise = [0.1 * rng.standard_normal((40, 20)) for _ in range(2)]
    clip, frame = np.repeat(np.arange(4), 10), np.tile(np.arange(10), 4)
    moment = np.where(frame < 3, "walks", np.where(frame < 6, "runs", ""))
    for i, name in enumerate(("walks", "runs")):
        noise[1][moment == name] += text[i]
    samples = {"clip": clip.astype(str), "frame": frame, "moment": moment, "id": [f"f{i}" for i in range(40)]}
    words = ArrayActivations(text, name="text", samples={"id": np.array(["walks", "runs"])})

    def found(*layers, **more):
        taps = [ArrayActivations(x, name=f"layer {i}", samples=samples) for i, x in enumerate(layers)]
        return frame_localisation(*taps, words, params=FrameLocalisationParams(**more))

    table, own = found(*noise, show=TABLE), found(*noise, show=MAP)
    still = found(np.ones((40, 20)), show=MAP)
    return (
        CheckLine("layer with the query: AUROC", 1.0, float(table.values[1].min()), 0.0),
        CheckLine("layer of noise: AUROC", 0.5, float(table.values[0].mean()), 0.25),
        CheckLine("best layer", 1.0, float(table.values.mean(axis=1).argmax()), 0.0),
        CheckLine("frame that is most like the query: inside", 1.0, float(own.values[1].argmax() < 3), 0.0),
        CheckLine("still video: a flat row", 0.0, float(np.ptp(still.values[0])), 1e-12),
        CheckLine("still video: AUROC", 0.5, still.estimates[0].value, 1e-12),
    )  # fmt: skip


METHODS = (
    Method(
        id="frame_localisation", family="tokens", title="Layers that find the moments of a query", version=3,
        summary="Similarity of frames with a query over layers and time, and which layer finds which query's moments.",
        function=frame_localisation, params=FrameLocalisationParams, result=Matrix, check=_check, cost=_cost, inputs=2,
        more_inputs=True, matches="nothing", minimum_rows=RUN,
        invariance="rotations of a layer together with the query; the length of frames; the order of clips",
        papers=("$R^2$-Tuning: Efficient Image-to-Video Transfer Learning for Video Temporal Grounding",),
    ),
)  # fmt: skip
