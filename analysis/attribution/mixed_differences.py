"""Mixed differences of a number over what is left out: what pairs and triples do beyond their parts.

    Δ_A = Σ_{B ⊆ A} (-1)^{|B|} v(without B)      v(all) - v(without A) = Σ_{∅ ≠ B ⊆ A} (-1)^{|B| + 1} Δ_B

Δ of a triple is 0 for a number that is a sum of functions of pairs. Only sets of up to three are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.special import stdtr, stdtrit

from analysis.compute.statistics.multiple_testing import benjamini_hochberg
from analysis.compute.statistics.ratios import ratio_interval
from analysis.results import Estimate


@dataclass(frozen=True)
class Differences:
    """Of m players, each (backgrounds, …): `full` (b,), `single` (b, m), `pair` (b, P), `triple` (b, T), `lost` (b, T)
    v(all) - v(without the triple); `pairs` (P, 2), `triples` (T, 3)."""

    full: np.ndarray
    single: np.ndarray
    pair: np.ndarray
    triple: np.ndarray
    lost: np.ndarray
    pairs: np.ndarray
    triples: np.ndarray


def coalitions_without(players: int, chosen: list[int]) -> tuple[np.ndarray, list[tuple[int, ...]]]:
    """(m, players) bool: everybody but each set of up to three of `chosen`, and the sets, the empty one first."""
    sets = [s for size in range(4) for s in combinations(range(len(chosen)), size)]
    asked = np.ones((len(sets), players), dtype=bool)
    for row, s in zip(asked, sets, strict=True):
        row[[chosen[k] for k in s]] = False
    return asked, sets


def differences(values: np.ndarray, sets: list[tuple[int, ...]]) -> Differences:
    """Of values (b, m) of these coalitions."""
    at = {s: k for k, s in enumerate(sets)}
    v = lambda *s: values[:, at[s]]  # noqa: E731
    m = 1 + max((max(s) for s in sets if s), default=-1)
    pairs, triples = list(combinations(range(m), 2)), list(combinations(range(m), 3))
    single = np.stack([v() - v(i) for i in range(m)], axis=1)
    pair = np.stack([v() - v(i) - v(j) + v(i, j) for i, j in pairs], axis=1)
    triple = np.stack([
        v() - v(i) - v(j) - v(k) + v(i, j) + v(i, k) + v(j, k) - v(i, j, k) for i, j, k in triples
    ], axis=1)  # fmt: skip
    lost = np.stack([v() - v(*t) for t in triples], axis=1)
    return Differences(v(), single, pair, triple, lost, np.array(pairs), np.array(triples))


def triple_columns(found: Differences, names) -> dict[str, np.ndarray]:
    """Lines of all triples, the largest first. The test of each is that its mean over backgrounds is 0."""
    b = len(found.triple)
    mean, error = found.triple.mean(axis=0), found.triple.std(axis=0, ddof=1) / np.sqrt(b)
    rounding = 64 * np.finfo(np.float32).eps * np.abs(found.full).max()
    t = np.abs(mean) / np.maximum(error, 1e-300)
    p = np.where(np.abs(mean) > rounding, np.minimum(2 * stdtr(b - 1, -t), 1.0), 1.0)
    q, half = benjamini_hochberg(p), stdtrit(b - 1, 0.975) * error
    pair_at = {tuple(s): k for k, s in enumerate(found.pairs.tolist())}
    of_pairs = [
        sum(found.pair[:, pair_at[s]].mean() for s in ((i, j), (i, k), (j, k))) for i, j, k in found.triples
    ]
    order = np.argsort(-np.abs(mean), kind="stable")
    columns = {
        "triple": np.array([" + ".join(names[i] for i in t) for t in found.triples]), "beyond pairs": mean,
        "low": mean - half, "high": mean + half, "q": q, "together": found.lost.mean(axis=0),
        "alone": found.single.mean(axis=0)[found.triples].sum(axis=1), "of pairs": np.array(of_pairs),
    }  # fmt: skip
    return {name: column[order] for name, column in columns.items()}


def triple_estimates(found: Differences, epsilon: float, d: int, rng) -> tuple[Estimate, ...]:
    """Shares that pairs, and that single parts, cannot explain; `epsilon` of the numbers that the network has."""
    b = len(found.triple)
    below = (found.lost**2).sum(axis=1)
    alone = found.lost - found.single[:, found.triples].sum(axis=2)
    rounding = 8 * (epsilon * np.abs(found.full).max()) ** 2 * found.triple.shape[1]
    made = []
    for name, above, null in (
        (
            "change that pairs cannot explain",
            (found.triple**2).sum(axis=1),
            rounding / max(below.mean(), 1e-300),
        ),
        ("change that single parts cannot explain", (alone**2).sum(axis=1), None),
    ):
        if below.sum() > 0:
            sums = (
                "an answer that is a sum over single parts, exactly"
                if null is None
                else "rounding of a sum over pairs"
            )
            how = {"null": float(null or 0.0), "null_method": sums}
            made.append(Estimate(name, float(above.sum() / below.sum()), *ratio_interval(above, below, rng), **how,
                                 interval="bootstrap over background samples", n=b, d=d,
                                 estimator="sum of squares over triples / that of the whole change"))  # fmt: skip
    return tuple(made)
