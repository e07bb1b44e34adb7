"""Readings of intrinsic dimension as estimates and sentences: interval, null, and what Gaussians are read as."""

from __future__ import annotations

import numpy as np

from analysis.compute.neighbours.dimension_estimators import Apart, Near, same_sample_share, tied_share
from analysis.compute.neighbours.dimension_readings import (
    GRIDE,
    MLE,
    TREE,
    TRUE,
    TWO_NN,
    Readings,
    read_alike,
)
from analysis.results import Estimate

FORMULA = {
    TWO_NN: "(n - 1) / Σ log(r2 / r1)",
    MLE: "inverse of the mean log(r_k / r_j), k = {k}",
    TREE: "1 / (1 - slope) of log tree length on log n, n/8 to n",
    GRIDE: "greatest likelihood of r_2k / r_k",
}
LOW = 15  # dimensions from which readings are too small at any usual number of points


def dimension_estimates(
    readings: Readings, null: dict[str, dict], n: int, d: int, k: int, at: int = -1
) -> list[Estimate]:
    """One for each estimator; `null` by estimator, as an `Estimate` takes it."""
    return [
        Estimate(f"{name} dimension", float(readings.values[name][at]), **readings.interval(name, at),
                 **null.get(name, {}), n=n, d=d, estimator=FORMULA[name].format(k=k))
        for name in readings.values
    ]  # fmt: skip


def alike_estimates(readings: Readings, known: dict[str, np.ndarray], n: int, d: int) -> list[Estimate]:
    """The dimensions of the Gaussians that are read alike, where the calibration reaches so far."""
    found = []
    for name, read in known.items():
        value = read_alike(float(readings.values[name][-1]), read)
        ends = readings.interval(name)
        low, high = (read_alike(ends[e], read) for e in ("low", "high")) if ends else (None, None)
        if value is None:
            continue
        more = {} if low is None or high is None else {"low": low, "high": high, "interval": ends["interval"]}
        found.append(
            Estimate(f"dimension of a Gaussian with this {name}", value, **more, n=n, d=d,
                     estimator=f"straight lines between Gaussians of {', '.join(map(str, TRUE))} dimensions at this n")
        )  # fmt: skip
    return found


def calibration_note(known: dict[str, np.ndarray], n: int) -> str:
    """What Gaussians of known dimension are read as at this n."""
    shown = [TRUE.index(d) for d in (10, 20, 40)]
    lines = [f"{name} {', '.join(f'{read[i]:.1f}' for i in shown)}" for name, read in known.items()]
    return (
        f"At n = {n:,}, Gaussians of 10, 20 and 40 dimensions are read as: {'; '.join(lines)}. Every estimator reads "
        f"too little beyond about {LOW} dimensions, and no number of samples that anyone has mends it."
    )


def point_notes(apart: Apart, near: Near) -> list[str]:
    """Caveats on equal points, ties, and neighbours of the same sample."""
    notes, ties = apart.notes, tied_share(near)
    if ties > 0.02:
        notes.append(
            f"{ties:.0%} of the points have their two nearest neighbours equally far, as values on a grid (integers, "
            "few bits) do: ratios of distances are then too near 1 and dimensions read too high."
        )
    if len(np.unique(apart.owner)) < len(apart.owner):
        notes.append(
            f"The nearest neighbour of {same_sample_share(near, apart.owner):.0%} of the rows is a token of the same "
            "sample: the dimension is that of tokens inside samples as far as this share is large."
        )
    if int(apart.owner.max()) < 7:
        notes.append("Fewer than eight samples have no interval.")
    return notes
