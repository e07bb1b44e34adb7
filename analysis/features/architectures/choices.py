"""Mutual Choice and Feature Choice: who may choose, rows or features.

    S = which (row, feature) pairs of a batch of n rows may be active, |S| = n k;   c = max(p, 0) on S, else 0
    Mutual Choice    the n k largest p of the batch, whoever they belong to
    Feature Choice   of every feature i its m_i largest rows, Σ m_i = n k, m_i ∝ (i + 1)^-a      (a = 0: all the same)
    loss = |z - ẑ|²

Ayonrinde 2024, "Adaptive sparse allocation with mutual choice and feature choice sparse autoencoders". Mutual Choice
is the selection of BatchTopK, found at the same time. In Feature Choice every feature has its rows: one dies only where
no product of its own is positive, or where a steep law gives it no row. At inference each feature has the threshold θ_i
that its smallest kept codes had on average (float64), so that the budget holds on average only. A pair whose p is not
positive stays 0: the budget is spent whole where enough are positive.

Mutual Choice with a Zipf exponent helps features that are not dead but used less than their rank would have them:
of the shares of rows in which features are active, falling, the r-th is expected to be k (r + 1)^-a / Σ (r + 1)^-a,
at most 1, and features below take part in the auxiliary loss as the dead ones do (aux_zipf; where none but dead ones
are below it is the loss of Gao et al.). Shares are averaged over the last hundred batches or so.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.features.architectures.architecture import Architecture
from analysis.features.architectures.batch_topk import MEMORY, BatchTopK
from analysis.spec import param

NEVER = float(np.finfo(np.float32).max)
PAPER = ("Mutual Choice & Feature Choice SAEs",)


@dataclass(frozen=True)
class MutualChoiceParams:
    latents: int = param(1024, "How many features are learned", low=1, high=1 << 20)
    k: int = param(32, "How many are active in a row on average", low=1, label="active features (k)")
    zipf: float | None = param(
        None,
        "a: features used less than Zipf's law with this exponent expects of their rank learn from what is left over, "
        "as dead ones do; empty: only dead ones",
        label="Zipf exponent",
        low=0.0,
        high=3.0,
    )


@dataclass(frozen=True)
class FeatureChoiceParams:
    latents: int = param(1024, "How many features are learned", low=1, high=1 << 20)
    k: int = param(32, "How many are active in a row on average", low=1, label="active features (k)")
    exponent: float = param(
        0.0,
        "a: 0 gives every feature the same number of rows, 1 as Zipf's law",
        label="Zipf exponent",
        low=0.0,
        high=3.0,
    )


def budgets(latents: int, n: int, k: int, exponent: float) -> np.ndarray:
    """Rows (latents,) of each feature in a batch of n, between 0 and n, that sum to n k exactly: the largest
    remainders are rounded up; what a feature cannot take as n is reached goes to the next."""
    total, weights = n * min(k, latents), (1.0 + np.arange(latents)) ** -exponent
    share = np.zeros(latents)
    open_ = np.ones(latents, bool)
    while True:  # those over n are cut to n, the rest shared anew
        share[open_] = (total - n * (~open_).sum()) * weights[open_] / weights[open_].sum()
        over = open_ & (share > n)
        if not over.any():
            break
        share[over], open_ = n, open_ & ~over
        if not open_.any():
            break
    whole = np.floor(share + 1e-9).astype(np.int64)
    order = np.argsort(-(share - whole), kind="stable")
    order = order[whole[order] < n]
    whole[order[: total - whole.sum()]] += 1
    return whole


def expected_shares(latents: int, k: int, exponent: float) -> np.ndarray:
    """(latents,) falling: in which share of the rows the feature of each rank is expected to be active."""
    law = (1.0 + np.arange(latents)) ** -exponent
    return np.minimum(k * law / law.sum(), 1.0)


class MutualChoice(BatchTopK):
    """The dictionary under training: BatchTopK under its other name, and the Zipf loss where an exponent is given."""

    def __init__(self, params, n_units, rng) -> None:
        super().__init__(params, n_units, rng)
        if params.zipf is not None:
            self.kept |= {"share": np.zeros(self.n_latents), "batches": np.zeros(1)}

    def after_step(self, codes) -> None:
        super().after_step(codes)
        if self.params.zipf is not None:
            for name, new in (("share", (codes != 0).double().mean(dim=0).numpy()), ("batches", 1.0)):
                self.kept[name] = MEMORY * self.kept[name] + (1 - MEMORY) * np.asarray(new, np.float64)

    def underused(self) -> np.ndarray:
        """(latents,) bool: features active in fewer rows than their rank has them; none before the first step."""
        if self.params.zipf is None or not self.kept["batches"][0]:
            return np.zeros(self.n_latents, bool)
        share, found = self.kept["share"] / self.kept["batches"], np.zeros(self.n_latents, bool)
        order = np.argsort(-share, kind="stable")
        found[order] = share[order] < expected_shares(self.n_latents, self.params.k, self.params.zipf)
        return found

    def loss(self, z, dead=None, auxiliary=0.0, step=0, share=1.0):
        if dead is not None and self.params.zipf is not None:
            import torch

            dead = dead | torch.from_numpy(self.underused())
        return super().loss(z, dead, auxiliary, step, share)


class FeatureChoice(BatchTopK):
    """The dictionary under training."""

    def __init__(self, params, n_units, rng) -> None:
        super().__init__(params, n_units, rng)
        self.kept = {"threshold": np.zeros(self.n_latents), "weight": np.zeros(self.n_latents)}

    def codes(self, z, p):
        import torch

        own = torch.from_numpy(budgets(self.n_latents, len(p), self.params.k, self.params.exponent))
        most = int(own.max())
        values, rows = p.topk(most, dim=0)
        values = values.relu() * (torch.arange(most)[:, None] < own)
        return torch.zeros_like(p).scatter(0, rows, values)

    def after_step(self, codes) -> None:
        import torch

        super(BatchTopK, self).after_step(codes)
        smallest = torch.where(codes > 0, codes, torch.inf).amin(dim=0).numpy().astype(np.float64)
        on = np.isfinite(smallest)
        for name, new in (("threshold", smallest[on]), ("weight", 1.0)):
            kept = self.kept[name].copy()
            kept[on] = MEMORY * kept[on] + (1 - MEMORY) * new
            self.kept[name] = kept

    def settings(self) -> dict:
        never = self.kept["weight"] == 0  # chose no row in training: silent at inference
        return {"threshold": np.where(never, NEVER, self.threshold)}


MUTUAL = Architecture(
    "mutual_choice", "Mutual Choice", "The largest codes of a batch, whichever row or feature they belong to",
    MutualChoiceParams, MutualChoice, "k", -1, PAPER,
    words="A row is rebuilt as the centre plus its features. In a batch of n rows the n k strongest codes of "
    "all stay. What is made small is the squared distance between the rows and these sums. Afterwards one "
    "threshold takes the place of the batch",
)  # fmt: skip
FEATURE = Architecture(
    "feature_choice", "Feature Choice", "Every feature chooses its rows, so that none dies", FeatureChoiceParams,
    FeatureChoice, "k", -1, PAPER,
    words="In a batch every feature keeps the rows it fires most strongly on, as many as its budget says; what "
    "is made small is the squared distance between the rows and the sums of their features. Afterwards "
    "each feature has a threshold",
)  # fmt: skip
