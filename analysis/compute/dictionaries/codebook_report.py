"""What codebooks of growing size explain, as numbers and in words."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from analysis.compute.dictionaries.codebook_growth import KMEANS, RANDOM, Growth
from analysis.compute.statistics.ratios import ratio_interval
from analysis.compute.statistics.sample_groups import groups_of, jackknife_half
from analysis.results import Estimate

HOW = "codebooks fitted to Gaussian rows of the same covariance, judged on others: mean and range of draws"


def growth_estimates(
    found: Mapping[str, Growth],
    worse: Mapping[str, Growth],
    null: list[dict[str, Growth]],
    of: np.ndarray,
    d: int,
    rng: np.random.Generator,
) -> tuple[Estimate, ...]:
    """Of codebooks that were `found`, those `worse` on purpose and draws of the `null`; `of` (rows,) what each held-out
    row counts for, a sample or itself."""
    codes, n = np.unique(of, return_inverse=True)[1].reshape(-1), len(of)
    out, common = [], {"n": len(np.unique(of)), "d": d}
    for name, own in found.items():
        left, total = np.bincount(codes, own.left[:, -1]), np.bincount(codes, own.total)
        low, high = ratio_interval(left, total, rng) if total.any() else (0.0, 0.0)
        chance = [1 - float(draw[name].share[-1]) for draw in null if name in draw] or [
            1 - float(worse[RANDOM].share[-1])
        ]
        how = HOW if name in null[0] else f"random codebook of {worse[RANDOM].entries[-1]} entries"
        out.append(
            Estimate(f"explained by {name}, {own.entries[-1]:,} entries", 1 - float(own.share[-1]), 1 - high, 1 - low,
                     interval="bootstrap over held-out samples", null=float(np.mean(chance)), null_low=min(chance),
                     null_high=max(chance), null_method=how, estimator="1 - squares left over squares about the mean",
                     **common)
        )  # fmt: skip
    own, chance = found[KMEANS], [draw[KMEANS] for draw in null]
    slopes = [s for s in (c.slope() for c in chance) if s is not None]
    if own.slope() is not None and slopes:
        parts = groups_of(codes.max() + 1, rng)[codes]
        without = [own.slope(parts != g) for g in range(parts.max() + 1)]
        half = jackknife_half(np.array([s for s in without if s is not None])) or 0.0
        value = own.slope()
        out.append(
            Estimate("slope of what is left, per e-fold of entries", value, value - half, value + half,
                     interval="jackknife, groups of held-out samples", null=float(np.mean(slopes)),
                     null_low=min(slopes), null_high=max(slopes), null_method=HOW,
                     estimator="least squares over the larger half of the sizes", **common)
        )  # fmt: skip
    used = [c.used for c in chance]
    out.append(
        Estimate("entries used, were they used alike", own.used, null=float(np.mean(used)), null_low=min(used),
                 null_high=max(used), null_method=HOW, estimator=f"perplexity over {n:,} held-out rows", **common)
    )  # fmt: skip
    return tuple(out)


def growth_reading(estimates: tuple[Estimate, ...], worse: Mapping[str, Growth]) -> str:
    first, *rest = estimates
    shaken, random = (1 - float(g.share[-1]) for g in worse.values())
    said = (
        f"{_sentence(first)} The same entries shaken explain {shaken:.1%}, as many drawn at random {random:.1%}. "
        + " ".join(_sentence(e) for e in rest if e.name.startswith("explained"))
    )
    slope = [e for e in rest if e.name.startswith("slope")]
    if slope and slope[0].value < 0:
        e = slope[0]
        said += (
            f" What is left falls as entries to the power {e.value:.2f}, as for rows that fill {-2 / e.value:.1f} "
            f"dimensions evenly (Gaussian rows: {e.null:.2f})."
        )
    return said.strip()


def _sentence(e: Estimate) -> str:
    name = e.name.removeprefix("explained by ")
    book, _, size = name.partition(", ")
    said = f"{size.capitalize()} of the {book} explain {e.value:.1%} of the energy of held-out rows"
    return f"{said} ({e.null:.1%} by chance)."
