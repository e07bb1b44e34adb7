"""What is said of adapters and their tasks: whether each is best at its own."""

from __future__ import annotations

from itertools import permutations
from math import factorial

import numpy as np

from analysis.compute.statistics.nulls import add_one_p, wilson
from analysis.compute.statistics.sample_groups import mean_interval, share_interval
from analysis.compute.subspaces.prototypes import Stages
from analysis.results import Estimate

DEALS = 999


def adapter_estimates(
    right: np.ndarray, together: np.ndarray, data: Stages, every: bool, rng
) -> tuple[Estimate, ...]:
    """`right` (A, n) in each adapter, `together` (n,) answers of all side by side."""
    tasks, (count, n), d = data.task[data.of], right.shape, sum(v.shape[1] for v in data.values)
    own = right[tasks, np.arange(n)].astype(float)
    others = (right.sum(axis=0) - own) / (count - 1)
    among = "all classes" if every else "classes of the own task"
    per_task = np.array([right[:, tasks == t].sum(axis=1) for t in range(count)]) / n  # (tasks, adapters)
    gain, deals = own - others, _deals(count, rng)
    chance = np.array([(per_task[np.arange(count), list(p)] * count / (count - 1)).sum() for p in deals])
    chance -= per_task.sum() / (count - 1)
    exact = len(deals) == factorial(count)
    p = (
        float((chance >= gain.mean() - 1e-12).mean())
        if exact
        else float(add_one_p(gain.mean() - 1e-12, chance))
    )
    best, said = (
        per_task.argmax(axis=1) == np.arange(count),
        np.bincount(together, minlength=len(data.names)) / n,
    )
    ends, top = wilson(int(best.sum()), count), float((together == data.of).mean())
    low, high = wilson(top * n, n)
    shared = {"n": n, "d": d, "estimator": f"held out, largest cosine among {among}"}
    random = "adapters dealt to tasks at random"
    dealt = f"{random}, " + ("every deal" if exact else f"{DEALS} deals")
    return (
        Estimate("accuracy in the adapter of the own task", float(own.mean()), **share_interval(own),
                 null=float(per_task.sum() / count), null_method=f"{random}, exact mean", **shared),
        Estimate("accuracy in the adapters of other tasks", float(others.mean()), **mean_interval(others, 0.0, 1.0),
                 null=float(per_task.sum() / count), null_method=f"{random}, exact mean", **shared),
        Estimate("gain of the own adapter", float(gain.mean()), **mean_interval(gain), null=0.0,
                 null_low=float(np.percentile(chance, 2.5)), null_high=float(np.percentile(chance, 97.5)), p_value=p,
                 null_method=dealt, **shared),
        Estimate("tasks whose own adapter is the best", float(best.mean()), min(ends[0], float(best.mean())),
                 max(ends[1], float(best.mean())), interval="Wilson, tasks as draws", null=1 / count,
                 null_method=f"{random}, exact mean without ties", n=count, d=d,
                 estimator="largest accuracy of the row; the first one of equals"),
        Estimate("accuracy of all embeddings side by side", top, min(low, top), max(high, top), interval="Wilson",
                 null=float(said @ (np.bincount(data.of) / n)), null_method="answers exchanged between samples, exact",
                 n=n, d=d, estimator="held out, largest cosine among all classes, true prototypes"),
    )  # fmt: skip


def _deals(count: int, rng) -> list:
    if factorial(count) <= DEALS:
        return list(permutations(range(count)))
    return [rng.permutation(count) for _ in range(DEALS)]
