"""The verdict on a patch as a table of what was patched, and as estimates with their nulls."""

from __future__ import annotations

import numpy as np

from analysis.attribution.patches.patch_verdict import (
    CONNECTED,
    DISCONNECTED,
    HELD,
    IN_AXES,
    NOTHING,
    PATCH,
    RANDOM,
    WHOLE,
    PatchVerdict,
)
from analysis.compute.statistics.nulls import against, null_spread
from analysis.compute.statistics.ratios import ratio_interval
from analysis.results import Estimate

PARTS = {
    WHOLE: "all of h_src", PATCH: "V", CONNECTED: "V in the span of slopes", HELD: "V, no unit beyond its range",
    DISCONNECTED: "V outside of it", RANDOM: "others",
    IN_AXES: "V, no principal axis beyond its range",
}  # fmt: skip
HELP = {
    "patched": "What is exchanged between the samples of a pair.",
    "effect": "Mean change of the number towards the source.",
    "low": "95 % interval of it over pairs; of random directions where 95 % of them are.",
    "high": "95 % interval of it over pairs; of random directions where 95 % of them are.",
    "error": "Standard error over pairs.",
    "of everything": "Effect over that of exchanging the whole activation.",
    "variance": "Natural variance along it, mean over its directions.",
    "out of range": "Share of the squared change that lies in units beyond their natural range.",
    "exchanged": "What that is.",
}


def verdict_columns(found: PatchVerdict) -> dict[str, np.ndarray]:
    """A line for each part and one for random directions, see `HELP`."""
    whole, lines = float(found.effects[WHOLE].mean()), []
    for part, x in found.effects.items():
        error = float(x.std(ddof=1)) / np.sqrt(len(x)) if len(x) > 1 else 0.0
        variance = found.variance.get(part, found.variance[PATCH])
        lines.append((part, *found.interval(part), error, variance, float(found.outside[part].mean())))
    ends = np.percentile(found.random_effects, [2.5, 97.5])
    chance = found.random_effects
    lines.append(
        (RANDOM, float(chance.mean()), *ends, float(chance.std()), float(found.random_variance.mean()), 0.0)
    )
    part, effect, low, high, error, variance, outside = zip(*lines, strict=True)
    return {
        "patched": np.array(part), "effect": np.array(effect), "low": np.array(low), "high": np.array(high),
        "error": np.array(error), "of everything": np.array(effect) / whole if whole else np.zeros(len(effect)),
        "variance": np.array(variance), "out of range": np.array(outside),
        "exchanged": np.array([PARTS[p] for p in part]),
    }  # fmt: skip


def verdict_estimates(found: PatchVerdict, d: int, rng: np.random.Generator) -> tuple[Estimate, ...]:
    """Shares of the effect only where there is one."""
    mean, low, high = found.interval(PATCH)
    n, chance = len(found.effects[PATCH]), found.random_effects
    random = {**null_spread(chance), "p_value": against(abs(mean), np.abs(chance))["p_value"]}
    made = [
        Estimate("effect of the direction", mean, low, high, interval="Student's t over pairs", **random,
                 null_method="random directions", n=n, d=d, estimator="mean change towards the source"),
    ]  # fmt: skip
    sign = np.sign(mean)
    for name, part in (("kept in the natural range", HELD), ("its connected part alone", CONNECTED)):
        below = sign * found.effects[PATCH]
        if found.word != NOTHING and below.sum() > 0:
            ends = ratio_interval(sign * found.effects[part], below, rng)
            made.append(Estimate(name, found.share(part), *ends, interval="bootstrap over pairs", n=n, d=d,
                                 estimator="its effect / effect of the direction"))  # fmt: skip
    for name, value, null in (
        ("natural variance of its connected part", found.variance[CONNECTED], found.random_variance),
        ("alignment with the difference of means", found.alignment, found.random_alignment),
    ):
        made.append(Estimate(name, value, **null_spread(null), null_method="random directions", n=n, d=d))
    return tuple(made)
