"""What is told of losses along a path: its components, losses at both ends, the barrier between them, curvatures."""

from __future__ import annotations

import numpy as np

from analysis.compute.networks.optimiser_path import PathComponents
from analysis.compute.statistics.nulls import null_spread
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.results import Estimate

NAMES, PATH, LINE = ("first component", "second component"), "the path", 9
RANDOM, BENT = "random directions, as long in every tensor", "curvature along random directions"


def slice_estimates(weights: int, path: PathComponents, x, made, names) -> tuple[Estimate, ...]:
    n, size = made[PATH].shape[1], weights
    facts, out = {"n": n, "d": size}, []
    for j, share in enumerate(path.shares):
        out.append(Estimate(f"share of the path in the {NAMES[j]}", float(share), interval="none: one path",
                            null=float(path.walk[j]), null_method="a random walk with the same steps at right angles",
                            n=len(names), d=size, estimator="of the variance of the checkpoints"))  # fmt: skip
    own = made[PATH]
    out.append(Estimate(f"loss at {names[-1]}", float(own[-1].mean()), **mean_interval(own[-1], 0.0), **facts,
                        null=float(own[0].mean()), null_method=f"that of {names[0]}", unit="nats",
                        estimator="mean over samples"))  # fmt: skip
    most = made["line"][int(made["line"].mean(axis=1).argmax())]
    out.append(Estimate("barrier on the straight line", float(most.mean()), **mean_interval(most, chosen_of=LINE),
                        null=0.0, null_method="a loss that runs straight between both ends", unit="nats", **facts,
                        estimator=f"largest of {LINE} places, over the line between the losses"))  # fmt: skip
    centre, step = int(np.searchsorted(x, 0.0)), x[-1] - x[0]
    for j in range(len(path.axes)):
        bent = bent_at(x, made[NAMES[j]], centre) * step**2
        chance = made[NAMES[j], BENT].mean(axis=1) * step**2
        far = np.abs(chance - chance.mean()) >= abs(bent.mean() - chance.mean())
        name = f"curvature of the {NAMES[j]} at the end"
        out.append(Estimate(name, float(bent.mean()), **mean_interval(bent), **facts, **null_spread(chance),
                            p_value=float((1 + far.sum()) / (1 + len(chance))),
                            null_method=f"{len(chance)} {RANDOM}", unit="nats",
                            estimator="second difference of the loss, for the width of the slice"))  # fmt: skip
    return tuple(out)


def bent_at(x: np.ndarray, loss: np.ndarray, at: int) -> np.ndarray:
    """(n,) second derivative at a place of losses (places, n), by the parabola through it and its neighbours."""
    three = bend_places(x, at)
    return second(x[three], loss[three])


def bend_places(x: np.ndarray, at: int) -> np.ndarray:
    """(3,) a place and its neighbours; those nearer than a hundredth of the slice, where checkpoints hardly differ,
    tell more of rounding than of the loss."""
    far = (x[-1] - x[0]) / 100
    at = min(
        max(at, int(np.searchsorted(x, x[0] + far))), int(np.searchsorted(x, x[-1] - far, side="right")) - 1
    )
    below = int(np.searchsorted(x, x[at] - far, side="right")) - 1
    above = int(np.searchsorted(x, x[at] + far))
    return np.array([below, at, above])


def second(x: np.ndarray, loss: np.ndarray) -> np.ndarray:
    """(n,) second derivative of the parabola through losses (3, n) at three places (3,)."""
    a, b = x[1] - x[0], x[2] - x[1]
    return 2 * ((loss[2] - loss[1]) / b - (loss[1] - loss[0]) / a) / (a + b)


def slice_reading(told, names) -> str:
    by = {e.name: e for e in told}
    share, last = by[f"share of the path in the {NAMES[0]}"], by[f"loss at {names[-1]}"]
    barrier, bent = by["barrier on the straight line"], by[f"curvature of the {NAMES[0]} at the end"]
    rises = barrier.low is not None and barrier.low > 0
    said = (
        f"lies up to {barrier.value:.2g} above the line between both losses" if rises else "meets no barrier"
    )
    text = (
        f"The first component holds {share.value:.0%} of the path (a random walk: {share.null:.0%}). The loss goes "
        f"from {last.null:.3g} to {last.value:.3g} nats; straight from {names[0]} to {names[-1]} it {said}."
    )
    if bent.p_value > 0.05:
        return (
            f"{text} Along the component it does not bend surely more or less than along random directions."
        )
    return f"{text} Along the component it bends {'more' if bent.value > bent.null else 'less'} than along random ones."
