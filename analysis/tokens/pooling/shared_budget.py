"""A budget of tokens shared out by relevance: n_t = B s_t / Σ s, rounded so that it is spent exactly.

Every frame gets the whole part of its share, the tokens that are left over go to the largest remainders, the earlier
frame first where they tie. Equal scores give B / F each, to one token.

Reference: Y. Luo, W. Chen, X. Zheng, W. Huang, S. Yin, H. Lin, C. Fu, J. Huang, J. Ji, J. Luo & R. Ji (2025), "QuoTA:
query-oriented token assignment via CoT query decouple for long video comprehension".
"""

from __future__ import annotations

import numpy as np


def shared(scores: np.ndarray, budget: int) -> np.ndarray:
    """(F,) whole numbers that add up to `budget`, of scores (F,) >= 0; alike where all scores are 0."""
    s = np.asarray(scores, np.float64)
    s = s if s.sum() > 0 else np.ones(len(s))
    exact = budget * (s / s.sum())
    near = np.rint(exact)
    # a whole number that rounding has moved is the number
    exact = np.where(np.abs(exact - near) <= 1e-9 * np.maximum(near, 1), near, exact)
    out = np.floor(exact).astype(int)
    rest = budget - int(out.sum())
    out[np.argsort(-(exact - out), kind="stable")[:rest]] += 1
    return out
