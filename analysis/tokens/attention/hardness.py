"""How hard it is to compute attention from a few features of queries and keys.

    bound       B = max |q_i · k_j| of scores, the mean key taken off, which softmax does not see
    rank        singular values of exp(scores), rows divided by their largest, above 1 % of the largest
    degree      exp on [-B, B] by the Chebyshev polynomial of degree g, rows made whole: the least g whose attention is
                within an error; it takes C(e + g, g) features of queries and keys e wide, whatever the tokens

Theory (Alman & Song 2023 and after): attention over n tokens can be approximated in nearly linear time where B is of
smaller order than √log n, and not in truly subquadratic time above, under the exponential time hypothesis.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import comb

import numpy as np
from numpy.polynomial import chebyshev

from analysis.tokens.attention.multiresolution import attention_of, error

NUMERICAL, MOST_DEGREE = 1e-2, 16


@dataclass(frozen=True)
class Hardness:
    """Of one head in one sample. `degree` is `MOST_DEGREE` + 1 where none will do."""

    bound: float
    rank: int
    degree: int
    tokens: int
    width: int

    @property
    def features(self) -> int:
        return comb(self.width + self.degree, self.degree)


def hardness(q: np.ndarray, k: np.ndarray, causal: bool, limit: float) -> Hardness:
    """Of scaled q and k (m, e); `limit` of the relative error of attention. One SVD and at most 16 T x T arrays."""
    scores = q @ (k - k.mean(axis=0)).T
    may = np.tri(len(q), dtype=bool) if causal else np.ones(scores.shape, bool)
    bound = float(np.abs(scores).max())
    values = np.linalg.svd(np.exp(scores - scores.max(axis=1, keepdims=True)), compute_uv=False)
    return Hardness(bound, int((values > NUMERICAL * values[0]).sum()), degree_for(scores, may, bound, limit),
                    len(q), q.shape[1])  # fmt: skip


def polynomial(scores: np.ndarray, bound: float, degree: int) -> np.ndarray:
    """exp(scores - bound) by the Chebyshev polynomial of this degree on [-bound, bound]."""
    if bound <= 0:
        return np.ones_like(scores)
    factors = chebyshev.chebinterpolate(lambda x: np.exp(bound * (x - 1)), degree)
    return chebyshev.chebval(scores / bound, factors)


def degree_for(scores: np.ndarray, may: np.ndarray, bound: float, limit: float) -> int:
    """The least degree whose attention is within `limit`; one more than the most where none is."""
    a = attention_of(np.where(may, scores, -np.inf))
    for degree in range(MOST_DEGREE + 1):
        made = polynomial(scores, bound, degree) * may
        total = made.sum(axis=1, keepdims=True)
        if (total > 0).all() and error(made / total, a) <= limit:
            return degree
    return MOST_DEGREE + 1


def cost_of_maps(sides: tuple[int, ...]) -> np.ndarray:
    """Shares of all attention that each map takes, side n_k: n_k² queries, each reading the keys of all maps so far."""
    tokens = np.square(np.asarray(sides, np.float64))
    each = tokens * np.cumsum(tokens)
    return each / each.sum()
