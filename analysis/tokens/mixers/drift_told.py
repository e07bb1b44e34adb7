"""What is told of modes that moved: how far, how straight, in which direction, and what became of half-lives."""

from __future__ import annotations

import numpy as np

from analysis.results import Estimate
from analysis.tokens.mixers.mode_paths import Paths, random_walk
from analysis.tokens.mixers.state_spaces import NEVER

STILL = 1e-6  # of the largest mode: what weights in single precision tell
NONE = "none: weights are no sample"


def drift_estimates(
    every: list[Paths], far, chance, names, since: str, rng: np.random.Generator, draws: int
) -> tuple[Estimate, ...]:
    size = max(float(np.abs(p.at).max()) for p in every)
    ends = np.concatenate([f[-1].ravel() for f in far])
    free = np.concatenate([c[:, -1].reshape(len(c), -1) for c in chance], axis=1).mean(axis=1)
    facts = {"interval": NONE, "n": len(ends), "d": len(every)}
    walk = f"the same steps into random directions, {draws} draws"
    out = [Estimate(f"drift from {since} at {names[-1]}", float(ends.mean()), **facts, **spread(free),
                    null_method=walk, estimator="mean over modes, channels and layers", unit="1 / time",
                    rounding=STILL * size)]  # fmt: skip
    path = sum(float(np.abs(np.diff(p.at, axis=0)).sum()) for p in every)
    net = [p.at[-1] - p.at[0] for p in every]
    if len(names) > 2 and path > STILL * size * len(ends):
        free = sum(random_walk(p.at, p.at[0], draws, rng)[:, -1].sum(axis=(1, 2))
                   for p in every) / path  # fmt: skip
        out.append(Estimate("straightness of the paths", sum(float(np.abs(n).sum()) for n in net) / path, **facts,
                            **spread(free), null_method=walk, estimator="net drift over length of path"))  # fmt: skip
    total = sum(float(np.square(np.abs(n)).sum()) for n in net)
    if total > 0 and any(p.at.imag.any() for p in every):
        out.append(Estimate("share of the drift that is of decay",
                            sum(float(np.square(n.real).sum()) for n in net) / total, null=0.5, **facts,
                            null_method="all directions alike", estimator="real part of squared drift"))  # fmt: skip
    begun, now = (np.concatenate([_slowest(p, k) for p in every]).mean() for k in (0, -1))
    out.append(Estimate(f"half-life of the slowest mode at {names[-1]}", float(now), **facts, null=float(begun),
                        null_method=f"that of {names[0]}, with its Δ", unit="steps",
                        estimator="mean over channels"))  # fmt: skip
    return tuple(out)


def _slowest(paths: Paths, k: int) -> np.ndarray:
    """(H,) steps that the slowest mode of each channel takes to halve at checkpoint `k`."""
    rate = -paths.steps[k][:, None] * paths.at[k].real
    return np.where(rate > 0, np.minimum(np.log(2) / np.where(rate > 0, rate, 1), NEVER), NEVER).max(axis=1)


def spread(free: np.ndarray) -> dict:
    low, high = np.quantile(free, [0.025, 0.975])
    return {"null": float(free.mean()), "null_low": float(low), "null_high": float(high)}


def drift_reading(told, names, since: str) -> str:
    drift, by = told[0], {e.name: e for e in told}
    last = told[-1]
    if drift.value <= drift.rounding:
        return f"Modes are at {names[-1]} where {since} has them."
    text = f"At {names[-1]} modes lie {drift.value:.3g} from {since} on average"
    straight = by.get("straightness of the paths")
    if straight:
        text += (
            f"; they went {straight.value:.0%} of their way straight (random directions: {straight.null:.0%})"
        )
    return f"{text}. The slowest mode of a channel halves in {last.value:.3g} steps (at {names[0]}: {last.null:.3g})."
