"""Numbers and words on landmark errors."""

from __future__ import annotations

import numpy as np

from analysis.compute.statistics.sample_groups import (
    jackknife_half,
    mean_interval,
    sample_groups,
    share_interval,
)
from analysis.results import Estimate


def landmark_estimates(far, tolerant, null, distance, inside, choices, rng) -> tuple[Estimate, ...]:
    """Of errors `far` and `tolerant` (n, L) and Procrustes distances (n,); `null` (L,); `inside`, squared errors (n,)
    within the modes and in all; `choices`: modes, what errors are divided by, NME of a failure, exchanges."""
    (n, landmarks), (k, size, failure, draws) = far.shape, choices
    nme, failed = far.mean(axis=1), (far.mean(axis=1) > failure).astype(float)
    common = {"n": n, "d": 2 * landmarks}
    out = [
        Estimate("NME", float(nme.mean()), **mean_interval(nme, 0.0), null=float(null.mean()),
                 null_method=f"samples exchanged, {draws} draws", estimator=f"error over {size}", **common),
        Estimate(f"share of samples with an NME above {failure:g}", float(failed.mean()),
                 **share_interval(failed), estimator="share of samples", **common),
        Estimate("Procrustes distance", float(distance.mean()), **mean_interval(distance, 0.0, 1.0),
                 estimator="full Procrustes distance, mean over samples", **common),
        Estimate(f"NME to the target of {k} mode(s)", float(tolerant.mean()),
                 **mean_interval(tolerant.mean(axis=1), 0.0), estimator=f"error over {size}", **common),
    ]  # fmt: skip
    if inside[1].sum() > 0:
        out.insert(3, _share_inside(*inside, k, rng, common))
    return tuple(out)


def _share_inside(part, whole, k: int, rng, common) -> Estimate:
    value, groups = float(part.sum() / whole.sum()), sample_groups(len(part), rng)
    rest = np.array([[part.sum() - part[g].sum(), whole.sum() - whole[g].sum()] for g in groups])
    ends = {}
    if (rest[:, 1] > 0).all():
        half = float(jackknife_half(rest[:, 0] / rest[:, 1]))
        ends = {"low": max(value - half, 0.0), "high": min(value + half, 1.0),
                "interval": "jackknife over groups of samples"}  # fmt: skip
    return Estimate(
        f"share of the squared error within {k} shape mode(s)", value, **ends, null=k / common["d"],
        null_method="an error without direction", estimator="error in the frame of the mean shape", **common,
    )  # fmt: skip


def landmark_reading(far, estimates, k: int, names) -> str:
    nme, failed = estimates[:2]
    worst = int(far.mean(axis=0).argmax())
    text = (
        f"On average a landmark of {names[0]} is {nme.value:.3g} face sizes from its target ({nme.null:.3g} for other "
        f"samples' predictions), and {failed.value:.0%} of the samples fail. Landmark {worst} is worst "
        f"({far[:, worst].mean():.3g}). "
    )
    share = next((e for e in estimates if e.name.startswith("share of the squared")), None)
    if share is None:
        return text + "There is no error whose direction could be asked for."
    more = share.low is not None and share.low > share.null
    return text + (
        f"{share.value:.0%} of the squared error lies within the first {k} mode(s) of the target shapes "
        f"({share.null:.0%} for an error without direction): predictions are "
        f"{'' if more else 'not shown to be '}wrong in the ways in which the targets vary."
    )
