"""Distributional principal autoencoder: latents in order, and a decoder that draws what the first k leave open.

    loss = mean over k = 0 … K of   E |z - ẑ_k| - ½ E |ẑ_k - ẑ'_k|,    ẑ_k = decoder(c_1 … c_k, ε_k+1 …, k)

Shen & Meinshausen 2024; "Distributional autoencoders know the score" (2025). The loss is the energy score: it is least
where ẑ_k, with fresh normal noise ε for what is not told, is distributed as the rows are that have these first k
latents, not as their mean. One encoder serves all k, so that the first latent leaves as little open as one can, the
second as little of the rest, and so on. Where the rows lie on a manifold of K' dimensions the latents beyond K' tell
nothing more: `about["latents"]` has the score against k on held-out rows, and how many latents lower it beyond chance.
"Do later latents still tell anything?" asks the same without this decoder.

Closed form: of Gaussian rows the first k latents span the first k principal directions, and the score with nothing told
is half the mean distance of two rows. Every row draws its k at random in every step.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.statistics.moments import UnitMoments
from analysis.features.architectures.architecture import Architecture, Parts
from analysis.features.architectures.autoencoder import OrderedAutoencoder, deviations, rounded
from analysis.spec import param

JUDGING = 1 << 40  # noise beyond that of any step
DRAWS = 8  # of the decoder for each held-out row
BEYOND = 1.645  # standard errors: one side, 5 %


@dataclass(frozen=True)
class DistributionalParams:
    latents: int = param(6, "K: latents, the most important first", low=1, high=256)
    hidden: int = param(
        64, "Units of the hidden layer of encoder and decoder; 0: both linear", low=0, high=4096
    )


class Distributional(OrderedAutoencoder):
    """The autoencoder under training. The decoder sees codes or noise, which of the two it is, and as much noise again
    for what all K latents leave open."""

    extra = 2

    def loss(self, z, dead=None, auxiliary=0.0, step=0, share=1.0):
        import torch

        codes = self.products(z)
        n, k = codes.shape
        level = torch.from_numpy(np.random.default_rng([self._noise_seed, step, 1]).integers(k + 1, size=n))
        noise = self.noise((2, n, 2 * k), step)
        one, other = (self.drawn(codes, e, level) for e in noise)
        score = (_length(z - one) + _length(z - other)) / 2 - _length(one - other) / 2
        with torch.no_grad():
            whole = self.drawn(codes, 0 * noise[0], torch.full((n,), k))
            parts = {"unexplained": ((z - whole) ** 2).sum(dim=1).mean()}
        parts["energy score"] = score.mean()
        return Parts(parts["energy score"], parts, codes.detach())

    def drawn(self, codes, noise, level):
        """ẑ (n, d) with the first `level` (n,) latents told and noise for the others."""
        import torch

        k = codes.shape[1]
        told = (torch.arange(k) < level[:, None]).float()
        return self.decoded(torch.cat([told * codes + (1 - told) * noise[:, :k], told, noise[:, k:]], dim=1))

    def order(self, codes: np.ndarray) -> np.ndarray:
        kept = np.flatnonzero(deviations(codes) > 0)
        return kept if len(kept) else np.arange(1)

    def facts(self, parts) -> dict:
        """Energy scores of the held-out rows with k = 0 … K latents told, and which latents lower it."""
        import torch

        found, seen, left, levels = [], None, 0.0, self.n_latents + 1
        with torch.no_grad():
            for i, z in enumerate(parts):
                codes = self.products(z)
                found.append(
                    np.stack([self._scores(z, codes, k, JUDGING + i * levels + k) for k in range(levels)])
                )
                whole = self.drawn(
                    codes, torch.zeros(len(z), 2 * self.n_latents), torch.full((len(z),), self.n_latents)
                )
                left += float(((z - whole).double() ** 2).sum())
                own = UnitMoments.of(z.numpy())
                seen = own if seen is None else seen.merge(own)
        scores, left = np.concatenate(found, axis=1), left / float(seen.m2.sum())
        gained = scores[:-1] - scores[1:]
        error = gained.std(axis=1, ddof=1) / np.sqrt(gained.shape[1]) if seen.n > 1 else np.inf
        tells = gained.mean(axis=1) > BEYOND * error
        return {
            "latents": {
                "energy_scores": rounded(scores.mean(axis=1)), "gains": rounded(gained.mean(axis=1)),
                "errors_of_gains": rounded(np.broadcast_to(error, len(tells))), "explained_variance": 1 - left,
                "telling": int(np.argmin(tells)) if not tells.all() else len(tells),
            }
        }  # fmt: skip

    def _scores(self, z, codes, k: int, step: int) -> np.ndarray:
        """(n,) energy scores from several draws of the decoder, with the noise of `step`."""
        import torch

        level, noise = torch.full((len(z),), k), self.noise((DRAWS, len(z), 2 * self.n_latents), step)
        drawn = torch.stack([self.drawn(codes, e, level) for e in noise])
        away = _length(z[None] - drawn).mean(dim=0)
        apart = sum(_length(drawn - drawn.roll(shift, 0)).mean(dim=0) for shift in range(1, DRAWS)) / (
            DRAWS - 1
        )
        return (away - apart / 2).double().numpy()

    def caveats(self, about: dict) -> list[str]:
        found = about["latents"]
        n, k = found["telling"], self.n_latents
        said = super().caveats(about)
        said.append(
            f"The first {n} of {k} latents each lower the held-out energy score (rows taken as independent)"
            + (": there may be more dimensions." if n == k else "; the next does not.")
        )
        return said


def _length(difference):
    """(…,) of the last axis, with a gradient at 0."""
    return ((difference**2).sum(dim=-1) + 1e-12).sqrt()


ARCHITECTURE = Architecture(
    "distributional", "Distributional principal autoencoder",
    "Latents in order; the decoder draws what the first k leave open", DistributionalParams, Distributional, "",
    -1, ("Distributional Autoencoders Know the Score",), ordered=True,
    words="A row is told by its first k numbers, and a network draws rows that could have them. What is made small, "
    "for every k, is the energy score: how far the drawn rows are from the row, less half of how far they are from "
    "each other",
)  # fmt: skip
