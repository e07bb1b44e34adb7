"""Adam (Kingma & Ba 2015), on tensors by name. The one of torch imports a compiler at its first use: seconds.

m ← β₁ m + (1 - β₁) g,  v ← β₂ v + (1 - β₂) g²,  w ← w - rate (m / (1 - β₁ᵗ)) / (√(v / (1 - β₂ᵗ)) + ε)
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

FIRST, SECOND, EPSILON = 0.9, 0.999, 1e-8


class Adam:
    """The moments of `weights`' gradients: `first` and `second`, by name."""

    def __init__(self, weights: dict[str, Tensor]) -> None:
        import torch

        self.weights = weights
        self.first = {name: torch.zeros_like(w, requires_grad=False) for name, w in weights.items()}
        self.second = {name: torch.zeros_like(w, requires_grad=False) for name, w in weights.items()}

    def zero(self) -> None:
        for w in self.weights.values():
            w.grad = None

    def step(self, rate: float, number: int) -> None:
        """Step `number`, from 1 on, with the gradients that are there."""
        import torch

        size, root = rate / (1 - FIRST**number), math.sqrt(1 - SECOND**number)
        with torch.no_grad():
            for name, w in self.weights.items():
                if w.grad is None:
                    continue
                m, v = self.first[name], self.second[name]
                m.lerp_(w.grad, 1 - FIRST)
                v.mul_(SECOND).addcmul_(w.grad, w.grad, value=1 - SECOND)
                w.addcdiv_(m, v.sqrt().div_(root).add_(EPSILON), value=-size)
