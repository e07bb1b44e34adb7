"""Matryoshka: the first latents alone must explain what they can, so that general features come first.

    c as in BatchTopK, once for all levels;   loss = mean over levels m of |z - c[:m] D[:m] - b|²

Bussmann et al. 2025, "Learning multi-level features with Matryoshka sparse autoencoders". The n k largest of the batch
are chosen among all latents and every level takes its share of them: choosing anew at each level would let the small
ones spend more than the whole. Levels halve from all latents down. Explains less variance than BatchTopK at the same k;
what it buys is that a general feature is not taken apart by special ones (absorption).
"""

from __future__ import annotations

from dataclasses import dataclass

from analysis.features.architectures.architecture import Architecture, Parts
from analysis.features.architectures.batch_topk import BatchTopK
from analysis.spec import param


@dataclass(frozen=True)
class MatryoshkaParams:
    latents: int = param(1024, "How many features are learned", low=1, high=1 << 20)
    k: int = param(32, "How many are active in a row on average", low=1, label="active features (k)")
    levels: int = param(
        5, "How many nested dictionaries; each has half the features of the next", low=1, high=16
    )


def level_sizes(latents: int, levels: int) -> tuple[int, ...]:
    """Features of each level, rising, the last with all; levels of no feature or of the same size fall away."""
    return tuple(sorted({max(1, latents >> i) for i in range(levels)}))


class Matryoshka(BatchTopK):
    """The dictionary under training."""

    def __init__(self, params, n_units, rng) -> None:
        super().__init__(params, n_units, rng)
        self.levels = level_sizes(params.latents, params.levels)

    def loss(self, z, dead=None, auxiliary=0.0, step=0, share=1.0):
        p = self.products(z)
        codes, w = self.codes(z, p), self.weights
        left, errors, before = z - w["centre"], [], 0
        for size in self.levels:
            left = left - codes[:, before:size] @ w["decoder"][before:size]
            errors.append((left**2).sum(dim=1).mean())
            before = size
        parts = {"unexplained": errors[-1], "levels": sum(errors) / len(errors)}
        total = parts["levels"]
        if dead is not None and auxiliary and bool(dead.any()):
            parts["auxiliary"] = self._auxiliary(p, left.detach(), dead)
            total = total + auxiliary * parts["auxiliary"]
        return Parts(total, parts, codes.detach())

    def settings(self) -> dict:
        return {**super().settings(), "levels": self.levels}


ARCHITECTURE = Architecture(
    "matryoshka", "Matryoshka", "Nested dictionaries: general features first, special ones after", MatryoshkaParams,
    Matryoshka, "k", -1, ("Learning multi-level features with Matryoshka sparse autoencoders",),
    words="As BatchTopK, but the row is rebuilt several times: from the first few features alone, from twice as "
    "many, and so on up to all. What is made small is the mean of these squared distances, so that the "
    "first features must be general",
)  # fmt: skip
