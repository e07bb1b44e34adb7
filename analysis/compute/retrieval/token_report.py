"""What class tokens find and how they spread, each number with its interval and what exchanged classes give."""

from __future__ import annotations

import numpy as np

from analysis.compute.retrieval.token_retrieval import average_precisions, ranked
from analysis.compute.statistics.nulls import against
from analysis.compute.statistics.sample_groups import mean_interval, share_interval
from analysis.compute.subspaces.sinkhorn import random_cosine
from analysis.errors import NotEnoughData
from analysis.results import Estimate


def retrieved(similar, of, left_out, draws, name: str, d: int):
    """Ranking and its two estimates; exchanged classes keep the ranking and who is left out."""
    found = ranked(similar, of, left_out)
    if found.asks.sum() < 2:
        raise NotEnoughData(
            "no sample has another of its class to be found", "some that have", "Leave the camera out"
        )
    precision = average_precisions(found, of)[found.asks]
    first = found.first[found.asks]
    null = np.array([exchanged(found, of[order]) for order in draws])
    made = []
    for label, values, chance, interval in (
        (f"{name}: rank 1", first, null[:, 0], share_interval(first)),
        (f"{name}: mean average precision", precision, null[:, 1], mean_interval(precision, 0.0, 1.0)),
    ):
        made.append(Estimate(label, float(values.mean()), **interval, **against(values.mean(), chance),
                             null_method=f"classes exchanged, {len(draws)} times", n=len(values), d=d,
                             estimator="cosine, all other samples ranked"))  # fmt: skip
    return found, made


def exchanged(found, of: np.ndarray) -> tuple[float, float]:
    """Rank 1 and mean average precision of a ranking under other classes `of` (n,)."""
    hit = (of[found.order[:, 0]] == of) & (found.order[:, 0] >= 0)
    asks = ((of[found.order] == of[:, None]) & (found.order >= 0)).any(axis=1)
    if not asks.any():
        return 0.0, 0.0
    return float(hit[asks].mean()), float(average_precisions(found, of)[asks].mean())


def spread_of(z: np.ndarray, of: np.ndarray, draws, name: str) -> Estimate:
    """Mean of 1 - cosine of unit rows `z` (n, d) with the mean direction of their class."""

    def distances(codes: np.ndarray) -> np.ndarray:
        means = (codes == np.arange(codes.max() + 1)[:, None]).astype(np.float64) @ z
        length = np.linalg.norm(means, axis=1, keepdims=True)
        return 1 - (z * np.divide(means, length, out=np.zeros_like(means), where=length > 0)[codes]).sum(
            axis=1
        )

    values = distances(of)
    null = np.array([distances(of[order]).mean() for order in draws])
    about = against(values.mean(), null)
    about["p_value"] = float((1 + (null <= values.mean()).sum()) / (1 + len(null)))
    return Estimate(
        f"{name}: spread within a class", float(values.mean()), **mean_interval(values, 0.0, 2.0), **about,
        null_method=f"classes exchanged, {len(draws)} times", n=len(z), d=z.shape[1],
        estimator="mean of 1 - cosine with the class's mean direction",
    )  # fmt: skip


def diversity_of(cosines: np.ndarray, d: int) -> list[Estimate]:
    """Mean of `cosines` (n, T, T) over pairs of tokens; nothing for one token."""
    count = cosines.shape[1]
    if count < 2:
        return []
    each = cosines[:, *np.triu_indices(count, 1)].mean(axis=1)
    return [Estimate(
        "mean |cosine| of two tokens of a sample", float(each.mean()), **mean_interval(each, 0.0, 1.0),
        null=random_cosine(d), null_method="random directions, exactly", n=len(each), d=d,
        estimator="mean over samples",
    )]  # fmt: skip
