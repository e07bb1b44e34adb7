"""TopK: every row keeps its k largest pre-activations.

    c = max(p, 0) where p is among the k largest of its row, else 0;   loss = |z - ẑ|²

Gao et al. 2024, "Scaling and evaluating sparse autoencoders". Decoder rows are of length 1, so that the largest p are
the largest contributions. Fewer than k fire where fewer are positive. No shrinkage, but every row spends the same k,
easy or hard.
"""

from __future__ import annotations

from dataclasses import dataclass

from analysis.features import rules
from analysis.features.architectures.architecture import Architecture, SparseDictionary
from analysis.spec import param


@dataclass(frozen=True)
class TopKParams:
    latents: int = param(1024, "How many features are learned", low=1, high=1 << 20)
    k: int = param(32, "How many of them may be active in a row", low=1, label="active features (k)")


class TopK(SparseDictionary):
    """The dictionary under training."""

    rule = rules.TOPK

    _kept: tuple = (None, None, None)

    def codes(self, z, p):
        return self.only(p, p.topk(self.params.k, dim=1).indices)

    def only(self, p, at):
        """`p` (n, m) where it is positive and among those at `at` (n, k), else 0."""
        import torch

        values = p.gather(1, at).relu()
        codes = torch.zeros_like(p).scatter(1, at, values)
        self._kept = codes, values, at
        return codes

    def decoded(self, codes):
        """From the k rows of the decoder that each row of codes takes part in: the product with all of them, and those
        of its gradient, would be most of the work of a step."""
        import torch

        own, values, at = self._kept
        self._kept = (None, None, None)
        if own is not codes:
            return super().decoded(codes)
        rows = torch.nn.functional.embedding_bag(
            at, self.weights["decoder"], mode="sum", per_sample_weights=values
        )
        return rows + self.weights["centre"]

    def settings(self) -> dict:
        return {"active": self.params.k}


ARCHITECTURE = Architecture(
    "topk", "TopK", "Every row keeps its k largest features", TopKParams, TopK, "k", -1,
    ("Scaling and evaluating sparse autoencoders",),
    words="A row is rebuilt as the centre plus its k strongest features, each as strong as it fires. What is "
    "made small is the squared distance between the row and that sum, and nothing else",
)  # fmt: skip
