"""Loss against patch size: a + b p^c, and the tokens that a patch size costs.

An image of side s in patches of p has (s / p)² tokens: 50,176 of 224 pixels at p = 1. Multiply-adds of attention grow
as p^-4. a is the loss that no patch size goes below, fitted with b >= 0 and c > 0: for each c on a fine grid a and b
are a line in p^c, and the c of least squared error is refined by golden section.

Reference: F. Wang, Y. Yu, G. Wei, W. Shao, Y. Zhou, A. Yuille & C. Xie (2025), "Scaling laws in patchification: an
image is worth 50,176 tokens and more".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

EXPONENTS = np.geomspace(0.05, 6.0, 120)


@dataclass(frozen=True)
class PatchLaw:
    """loss = a + b p^c, with the sum of squared errors."""

    a: float
    b: float
    c: float
    error: float

    def at(self, size: np.ndarray) -> np.ndarray:
        """Losses of patch sizes."""
        return self.a + self.b * np.asarray(size, np.float64) ** self.c


def tokens_of(side: int, patch: int) -> int:
    """Whole patches of an image."""
    return (side // patch) ** 2


def patch_law(size: np.ndarray, loss: np.ndarray) -> PatchLaw:
    """Of at least three different sizes (n,) and their losses (n,)."""
    size, loss = np.asarray(size, np.float64), np.asarray(loss, np.float64)
    fits = [_line(size, loss, c) for c in EXPONENTS]
    best = int(np.argmin([f.error for f in fits]))
    low, high = EXPONENTS[max(best - 1, 0)], EXPONENTS[min(best + 1, len(EXPONENTS) - 1)]
    golden = (np.sqrt(5) - 1) / 2
    for _ in range(60):
        one, two = high - golden * (high - low), low + golden * (high - low)
        if _line(size, loss, one).error <= _line(size, loss, two).error:
            high = two
        else:
            low = one
    found = _line(size, loss, (low + high) / 2)
    return found if found.error <= fits[best].error else fits[best]


def _line(size: np.ndarray, loss: np.ndarray, c: float) -> PatchLaw:
    x = size**c
    away = x - x.mean()
    spread = float(away @ away)
    b = max(float(away @ (loss - loss.mean())) / spread, 0.0) if spread > 0 else 0.0
    a = float(loss.mean() - b * x.mean())
    return PatchLaw(a, b, float(c), float(np.square(loss - a - b * x).sum()))
