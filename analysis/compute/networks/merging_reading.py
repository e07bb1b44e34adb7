"""What the merging of a layer's units says, as estimates and in plain sentences."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis.compute.networks.feature_merging import MergePath, OutputErrors
from analysis.compute.statistics.nulls import wilson
from analysis.compute.statistics.ratios import ratio_interval, sample_sums
from analysis.results import Estimate

MOVED = "each unit's weights moved between inputs"


def complexity_estimates(
    path: MergePath, moved: Sequence[MergePath], beta: float, inputs: int
) -> tuple[Estimate, Estimate]:
    """The share of units left at `beta`, and the distance of the closest two, each with its null."""
    common = {"n": len(path.alive), "d": inputs, "estimator": "greedy merging, closest pair first"}
    at = np.array([beta])
    value = float(path.left(at)[0])
    null = np.array([p.left(at)[0] for p in moved])
    first = float(path.distance[0])
    apart = np.array([p.distance[0] for p in moved])
    return (
        Estimate(
            f"distinct features left at beta = {beta:g}", value, null=float(null.mean()), null_low=float(null.min()),
            null_high=float(null.max()), null_method=f"{MOVED}: mean, lowest and highest of {len(null)} draws",
            p_value=float((1 + (null <= value).sum()) / (1 + len(null))), **common,
        ),
        Estimate(
            "distance of the closest two units", first, null=float(np.median(apart)), null_low=float(apart.min()),
            null_high=float(apart.max()), null_method=f"{MOVED}: median, smallest and largest of {len(apart)} draws",
            p_value=float((1 + (apart <= first).sum()) / (1 + len(apart))), **common,
        ),
    )  # fmt: skip


def error_estimate(
    errors: OutputErrors, path: MergePath, beta: float, sample: np.ndarray, rng: np.random.Generator
) -> Estimate:
    """The relative error of the merged layer's output at `beta`; `sample` (n,) rising from 0."""
    steps = int(path.steps(beta))
    squares = np.zeros(len(errors.variance)) if steps == 0 else errors.squares[steps - 1]
    above, below = sample_sums(squares, sample), sample_sums(errors.variance, sample)
    low, high = ratio_interval(above, below, rng)
    value = 0.0 if steps == 0 else float(errors.relative[steps - 1])
    n = int(sample[-1]) + 1
    return Estimate(
        f"relative error of the output at beta = {beta:g}", value, min(np.sqrt(low), value), max(np.sqrt(high), value),
        interval="bootstrap over samples", null=1.0, null_method="every unit replaced by its mean", n=n,
        d=len(path.alive), estimator="root mean squared change of the next layer's sum over its deviation",
    )  # fmt: skip


def accuracy_estimate(
    correct: np.ndarray, chance: np.ndarray, classes: bool, beta: float, units: int
) -> Estimate:
    """Share of right answers `correct` (n,) of the merged network at `beta`; `chance` (n,), those with as many random
    pairs merged; `classes`: answers are right or wrong."""
    n, value = len(correct), float(correct.mean())
    half = 1.959964 * float(correct.std(ddof=1)) / np.sqrt(n)
    low, high = wilson(correct.sum(), n) if classes else (value - half, value + half)
    return Estimate(
        f"accuracy of the merged network at beta = {beta:g}", value, min(float(low), value), max(float(high), value),
        interval="Wilson" if classes else "normal, samples as draws", null=float(chance.mean()),
        null_method="as many random pairs merged, one draw", n=n, d=units,
        estimator="share of right answers" if classes else "share of next tokens guessed, mean over texts",
    )  # fmt: skip


def merging_caveats(layer, path: MergePath, relu: bool, draws: int) -> tuple[str, ...]:
    """What cannot be concluded. `layer`: with `units`, `reader`, `activations` and `notes`."""
    notes, network = list(layer.notes), layer.units.network
    if len(path.empty):
        notes.append(f"{len(path.empty)} unit(s) have no weight that is not 0: they are dead and left out.")
    if layer.activations is not None:
        silent = int((np.ptp(layer.activations[:, path.alive], axis=0) == 0).sum())
        if silent:
            notes.append(f"{silent} of the units never change on these data: merging them shows in no error.")
    used = network.activation if network is not None else ""
    if used and relu and used.lower() != "relu":
        notes.append(
            f"config.json says '{used}', which is not equivalent up to scale as ReLU is: merging is inexact."
        )
    elif relu:
        notes.append("That the nonlinearity is a ReLU is declared, not found.")
    if network is not None and not layer.reader:
        notes.append(
            "Which layer reads these units is not known: a layer that writes a residual stream can drop a unit only "
            "where all others that write it do."
        )
    notes.append(f"Chance is taken from {draws} draws of moved weights.")
    notes.append("Beta is defined here; the threshold of the published algorithm may be another.")
    return tuple(notes)
