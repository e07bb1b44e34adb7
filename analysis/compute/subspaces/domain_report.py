"""What is said of probes that move between domains: accuracies with their bounds, gaps, and what taking a subspace out
changes."""

from __future__ import annotations

import numpy as np

from analysis.compute.statistics.nulls import against, wilson
from analysis.compute.subspaces.domain_samples import DomainSamples
from analysis.compute.subspaces.domain_transfer import Transfer, mean_of_means
from analysis.results import Estimate

DRAWS, Z = 10, 1.959964
INTERVAL = "normal, samples as draws, probes held fixed"


def transfer_bounds(data: DomainSamples, grids) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    sizes = np.bincount(data.domain)
    ends = [[[wilson(v * sizes[j], sizes[j]) for j, v in enumerate(row)] for row in grid] for grid in grids]
    ends = np.concatenate(ends, axis=1)
    values = np.hstack(grids)
    majority = [np.bincount(data.of[data.domain == j]).max() / sizes[j] for j in range(len(sizes))]
    null = np.tile(majority, (len(sizes), len(grids)))
    return np.minimum(ends[:, :, 0], values), np.maximum(ends[:, :, 1], values), null


def transfer_estimates(
    data: DomainSamples, before, after, chance, chosen, tested, count: int
) -> tuple[Estimate, ...]:
    n, d = data.x.shape
    sizes = np.bincount(data.domain)
    majority = float(np.mean([np.bincount(data.of[data.domain == j]).max() / sizes[j] for j in tested]))
    made = {"n": n, "d": d, "estimator": "Fisher's discriminant with frequencies", "interval": INTERVAL}
    out = []
    for said, found in (("as recorded", before), ("taken out", after)):
        if found is None:
            continue
        for name, same in (("in-domain", True), ("out-of-domain", False)):
            value, error = mean_of_means(found.shares(tested, same))
            out.append(Estimate(
                f"mean {name} accuracy, {said}", value, max(value - Z * error, 0.0), min(value + Z * error, 1.0),
                null=majority, null_method="mean majority rate of the tested domains", **made,
            ))  # fmt: skip
        parts = [a - b for a, b in zip(found.shares(tested, True), found.shares(tested, False), strict=True)]
        value, error = mean_of_means(parts)
        out.append(Estimate(f"gap, {said}", value, value - Z * error, value + Z * error, null=0.0,
                            null_method="domains that do not differ", **made))  # fmt: skip
    if after is not None:
        out.append(_change(before, after, chance, chosen, tested, count, made))
    return tuple(out)


def _change(before: Transfer, after: Transfer, chance, chosen, tested, count: int, made) -> Estimate:
    """Of the mean out-of-domain accuracy, sample by sample."""

    def parts(found):
        return [b - a for a, b in zip(before.shares(tested, False), found.shares(tested, False), strict=True)]

    value, error = mean_of_means(parts(after))
    random = np.array([mean_of_means(parts(t))[0] for t in chance])
    return Estimate(
        f"change out of domain without {chosen.name} ({count} tried)", value, value - Z * error, value + Z * error,
        **against(value, random), null_method=f"random {chosen.basis.shape[1]}-dimensional subspaces, {DRAWS} draws",
        **made,
    )  # fmt: skip
