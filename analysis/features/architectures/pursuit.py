"""MP-SAE: the encoder is matching pursuit with the decoder's own rows, unrolled.

    r₀ = z - b;   j_t = argmax_j d_j · r_t,   v_t = d_j · r_t,   r_{t+1} = r_t - v_t d_j   while v_t > 0, k times
    c_j = the sum of v_t where j_t = j;   loss = |r_k|²

Costa et al. 2025, "From flat to hierarchical". Every step leaves a rest that is orthogonal to the feature it took and
not longer than before, so that a child can be found beneath its parent although siblings are alike. The choice has no
gradient, the values have. Only positive products are taken (codes are not negative); a feature may be taken again.
Costs k products of (rows, d) with (d, latents). Explains much with few features, also by features that are no
concepts: never rank it by explained variance alone.
"""

from __future__ import annotations

from dataclasses import dataclass

from analysis.features import rules
from analysis.features.architectures.architecture import Architecture, SparseDictionary
from analysis.spec import param


@dataclass(frozen=True)
class PursuitParams:
    latents: int = param(1024, "How many features are learned", low=1, high=1 << 20)
    k: int = param(16, "Steps of the pursuit: at most so many features are active", low=1, label="steps (k)")


class Pursuit(SparseDictionary):
    """The dictionary under training; there is no encoder to learn."""

    rule = rules.PURSUIT

    def __init__(self, params, n_units, rng) -> None:
        super().__init__(params, n_units, rng)
        self.weights = {name: self.weights[name] for name in ("decoder", "centre")}

    def products(self, z):
        return (z - self.weights["centre"]) @ self.weights["decoder"].T

    def codes(self, z, p):
        import torch

        w = self.weights
        at, on = self._chosen(z, p)
        left = z - w["centre"]
        codes = torch.zeros_like(p)
        for step in range(at.shape[1]):
            rows = torch.nn.functional.embedding(at[:, step], w["decoder"])
            size = (left * rows).sum(dim=1) * on[:, step]
            left = left - size[:, None] * rows
            codes = codes.scatter_add(1, at[:, step : step + 1], size[:, None])
        return codes

    def _chosen(self, z, p):
        """Which feature (n, k) each step takes, and whether it takes one (n, k)."""
        import torch

        at, on = [], []
        with torch.no_grad():
            left, products = z - self.weights["centre"], p
            for _ in range(self.params.k):
                size, best = products.max(dim=1)
                at.append(best)
                on.append((size > 0).to(z.dtype))
                left = left - (size * on[-1])[:, None] * self.weights["decoder"][best]
                products = left @ self.weights["decoder"].T
        return torch.stack(at, dim=1), torch.stack(on, dim=1)

    def array(self, name):
        import numpy as np

        if name == "encoder":
            return super().array("decoder").T
        return np.zeros(self.n_latents) if name == "bias" else super().array(name)

    def settings(self) -> dict:
        return {"active": self.params.k}


ARCHITECTURE = Architecture(
    "pursuit", "Matching pursuit", "Features are taken one after the other from what is left", PursuitParams, Pursuit,
    "k", -1, ("From Flat to Hierarchical: MP-SAE",),
    words="The feature most like the row is subtracted from it, then the one most like what is left, k times. "
    "What is made small is the square of what is left at the end",
)  # fmt: skip
