"""What is told of layers that share a subspace of their keys or values."""

from __future__ import annotations

from analysis.compute.statistics.sample_groups import jackknife_half
from analysis.results import Estimate


def sharing_estimates(whole, chance, without, n: int, d: int) -> tuple[Estimate, ...]:
    """Of `whole` (4,), by `chance` (4,), and `without` (G, 4) each group of samples."""
    half = jackknife_half(without)
    names = (
        "error of groups together",
        "error of each layer alone",
        "what sharing gains",
        "cosine of a token's keys",
    )
    found = []
    for i, name in enumerate(names):
        ends = {"interval": "none: fewer than three samples"}
        if half is not None:
            ends = {
                "low": whole[i] - half[i],
                "high": whole[i] + half[i],
                "interval": "jackknife over samples",
            }
        found.append(Estimate(
            name, float(whole[i]), **ends, null=float(chance[i]), n=n, d=d, estimator="mean over groups of layers",
            null_method="tokens of each layer in an order of their own",
            unit="share" if i < 3 else "",
        ))  # fmt: skip
    return tuple(found)
