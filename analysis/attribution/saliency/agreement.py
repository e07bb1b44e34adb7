"""Do several maps of a sample agree, by more than maps of samples that have nothing to do with each other?

    ρ_i = mean over pairs a < b of ρ(|map_a(x_i)|, |map_b(x_i)|) ,   agreement = mean of ρ_i over samples

Spearman's ρ over tokens. Samples are what is resampled: the interval is Student's t over the ρ_i, as pairs of maps of
one sample share maps, and tokens beside each other are alike. Null: in every draw the maps of each way (or layer) are
dealt to the samples anew, so that those of one sample are of different ones; each stays as smooth as it is, and where
its way likes to be in any sample. Exact where maps are as long as each other; of texts the common beginning counts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis.attribution.saliency.map_likeness import rank_correlation_table, same_length, unit_ranks
from analysis.compute.statistics.nulls import against
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.results import Estimate

DRAWS, BLOCK = 499, 50


def sample_tables(maps: Sequence[np.ndarray]) -> np.ndarray:
    """(ways, samples, ways, samples) rank correlations of sizes of `maps`, of each sample (ways, tokens); 0 where one
    does not vary. O((samples ways)² tokens)."""
    sizes = [np.nan_to_num(np.abs(one)) for one in maps]
    n, k = len(sizes), len(sizes[0])
    if len({one.shape for one in sizes}) == 1:
        flat = np.concatenate([unit_ranks(one) for one in sizes])
        return (flat @ flat.T).reshape(n, k, n, k).transpose(1, 0, 3, 2)
    out = np.empty((n, k, n, k))
    for i in range(n):
        for j in range(i, n):
            out[i, :, j] = rank_correlation_table(*same_length(sizes[i], sizes[j]))
            out[j, :, i] = out[i, :, j].T
    return out.transpose(1, 0, 3, 2)


def agreement_over_samples(
    maps: Sequence[np.ndarray], name: str, rng: np.random.Generator, d: int, draws: int = DRAWS
) -> Estimate:
    """Of `maps`, of each of two samples or more (ways, tokens), two ways or more."""
    table = sample_tables(maps)
    k, n = table.shape[:2]
    a, b = (pair[:, None] for pair in np.triu_indices(k, 1))
    every = np.arange(n)
    own = table[a, every, b, every].mean(axis=0)
    chance = []
    for first in range(0, draws, BLOCK):
        dealt = rng.permuted(np.tile(every, (min(BLOCK, draws - first), k, 1)), axis=2)
        chance.append(table[a, dealt[:, a[:, 0]], b, dealt[:, b[:, 0]]].mean(axis=(1, 2)))
    return Estimate(
        name, float(own.mean()), **mean_interval(own, -1.0, 1.0), n=n, d=d,
        null_method="every map dealt to the samples anew",
        estimator="mean Spearman correlation of sizes over pairs of maps of a sample, mean over samples",
        **against(float(own.mean()), np.concatenate(chance)),
    )  # fmt: skip
