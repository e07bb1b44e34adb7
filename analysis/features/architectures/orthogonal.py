"""OrtSAE: BatchTopK whose features are pushed apart.

    loss = |z - ẑ|² + γ mean_i (max over j ≠ i of the same chunk of cos(d_i, d_j))²

Korznikov et al. 2025. At every step the latents are dealt anew into chunks, so that the cost is latents × chunk and not
the square of the latents. Opposite directions cost nothing, so that 2 d features can have no cosine above 0; of the
cosines of either sign the largest is at least the Welch bound √((k - d) / (d (k - 1))). A little less variance is
explained than without.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.features.architectures.architecture import Architecture
from analysis.features.architectures.batch_topk import BatchTopK
from analysis.spec import param


@dataclass(frozen=True)
class OrthogonalParams:
    latents: int = param(1024, "How many features are learned", low=1, high=1 << 20)
    k: int = param(32, "How many are active in a row on average", low=1, label="active features (k)")
    orthogonality: float = param(0.25, "γ: weight of the penalty on alike directions", low=0.0, high=100.0)
    chunk: int = param(1024, "How many features are compared with each other at a step", low=2, high=1 << 16)


class Orthogonal(BatchTopK):
    """The dictionary under training."""

    def __init__(self, params, n_units, rng) -> None:
        super().__init__(params, n_units, rng)
        self._deal_seed = int(rng.integers(1 << 62))  # the same after a resume: the same generator made it

    def penalties(self, p, codes, step, share):
        return {"orthogonality": self.params.orthogonality * self.likeness(step)}

    def likeness(self, step: int):
        """Mean over latents of the squared largest cosine within their chunk at this step."""
        import torch

        deal = np.random.default_rng([self._deal_seed, step]).permutation(self.n_latents)
        decoder, found = self.weights["decoder"], []
        for at in np.array_split(deal, max(1, -(-self.n_latents // self.params.chunk))):
            if len(at) < 2:
                continue
            part = torch.nn.functional.normalize(decoder[torch.from_numpy(at)], dim=1)
            cosines = part @ part.T
            cosines = cosines - 2 * torch.eye(len(at))
            found.append(cosines.amax(dim=1).relu() ** 2)
        return torch.cat(found).mean() if found else decoder.sum() * 0


ARCHITECTURE = Architecture(
    "orthogonal", "OrtSAE", "BatchTopK with features pushed apart", OrthogonalParams, Orthogonal, "k", -1,
    ("OrtSAE: Orthogonal Sparse Autoencoders Uncover Atomic Features",),
    words="As BatchTopK, and in addition γ times the squared cosine between every feature and the one most like "
    "it is made small, so that features point apart",
)  # fmt: skip
