"""ReLU with an L1 penalty: the first sparse autoencoder.

    c = max(p, 0);   loss = |z - ẑ|² + λ Σ c        (rows of D of length 1, or the penalty could be cheated)

Bricken et al. 2023, "Towards monosemanticity". The penalty shrinks codes: what is active is too small by about λ / 2,
and of two features that come together the weaker can be hidden in the stronger. λ rises from 0 over the first twentieth
of the training.
"""

from __future__ import annotations

from dataclasses import dataclass

from analysis.features import rules
from analysis.features.architectures.architecture import Architecture, SparseDictionary
from analysis.spec import param

RISE = 0.05  # share of the training


@dataclass(frozen=True)
class ReluParams:
    latents: int = param(1024, "How many features are learned", low=1, high=1 << 20)
    penalty: float = param(
        0.05,
        "λ: what a code of 1 costs, where an unexplained row costs 1; larger is sparser",
        low=0.0,
        high=10.0,
    )


class Relu(SparseDictionary):
    """The dictionary under training."""

    rule = rules.RELU

    def codes(self, z, p):
        return p.relu()

    def penalties(self, p, codes, step, share):
        return {"penalty": self.params.penalty * min(1.0, share / RISE) * codes.sum(dim=1).mean()}


ARCHITECTURE = Architecture(
    "relu", "ReLU with L1", "Codes pay for their size", ReluParams, Relu, "penalty", 1,
    ("Towards monosemanticity: Decomposing language models with dictionary learning",),
    words="A row is rebuilt as the centre plus all features that fire. What is made small is the squared "
    "distance between the row and that sum plus λ times the sum of the codes: a feature must explain more "
    "than it costs",
)  # fmt: skip
