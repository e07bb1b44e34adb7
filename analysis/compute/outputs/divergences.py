"""How differently two models answer: Kullback-Leibler and Jensen-Shannon divergence, and different top classes.

KL(A || B) = Σ_c a_c ln (a_c / b_c) >= 0, not symmetric; JS = KL(A || M) / 2 + KL(B || M) / 2 with M = (A + B) / 2,
which is symmetric and at most ln 2. All from logarithms of probabilities, in nats, row by row.

Null: answers of the same two models to different rows. The mean over all ways of exchanging rows is exact for the top
class, 1 - Σ_c (n_A(c) / n) (n_B(c) / n), and for KL, mean_i Σ a_i ln a_i - (mean a) · (mean ln b), since KL is linear
in ln b; for JS it is taken from seeded exchanges.
"""

from __future__ import annotations

import numpy as np

MEASURES = ("different top class", "KL", "JS")
UNIT = {"different top class": "share of samples", "KL": "nats", "JS": "nats"}
LN2 = float(np.log(2.0))
DRAWS = 20


def kl(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """KL(A || B) (n,) from log-probabilities (n, C)."""
    return np.maximum((np.exp(a) * (a - b)).sum(axis=-1), 0.0)


def js(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Jensen-Shannon divergence (n,) from log-probabilities (n, C)."""
    middle = np.logaddexp(a, b) - LN2
    found = np.clip((kl(a, middle) + kl(b, middle)) / 2, 0.0, LN2)
    return np.where((a == b).all(axis=-1), 0.0, found)  # exactly, whatever rounding makes of their middle


def flips(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(n,) 1.0 where the top classes differ."""
    return (a.argmax(axis=-1) != b.argmax(axis=-1)).astype(np.float64)


BY_ROW = {"different top class": flips, "KL": kl, "JS": js}


def exchanged_mean(measure: str, a: np.ndarray, b: np.ndarray, rng: np.random.Generator) -> float:
    """Mean of a measure over exchanges of the rows of `b`: exact, but for JS (the mean of 20 exchanges)."""
    n, classes = a.shape
    if measure == "KL":
        p = np.exp(a)
        return float((p * a).sum() / n - p.mean(axis=0) @ b.mean(axis=0))
    if measure == "JS":
        return float(np.mean([js(a, b[rng.permutation(n)]).mean() for _ in range(DRAWS)]))
    one, other = (np.bincount(x.argmax(axis=1), minlength=classes) / n for x in (a, b))
    return float(1 - one @ other)
