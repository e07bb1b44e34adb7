"""Gradient SAE: of every row the k features are kept that are large and matter to what comes after.

    c_i = max(p_i, 0) where p_i (1 + β |d_i · g|) is among the k largest of its row, else 0;   loss = |z - ẑ|²

g is the gradient of a scalar (loss, logit, margin) at this place: a second tap of the same store, row by row. Olmo et
al. 2024, "Features that make a difference": score p + β p ∘ |D g|. g is scaled so that |d · g| of a random direction
is 1 on average (root mean square) over the rows, about 0: β = 1 doubles the score of a feature that matters as much as
a random one, and β = 0 is TopK bit for bit.

The finished set has no gradient to go by and codes by plain TopK; `gradients` in its description says how many of the
chosen features that changes on held-out rows, and how much of the effect |(z - ẑ) · g| each choice leaves. The effect
is one of first order: exact for a linear read-out, local else, and next to nothing where a softmax is saturated.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.errors import ShapeError
from analysis.features.architectures.architecture import Architecture
from analysis.features.architectures.topk import TopK
from analysis.spec import param


@dataclass(frozen=True)
class GradientParams:
    latents: int = param(1024, "How many features are learned", low=1, high=1 << 20)
    k: int = param(32, "How many of them may be active in a row", low=1, label="active features (k)")
    beta: float = param(
        1.0, "β: what a feature's effect counts beside its size; 0 is TopK", low=0.0, high=1e6, label="β"
    )
    gradients: str = param(
        "", "The tap of the same store that holds gradients at this tap, row by row and of as many units"
    )


class Gradient(TopK):
    """The dictionary under training: activations to the left of a batch, gradients to the right."""

    def __init__(self, params, n_units, rng, n_beside: int) -> None:
        if n_beside != n_units:
            raise ShapeError(
                f"gradients of {n_beside} units", f"{n_units}, as the tap that is trained on has",
                "Choose the tap of gradients that was recorded at the same place",
            )  # fmt: skip
        super().__init__(params, n_units, rng)

    def own(self, z):
        return z[:, : self.n_units]

    def effects(self, z):
        """|D g| (n, k), without a gradient of its own."""
        g = z[:, self.n_units :] * float(np.sqrt(self.n_units))
        return (g @ self.weights["decoder"].detach().T).abs()

    def codes(self, z, p):
        score = p.detach() * (1 + self.params.beta * self.effects(z))
        return self.only(p, score.topk(self.params.k, dim=1).indices)

    def facts(self, parts) -> dict:
        import torch

        swapped, kept, whole, left = 0, 0, 0.0, np.zeros(2)
        with torch.no_grad():
            for z in parts:
                p, x, g = self.products(z), self.own(z), z[:, self.n_units :]
                found = [super().codes(z, p), self.codes(z, p)]
                kept += int((found[0] != 0).sum())
                swapped += int(((found[0] != 0) & (found[1] == 0)).sum())
                whole += float((x * g).sum(dim=1).abs().sum())
                left += [float(((x - self.decoded(c)) * g).sum(dim=1).abs().sum()) for c in found]
        share = [float(one) / whole if whole > 0 else None for one in left]
        effect = dict(zip(("topk", "gradient"), share, strict=True))
        return {"gradients": {"swapped": swapped / max(kept, 1), "effect_left": effect}}


ARCHITECTURE = Architecture(
    "gradient", "Gradient SAE", "Keeps the features that matter to what comes after", GradientParams, Gradient, "k", -1,
    ("Features that Make a Difference: Leveraging Gradients for Improved Dictionary Learning",), beside="gradients",
    beside_centred=False,
    words="As TopK, but a feature is chosen by its size times one plus β times how much the answer moves along it: "
    "those that matter come before others of their size. What is made small is the squared distance between the row "
    "and the sum of its features. Afterwards the largest are kept, as there is no gradient",
)  # fmt: skip
