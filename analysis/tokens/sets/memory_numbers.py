"""What is read of a memory of frames, in numbers: mass on the frame read most, frames read in effect, and how far away.

The null is what places of other clips read most, where there are some; otherwise every memory token read alike.
"""

from __future__ import annotations

import numpy as np

from analysis.compute.statistics.nulls import null_spread
from analysis.compute.statistics.sample_groups import jackknife_half, mean_interval
from analysis.results import Estimate
from analysis.tokens.pooling.effective import effective
from analysis.tokens.sets.clips import Clip
from analysis.tokens.sets.memory import apart, even
from analysis.tokens.sets.memory_chance import largest


def read_estimates(clip: Clip, held, this, frame, chance, alike, params, d: int) -> tuple[Estimate, ...]:
    """Of the frames `held` (M,) in a memory. `this` : what one place reads (M, P), and its mass on the frames without
    groups of units (G, M); `frame` : (m,) places of its frame, (m, M, P) what they read; `chance` : what frames of
    other clips read, or empty; `alike` : what an even share is (M, P), of the place and of all. O(m M P)."""
    (own, without), (places, every) = this, frame
    mass, mine = every.sum(axis=2), own.sum(axis=1)
    best, m, shared = int(mine.argmax()), len(mass), alike[1]
    usual = [{"null": float(s[best].sum()), "null_method": "every memory token read alike"} for s in alike]
    if chance:
        how = f"places of {len(chance)} frames of other clips as queries, what each reads most"
        usual = [{**null_spread(x), "null_method": how} for x in largest(chance)]
    counts = effective(mass)
    name = clip.frame_name(held[best])
    found = [
        Estimate(f"this place: mass on {name}", float(mine[best]), **_units(mine[best], without[:, best]),
                 **usual[0], n=1, d=d, estimator="sum over its tokens, the frame that it reads most"),
        Estimate(f"all places: mass on {name}", float(mass[:, best].mean()), **_t(mass[:, best], 1.0), **usual[1], n=m,
                 d=d, estimator="mean over places of the frame"),
        Estimate("frames read in effect", float(counts.mean()), **_t(counts, float(len(held))), n=m, d=d,
                 null=float(effective(shared.sum(axis=1)[None])[0]), null_method="every memory token read alike",
                 estimator="exp of the entropy of mass over frames"),
    ]  # fmt: skip
    if clip.grid is not None:
        far = apart(clip.grid, places)
        moved = (every.sum(axis=1) * far).sum(axis=1)
        random = (even(clip, held, params, places).sum(axis=1) * far).sum(axis=1)
        found.append(
            Estimate("distance of what is read", float(moved.mean()), **_t(moved, np.inf), null=float(random.mean()),
                     null_method="every memory token read alike", n=m, d=d, unit="patches",
                     estimator="mean over places, weighted by mass")
        )  # fmt: skip
    return tuple(found)


def _units(value: float, without: np.ndarray) -> dict:
    half = jackknife_half(without)
    if half is None:
        return {"interval": "none: fewer than three units"}
    return {"low": max(float(value - half), 0.0), "high": min(float(value + half), 1.0),
            "interval": "jackknife over groups of units"}  # fmt: skip


def _t(values: np.ndarray, most: float) -> dict:
    around = mean_interval(values, 0.0, most)
    return (around | {"interval": "Student's t over places"}) if around else {"interval": "none: one place"}
