"""Several classifiers together: how often two of them disagree, how often they err, and whether the label looks like
one more of their votes.

With h_k(x) the share of M models that vote for class k, two different models disagree on x with probability
(1 - Σ_k h_k²) M / (M - 1), and a model errs with probability 1 - h_y. Where label and votes are draws from the same
p(x), the label is one more vote: all M + 1 may be exchanged, so the two have the same mean, and exchanging the label
with a random one of the votes, sample by sample, gives the exact null of anything made of both.

The class-aggregated calibration error of the votes bounds how far they can be apart. In any sample, calibrated or not,

    |mean (1 - Σ_k h_k²) - mean (1 - h_y)| <= CACE = Σ_q |Σ_{x,k: h_k = q} (1[y = k] - q)| / n,

since the left side is |Σ_q q Σ (1[y = k] - q)| / n and q <= 1. The shares of few votes are coarse, so CACE is well
above 0 for the best of labels: its null is needed.

References: P. Nakkiran & Y. Bansal (2020), "Distributional generalization"; Y. Jiang, V. Nagarajan, C. Baek &
J. Z. Kolter (2022), "Assessing generalization of SGD via disagreement".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

DRAWS = 200


def votes_of(top: np.ndarray, classes: int) -> np.ndarray:
    """(n, C) how many of the models vote for each class, from their classes `top` (M, n)."""
    votes = np.zeros((top.shape[1], classes), dtype=np.int64)
    for one in top:
        votes[np.arange(len(votes)), one] += 1
    return votes


def disagreement(votes: np.ndarray) -> np.ndarray:
    """(n,) chance that two different models vote differently; 0 for a single model."""
    m = votes.sum(axis=1)
    return 1 - (votes * (votes - 1.0)).sum(axis=1) / np.maximum(m * (m - 1.0), 1)


def error(votes: np.ndarray, label: np.ndarray) -> np.ndarray:
    """(n,) share of the models that vote against the label (n,)."""
    return 1 - votes[np.arange(len(votes)), label] / votes.sum(axis=1)


def cace(votes: np.ndarray, label: np.ndarray) -> float:
    """Class-aggregated calibration error of the votes (n, C), whose rows have the same sum."""
    m, n = int(votes[0].sum()), len(votes)
    right = np.bincount(votes[np.arange(n), label], minlength=m + 1)
    all_of = np.bincount(votes.ravel(), minlength=m + 1)
    return float(np.abs(right - all_of * np.arange(m + 1) / m).sum() / n)


@dataclass(frozen=True)
class Exchanged:
    """With the label exchanged with a random vote (or itself): `gap` (draws,), mean disagreement less mean error, and
    `cace` (draws,)."""

    gap: np.ndarray
    cace: np.ndarray


def labels_exchanged(
    top: np.ndarray,
    label: np.ndarray,
    classes: int,
    owner: np.ndarray,
    rng: np.random.Generator,
    draws: int = DRAWS,
) -> Exchanged:
    """`top` (M, n), `label` (n,); rows of one `owner` (n,), a sample, are exchanged alike and count together.
    O(draws n C)."""
    votes, everyone, at = votes_of(top, classes), np.vstack([label, top]), np.arange(len(label))
    number = np.unique(owner, return_inverse=True)[1].reshape(-1)
    weight = 1 / np.bincount(number)[number] / (number.max() + 1)
    gaps, errors = np.empty(draws), np.empty(draws)
    for i in range(draws):
        drawn = everyone[rng.integers(len(everyone), size=number.max() + 1)[number], at]
        turned = votes.copy()
        turned[at, label] += 1
        turned[at, drawn] -= 1
        gaps[i] = weight @ (disagreement(turned) - error(turned, drawn))
        errors[i] = cace(turned, drawn)
    return Exchanged(gaps, errors)
