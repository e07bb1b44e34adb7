"""How many tokens count in effect."""

from __future__ import annotations

import numpy as np


def effective(share: np.ndarray) -> np.ndarray:
    """(n,) exp of the entropy of shares (n, T) that add up to 1: T where all are alike, 1 where one has it all."""
    return np.exp(-np.sum(share * np.log(np.where(share > 0, share, 1.0)), axis=1))
