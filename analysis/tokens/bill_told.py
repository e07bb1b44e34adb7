"""What is told of the bills of crops: what is paid for, densities, and those of tokens from anywhere."""

from __future__ import annotations

import numpy as np

from analysis.compute.statistics.sample_groups import mean_interval
from analysis.results import Estimate
from analysis.tokens.rules.correlation_guided import density
from analysis.tokens.sub_images import Bill

LISTED = 9  # crops with numbers of their own


def from_anywhere(bills: list[Bill], threshold: float, rng) -> list[dict[int, float]]:
    """Of every sample the density of crops of as many tokens, drawn from all samples."""
    every = np.concatenate([b.x[b.crop >= 0] for b in bills])
    return [
        {c: density(every[rng.choice(len(every), n, replace=False)], threshold) for c, (_, n) in b.counts().items()}
        for b in bills
    ]  # fmt: skip


def bill_estimates(bills: list[Bill], chance, parts, d: int) -> tuple[Estimate, ...]:
    """Over samples, and of the first nine crops of the sample that is drawn, the first of `bills`."""
    one, counts = bills[0], bills[0].counts()
    kept = np.array(
        [sum(k for k, _ in b.counts().values()) / sum(n for _, n in b.counts().values()) for b in bills]
    )
    dense, other = (
        np.array([np.mean(list(v.values())) for v in f]) for f in ([b.density for b in bills], chance)
    )
    anywhere = "crops of as many tokens from anywhere in the data"
    everywhere = {c: float(np.mean([f[c] for f in chance if c in f])) for c in counts}
    bought, size = sum(k for k, _ in counts.values()), sum(n for _, n in counts.values())
    facts = {"n": len(bills), "d": d}
    own = {"n": size, "d": d, "interval": "none: counted in one sample"}
    out = [
        Estimate("share of tokens that is paid for", float(kept.mean()), **mean_interval(kept, 0.0, 1.0), null=1.0,
                 null_method="no compression", estimator="mean over samples", **facts),
        Estimate("density of a crop", float(dense.mean()), **mean_interval(dense, 0.0, 1.0), null=float(other.mean()),
                 null_method=anywhere, estimator="mean over crops and samples", **facts),
    ]  # fmt: skip
    for c in list(counts)[:LISTED]:
        k, n = counts[c]
        out += [
            Estimate(f"tokens kept, {crop_name(c, parts)}", float(k), null=bought * n / size, unit=f"of {n}",
                     null_method="as many for each crop, by its size", estimator="⌈density x tokens⌉", **own),
            Estimate(f"density, {crop_name(c, parts)}", one.density[c], null=everywhere[c], null_method=anywhere,
                     estimator="1 - share with a near-duplicate", **own),
        ]  # fmt: skip
    return tuple(out)


def crop_name(crop: int, parts: tuple[int, int]) -> str:
    """By its number on a line of crops, else by row and column."""
    row, column = divmod(crop, parts[1])
    return f"crop {crop + 1}" if parts[0] == 1 or parts[1] == 1 else f"crop {row + 1}, {column + 1}"
