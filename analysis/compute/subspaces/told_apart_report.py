"""The numbers of groups told apart by a projection of their own, with intervals and exchanged groups."""

from __future__ import annotations

import numpy as np

from analysis.compute.linear.cross_fitting import folds_of
from analysis.compute.statistics.nulls import against, wilson
from analysis.compute.statistics.sample_groups import GROUPS, jackknife_half, mean_interval
from analysis.compute.subspaces.told_apart import ToldApart, group_margin, sample_margins, told_apart
from analysis.results import Estimate

NAMES = (
    "margin of groups, after",
    "margin of groups, before",
    "share of later samples nearest to their group, after",
    "share of later samples nearest to their group, before",
    "mean margin of a sample, after less before",
    "margin of groups on the history itself, after (do not believe)",
    "largest ratio λ",
)


def numbers_of(t: ToldApart) -> np.ndarray:
    """The numbers of `NAMES`."""
    after, before = (sample_margins(v, t.of) for v in (t.after, t.before))
    return np.array([
        group_margin(t.after, t.of), group_margin(t.before, t.of), (after > 0).mean(), (before > 0).mean(),
        (after - before).mean(), group_margin(t.own, t.past), t.ratios[0] if len(t.ratios) else 0.0,
    ])  # fmt: skip


def margin_errors(x, of, later, groups: int, rng, progress) -> np.ndarray:
    """Half-widths of the margins from leaving out a tenth of the samples of each group and part."""
    fold, series = folds_of(2 * of + later, GROUPS, rng), []
    for f in range(GROUPS):
        progress(0.8 + 0.2 * f / GROUPS, "leaving samples out")
        keep = fold != f
        if all((np.bincount(of[keep & part], minlength=groups) > 0).all() for part in (later, ~later)):
            series.append(numbers_of(told_apart(x[keep], of[keep], later[keep], groups)))
    return jackknife_half(np.array(series)) if len(series) == GROUPS else None


def estimates_of(t: ToldApart, half, null, n: int, d: int) -> tuple[Estimate, ...]:
    """Each number of `NAMES` with `half` (7,) or None, its half-widths, and `null` (draws, 7)."""
    values, made, m = numbers_of(t), [], len(t.of)
    gain = sample_margins(t.after, t.of) - sample_margins(t.before, t.of)
    for i, name in enumerate(NAMES):
        value, ends = float(values[i]), {}
        if i in (2, 3):
            low, high = wilson(value * m, m)
            ends = {"low": min(low, value), "high": max(high, value), "interval": "Wilson over later samples"}
        elif i == 4:
            ends = mean_interval(gain)
        elif half is not None and i in (0, 1):
            reach = float(half[i])
            ends = {
                "low": value - reach,
                "high": value + reach,
                "interval": f"jackknife over {GROUPS} groups, t",
            }
        made.append(Estimate(
            name, value, **ends, **against(value, null[:, i]), null_method=f"groups exchanged, {len(null)} times, "
            "projection made anew", n=n if i > 4 else m, d=d, estimator="min intra - max inter" if "of groups" in name
            else "cosine with the history's mean" if i < 5 else "generalised eigenvalue, shrunk",
        ))  # fmt: skip
    return tuple(made)
