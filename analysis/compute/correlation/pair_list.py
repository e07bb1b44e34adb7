"""A list of strong unit pairs: its columns, what they mean, its estimates and what it cannot say."""

from __future__ import annotations

import numpy as np

from analysis.activations import Activations
from analysis.compute.correlation.correlations import correlation_p, fisher_interval
from analysis.compute.correlation.pair_tests import largest_estimate
from analysis.compute.correlation.strongest import StrongestFound
from analysis.compute.statistics.multiple_testing import benjamini_hochberg, sidak
from analysis.results import Estimate

HELP = {
    "unit a": "number of the first unit",
    "unit b": "number of the second unit",
    "name a": "its name",
    "name b": "its name",
    "r": "Pearson correlation over the rows",
    "|r|": "its size",
    "low": "lower end of the 95 % interval (Fisher), samples as independent",
    "high": "upper end of the 95 % interval (Fisher), samples as independent",
    "p": "chance of such an |r| for one pair of unrelated units",
    "p of the largest": "chance that the largest of all pairs reaches it, were all units unrelated",
    "q": "false-discovery rate among all pairs (upper bound)",
}


def pair_columns(
    taps: tuple[Activations, Activations], found: StrongestFound, total: int
) -> dict[str, np.ndarray]:
    """The columns of `HELP` for the pairs found among `total`."""
    names = [np.array(tap.unit_names, dtype=str) for tap in taps]
    r, samples = found.r, found.samples
    p, (low, high) = correlation_p(r, samples), fisher_interval(r, samples)
    return {
        "unit a": found.a,
        "unit b": found.b,
        "name a": names[0][found.a],
        "name b": names[1][found.b],
        "r": r,
        "|r|": np.abs(r),
        "low": low,
        "high": high,
        "p": p,
        "p of the largest": sidak(p, total),
        "q": benjamini_hochberg(p, tests=total),
    }


def pair_estimates(columns: dict[str, np.ndarray], samples: int, total: int, d: int) -> tuple[Estimate, ...]:
    """The largest |r|, and how many listed pairs have q < 0.05; none for an empty list."""
    if not len(columns["r"]):
        return ()
    common = {"n": samples, "d": d, "estimator": "pearson"}
    return (
        largest_estimate(columns["r"][0], total, samples, common, p=float(columns["p of the largest"][0])),
        Estimate("listed pairs with q < 0.05", float((columns["q"] < 0.05).sum()), null=0.0, unit="pairs",
                 null_method="false-discovery control", **common),
    )  # fmt: skip


def pair_caveats(found: StrongestFound) -> list[str]:
    """What the list cannot say."""
    notes = []
    if found.samples < found.n:
        notes.append(f"Tests and intervals count {found.samples:,} samples, not {found.n:,} dependent rows.")
    if found.error:
        notes.append(
            "Multiplied in single precision and checked in double: the largest difference in r found is "
            f"{found.error:.1g}."
        )
    notes.append("Gaussian null: for rarely active units a few shared rows make a large r.")
    return notes
