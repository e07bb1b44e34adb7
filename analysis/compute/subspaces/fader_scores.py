"""How axis-aligned attributes are: squared correlations and information of every unit with every attribute, and the
two scores made from the gap between the best and the second best unit.

    SAP   mean over attributes of R²_(1) - R²_(2)                      (Kumar, Sattigeri & Balakrishnan 2018)
    MIG   mean over attributes of (I_(1) - I_(2)) / H(attribute)       (Chen et al. 2018)

R² is the squared correlation, of classes too, where Kumar et al. take the accuracy of a threshold. I is between bins
of equal mass, less its first-order bias. A squared correlation of unrelated values is 1 / (n - 1) on average, exactly,
when samples are exchanged.

References: A. Kumar, P. Sattigeri & A. Balakrishnan (2018), "Variational inference of disentangled latent concepts";
R. Chen et al. (2018), "Isolating sources of disentanglement".
"""

from __future__ import annotations

import numpy as np
from scipy.special import betainc

from analysis.compute.correlation.binned_information import bins_for, information
from analysis.compute.statistics.auroc import midranks
from analysis.compute.statistics.sample_groups import jackknife_half

MOST_BINS = 20


def squared_correlations(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(d, m) of the columns of `x` (n, d) and `y` (n, m); 0 where one does not vary."""
    return signed_correlations(x, y) ** 2


def signed_correlations(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    x, y = (z / np.where((s := np.sqrt((z**2).sum(axis=0))) > 0, s, np.inf) for z in (x, y))
    return np.clip(x.T @ y, -1.0, 1.0)


def gaps(scores: np.ndarray) -> np.ndarray:
    """(m,) best less second best of each column of `scores` (d, m); the best where there is one unit only."""
    ordered = np.sort(scores, axis=0)[::-1]
    return ordered[0] - (ordered[1] if len(ordered) > 1 else 0.0)


def entropies(y: np.ndarray, bins: int) -> np.ndarray:
    """(m,) nats, of the columns of `y` (n, m) in the same bins as `information`'s, plug-in."""
    from scipy.stats import rankdata

    out = []
    for column in y.T:
        codes = np.minimum((rankdata(column) - 0.5) * bins / len(column), bins - 1).astype(int)
        share = np.bincount(codes) / len(column)
        out.append(-(share[share > 0] * np.log(share[share > 0])).sum())
    return np.array(out)


def sap_and_mig(x: np.ndarray, y: np.ndarray, orders: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(1 + draws, m) gaps of R² and of information over entropy, of attributes `y` (n, m) as they are and with samples
    in each of `orders` (draws, n). O(n d m draws b²)."""
    every = np.stack([y, *(y[order] for order in orders)])  # (1 + draws, n, m)
    flat = every.transpose(1, 0, 2).reshape(len(y), -1)
    bins = bins_for(len(y), MOST_BINS)
    whole = np.maximum(entropies(y, bins), 1e-12)
    r2 = gaps(squared_correlations(x, flat)).reshape(len(every), -1)
    found = np.maximum(information(x, flat, bins, len(y)).value, 0.0)
    return r2, gaps(found).reshape(len(every), -1) / whole


def measured(x: np.ndarray, y: np.ndarray, group: np.ndarray) -> tuple[np.ndarray, ...]:
    """(m, 2 m) values, low, high and p of faders `x` (n, m) and attributes `y` (n, m): R², then Spearman's ρ; intervals
    by leaving each `group` (n,) out."""
    ranks = [midranks(z)[0] for z in (x, y)]

    def both(stay) -> np.ndarray:
        return np.hstack(
            [squared_correlations(x[stay], y[stay]), signed_correlations(*(r[stay] for r in ranks))]
        )

    values = both(np.ones(len(x), bool))
    half = jackknife_half(np.array([both(group != g) for g in range(int(group.max()) + 1)]))
    m = y.shape[1]
    floor = np.hstack([np.zeros((m, m)), np.full((m, m), -1.0)])
    share = np.hstack([values[:, :m], values[:, m:] ** 2])
    p = np.clip(1 - betainc(0.5, (len(x) - 2) / 2, np.clip(share, 0.0, 1.0)), 0.0, 1.0)
    return values, np.maximum(values - half, floor), np.minimum(values + half, 1.0), p
