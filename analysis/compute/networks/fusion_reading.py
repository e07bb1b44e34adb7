"""What joining two layers, or two networks, says: estimates and plain sentences."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from analysis.compute.matching.unit_fusion import kept_variance
from analysis.errors import InputError
from analysis.results import Estimate

MIDDLE = np.array([0.5])
BOOTSTRAPS = 500


def kept_estimates(
    sums: Mapping[str, np.ndarray], half: np.ndarray, units: int, rng: np.random.Generator
) -> tuple[Estimate, ...]:
    """What is kept half-way of each of `sums`, name to moments (n, 4); `half` (draws,), what exchanged samples keep."""
    n, found = len(next(iter(sums.values()))), []
    for name, moments in sums.items():
        value = float(kept_variance(moments.sum(axis=0), MIDDLE)[0])
        picked = rng.multinomial(n, np.full(n, 1 / n), size=BOOTSTRAPS) @ moments
        low, high = np.quantile(kept_variance(picked, MIDDLE)[:, 0], [0.025, 0.975])
        more = {
            "null": float(half.mean()), "null_low": float(half.min()), "null_high": float(half.max()),
            "p_value": float((1 + (half >= value).sum()) / (1 + len(half))),
            "null_method": f"samples exchanged, aligned anew: mean, lowest and highest of {len(half)} draws",
            "estimator": "plan from one half of the samples, measured on the other",
        } if name == "aligned" else {
            "null": 0.5, "null_method": "samples exchanged, exact mean", "estimator": "all samples",
        }  # fmt: skip
        found.append(
            Estimate(
                f"variance kept half-way, {name}", value, min(float(low), value), max(float(high), value),
                interval="bootstrap over samples, plan held fixed", n=n, d=units, **more,
            )
        )  # fmt: skip
    return tuple(found)


def network_estimates(
    runs: Mapping[str, tuple[np.ndarray, np.ndarray]], chance: tuple[np.ndarray, np.ndarray]
) -> tuple[Estimate, ...]:
    """The loss barrier half-way, and the right answers there, of each of `runs`, name to loss and right answers (steps,
    n), the steps being even and holding both ends; `chance`: the same (draws, n) half-way to reordered networks."""
    found = []
    for name, (loss, correct) in runs.items():
        middle, n, draws = len(loss) // 2, loss.shape[1], len(chance[0])
        if not np.isfinite(loss).all():
            raise InputError(
                "the data have no labels, so the networks have no loss", "labels, or language models"
            )
        ends = (loss[0] + loss[-1]) / 2
        for what, each, null in (
            ("loss barrier", loss[middle] - ends, chance[0] - ends),
            ("accuracy half-way", correct[middle], chance[1]),
        ):
            half = 1.959964 * float(each.std(ddof=1)) / np.sqrt(n)
            value, by_draw = float(each.mean()), null.mean(axis=1)
            found.append(
                Estimate(f"{what}, networks {name}", value, value - half, value + half,
                         interval="normal, samples as draws", null=float(by_draw.mean()), null_low=float(by_draw.min()),
                         null_high=float(by_draw.max()), n=n, d=len(loss),
                         null_method=f"units reordered at random: mean, lowest and highest of {draws} draws",
                         estimator="average of all weights, run on the data")
            )  # fmt: skip
    return tuple(found)


def fusion_reading(estimates: tuple[Estimate, ...]) -> str:
    aligned, other = estimates[0], estimates[1]
    networks = [e for e in estimates if e.name.startswith("accuracy half-way")]
    verdict = (
        "The layers can be joined with little loss."
        if aligned.value > 0.9
        else "What the two layers share survives, the rest cancels."
        if aligned.low > aligned.null_high
        else "Alignment finds no more than chance would."
    )
    said = (
        f"Half-way between the two layers {aligned.value:.0%} of the variance is kept after alignment "
        f"({aligned.low:.0%} to {aligned.high:.0%}); {other.name.partition(', ')[2]} {other.value:.0%}, and "
        f"{aligned.null:.0%} when samples are exchanged. {verdict}"
    )
    if networks:
        first, second = networks
        said += (
            f" The average of the two networks gives {first.value:.0%} right answers when aligned, {second.value:.0%} "
            f"as numbered, {first.null:.0%} with units reordered at random."
        )
    return said
