"""Area under the receiver operating characteristic (AUROC): exact, with ties, intervals and tests.

The AUROC of a score for class c against the rest is the chance that a random member scores above a random other
one, ties counting half: (R_c - n_c (n_c + 1) / 2) / (n_c n_o), R_c the sum of the members' midranks. It is the
Mann-Whitney statistic divided by the number of pairs.
"""

from __future__ import annotations

import numpy as np
from scipy.special import log_ndtr, ndtri


def midranks(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Midranks (n, u) of each column of `values` (n, u), 1 to n, and Σ (t³ - t) (u,) over the ties. O(n u ln n)."""
    from scipy.stats import rankdata  # half a second to import: not at start-up

    ranks = rankdata(values, axis=0)
    n = len(values)
    # Σ rank² is lowered by Σ (t³ - t) / 12 when t values share a midrank
    full = n * (n + 1) * (2 * n + 1) / 6
    ties = 12 * (full - (ranks**2).sum(axis=0))
    return ranks, np.maximum(np.round(ties), 0.0)


def class_auroc(ranks: np.ndarray, of: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """AUROC (C, u) of every class against the rest from midranks (n, u); `of` (n,) class numbers. O(n u C)."""
    members = (of == np.arange(len(counts))[:, None]).astype(np.float64)
    return from_rank_sums(members @ ranks, counts[:, None], len(ranks))


def from_rank_sums(sums: np.ndarray, counts: np.ndarray, n: int) -> np.ndarray:
    """AUROC from sums of midranks of `counts` members among `n`."""
    return (sums - counts * (counts + 1) / 2) / (counts * (n - counts))


def null_sd(counts: np.ndarray, ties: np.ndarray, n: int) -> np.ndarray:
    """Standard deviation (C, u) of the AUROC when classes are unrelated to the score (Mann-Whitney, with ties);
    0 where the whole column is one tie."""
    pairs = (counts * (n - counts))[:, None]
    variance = ((n + 1) - ties / (n * (n - 1.0))) / (12.0 * pairs)
    return np.sqrt(np.maximum(variance, 0.0))


def two_sided_p(auroc: np.ndarray, sd: np.ndarray, counts: np.ndarray, n: int) -> np.ndarray:
    """Mann-Whitney p-values by the normal approximation with tie and continuity correction; 1 where sd is 0."""
    half_step = 0.5 / (counts * (n - counts))[:, None]
    distance = np.maximum(np.abs(auroc - 0.5) - half_step, 0.0)
    z = np.divide(distance, sd, out=np.zeros_like(auroc), where=sd > 1e-12)
    return np.minimum(2 * np.exp(log_ndtr(-z)), 1.0)


def delong_interval(scores: np.ndarray, member: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Interval of one AUROC: DeLong, DeLong & Clarke-Pearson (1988), on the logit scale.

    `scores` (n,), `member` (n,) boolean. Each score's placement is the share of the other group it beats; the
    variance is that of the mean placements. Perfect separation has no variance but is not certain either: there
    the bound is the AUROC whose Hanley-McNeil interval just reaches it (Newcombe 2006).
    """
    own, rest = np.sort(scores[member]), np.sort(scores[~member])
    up = (np.searchsorted(rest, own, "left") + np.searchsorted(rest, own, "right")) / (2 * len(rest))
    down = (np.searchsorted(own, rest, "left") + np.searchsorted(own, rest, "right")) / (2 * len(own))
    value, z = float(up.mean()), float(-ndtri((1 - level) / 2))
    if value in (0.0, 1.0):
        bound = _perfect_bound(len(own), len(rest), z)
        return (bound, 1.0) if value else (0.0, 1 - bound)
    variance = up.var(ddof=1) / len(own) + down.var(ddof=1) / len(rest)
    if variance <= 0:  # one tie: nothing to estimate a variance from
        variance = hanley_mcneil_variance(value, len(own), len(rest))
    half = z * np.sqrt(variance) / (value * (1 - value))
    logit = np.log(value / (1 - value))
    return float(1 / (1 + np.exp(half - logit))), float(1 / (1 + np.exp(-half - logit)))


def _perfect_bound(members: int, others: int, z: float) -> float:
    """The AUROC a with 1 - a = z sd(a), by bisection."""
    low, high = 0.0, 1.0
    for _ in range(50):
        a = (low + high) / 2
        near = 1 - a <= z * np.sqrt(hanley_mcneil_variance(a, members, others))
        low, high = (low, a) if near else (a, high)
    return high


def hanley_mcneil_variance(auroc: float, members: int, others: int) -> float:
    """Variance of an AUROC under exponential scores (Hanley & McNeil 1982)."""
    q1, q2 = auroc / (2 - auroc), 2 * auroc**2 / (1 + auroc)
    a2 = auroc**2
    return (auroc * (1 - auroc) + (members - 1) * (q1 - a2) + (others - 1) * (q2 - a2)) / (members * others)
