"""Finding the other half of a pair: n samples seen from two sides, and a similarity (n, n) of every x with every y.

Recall@N: is y_i among the N most similar to x_i? Ties count by chance: of t equally similar candidates any order is
equally likely. Matching: the one-to-one assignment with the largest total similarity; ties are broken at random,
never by position, because position is the answer.

Null: mates exchanged. Of n candidates one is right, so that recall@N is N / n and matching 1 / n on average, exactly
and whatever the similarities.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.retrieval.recall_at import miss
from analysis.compute.statistics.nulls import wilson

EQUAL = 1e-12  # of the largest similarity: candidates that differ by less are tied


@dataclass(frozen=True)
class MateSearch:
    """`closer` (n,) candidates more similar to x_i than its mate, `tied` (n,) as similar (the mate among them);
    `nearest` (n,) the most similar candidate and `matched` (n,) the one assigned, ties broken at random."""

    closer: np.ndarray
    tied: np.ndarray
    nearest: np.ndarray
    matched: np.ndarray

    @property
    def n(self) -> int:
        return len(self.closer)

    @property
    def ranks(self) -> np.ndarray:
        """(n,) place of the mate, 1 the best; the mean place among equals."""
        return self.closer + (self.tied + 1) / 2

    def recall(self, at: int) -> float:
        """Share of samples whose mate is among the `at` most similar."""
        at = min(at, self.n)
        return float((1 - miss(self.tied, np.ones(self.n), at - self.closer)).mean())

    @property
    def matching(self) -> float:
        """Share of samples assigned to their mate."""
        return float((self.matched == np.arange(self.n)).mean())


def mate_search(similarity: np.ndarray, rng: np.random.Generator) -> MateSearch:
    """`similarity` (n, n), the mate of row i being column i. Time O(n³) at worst, memory O(n²)."""
    from scipy.optimize import linear_sum_assignment

    n = len(similarity)
    above = similarity - np.diag(similarity)[:, None]
    equal = np.abs(above) <= EQUAL * np.abs(similarity).max()
    order = rng.permutation(n)  # columns in random order, so that ties know nothing of the diagonal
    shuffled = similarity[:, order]
    lines, columns = linear_sum_assignment(shuffled, maximize=True)
    matched = np.empty(n, dtype=np.int64)
    matched[lines] = order[columns]
    return MateSearch(
        ((above > 0) & ~equal).sum(axis=1), equal.sum(axis=1), order[shuffled.argmax(axis=1)], matched
    )


def cosine(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(n, m) cosine similarity of rows; 0 for rows without length."""
    x, y = (v / np.maximum(np.linalg.norm(v, axis=1, keepdims=True), 1e-300) for v in (x, y))
    return x @ y.T


def nearness(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(n, m) minus half the squared distance of rows."""
    return x @ y.T - 0.5 * (x**2).sum(axis=1)[:, None] - 0.5 * (y**2).sum(axis=1)


def exchanged_hits(guesses: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
    """Shares (draws, g) of right guesses when mates are exchanged; `guesses` (g, n) candidates guessed by g searches
    of the same samples."""
    n = guesses.shape[1]
    return np.array([(guesses == rng.permutation(n)).mean(axis=1) for _ in range(draws)])


def share_ends(share: float, n: int) -> tuple[float, float]:
    """95 % interval (Wilson) of a share of n samples, taken as independent."""
    low, high = wilson(share * n, n)
    return min(low, share), max(high, share)


# ---------------------------------------------------------------------------- alike without a map
def centred_gram(gram: np.ndarray) -> np.ndarray:
    """The U-centred Gram matrix (n, n), n > 2: no diagonal, rows that sum to 0 (Székely & Rizzo 2014)."""
    n = len(gram)
    hollow = gram - np.diag(np.diag(gram))
    rows = hollow.sum(axis=1) / (n - 2)
    out = hollow - rows[:, None] - rows + hollow.sum() / ((n - 1) * (n - 2))
    np.fill_diagonal(out, 0.0)
    return out


def small_cka(x: np.ndarray, y: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Unbiased linear CKA of the rows of `x` (n, p) and `y` (n, q), then without each group, (1 + G,); 0 where a side
    has no length. From the whole n x n Gram matrices: for some hundreds of samples."""
    grams = [v @ v.T for v in (x - x.mean(axis=0), y - y.mean(axis=0))]
    out = []
    for g in range(-1, group.max() + 1):
        stay = group != g
        a, b = (centred_gram(m[np.ix_(stay, stay)]) for m in grams)
        scale = np.sqrt(np.vdot(a, a) * np.vdot(b, b))
        out.append(float(np.vdot(a, b) / scale) if scale > 0 else 0.0)
    return np.clip(out, -1.0, 1.0)
