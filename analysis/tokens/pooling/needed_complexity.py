"""Do samples whose tokens differ more need more of them?"""

from __future__ import annotations

import numpy as np

from analysis.results import Estimate
from analysis.tokens.pooling.nested_answers import NestedAnswers
from analysis.tokens.pooling.token_sets import TokenSets

FEWEST = 20


def complexity(sets: TokenSets, found: NestedAnswers, d: int) -> tuple[Estimate, ...]:
    """Spearman between the level needed and how far the tokens of a sample lie from their mean."""
    away = np.square(sets.x - sets.mean[:, None]).sum(axis=2) * sets.present
    spread = away.sum(axis=1) / sets.present.sum(axis=1)
    told = found.needed < len(found.tokens)
    n = int(told.sum())
    if n < FEWEST or not len(np.unique(found.needed[told])) > 1 or not np.ptp(spread[told]) > 0:
        return ()
    a, b = (_ranks(v[told]) for v in (spread, found.needed))
    value = float(np.corrcoef(a, b)[0, 1])
    middle, half = np.arctanh(np.clip(value, -1 + 1e-12, 1 - 1e-12)), 1.96 * np.sqrt(1.06 / (n - 3))
    return (
        Estimate(
            "rank correlation of tokens needed and spread of tokens", value, float(np.tanh(middle - half)),
            float(np.tanh(middle + half)), interval="Fisher's z of ranks", null=0.0, null_low=-1.96 / np.sqrt(n - 1),
            null_high=1.96 / np.sqrt(n - 1), null_method="ranks shuffled, normal", n=n, d=d,
            estimator="Spearman, samples that are right with some number",
        ),
    )  # fmt: skip


def _ranks(values: np.ndarray) -> np.ndarray:
    """(n,) from 1, ties sharing their mean rank."""
    _, of, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[of]
