"""Variational SAE: every code is a draw from a normal distribution that a row tells, held near a prior.

    μ = (z - b) E + e,   log σ²/τ² = (z - b) V + v;   a = μ + σ ε,  ε normal;   c = max(a, 0) among a row's k largest
    KL_j = ½ (μ²/τ² + σ²/τ² - 1 - log σ²/τ²);   loss = |z - ẑ|² + λ Σ_j KL_j

After "Analysis of variational sparse autoencoders". The prior is normal with mean 0 and deviation τ, in lengths of a
row: with τ the unit of codes the divergence is the published ½(μ² + σ² - 1 - log σ²), 0 only where a latent carries
nothing. With a fixed variance σ = τ and KL = ½ μ²/τ². The finished set takes the means: TopK of μ.

`posterior` in the description of the set has for every latent, over held-out rows, the mean width σ and the mean KL;
how many latents fell back to the prior (KL below 0.01); and the share of the k features of a row that are the same when
codes are drawn. Known to give more independent features, more dead ones and worse ones at once: never rank sets by
independence. The noise of a step follows from seed and step, so that a resume has the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.features import rules
from analysis.features.architectures.architecture import Architecture, Parts
from analysis.features.architectures.topk import TopK
from analysis.spec import param

COLLAPSED = 0.01  # nats
DIGITS = 5


@dataclass(frozen=True)
class VariationalParams:
    latents: int = param(1024, "How many features are learned", low=1, high=1 << 20)
    k: int = param(32, "How many of them may be active in a row", low=1, label="active features (k)")
    divergence: float = param(
        1e-4,
        "λ: what a nat of divergence from the prior costs, where an unexplained row costs 1",
        low=0.0,
        high=10.0,
    )
    prior: float = param(
        0.1, "τ: deviation of the prior, where a row has length 1 on average", low=1e-4, high=10.0
    )
    variance: str = param(
        "learned",
        "Whether rows tell how sure a code is, or all are drawn with τ",
        choices=("learned", "fixed"),
    )
    width: float = param(
        0.1, "σ/τ at the start of a learned variance", low=1e-3, high=1.0, label="width at the start"
    )


class Variational(TopK):
    """The dictionary under training."""

    rule = rules.TOPK

    def __init__(self, params, n_units, rng) -> None:
        import torch

        super().__init__(params, n_units, rng)
        self._noise_seed = int(rng.integers(1 << 62))
        if params.variance == "learned":
            start = np.full(self.n_latents, 2 * np.log(params.width), np.float32)
            self.weights["spread"] = torch.zeros(n_units, self.n_latents, requires_grad=True)
            self.weights["log_variance"] = torch.tensor(start, requires_grad=True)

    def log_variances(self, z):
        """log σ²/τ² (n, k)."""
        import torch

        w = self.weights
        if "spread" not in w:
            return torch.zeros(len(z), self.n_latents)
        return torch.addmm(w["log_variance"], z - w["centre"], w["spread"])

    def divergences(self, mean, log_variance):
        """KL_j (n, k), in nats."""
        return 0.5 * ((mean / self.params.prior) ** 2 + log_variance.exp() - 1 - log_variance)

    def drawn(self, mean, log_variance, step: int):
        """μ + σ ε, with the noise of this step."""
        import torch

        seed = int(np.random.default_rng([self._noise_seed, step]).integers(1 << 62))
        noise = torch.randn(mean.shape, generator=torch.Generator().manual_seed(seed))
        return mean + self.params.prior * (log_variance / 2).exp() * noise

    def loss(self, z, dead=None, auxiliary=0.0, step=0, share=1.0):
        """As of every architecture; `dead` None, as for held-out rows, takes the means."""
        mean, log_variance = self.products(z), self.log_variances(z)
        codes = self.codes(z, mean if dead is None else self.drawn(mean, log_variance, step))
        left = z - self.decoded(codes)
        divergence = self.params.divergence * self.divergences(mean, log_variance).sum(dim=1).mean()
        parts = {"unexplained": (left**2).sum(dim=1).mean(), "divergence": divergence}
        total = parts["unexplained"] + divergence
        if dead is not None and auxiliary and bool(dead.any()):
            parts["auxiliary"] = self._auxiliary(mean, left.detach(), dead)
            total = total + auxiliary * parts["auxiliary"]
        return Parts(total, parts, codes.detach())

    def facts(self, parts) -> dict:
        import torch

        n, widths, divergence, same, kept = 0, 0.0, 0.0, 0, 0
        with torch.no_grad():
            for z in parts:
                mean, log_variance = self.products(z), self.log_variances(z)
                widths = widths + self.params.prior * (log_variance / 2).exp().double().sum(dim=0)
                divergence = divergence + self.divergences(mean, log_variance).double().sum(dim=0)
                sure, drawn = self.codes(z, mean) != 0, self.codes(z, self.drawn(mean, log_variance, n)) != 0
                same, kept, n = same + int((sure & drawn).sum()), kept + int(sure.sum()), n + len(z)
        divergence, widths = (divergence / n).numpy(), (widths / n).numpy()
        return {
            "posterior": {
                "width": [float(f"{v:.{DIGITS}g}") for v in widths],
                "divergence": [float(f"{v:.{DIGITS}g}") for v in divergence],
                "collapsed": int((divergence < COLLAPSED).sum()),
                "kept_when_drawn": same / kept if kept else None,
            }
        }


ARCHITECTURE = Architecture(
    "variational", "Variational", "Codes are drawn, and held near a prior", VariationalParams, Variational, "k", -1,
    ("Analysis of Variational Sparse Autoencoders",),
    words="A row tells of every feature a mean and how sure it is of it; codes are drawn around the means and the k "
    "largest stay. What is made small is the squared distance between the row and the sum of its features plus λ times "
    "how far each feature is from knowing nothing. Afterwards the means take the place of the draws",
)  # fmt: skip
