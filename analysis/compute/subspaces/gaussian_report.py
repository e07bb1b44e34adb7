"""What is said of classes as Gaussians in two taps: how far a class is from itself, and how well the nearest class of
the other tap names samples."""

from __future__ import annotations

import numpy as np

from analysis.compute.statistics.nulls import add_one_p
from analysis.compute.statistics.sample_groups import jackknife_half
from analysis.compute.subspaces.gaussian_classes import harmonic_mean
from analysis.errors import ParameterError
from analysis.results import Estimate

EXCHANGES, DRAWS = 999, 2000


def unseen_of(text: str, names: list[str]) -> np.ndarray | None:
    """(C,) bool of the classes named in `text`, with commas between; None where it names none."""
    asked = [n.strip() for n in text.split(",") if n.strip()]
    missing = [n for n in asked if n not in names]
    if missing or len(asked) == len(names):
        raise ParameterError(
            f"unseen classes {', '.join(missing or asked)}", "some, not all, of " + ", ".join(names)
        )
    return np.isin(names, asked) if asked else None


def mean_distance(distance, without, sides, rng) -> Estimate:
    c, value = len(distance), float(np.trace(distance) / len(distance))
    half = float(jackknife_half((np.trace(without, axis1=1, axis2=2) / c)[:, None])[0])
    chance = np.array([distance[np.arange(c), rng.permutation(c)].mean() for _ in range(EXCHANGES)])
    low, high = np.percentile(chance, [2.5, 97.5])
    return Estimate(
        "mean distance of a class to itself in the other tap", value, max(value - half, 0.0), value + half,
        interval="jackknife over groups of samples, t", null=float(distance.mean()), null_low=float(low),
        null_high=float(high), null_method="classes of the second tap exchanged, exact mean",
        p_value=float(add_one_p(-value, -chance)), n=sum(len(s.x) for s in sides), d=sides[0].x.shape[1],
        estimator="2-Wasserstein, diagonal Gaussians",
    )  # fmt: skip


def accuracies(counts: np.ndarray, unseen, sides, rng) -> list[Estimate]:
    """Means over classes, of all, the seen, the unseen, and the harmonic mean of these two."""
    right, n, c = np.diag(counts), counts.sum(axis=1), len(counts)
    drawn = rng.beta(right + 0.5, n - right + 0.5, size=(DRAWS, c))
    share = right / n
    found = [("accuracy by the nearest class of the other tap", float(share.mean()), drawn.mean(axis=1))]
    if unseen is not None:
        parts = [(f"accuracy of {name} classes", share[m].mean(), drawn[:, m].mean(axis=1))
                 for name, m in (("seen", ~unseen), ("unseen", unseen))]  # fmt: skip
        both = [p[1] for p in parts], [p[2] for p in parts]
        found += [
            *parts,
            ("harmonic mean of seen and unseen", harmonic_mean(*both[0]), harmonic_mean(*both[1])),
        ]
    out = []
    for name, value, draws in found:
        low, high = np.percentile(draws, [2.5, 97.5])
        out.append(Estimate(
            name, float(value), min(float(low), float(value)), max(float(high), float(value)),
            interval="Jeffreys' posterior of each class", null=1 / c, null_method="classes of the second tap exchanged",
            n=int(n.sum()), d=sides[0].x.shape[1], estimator="mean over classes, nearest mean",
        ))  # fmt: skip
    return out
