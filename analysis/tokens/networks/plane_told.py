"""What is told of losses over the plane of a path: how much of the path lies in it, its minima, what it misses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.networks.optimiser_path import PathComponents
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.results import Estimate

WALK = "a random walk with the same steps at right angles"
SHARES = ("share of the path in the first component", "share of the path in the plane")
LOWEST, MISSED = "lowest cell below {last}", "loss on the plane under the checkpoints"


@dataclass(frozen=True)
class Plane:
    """Of n samples: `own` (y, x, n) losses at the places `x` and `y` along both components, `chance` (y, x) mean losses
    on planes of random directions, `at` (S, n) those of the checkpoints, `below` (S, n) those at their nearest places
    on the plane, `half` (n,) bool the samples that a cell is chosen on."""

    x: np.ndarray
    y: np.ndarray
    own: np.ndarray
    chance: np.ndarray
    at: np.ndarray
    below: np.ndarray
    half: np.ndarray


def lowest(means: np.ndarray) -> np.ndarray:
    """(p, q) bool: cells inside that are lower than all eight around them."""
    out = np.zeros(means.shape, bool)
    p, q = means.shape
    around = [means[1 + i : p - 1 + i, 1 + j : q - 1 + j] for i in (-1, 0, 1) for j in (-1, 0, 1) if i or j]
    if p > 2 and q > 2:
        out[1:-1, 1:-1] = means[1:-1, 1:-1] < np.min(around, axis=0)
    return out


def chosen(plane: Plane) -> tuple[int, int, str]:
    """(row, column, where in words) of the lowest cell by one half of the samples."""
    means = plane.own[..., plane.half].mean(axis=2)
    row, column = np.unravel_index(means.argmin(), means.shape)
    edge = row in (0, len(plane.y) - 1) or column in (0, len(plane.x) - 1)
    place = f"at {plane.x[column]:+.3g}, {plane.y[row]:+.3g}{', at the edge' if edge else ''}"
    return int(row), int(column), place


def plane_estimates(weights: int, path: PathComponents, plane: Plane, names) -> tuple[Estimate, ...]:
    facts, last = {"n": plane.own.shape[2], "d": weights}, names[-1]
    out = [
        Estimate(name, float(path.shares[:k].sum()), interval="none: one path", null=float(path.walk[:k].sum()),
                 null_method=WALK, n=len(names), d=weights, estimator="of the variance of the checkpoints")
        for k, name in enumerate(SHARES, start=1)
    ]  # fmt: skip
    row, column, place = chosen(plane)
    gain = (plane.at[-1] - plane.own[row, column])[~plane.half]
    facts_of_half = {**facts, "n": len(gain)}
    out.append(Estimate(LOWEST.format(last=last), float(gain.mean()), **mean_interval(gain), null=0.0, unit="nats",
                        null_method=f"that of {last} is the lowest", **facts_of_half,
                        estimator=f"{place}, chosen on the other half of the "
                                  "samples"))  # fmt: skip
    missed = (plane.below - plane.at).mean(axis=0)
    out.append(Estimate(MISSED, float(missed.mean()), **mean_interval(missed), null=0.0, unit="nats",
                        null_method="checkpoints that lie in the plane", **facts,
                        estimator="over that at the checkpoints, mean over checkpoints and samples"))  # fmt: skip
    size = np.ptp(plane.own.mean(axis=2))
    out.append(Estimate("range of the loss over the plane", float(size), interval="none: of cell means", unit="nats",
                        null=float(np.ptp(plane.chance)), null_method="planes of random directions, as long in every "
                        "tensor", estimator="largest less smallest cell", **facts))  # fmt: skip
    return tuple(out)


def plane_reading(told, plane: Plane, names) -> str:
    _, share, best, missed, _ = told
    sure = best.low is not None and best.low > 0
    said = (
        f"The lowest cell ({chosen(plane)[2]}) lies {best.value:.2g} nats below {names[-1]}."
        if sure
        else f"No cell is surely lower than {names[-1]}."
    )
    beside = missed.low is not None and (missed.low > 0 or missed.high < 0)
    return f"The plane holds {share.value:.0%} of the path (a random walk: {share.null:.0%}). {said} " + (
        f"Under the checkpoints the loss of the plane is {missed.value:+.2g} nats from theirs: what lies beside the "
        "plane counts."
        if beside
        else "Under the checkpoints the loss of the plane is about theirs."
    )
