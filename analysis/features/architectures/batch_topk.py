"""BatchTopK: a batch of n rows shares n k codes, so that a hard row may spend more than an easy one.

    c = max(p, 0) where p is among the n k largest of the batch, else 0;   loss = |z - ẑ|²
    at inference   c = p where p > θ, else 0;   θ = the mean over batches of the smallest code that was kept

Bussmann et al. 2024, "BatchTopK sparse autoencoders". θ is averaged with exponentially falling weights that sum to 1
from the first batch on (one that starts at 0 is too small for long), and kept in float64. In training a row's codes
depend on the rows beside it; at inference they do not, and the number of active codes is k only on average.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.features import rules
from analysis.features.architectures.architecture import Architecture, SparseDictionary
from analysis.spec import param

MEMORY = 0.99  # of θ: the last hundred batches or so


@dataclass(frozen=True)
class BatchTopKParams:
    latents: int = param(1024, "How many features are learned", low=1, high=1 << 20)
    k: int = param(32, "How many are active in a row on average", low=1, label="active features (k)")


def largest_of_batch(p, n_kept: int):
    """`p` (n, k) where it is positive and among the `n_kept` largest of all, else 0."""
    import torch

    flat = p.reshape(-1)
    values, at = flat.topk(min(n_kept, flat.numel()), sorted=False)
    return torch.zeros_like(flat).scatter(0, at, values.relu()).view_as(p)


class BatchTopK(SparseDictionary):
    """The dictionary under training."""

    rule = rules.JUMP

    def __init__(self, params, n_units, rng) -> None:
        super().__init__(params, n_units, rng)
        self.kept = {"threshold": np.zeros(1), "weight": np.zeros(1)}

    def codes(self, z, p):
        return largest_of_batch(p, len(p) * self.params.k)

    def after_step(self, codes) -> None:
        super().after_step(codes)
        on = codes[codes > 0]
        if on.numel():
            self._remember(float(on.min()))

    def _remember(self, smallest) -> None:
        for name, new in (("threshold", smallest), ("weight", 1.0)):
            self.kept[name] = MEMORY * self.kept[name] + (1 - MEMORY) * np.asarray(new, np.float64)

    @property
    def threshold(self) -> np.ndarray:
        """θ, float64; 0 before the first step."""
        return self.kept["threshold"] / np.maximum(self.kept["weight"], np.finfo(float).tiny)

    def settings(self) -> dict:
        return {"threshold": np.broadcast_to(self.threshold, (self.n_latents,))}


ARCHITECTURE = Architecture(
    "batch_topk", "BatchTopK", "The rows of a batch share their codes: hard rows may spend more", BatchTopKParams,
    BatchTopK, "k", -1, ("BatchTopK sparse autoencoders",),
    words="A row is rebuilt as the centre plus its features. In a batch of n rows the n k strongest codes of "
    "all stay, the others are 0. What is made small is the squared distance between the rows and these "
    "sums. Afterwards one threshold for all features takes the place of the batch",
)  # fmt: skip
