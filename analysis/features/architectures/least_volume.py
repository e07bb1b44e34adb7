"""Least volume: an autoencoder whose latents fill as little space as its decoder lets them.

    loss = |z - ẑ|² + λ (Π_j (σ_j + η))^(1/k)        σ_j the deviation of latent j; the decoder's Lipschitz bound is 1

Chen & Fuge 2024. Every matrix of the decoder has its singular values cut at 1 after each step, and leaky ReLUs have
slopes of at most 1: two codes are at least as far apart as what they decode to. Without that bound the volume could be
made 0 by dividing the codes and multiplying the decoder. The product falls most where a σ_j is small already, so that
latents that are not needed go to 0 and the others keep what their decoding needs; the finished set has them by falling
deviation. η keeps the pull on small ones finite; λ rises from 0 over the first fifth of the training.

Closed form: linear, with λ small, the decoder is orthonormal and the latents are the principal scores, in their order.
Which number of latents is left depends on λ: a direction is worth its variance, and costs what it adds to the product.
Latents that say the same twice are both kept where neither is small.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.features.architectures.architecture import Architecture, Parts
from analysis.features.architectures.autoencoder import OrderedAutoencoder, deviations, rounded
from analysis.spec import param

RISE = 0.2  # share of the training
SMALL = 0.01  # of the largest deviation: a latent below is pruned from the set
DECODER = ("unfold", "decoder")


@dataclass(frozen=True)
class LeastVolumeParams:
    latents: int = param(16, "Most latents; those that are not needed go to 0", low=1, high=1024)
    hidden: int = param(
        64, "Units of the hidden layer of encoder and decoder; 0: both linear", low=0, high=4096
    )
    penalty: float = param(
        0.3,
        "λ: what volume costs, where an unexplained row costs 1; larger leaves fewer latents",
        low=0.0,
        high=100.0,
    )
    eta: float = param(0.01, "η, added to each deviation, where a row has length 1", low=1e-6, high=1.0)


class LeastVolume(OrderedAutoencoder):
    """The autoencoder under training."""

    def __init__(self, params, n_units, rng) -> None:
        super().__init__(params, n_units, rng)
        self.after_step(None)

    def loss(self, z, dead=None, auxiliary=0.0, step=0, share=1.0):
        codes = self.products(z)
        left = z - self.decoded(codes)
        parts = {
            "unexplained": (left**2).sum(dim=1).mean(),
            "volume": self.params.penalty * min(1.0, share / RISE) * self.volume(codes),
        }
        return Parts(sum(parts.values()), parts, self.used(codes.detach()))

    def used(self, codes):
        """Codes with those latents at 0 that hardly vary, so that they count as what they are: dead."""
        size = codes.std(dim=0, correction=0)
        return codes * (size > SMALL * size.max())

    def volume(self, codes):
        """(Π_j (σ_j + η))^(1/k)."""
        size = (((codes - codes.mean(dim=0)) ** 2).mean(dim=0) + 1e-12).sqrt()
        return (size + self.params.eta).log().mean().exp()

    def after_step(self, codes) -> None:
        """Singular values of the decoder's matrices at most 1."""
        import torch

        with torch.no_grad():
            for name in DECODER:
                if name in self.weights:
                    w = self.weights[name]
                    u, sizes, v = torch.linalg.svd(w, full_matrices=False)
                    if float(sizes[0]) > 1:
                        w.copy_((u * sizes.clamp(max=1)) @ v)

    def order(self, codes: np.ndarray) -> np.ndarray:
        size = deviations(codes)
        order = np.argsort(-size, kind="stable")
        return order[: max(1, int((size > SMALL * size.max()).sum()))]

    def facts(self, parts) -> dict:
        """Deviations of the latents, and what is explained with the first k of them, the others at their mean."""
        import torch

        with torch.no_grad():
            z = torch.cat(list(parts))
            codes = self.products(z)
            mean, size = codes.mean(dim=0), deviations(codes.double().numpy())
            order = np.argsort(-size, kind="stable")
            total, explained = float(((z - z.mean(dim=0)) ** 2).sum()), []
            for k in range(len(order) + 1):
                own = mean.repeat(len(z), 1)
                own[:, order[:k]] = codes[:, order[:k]]
                explained.append(1 - float(((z - self.decoded(own)) ** 2).sum()) / total)
            bound = 1.0
            for name in DECODER:
                if name in self.weights:
                    bound *= float(torch.linalg.matrix_norm(self.weights[name], 2))
        return {
            "latents": {
                "deviations": rounded(size[order]), "explained_by_first": rounded(explained), "lipschitz_bound": bound,
                "explained_variance": explained[-1], "volume": float(np.exp(np.log(size + self.params.eta).mean())),
            }
        }  # fmt: skip


ARCHITECTURE = Architecture(
    "least_volume", "Least volume", "As few latents as the data need, ordered by how much they vary",
    LeastVolumeParams, LeastVolume, "penalty", 1, ("Compressing Latent Space via Least Volume",), ordered=True,
    words="A row is told by a few numbers, all of them used, and rebuilt by a network that cannot stretch: what is "
    "made small is the squared distance between the row and what is rebuilt plus λ times the geometric mean of the "
    "numbers' deviations, so that numbers that are not needed stop varying",
)  # fmt: skip
