"""What autoencoders of a few ordered latents share: an encoder and a decoder with a hidden layer, or none.

    c = leaky(z H + g) E + e        ẑ = leaky(c F + f) D + b        leaky(p) = max(p, 0.2 p); without hidden units
    c = z E + e                     ẑ = c D + b                     both are linear

Every latent takes part in every row; there is no sparsity. The finished set codes as the encoder does. A feature set
has one direction for each feature: that is the least-squares one, x ≈ c D' + b' over rows that were trained on, so
that everything that reads directions holds as for any set; what the decoder with its hidden layer explains is said
beside it (`about["latents"]`). So it is without hidden units, too, where it undoes what a penalty has shrunk.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analysis.errors import NotEnoughData
from analysis.features import rules
from analysis.features.architectures.architecture import SparseDictionary
from analysis.features.feature_set import LEAK, FeatureSet

if TYPE_CHECKING:
    from torch import Tensor

DIGITS = 5
CLOSE = 0.01  # of the largest singular value of standardised codes: what is below is not told apart
IDLE = 1e-4  # a latent whose deviation is below this share of the largest carries nothing


class OrderedAutoencoder(SparseDictionary):
    """The autoencoder under training. `read` more columns can stand beside the codes at the decoder's entry."""

    rule = rules.LINEAR
    extra = 0  # entries of the decoder beside the codes, as a multiple of the latents

    def __init__(self, params, n_units: int, rng: np.random.Generator) -> None:
        import torch

        self.params, self.n_units, self.n_latents = params, n_units, int(params.latents)
        k, h, d = self.n_latents, int(params.hidden), n_units
        if k > d:
            raise NotEnoughData(
                f"{k} latents of {d} units", f"at most {d}", "Ask for fewer: they are to be few"
            )
        m = k * (1 + self.extra)
        first = {"encoder": _drawn(rng, h or d, k), "bias": np.zeros(k), "decoder": _drawn(rng, h or m, d),
                 "centre": np.zeros(d)}  # fmt: skip
        if h:
            first |= {"hidden": _drawn(rng, d, h), "hidden_bias": np.zeros(h), "unfold": _drawn(rng, m, h),
                      "unfold_bias": np.zeros(h)}  # fmt: skip
        self.weights = {
            name: torch.tensor(np.ascontiguousarray(value, np.float32), requires_grad=True)
            for name, value in first.items()
        }
        self.kept: dict[str, np.ndarray] = {}
        self._noise_seed = int(rng.integers(1 << 62))

    # ------------------------------------------------------------------ of a batch
    def products(self, z: Tensor) -> Tensor:
        import torch

        w = self.weights
        if "hidden" in w:
            z = leaky(torch.addmm(w["hidden_bias"], z, w["hidden"]))
        return torch.addmm(w["bias"], z, w["encoder"])

    def codes(self, z: Tensor, p: Tensor) -> Tensor:
        return p

    def decoded(self, codes: Tensor) -> Tensor:
        import torch

        w = self.weights
        if "unfold" in w:
            codes = leaky(torch.addmm(w["unfold_bias"], codes, w["unfold"]))
        return torch.addmm(w["centre"], codes, w["decoder"])

    def noise(self, shape, step: int) -> Tensor:
        """Normal numbers that follow from seed and step, so that a resume has the same."""
        import torch

        seed = int(np.random.default_rng([self._noise_seed, step]).integers(1 << 62))
        return torch.randn(shape, generator=torch.Generator().manual_seed(seed))

    # ------------------------------------------------------------------ around a step
    def before_step(self) -> None:
        """Nothing is held."""

    def after_step(self, codes: Tensor) -> None:
        """Nothing is held."""

    def start_inside(self, axes: Tensor, wanted_axes: Tensor) -> None:
        import torch

        with torch.no_grad():
            first = self.weights["hidden" if "hidden" in self.weights else "encoder"]
            first.copy_(axes @ (axes.T @ first))
            self.weights["decoder"].copy_(self.weights["decoder"] @ wanted_axes @ wanted_axes.T)

    # ------------------------------------------------------------------ at the end
    def order(self, codes: np.ndarray) -> np.ndarray:
        """The latents (m,) that are kept, the most important first, from codes (n, k)."""
        raise NotImplementedError  # each autoencoder has an order of its own

    def settle(self, rows) -> None:
        """Which latents are kept in which order, and the least-squares directions that go with them."""
        import torch

        with torch.no_grad():
            z = rows()
            codes = self.products(z).double().numpy()
        self.kept_latents = self.order(codes)
        own = codes[:, self.kept_latents]
        self.read_out = straight_lines(own, z.double().numpy())

    def finish(self, name: str, mean: np.ndarray, scale: float, about: dict) -> FeatureSet:
        at, (directions, offset) = self.kept_latents, self.read_out
        hidden = {n: self.array(n) for n in ("hidden", "hidden_bias") if n in self.weights}
        return FeatureSet(
            name, self.rule, self.array("encoder")[:, at], directions, self.array("bias")[at],
            scale * mean + offset, scale * mean, scale=scale, about=about, **hidden,
        )  # fmt: skip

    def caveats(self, about: dict) -> list[str]:
        said = []
        if "hidden" in self.weights:
            found = about["latents"]["explained_variance"]
            said.append(
                f"Directions are the straight lines that fit best; the decoder with its hidden layer explains "
                f"{found:.1%} of the held-out variance."
            )
        gone = self.n_latents - len(self.kept_latents)
        if gone:
            said.append(f"{gone} latent(s) carry nothing and were left out.")
        return said


def straight_lines(codes: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Directions (k, d) and offset (d,) of z (n, d) by least squares on codes (n, k), the shortest of nearly equal ones
    where codes say the same twice."""
    mean, size = codes.mean(axis=0), np.where((s := codes.std(axis=0)) > 0, s, 1)
    fit = np.linalg.lstsq((codes - mean) / size, z - z.mean(axis=0), rcond=CLOSE)[0] / size[:, None]
    return fit, z.mean(axis=0) - mean @ fit


def leaky(p: Tensor) -> Tensor:
    """max(p, 0.2 p)."""
    import torch

    return torch.nn.functional.leaky_relu(p, LEAK)


def _drawn(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """(rows, columns) whose products have about the length of what goes in."""
    return rng.standard_normal((rows, columns)) * np.sqrt(1 / max(rows, columns))


def deviations(codes: np.ndarray) -> np.ndarray:
    """(k,) of codes (n, k), 0 where idle."""
    size = codes.std(axis=0)
    return np.where(size > IDLE * max(size.max(), np.finfo(float).tiny), size, 0.0)


def rounded(values) -> list[float]:
    """For the description of a set."""
    return [float(f"{v:.{DIGITS}g}") for v in np.asarray(values, float)]
