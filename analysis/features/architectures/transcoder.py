"""Transcoder: features read from one tap that tell another, such as what goes into an MLP and what comes out.

    z = s (x - mean x),  w = t (y - mean y);   p = z E + e,  c = TopK(p),  ŵ = c D + b;   loss = |w - ŵ|²

Dunefsky, Chlenski & Nanda 2024, "Transcoders find interpretable LLM feature circuits". E (d, k) reads the tap that is
trained on, D (k, e) with rows of length 1 writes the target tap: `directions` of the finished set are those of the
target, and the explained variance is that of the target. The part of y that x does not determine cannot be told: what
is left is not all error of the dictionary. Between taps with a residual connection most of y is x itself; take what a
module adds, not the sum.

In the finished set codes are t⁻¹ s times those of the training, so that D keeps its length: y' = (c D + b) / s.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.features.architectures.architecture import Architecture
from analysis.features.architectures.topk import TopK
from analysis.features.feature_set import FeatureSet
from analysis.spec import param


@dataclass(frozen=True)
class TranscoderParams:
    latents: int = param(1024, "How many features are learned", low=1, high=1 << 20)
    k: int = param(32, "How many of them may be active in a row", low=1, label="active features (k)")
    target: str = param("", "The tap of the same store that the features are to tell", label="target tap")


class Transcoder(TopK):
    """The dictionary under training: the tap that is read to the left of a batch, the target to the right."""

    rebuilds_beside = True

    def __init__(self, params, n_units, rng, n_beside: int) -> None:
        import torch

        super().__init__(params, n_units, rng)
        directions = rng.standard_normal((self.n_latents, n_beside))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        for name, value in (("decoder", directions), ("centre", np.zeros(n_beside))):
            self.weights[name] = torch.tensor(value.astype(np.float32), requires_grad=True)
        self.n_target = n_beside

    def own(self, z):
        return z[:, : self.n_units]

    def wanted(self, z):
        return z[:, self.n_units :]

    def products(self, z):
        import torch

        return torch.addmm(self.weights["bias"], self.own(z), self.weights["encoder"])

    def finish(self, name, mean, scale, about) -> FeatureSet:
        ratio = scale / self.beside.scale
        return FeatureSet(
            name, self.rule, ratio * self.array("encoder"), self.array("decoder"), ratio * self.array("bias"),
            ratio * self.array("centre") + scale * self.beside.mean, scale * mean, scale=scale, transcoder=True,
            about=about, **self.settings(),
        )  # fmt: skip


ARCHITECTURE = Architecture(
    "transcoder", "Transcoder", "Reads one tap and tells another", TranscoderParams, Transcoder, "k", -1,
    ("Transcoders find interpretable LLM feature circuits",), beside="target",
    words="Features are read from this tap, k strongest of a row, and their sum is to be the same row of another tap. "
    "What is made small is the squared distance between that row and the sum",
)  # fmt: skip
