"""Which values of attributes a dictionary has a feature for: one, several copies, parts only, or none because a louder
attribute hides it.

Strength of a value v: the length of the effect u_v of its indicator on the rows, other attributes held fixed (least
squares on their indicators), times the deviation of the indicator, over the deviation of all rows. In a balanced design
u_v is the difference of means. A value is *occluded* where a linear probe reads it, no feature or union of features
does, and a stronger value that goes along with it in some samples has a feature. It is *over-split* in n where n
features reach the F1 of a covered class by themselves (copies), or where n are needed together (parts). Of a value
that most samples have, saying yes always reaches 0.9: covered then means half way from there to 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.dictionaries.concept_scores import best_thresholds, enough

SPLIT, OCCLUDED, ONE, WEAK, MISSING, UNREADABLE = (
    "over-split", "occluded", "one feature", "weak feature", "no feature", "not linear in the tap",
)  # fmt: skip
SHARED = 5  # samples that two values must share to go along
SLACK = 0.05  # of the F1 of a union, chosen on other samples than it is judged on
WELL = 0.8  # F1 from which a probe reads a value


@dataclass(frozen=True)
class Value:
    """What is known of one value: F1 of its best feature and of a union, of a probe, of saying yes always, the largest
    F1 of exchanged labels; `copies` and `parts`; `strength`."""

    f1: float
    together: float
    probe: float
    always: float
    chance: float
    copies: int
    parts: float
    strength: float


def strengths(x: np.ndarray, hot: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """(V,) of values with indicators `hot` (n, V) of attributes `factor` (V,), on rows `x` (n, d). O(V n (V + d))."""
    z, h = x - x.mean(axis=0), hot - hot.mean(axis=0)
    total, out = np.sqrt((z**2).sum() / len(z)), np.zeros(hot.shape[1])
    for v in range(hot.shape[1]):
        others, y = h[:, factor != factor[v]], h[:, v]
        left = y - others @ np.linalg.lstsq(others, y, rcond=None)[0] if others.shape[1] else y
        square = float(left @ left)
        if square > 1e-9 * len(left) and total > 0:
            out[v] = np.linalg.norm(z.T @ left) / square * y.std() / total
    return out


def every_f1(values: np.ndarray, hot: np.ndarray, first: np.ndarray) -> np.ndarray:
    """F1 (k, V) of every feature of `values` (n, k) for every value, by thresholds found on the other half."""
    k, count = values.shape[1], hot.shape[1]
    both, says = np.zeros((k, count)), np.zeros((k, count))
    for half in (first, ~first):
        _, at = best_thresholds(values[half], hot[half])
        for v in range(count):
            yes = values[~half] > at[:, v]
            both[:, v] += yes[hot[~half, v]].sum(axis=0)
            says[:, v] += yes.sum(axis=0)
    return 2 * both / np.maximum(says + hot.sum(axis=0), 1)


def verdicts(found: list[Value], shared: np.ndarray) -> tuple[list[str], list[int]]:
    """What each value is, and which one hides it (-1); `shared` (V, V) samples that have both."""
    said, by = [], []
    covered = [max(v.f1, v.together + SLACK) >= enough(v.always) for v in found]
    for i, v in enumerate(found):
        louder = [
            j for j, w in enumerate(found)
            if w.strength > v.strength and shared[i, j] >= SHARED and j != i and w.f1 >= enough(w.always)
        ]  # fmt: skip
        split = v.copies >= 2 or (v.parts >= 2 and v.f1 < enough(v.always))
        by.append(-1)
        if covered[i]:
            said.append(SPLIT if split else ONE)
        elif v.probe < max(WELL, v.always + SLACK):
            said.append(WEAK if v.f1 > max(v.chance, v.always) else UNREADABLE)
        elif louder:
            by[-1] = max(louder, key=lambda j: found[j].strength)
            said.append(OCCLUDED)
        else:
            said.append(WEAK if v.f1 > max(v.chance, v.always) else MISSING)
    return said, by


def pieces(v: Value, verdict: str) -> int:
    """Over how many features a value is split: n copies, or n parts; 1 of one feature, 0 of none."""
    if verdict not in (SPLIT, ONE):
        return 0
    return max(v.copies, round(v.parts) if v.f1 < enough(v.always) else 1, 1)
