"""What architectures share: linear maps, decoder rows of length 1, the auxiliary loss, and the way to a FeatureSet.

    z = s (x - mean),  p = (z - b) E + e,  c = rule(p),  ẑ = c D + b,  rows of D of length 1

s is chosen so that E|z|² = 1: the first part of every loss, the mean of |z - ẑ|², is then the share of the variance
that is not explained, and penalties, thresholds and learning rates mean the same on every tap.

Dead latents learn by the auxiliary loss of Gao et al. 2024: the dead ones with the largest p rebuild what the others
left over, e = z - ẑ, and pay |e - ê|² / |e|². One whose p is negative in the whole batch takes part with it
unrectified: it would have no gradient else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from analysis.errors import ParameterError
from analysis.features import rules
from analysis.features.feature_set import FeatureSet

if TYPE_CHECKING:
    from torch import Tensor

WEIGHTS = ("encoder", "bias", "decoder", "centre")


@dataclass(frozen=True)
class Architecture:
    """One kind of dictionary. `make` : (params, units, rng) -> SparseDictionary; `sparsity` : the parameter that says
    how sparse, `sparser` : +1 where a larger one is sparser, else -1. `papers` : what it is from. `words` : its
    equation in plain words.

    `beside` : the parameter that names a second tap of the store, whose rows stand beside those of the first (`make` is
    given its units, too: `n_beside`), `beside_centred` about their mean. `live` : the network itself is run.
    `ordered` : few latents, all in every row, those that matter most first."""

    name: str
    title: str
    summary: str
    params: type
    make: Callable[..., SparseDictionary]
    sparsity: str
    sparser: int
    papers: tuple[str, ...] = ()
    beside: str = ""
    beside_centred: bool = True
    live: bool = False
    ordered: bool = False
    words: str = ""


@dataclass
class Parts:
    """The loss of one batch: the sum that is minimised, its parts by name (of one row on average), and the codes."""

    total: Tensor
    parts: dict[str, Tensor] = field(default_factory=dict)
    codes: Tensor | None = None


def refuse_more_active(params) -> None:
    """Raises ParameterError where more latents are to be active than there are."""
    k, latents = getattr(params, "k", None), int(params.latents)
    if k is not None and not 1 <= k <= latents:
        raise ParameterError(
            f"k = {k} of {latents} latents", f"k between 1 and {latents}", "Lower k, or learn more latents"
        )


class SparseDictionary:
    """Weights under training: `weights` by name, learned; `kept` by name, float64 arrays that follow the training
    without a gradient. Both are all there is to keep for going on later.

    Parameters
    ----------
    params : the architecture's parameters, with `latents` at least.
    n_units : int
        d.
    rng : numpy.random.Generator
    """

    rule = rules.RELU
    rebuilds_beside = False  # whether it is the tap beside that is rebuilt

    def __init__(self, params, n_units: int, rng: np.random.Generator) -> None:
        import torch

        self.params, self.n_units, self.n_latents = params, n_units, int(params.latents)
        refuse_more_active(params)
        directions = rng.standard_normal((self.n_latents, n_units))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        first = {
            "encoder": directions.T, "bias": np.zeros(self.n_latents), "decoder": directions,
            "centre": np.zeros(n_units),
        }  # fmt: skip
        self.weights = {
            name: torch.tensor(np.ascontiguousarray(value, np.float32), requires_grad=True)
            for name, value in first.items()
        }
        self.kept: dict[str, np.ndarray] = {}

    # ------------------------------------------------------------------ of a batch
    def own(self, z: Tensor) -> Tensor:
        """The columns of a batch that are encoded; a tap beside is to the right of them."""
        return z

    def wanted(self, z: Tensor) -> Tensor:
        """What is to be rebuilt from the codes."""
        return self.own(z)

    def products(self, z: Tensor) -> Tensor:
        """p (n, k)."""
        import torch

        w = self.weights  # (z - b) E + e, without a gradient for each row of z
        return torch.addmm(w["bias"] - w["centre"] @ w["encoder"], self.own(z), w["encoder"])

    def codes(self, z: Tensor, p: Tensor) -> Tensor:
        """c (n, k) as in training, where a batch may share a budget."""
        raise NotImplementedError  # each architecture is such a rule; there is none by default

    def decoded(self, codes: Tensor) -> Tensor:
        import torch

        return torch.addmm(self.weights["centre"], codes, self.weights["decoder"])

    def loss(
        self, z: Tensor, dead: Tensor | None = None, auxiliary: float = 0.0, step: int = 0, share: float = 1.0
    ):
        """Parts of one batch z (n, d); `dead` (k,) bool; `share` (0 … 1] of the training that is over."""
        p = self.products(z)
        codes = self.codes(z, p)
        left = self.wanted(z) - self.decoded(codes)
        parts = {"unexplained": (left**2).sum(dim=1).mean(), **self.penalties(p, codes, step, share)}
        total = sum(parts.values())
        if dead is not None and auxiliary and bool(dead.any()):
            parts["auxiliary"] = self._auxiliary(p, left.detach(), dead)
            total = total + auxiliary * parts["auxiliary"]
        return Parts(total, parts, codes.detach())

    def penalties(self, p: Tensor, codes: Tensor, step: int, share: float) -> dict[str, Tensor]:
        """What is added to the unexplained variance, by name."""
        return {}

    def _auxiliary(self, p: Tensor, left: Tensor, dead: Tensor) -> Tensor:
        import torch

        at = torch.nonzero(dead).ravel()
        own = p[:, at]
        own = torch.where(own.amax(dim=0) > 0, own.relu(), own)
        most = max(1, self.weights["decoder"].shape[1] // 2)
        if len(at) > most:
            values, which = own.topk(most, dim=1)
            own = torch.zeros_like(own).scatter(1, which, values)
        size = (left**2).sum()
        rebuilt = own @ self.weights["decoder"][at]
        return ((left - rebuilt) ** 2).sum() / size.clamp_min(torch.finfo(size.dtype).tiny)

    # ------------------------------------------------------------------ around a step
    def before_step(self) -> None:
        """The part of the decoder's gradient along its rows is taken out: their length may not change."""
        d = self.weights["decoder"]
        if d.grad is not None:
            d.grad -= (d.grad * d.detach()).sum(dim=1, keepdim=True) * d.detach()

    def after_step(self, codes: Tensor) -> None:
        """Rows back to length 1, and whatever follows the training."""
        import torch

        with torch.no_grad():
            d = self.weights["decoder"]
            d /= d.norm(dim=1, keepdim=True).clamp_min(1e-12)

    # ------------------------------------------------------------------ at the start
    def begin(self, rows: Callable[[], Tensor]) -> None:
        """What depends on the first `rows`; not called where a training goes on."""

    def start_inside(self, axes: Tensor, wanted_axes: Tensor) -> None:
        """Encoder rows into the span of `axes` (d, r), decoder rows into that of `wanted_axes`, at length 1."""
        import torch

        with torch.no_grad():
            d, inside = self.weights["decoder"], wanted_axes @ wanted_axes.T
            d.copy_(torch.nn.functional.normalize(d @ inside, dim=1))
            if "encoder" in self.weights:
                e = self.weights["encoder"]
                e.copy_(torch.nn.functional.normalize(axes @ (axes.T @ e), dim=0))

    # ------------------------------------------------------------------ at the end
    def settle(self, rows: Callable[[], Tensor]) -> None:
        """What depends on `rows`, the first of those trained on, once the weights are final."""

    def facts(self, parts: Iterable[Tensor]) -> dict:
        """More to be said of the finished set, from the held-out batches, by name."""
        return {}

    def caveats(self, about: dict) -> list[str]:
        """What a reader of the finished set should know, in sentences."""
        return []

    def settings(self) -> dict:
        """What FeatureSet needs beside the linear maps."""
        return {}

    def array(self, name: str) -> np.ndarray:
        return self.weights[name].detach().numpy().astype(np.float64)

    def finish(self, name: str, mean: np.ndarray, scale: float, about: dict) -> FeatureSet:
        """The dictionary as a set that takes activations x as they are."""
        shift = scale * mean + self.array("centre")
        return FeatureSet(
            name, self.rule, self.array("encoder"), self.array("decoder"), self.array("bias"), shift, shift,
            scale=scale, about=about, **self.settings(),
        )  # fmt: skip
