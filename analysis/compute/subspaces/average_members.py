"""Members of an average: how far each is from the mean, the median and the rest, by chance too, and which is odd."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.compute.statistics.sample_groups import jackknife_half
from analysis.compute.subspaces.averages import Average, chordal_to, mean_subspace, median_subspace
from analysis.compute.subspaces.distances import chordal
from analysis.compute.subspaces.random_subspaces import random_angles, random_basis
from analysis.compute.subspaces.tap_subspaces import TapSubspaces

DRAWS = 20  # sets of random members
APART, ENOUGH = 3.5, 5  # scaled median deviations; members from which on they say something
RANDOM, FAR, FINE = "as far as chance", "far from the others", ""
HELP = {
    "to the mean": "chordal distance to the mean of all members",
    "low": "lower end of its 95 % interval (jackknife over samples)",
    "high": "upper end of its 95 % interval",
    "to the others' mean": "chordal distance to the mean of all other members",
    "chance": "what a random subspace gives on average",
    "chance, lowest 2.5 %": "a distance above this one is one that random subspaces have",
    "to the median": "chordal distance to the median of all members",
    "weight in the median": "share with which the member enters the median; 1 / members in the mean",
    "outlier": f"'{RANDOM}': not nearer to the others than random; '{FAR}': apart from the rest by {APART} deviations",
    "share of variance": "of the tap, inside its subspace",
    "map x": "place on a map of all chordal distances (classical scaling)",
    "map y": "second coordinate of that place",
}


def distances_to_averages(bases: Sequence[np.ndarray], weights: np.ndarray | None = None) -> np.ndarray:
    """(3, N) distances to the mean, to the median and to the mean of the others; the median from the mean with
    `weights` on, where they are given."""
    others = [mean_subspace([b for j, b in enumerate(bases) if j != i]).basis for i in range(len(bases))]
    return np.array([
        chordal_to(mean_subspace(bases).basis, bases),
        chordal_to(median_subspace(bases, weights).basis, bases),
        [float(chordal_to(basis, [bases[i]])[0]) for i, basis in enumerate(others)],
    ])  # fmt: skip


@dataclass(frozen=True)
class MemberChance:
    """Of random subspaces: distances (m,) to a fixed one; of sets of N their mean distance to their mean and to
    their median (found from the mean), (draws, 2)."""

    single: np.ndarray
    sets: np.ndarray

    @classmethod
    def drawn(cls, members: int, k: int, d: int, rng: np.random.Generator) -> MemberChance:
        sets = []
        for _ in range(DRAWS):
            bases = [random_basis(d, k, rng) for _ in range(members)]
            equal = np.full(members, 1.0 / members)
            sets.append(
                [chordal_to(f(bases, equal).basis, bases).mean() for f in (mean_subspace, median_subspace)]
            )
        return cls(chordal(random_angles(k, k, d, rng)), np.array(sets))

    @property
    def lowest(self) -> float:
        return float(np.percentile(self.single, 2.5))


def verdicts(distances: np.ndarray, chance: MemberChance) -> list[str]:
    _, to_median, to_others = distances
    middle = np.median(to_median)
    scale = 1.4826 * np.median(np.abs(to_median - middle))
    far = (to_median - middle > APART * scale) & (scale > 1e-9) & (len(to_median) >= ENOUGH)
    return [
        RANDOM if other >= chance.lowest else FAR if apart else FINE
        for other, apart in zip(to_others, far, strict=True)
    ]


def half_width(series: Sequence[np.ndarray], pick: Callable) -> float | None:
    """Half-width of the interval of `pick`ed numbers; None where fewer than three groups were left out."""
    return jackknife_half(np.array([pick(s) for s in series[1:]]))


def member_columns(
    found: TapSubspaces, names, series, median: Average, chance: MemberChance, flagged, places
) -> dict:
    to_mean, to_median, to_others = series[0]
    half = half_width(series, lambda s: s[0])
    half = np.zeros(len(to_mean)) if half is None else half
    n = len(to_mean)
    return {
        "tap": np.array(names), "to the mean": to_mean, "low": np.maximum(to_mean - half, 0.0),
        "high": to_mean + half, "to the others' mean": to_others, "chance": np.full(n, chance.single.mean()),
        "chance, lowest 2.5 %": np.full(n, chance.lowest), "to the median": to_median,
        "weight in the median": median.weights, "outlier": np.array(flagged),
        "share of variance": np.array([m.subspace.share for m in found.members]), "map x": places[:, 0],
        "map y": places[:, 1],
    }  # fmt: skip
