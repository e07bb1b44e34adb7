"""Place recognition: does the nearest other sample come from the same place?

Each sample queries all others. *Recall@N* is the share of the queries with at least one right answer, one that lies
within a threshold of the query's position, among their N nearest samples. Beside it stands the recall of a random
ranking, 1 - C(m - r, N) / C(m, N) for a query with r right answers among m candidates, exactly. Samples of the
query's own sequence (a drive, a clip) can be left out: the frame before is a right answer that needs no recognition.
Formulas in `compute.retrieval.recall_at`.

With a heading, how much of their similarity two pictures of one place lose while the camera turns
(`compute.retrieval.heading_similarity`); with two coordinates, the main direction of the positions (the street's).

When it lies: without the sequences the recall is mostly that of neighbouring frames; a large threshold makes every
answer right (see the null); queries without a right answer are left out, so a lonely place counts for nothing; near
queries ask much the same question, so the interval is too narrow; of many samples only a random part is kept, which
thins out the right answers.

Cost: O(n² d), twice with a heading; memory O(n d).

Reference: G. Berton et al. (2023), "EigenPlaces: Training viewpoint robust models for visual place recognition".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.machine import machine
from analysis.compute.retrieval.heading_similarity import (
    HeadingCurve,
    heading_curve,
    some_pairs,
    turn_estimate,
)
from analysis.compute.retrieval.place_queries import FEWEST, Queries, queries_of, refuse_few
from analysis.compute.retrieval.place_reading import heading_sentence, place_caveats, place_reading
from analysis.compute.retrieval.places import PAIRED, direction_estimates
from analysis.compute.retrieval.recall_at import (
    Ranked,
    blocks,
    chances,
    places_asked,
    ranked,
    recall_estimates,
    recalls,
)
from analysis.compute.rows.metric_space import METRICS
from analysis.errors import NotEnoughData, ParameterError
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param


@dataclass(frozen=True)
class PlaceParams:
    first: str = param(
        "label", "Sample column with the first coordinate; a column of text names the places themselves.",
        label="first coordinate", column=True,
    )  # fmt: skip
    second: str = param(
        "", "Sample column with the second coordinate.", label="second coordinate", column=True
    )
    degrees: bool = param(
        False, "The coordinates are latitude and longitude; distances are great circles in km."
    )
    threshold: float | None = param(
        None, "Farthest that a right answer may lie; automatic: the closest tenth of all distances.", low=0.0
    )  # fmt: skip
    sequence: str = param("", "Sample column of sequences: the query's own is left out.", column=True)
    heading: str = param("", "Sample column with the camera's heading in degrees.", column=True)
    by_heading: bool = param(
        False, "Draw similarity against the difference in heading instead of the recall."
    )
    metric: str = param("euclidean", "How samples are ranked.", choices=METRICS)
    up_to: int = param(100, "Largest number N of nearest samples.", label="N up to", low=1, high=10_000)
    maximum_rows: int = param(5000, "Most rows; a seeded random subset above.", low=50, high=50_000)


def place_recognition(
    activations, params: PlaceParams = PlaceParams(), rng=None, progress=no_progress
) -> Curve:
    """Recall@N of a tap as a place code, or its similarity by heading.

    Parameters
    ----------
    activations : Activations with the sample columns that are named

    Returns
    -------
    Curve
        x = N, the series "recall" in [0, 1] with a 95 % bootstrap band over queries and a random ranking as null; or
        (`by_heading`) x = difference in heading in degrees, the series "same place" with pairs of different places
        as null. Estimates: recall at each N, the similarity lost by turning, the main direction of the positions.

    Raises
    ------
    NotFound, ParameterError
        No such column; text where numbers are needed; degrees with one coordinate; `by_heading` without a heading.
    NotEnoughData, InputError
        Fewer than five queries with a right answer; all rows equal, or all samples at one place.
    """
    activations = as_activations(activations)
    rng = rng or np.random.default_rng(0)
    if params.by_heading and not params.heading:
        raise ParameterError("no heading column", "one to draw similarity against", "Name the heading column")
    columns = (params.first, params.second) if params.second else (params.first,)
    asked = queries_of(
        activations, columns, rng, degrees=params.degrees, threshold=params.threshold, sequence=params.sequence,
        heading=params.heading, metric=params.metric, maximum_rows=params.maximum_rows, progress=progress,
    )  # fmt: skip
    n, d = len(asked.points), activations.shape[1]
    last = 0.5 if params.heading else 0.9
    found = ranked(blocks(asked.points, asked.places, asked.sequence, progress, (0.1, last)), n)
    refuse_few(found, asked)
    at = places_asked(int(found.candidates.max()), params.up_to)
    hits, chance = recalls(found, at), chances(found, at)
    estimates = recall_estimates(hits, chance, at, d, rng)
    turns = curve = None
    if params.heading:
        curve, turns = _headings(asked, found, d, rng, progress)
        estimates += turns
    progress(0.95, "main direction")
    estimates += direction_estimates(asked.places, rng)
    reading = place_reading(estimates[: len(at)], at, found, asked.places, estimates)
    return Curve(
        title=f"Place recognition with {activations.name}" + (" by heading" if params.by_heading else ""),
        reading=reading + heading_sentence(curve, turns),
        caveats=(*place_caveats(found, asked.places, asked.ids, bool(params.sequence)), *asked.notes),
        estimates=estimates,
        **(_by_heading(curve) if params.by_heading else _by_n(at, hits, estimates)),
    )


def _by_n(at: np.ndarray, hits: np.ndarray, estimates: tuple[Estimate, ...]) -> dict:
    used = estimates[: len(at)]
    return {
        "x": at, "x_name": "N nearest samples", "y_name": "recall: a right one among them", "log_x": len(at) > 3,
        "series": {"recall": hits.mean(axis=0)}, "low": {"recall": np.array([e.low for e in used])},
        "high": {"recall": np.array([e.high for e in used])}, "null": {"recall": np.array([e.null for e in used])},
    }  # fmt: skip


def _by_heading(curve: HeadingCurve) -> dict:
    name = "same place"
    return {
        "x": curve.middle, "x_name": "difference in heading (degrees)", "y_name": "similarity (0: average pair)",
        "series": {name: curve.value}, "low": {name: curve.low}, "high": {name: curve.high},
        "null": {name: curve.elsewhere},
    }  # fmt: skip


def _headings(asked: Queries, found: Ranked, d: int, rng, progress):
    """Similarity by heading, and what a turn costs."""
    wrong = int((found.candidates - found.right).sum())
    again = blocks(asked.points, asked.places, asked.sequence, progress, (0.5, 0.9))
    same, different = some_pairs(
        again, found.mean_distance or 1.0, int(found.right.sum()), wrong, asked.heading, rng
    )
    if not len(same.query):
        raise NotEnoughData("no two samples of one place have a heading", "headings for more samples")
    return heading_curve(same, different, asked.heading, rng), turn_estimate(same, asked.heading, d, rng)


def _cost(shapes, params: PlaceParams) -> Cost:
    (rows, d), m = shapes[0], machine()
    n = min(rows, params.maximum_rows)
    passes = 2 if params.heading else 1
    seconds = m.seconds(flops64=passes * 2.0 * n * n * d, moved=passes * n * n * 170.0 + n * 500 * 40.0)
    block, paired = min(n * n, 1 << 20), min(n, PAIRED)
    return Cost(seconds + 0.05, n * d * 8 * 5.0 + block * 40.0 + paired**2 * 16.0 + passes * 2e6)


def _check() -> tuple[CheckLine, ...]:
    """A perfect code: recall 1. Noise: the closed form. Threshold without end: 1. Frames of a drive: recall that is
    gone without the own sequence. A straight street: its direction."""
    rng = np.random.default_rng(3)
    at, drive = np.repeat(np.arange(100.0), 3), np.repeat(np.arange(10), 30)
    columns = {
        "x": 3 * at,
        "y": 4 * at,
        "name": np.char.add("place ", at.astype(int).astype(str)),
        "drive": drive,
    }
    perfect = ArrayActivations(np.stack([np.cos(at / 40), np.sin(at / 40)], axis=1), samples=columns)
    noise = ArrayActivations(rng.standard_normal((300, 12)), samples=columns)
    drift = ArrayActivations(30 * rng.standard_normal((10, 12))[drive] + noise.values, samples=columns)

    def asked(tap, **more):
        found = place_recognition(
            tap, PlaceParams(**{"first": "x", "second": "y", "threshold": 20.0, **more})
        )
        return {e.name: e for e in found.estimates}

    seen, luck, drawn = asked(perfect, threshold=0.0), asked(noise), asked(drift)
    strict, street = asked(drift, sequence="drive", threshold=40.0), asked(perfect)
    angle = next(e.value for name, e in street.items() if name.startswith("main direction"))
    return (
        CheckLine("a perfect place code: recall at 1", 1.0, seen["recall at 1"].value, 0.0),
        CheckLine("named places: recall at 1", 1.0, asked(perfect, first="name", second="")["recall at 1"].value, 0.0),
        CheckLine("noise: recall at 1 less its null", 0.0, luck["recall at 1"].value - luck["recall at 1"].null, 0.06),
        CheckLine("noise: recall at 10 less its null", 0.0, luck["recall at 10"].value - luck["recall at 10"].null,
                  0.09),
        CheckLine("every answer right: recall at 1", 1.0, asked(noise, threshold=1e9)["recall at 1"].value, 0.0),
        CheckLine("frames of one drive lift the recall at 1", 0.5, drawn["recall at 1"].value, 0.0, "at least"),
        CheckLine("without them it is gone", 0.12, strict["recall at 1"].value, 0.0, "at most"),
        CheckLine("direction of a straight street (degrees)", float(np.degrees(np.arctan2(4, 3))), angle, 1e-9),
    )  # fmt: skip


METHODS = (
    Method(
        id="place_recognition",
        family="retrieval",
        title="Place recognition",
        summary="Whether the nearest samples come from the same place, and how that survives a turn of the camera.",
        version=1,
        function=place_recognition,
        params=PlaceParams,
        result=Curve,
        check=_check,
        cost=_cost,
        minimum_rows=FEWEST + 1,
        invariance="rotating or rescaling all activations together; shifting them (euclidean); moving or rotating the "
        "positions",
        papers=("EigenPlaces: Training Viewpoint Robust Models for Visual Place Recognition",),
    ),
)
