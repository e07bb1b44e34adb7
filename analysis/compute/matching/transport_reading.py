"""What a transport between units says, as estimates and in plain sentences."""

from __future__ import annotations

import numpy as np
from scipy.special import stdtrit

from analysis.compute.matching.transport_profiles import Profiles
from analysis.compute.matching.unit_fusion import Partners, effective_partners
from analysis.compute.statistics.nulls import wilson
from analysis.results import Estimate

LEVEL = 0.05
SHOWN = 5  # units named


def transport_estimates(found: Partners, a: Profiles, estimator: str) -> tuple[Estimate, ...]:
    """Mean likeness of partners, share of units matched, partners of a unit; each with its null."""
    draws = len(found.chance)
    p, q = found.plan.shape
    common = {
        "n": p,
        "d": a.values.shape[1],
        "estimator": estimator,
    }
    mean, chance = float(found.alike.mean()), found.chance.mean(axis=1)
    half = float(stdtrit(p - 1, 0.975) * found.alike.std(ddof=1) / np.sqrt(p))
    by = f"inputs of one side exchanged, transport anew: mean, lowest and highest of {draws} draws"
    share = float((found.q < LEVEL).mean())
    low, high = wilson(share * p, p)
    spread = effective_partners(found.plan)
    return (
        Estimate("mean cosine of partners", mean, mean - half, mean + half, interval="t, units as draws",
                 null=float(chance.mean()), null_low=float(chance.min()), null_high=float(chance.max()), null_method=by,
                 p_value=float((1 + (chance >= mean).sum()) / (1 + draws)), **common),
        Estimate(f"share of units matched (q < {LEVEL:g})", share, low, high, interval="Wilson, units as draws",
                 null=0.0, null_method="false-discovery control", **common),
        Estimate("partners of a unit", float(spread.mean()), null=float(q), null_method="everything goes everywhere",
                 **common),
    )  # fmt: skip


def transport_reading(found: Partners, estimates: tuple[Estimate, ...], a: Profiles, b: Profiles) -> str:
    mean, _, spread = estimates
    shares = found.plan.argmax(axis=1)
    matched, lone = np.flatnonzero(found.q < LEVEL), np.flatnonzero(found.q >= LEVEL)
    best = matched[np.argsort(-found.alike[matched], kind="stable")][:SHOWN]
    worst = lone[np.argsort(found.alike[lone], kind="stable")][:SHOWN]
    said = (
        f"Partners are alike with a cosine of {mean.value:.2f} on average, exchanged ones {mean.null:.2f}. "
        f"{len(matched)} of {len(found.alike)} units of {a.name} are matched in {b.name} beyond chance; a unit goes to "
        f"{spread.value:.1f} on average."
    )
    if len(best):
        named = ", ".join(f"{a.names[i]} to {b.names[shares[i]]} ({found.alike[i]:.2f})" for i in best)
        said += f" Surest: {named}."
    if len(worst):
        said += f" Without a partner, the least alike first: {', '.join(a.names[i] for i in worst)}."
    return said
