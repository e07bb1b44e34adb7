"""What becomes of known factors from one representation to another: lost, weakened, kept, strengthened or gained."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis.compute.rows.known_factors import Factor
from analysis.compute.similarity.factor_weights import Probe, Share
from analysis.compute.statistics.multiple_testing import benjamini_hochberg
from analysis.compute.statistics.paired_gain import gain_p

LEVEL = 0.05  # false-discovery rate over factors
WORDS = ("lost", "weakened", "kept", "strengthened", "gained", "unsure", "not there")


def verdict_columns(
    factors: Sequence[Factor],
    names: Sequence[str],
    found: Sequence[Sequence[Probe]],
    shares: Sequence[Sequence[Share]],
    rng: np.random.Generator,
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The columns, the largest loss first, and that order. `found` and `shares`: for each tap one of each factor."""
    first, last = found[0], found[-1]
    differ = [b.each - a.each for a, b in zip(first, last, strict=True)]
    change = np.array([d.mean() for d in differ])
    half = np.array([1.96 * d.std(ddof=1) / np.sqrt(len(d)) for d in differ])
    q = benjamini_hochberg(np.array([min(1.0, 2 * min(gain_p(d, rng), gain_p(-d, rng))) for d in differ]))
    there = [benjamini_hochberg(np.array([f.p for f in tap])) < LEVEL for tap in (first, last)]
    verdict = [_verdict(a, b, c, p) for a, b, c, p in zip(*there, change, q, strict=True)]
    out = {"factor": np.array([f.name for f in factors]), "verdict": np.array(verdict)}
    out |= {
        f"probe: {name}": np.array([f.value for f in tap]) for name, tap in zip(names, found, strict=True)
    }
    out |= {
        "change": change, "change_low": change - half, "change_high": change + half, "q_value": q,
        "kind": np.array([f.kind for f in factors]), "samples": np.array([int(f.known.sum()) for f in factors]),
    }  # fmt: skip
    for name, tap, share in zip(names, found, shares, strict=True):
        out[f"low: {name}"] = np.array([f.low for f in tap])
        out[f"high: {name}"] = np.array([f.high for f in tap])
        out[f"chance: {name}"] = np.array([f.null.mean() for f in tap])
        out[f"variance: {name}"] = np.array([s.value for s in share])
    out["variance by chance"] = np.array([s.null for s in shares[0]])
    order = np.argsort(change, kind="stable")
    return {k: x[order] for k, x in out.items()}, order


def _verdict(before: bool, after: bool, change: float, q: float) -> str:
    if not before and not after:
        return "not there"
    if q >= LEVEL:
        return "kept" if before and after else "unsure"
    if change < 0:
        return "weakened" if after else "lost"
    return "strengthened" if before else "gained"
