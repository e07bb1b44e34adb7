"""How far the poles of linear recurrences moved that were fitted to the rows of each checkpoint."""

from __future__ import annotations

import numpy as np

from analysis.compute.statistics.sample_groups import jackknife_half
from analysis.results import Estimate
from analysis.tokens.mixers.drift_told import spread
from analysis.tokens.mixers.mode_paths import followed
from analysis.tokens.mixers.state_spaces import Spaces

FIRST, FIT = "the first checkpoint", "fitted recurrence"


def fitted_drift(found: list[Spaces], names) -> dict:
    """What a curve shows of the fits of checkpoints called `names`: lines, band, null, estimate and words."""
    fits = [one.fitted for one in found]
    most = min(one.whole.a.shape[1] for one in fits)
    line = drift_of([f.whole for f in fits], most)
    chance = np.array([drift_of(each, most) for each in zip(*(f.chance for f in fits), strict=True)])
    half, same = None, len({len(f.without) for f in fits}) == 1 and len({f.samples for f in fits}) == 1
    if same:
        half = jackknife_half(
            np.array([drift_of(each, most) for each in zip(*(f.without for f in fits), strict=True)])
        )
    ends = {"interval": f"none: {'too few' if same else 'checkpoints of different'} samples"} if half is None else {
        "low": max(float(line[-1] - half[-1]), 0.0), "high": float(line[-1] + half[-1]),
        "interval": "jackknife over groups of samples"}  # fmt: skip
    told = Estimate(f"drift from {FIRST} at {names[-1]}", float(line[-1]), **ends, **spread(chance[:, -1]),
                    null_method=f"tokens in random order, {len(chance)} draws", n=fits[0].samples, d=found[0].units,
                    estimator="mean over poles in the plane of one step, least squares of the next token")  # fmt: skip
    bands = {} if half is None else {"low": {FIT: np.maximum(line - half, 0)}, "high": {FIT: line + half}}
    return {
        "title": f"Drift of poles from {names[0]} to {names[-1]}", "y_name": "drift of poles, one step",
        "series": {FIT: line}, "null": {FIT: chance.mean(axis=0)}, **bands,
        "estimates": (told,), "caveats": (f"The {most} largest poles of each checkpoint are compared.",
                                          "A fit has no family: drift is from the first checkpoint."),
        "reading": f"Poles of the fitted recurrence lie {told.value:.3g} from those of {names[0]} at {names[-1]} "
                   f"(tokens in random order: {told.null:.3g}).",
    }  # fmt: skip


def drift_of(spaces, most: int) -> np.ndarray:
    """(S,) mean distance of the `most` largest poles Ā from those of the first."""
    poles = [np.exp(s.a[0] * s.step[0]) for s in spaces]
    at = followed([p[np.argsort(-np.abs(p), kind="stable")[:most]][None] for p in poles])
    return np.abs(at - at[0]).mean(axis=(1, 2))
