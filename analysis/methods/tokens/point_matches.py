"""Which points of two pictures are matched, how surely, and does pooling lose the right ones?

Taps: the points of the first picture and those of the second (the tokens of a sample), in one space, as a matcher has
them behind its last block. Their cosines times a sharpness are scores; an assignment with a dustbin is made by
Sinkhorn's iterations, in which every point's row, dustbin included, sums to 1. Matched are points that are each
other's largest.

    right: the match lies within the tolerance of where the point is in the second picture, which is the same place, or
    where the motion of a plane (homography) takes it that most matches follow

Pooling: at each level the share of points stays that is paid most attention by the points of both pictures, softmax of
the scores of those still there; a point's matches are lost with it. The share of right matches that stay is compared
with a random choice of as many points.

Intervals: Wilson's of shares, samples as draws, Student's t of the rest. Nulls: a random partner among all points
(exact), of a plane the matches exchanged and the plane fitted again, which four of them always follow; as many
points at random (exact).

When it lies: the pooling of a network has trained scores and its own levels, these are attention alone; the plane is
fitted to the very matches that it judges, so that a common error is taken for the motion; tokens on a grid are matched
to the precision of a cell; the same place is right only for pictures that were not moved.

Cost: O(n T² (d + iterations)).

References: X. Lu, Y. Yan, B. Kang & S. Du (2023), "ParaFormer: parallel attention transformer for efficient feature
matching"; P. Sarlin et al. (2020), "SuperGlue".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.compute.machine import machine
from analysis.compute.statistics.sample_groups import mean_interval, share_interval
from analysis.results import Estimate, Scatter
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.matched_points import Matched, matched
from analysis.tokens.paired_sets import cells_of, paired_sets, place_of
from analysis.tokens.pooling.token_sets import RUN

SAME, PLANE = "the same place", "a plane's motion, fitted"
ASIDE = np.array(
    [2.0, 0.4]
)  # the second picture from the first, in cells: to the right, and down so that lines part
MOST_ROWS = 24  # that are named beside the picture
SINGLE = 1e-6  # what sums in single precision are off
KEPT, LEVEL = "levels that the point stays", "level"


@dataclass(frozen=True)
class PointMatchesParams:
    sample: int = param(
        0, "The sample that is drawn: its place in the store, from 0.", low=0, high=1_000_000_000
    )
    truth: str = param(SAME, "Where a point is in the second picture.", choices=(SAME, PLANE))
    sharpness: float = param(20.0, "Score of a cosine of 1.", low=0.1, high=1000.0)
    dustbin: float = param(
        0.5, "The dustbin's score, as a cosine: partners below are rather none.", low=-1.0, high=1.0
    )
    confidence: float = param(0.2, "Least confidence of a match.", low=0.0, high=1.0)
    tolerance: float = param(0.5, "How far a right match may be off, in cells.", low=0.0, high=100.0)
    levels: int = param(3, "Levels of pooling.", low=1, high=8)
    keep: float = param(0.5, "Share of points that stay at each level.", low=0.05, high=0.95)
    maximum_samples: int = param(
        64, "Most samples; a seeded random subset above.", low=2, high=5000, late=True
    )


def point_matches(
    first, second, params: PointMatchesParams = PointMatchesParams(), rng=None, progress=no_progress
) -> Scatter:
    """Matches of the points of two pictures.

    Parameters
    ----------
    first, second : Activations or arrays (rows, units)
        Points of the first and of the second picture, of the same samples and as many units.

    Returns
    -------
    Scatter
        Both pictures' points side by side, joined where they are matched, and the levels of pooling at which each
        stays. Estimates over samples.

    Raises
    ------
    NotFound, InputError, NotEnoughData
        No such sample; taps with tokens and without; fewer than two samples of two points.
    """
    taps, rng = [as_activations(t) for t in (first, second)], rng or np.random.default_rng(0)
    sets, notes = paired_sets(taps, params.maximum_samples, rng, progress, also=params.sample)
    drawn = place_of(sets[0], taps[0], params.sample)
    places, found = [cells_of(s) for s in sets], []
    for i in range(sets[0].n):
        progress(0.3 + 0.7 * i / sets[0].n, "matching points")
        here = [s.present[i] for s in sets]
        points = [s.x[i][h] for s, h in zip(sets, here, strict=True)]
        found.append(
            matched(
                points, [p[h] for p, h in zip(places, here, strict=True)], params, params.truth == PLANE, rng
            )
        )
    progress(1.0, "done")
    shown = [p[s.present[drawn]] for p, s in zip(places, sets, strict=True)]
    said = (*notes, *_caveats(found, params))
    return _scatter(taps, sets[0].samples[drawn], shown, found, found[drawn], said, params)


def _scatter(taps, sample, places, found, one: Matched, notes, params) -> Scatter:
    second = places[1] + ASIDE + np.array([places[0][:, 0].max() + 1, 0])
    m, n = len(places[0]), len(second)
    partner = np.zeros(m + n)
    partner[one.pairs[:, 0]], partner[m + one.pairs[:, 1]] = one.sure, one.sure
    verdict = np.full(m + n, "not matched", dtype="U16")
    word = np.where(one.right, "right", "wrong")
    verdict[one.pairs[:, 0]], verdict[m + one.pairs[:, 1]] = word, word
    estimates = _estimates(taps, found, params)
    right, stay = estimates[0], estimates[-1]
    left = "No match is right, so that nothing is said of pooling." if LEVEL not in stay.name else (
        f"Of the right ones {stay.value:.0%} are left after {params.levels} level(s) of pooling, {stay.null:.0%} if "
        "points stayed at random.")  # fmt: skip
    return Scatter(
        title=f"Points of {taps[0].name} matched with {taps[1].name}: sample {int(sample)}",
        positions=np.concatenate([places[0], second]) * np.array([1, -1]), rows=np.arange(m + n), of="points",
        axes=("column: the first picture on the left, the second on the right", "row"), levels=_rows(places[0]),
        columns={KEPT: np.concatenate(one.stays), "match": verdict, "confidence": partner}, colour=KEPT,
        edges=one.pairs + np.array([0, m]) if len(one.pairs) else None,
        edge_values=one.sure if len(one.pairs) else None, edge_name="confidence",
        estimates=estimates,
        reading=(
            f"{right.value:.0%} of the matches are right, by chance {right.null:.1%}. {left}"
        ), caveats=notes,
    )  # fmt: skip


def _rows(places: np.ndarray) -> dict[str, float]:
    """Heights of the first picture's rows by name; none of places that are no rows, or too many to be told apart."""
    rows = np.unique(places[:, 1])
    if len(rows) > MOST_ROWS or (rows != rows.round()).any():
        return {}
    return {f"row {int(r) + 1}": -float(r) for r in rows}


def _estimates(taps, found, params) -> tuple[Estimate, ...]:
    facts = {"n": len(found), "d": taps[0].shape[1]}
    right = np.array([f.right.mean() if len(f.right) else 0.0 for f in found])
    share = np.array([f.right.sum() / len(f.stays[0]) for f in found])
    chance, chances = (float(np.mean([getattr(f, k) for f in found])) for k in ("chance", "chance_share"))
    how = "matches exchanged, the plane fitted again" if params.truth == PLANE else "a random partner (exact)"
    error = np.array([np.median(f.error[np.isfinite(f.error)]) for f in found if np.isfinite(f.error).any()])
    out = [
        Estimate("right among matches", float(right.mean()), **share_interval(right), null=chance, null_method=how,
                 estimator="share, mean over samples", **facts),
        Estimate("points with a right match", float(share.mean()), **share_interval(share), null=chances,
                 null_method=how,
                 estimator="share, mean over samples", **facts),
        Estimate("mass in the dustbin", float(np.mean([f.unmatched for f in found])), null=0.0,
                 **mean_interval(np.array([f.unmatched for f in found]), 0.0, 1.0),
                 null_method="every point has a partner", estimator="mean over the first picture's points", **facts),
        Estimate("largest error of a row's sum", max(f.off for f in found), interval="none: a check", null=0.0,
                 null_method="an assignment", estimator="over all points, dustbin included", rounding=SINGLE, **facts),
    ]  # fmt: skip
    if len(error):
        out.insert(2, Estimate("error of a match", float(error.mean()), **mean_interval(error, 0.0), unit="cells",
                               null_method="none: hangs on the size of the picture", n=len(error), d=facts["d"],
                               estimator="median of a sample, mean over samples"))  # fmt: skip
    for level in range(1, params.levels + 1):
        own = np.array([_left(f, level) for f in found if f.right.any()])
        if not len(own):
            break
        out.append(Estimate(f"right matches left at {LEVEL} {level}", float(own[:, 0].mean()),
                            **share_interval(own[:, 0]), null=float(own[:, 1].mean()),
                            null_method="as many points of each picture at random (exact)",
                            estimator="share, mean over samples with one", n=len(own), d=facts["d"]))  # fmt: skip
    return tuple(out)


def _left(f: Matched, level: int) -> tuple[float, float]:
    """(share of right matches with both points left, what is expected of as many at random)."""
    a, b = (s >= level for s in f.stays)
    return float((a[f.pairs[f.right, 0]] & b[f.pairs[f.right, 1]]).mean()), float(a.mean() * b.mean())


def _caveats(found, params) -> list[str]:
    said = ["Points are pooled by attention received, not by trained scores."]
    none = sum(not len(f.pairs) for f in found)
    if none:
        said.append(f"{none} sample(s) have no match that is sure enough; none of them is right.")
    if params.truth == PLANE:
        lost = sum(not f.fitted for f in found)
        said.append("The plane's motion is fitted to the matches that it judges.")
        if lost:
            said.append(
                f"{lost} sample(s) have no four matches that a plane's motion fits: the same place is taken."
            )
    return said


def _cost(shapes, params: PointMatchesParams) -> Cost:
    m, d = machine(), shapes[0][1]
    samples = min(shapes[0][0] / RUN, params.maximum_samples)
    held = 8.0 * samples * RUN * d * 2.0 + 8.0 * RUN * d * 30
    work = m.seconds(
        moved=8.0 * d * sum(n for n, _ in shapes), calls=3000.0 * samples, flops64=60.0 * samples * RUN**2 * d
    )
    return Cost(0.05 + work, held)


def _check() -> tuple[CheckLine, ...]:
    """Equal pictures match themselves; rows sum to 1; points of the second picture turned round are found again by a
    plane; of points alike to none nothing is matched; a quarter of the points is left after two halvings."""
    rng = np.random.default_rng(0)
    layout, x = Layout(np.arange(7) * 16, (4, 4)), rng.standard_normal((96, 40))
    tap = ArrayActivations(x, "planted", layout=layout)
    turned = x.reshape(6, 4, 4, 40)[:, :, ::-1].reshape(96, 40)
    same = {e.name: e for e in point_matches(tap, tap, PointMatchesParams(levels=2)).estimates}
    plane = point_matches(
        tap, ArrayActivations(turned, "mirrored", layout=layout), PointMatchesParams(truth=PLANE)
    )
    other = point_matches(
        tap, ArrayActivations(-x, "strangers", layout=layout), PointMatchesParams(dustbin=0.9)
    )
    return (
        CheckLine("equal pictures: right among matches", 1.0, same["right among matches"].value, 0.0),
        CheckLine("equal pictures: points with a match", 1.0, same["points with a right match"].value, 0.0),
        CheckLine("equal pictures: error in cells", 0.0, same["error of a match"].value, 0.0),
        CheckLine("rows with the dustbin sum to 1", 0.0, same["largest error of a row's sum"].value, 1e-6),
        CheckLine("mirrored, by a plane: right", 1.0, plane.estimates[0].value, 1e-12),
        CheckLine("strangers: in the dustbin", 1.0,
                  {e.name: e.value for e in other.estimates}["mass in the dustbin"], 0.01),
        CheckLine("halved twice, at random", 1 / 16, same["right matches left at level 2"].null, 1e-12),
    )  # fmt: skip


METHODS = (
    Method(
        id="point_matches", family="tokens", title="Matched points", version=3, function=point_matches,
        summary="Points of two pictures matched with a dustbin: how many are right, and whether pooling drops these.",
        params=PointMatchesParams, result=Scatter, check=_check, cost=_cost, inputs=2, same_units=True,
        roles=("points of the first picture", "points of the second"), minimum_rows=2 * RUN,
        invariance="the order of samples; a rotation of both taps' units; the size of each point",
        papers=("ParaFormer: Parallel Attention Transformer for Efficient Feature Matching",),
    ),
)  # fmt: skip
