"""The features of several models on the same samples, and which of them are the same: a population of models.

Each model gives components: its leading principal components (standardised scores, sign without meaning) or its units.
Components of different models are put together by complete linkage on 1 - |r| (1 - r for units), cut at a threshold:
any two members of a *feature* correlate at least so much, and no model has two members in one, since components of one
model are set infinitely far apart. So a model has a feature or lacks it, and as the threshold rises features only fall
apart (the cuts of one tree are nested): their number T never falls.

*Popularity* is the number of models that have a feature. The interaction tensor Ω[m, n, t] is 1 where model m has
feature t and sample n is among the share of the samples that show it most.

Reference: Y. Jiang, C. Baek & J. Z. Kolter (2023), "On the joint interaction of models, data, and features".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.linear.linalg import principal_components
from analysis.compute.statistics.moments import is_varying
from analysis.errors import NotEnoughData, TooLarge

MOST_COMPONENTS = 4000  # of all models together: 128 MB of distances
APART = 4.0  # distance of two components of one model; no correlation gives more than 2


@dataclass(frozen=True)
class Components:
    """`x` (n, N), the components of all models side by side, centred and of length 1; `model` (N,) and `number` (N,)
    inside the model; `share` (N,) of the model's variance; `signed`, whether r counts with its sign; `notes`."""

    x: np.ndarray
    model: np.ndarray
    number: np.ndarray
    share: np.ndarray
    signed: bool
    n_models: int
    notes: tuple[str, ...]

    def correlations(self) -> np.ndarray:
        """(N, N) correlations, |r| unless signed."""
        return self._correlated(self.x)

    def exchanged(self, rng: np.random.Generator) -> np.ndarray:
        """The same after the samples of each model were exchanged, those of one model together."""
        x = np.empty_like(self.x)
        for m in range(self.n_models):
            mine = self.model == m
            x[:, mine] = self.x[np.ix_(rng.permutation(len(x)), np.flatnonzero(mine))]
        return self._correlated(x)

    def resampled(self, rng: np.random.Generator) -> np.ndarray:
        """The same over samples drawn with replacement."""
        x = self.x[rng.integers(len(self.x), size=len(self.x))]
        return self._correlated(x - x.mean(axis=0))

    def _correlated(self, x: np.ndarray) -> np.ndarray:
        cross = x.T @ x
        size = np.sqrt(np.diag(cross))
        scale = np.where(size > 0, 1 / np.where(size > 0, size, 1.0), 0.0)
        r = np.clip(cross * scale * scale[:, None], -1.0, 1.0)
        return r if self.signed else np.abs(r)


@dataclass(frozen=True)
class Features:
    """`of` (N,) the feature of each component, features in order of falling popularity, then of falling |r| inside;
    `has` (M, T) the component of each model, -1 where it lacks the feature; `popularity`, `least` and `mean` |r| of two
    members (T,), 1 for a single one."""

    of: np.ndarray
    has: np.ndarray
    least: np.ndarray
    mean: np.ndarray

    @property
    def popularity(self) -> np.ndarray:
        return (self.has >= 0).sum(axis=0)


def components_of(values: tuple[np.ndarray, ...], names: tuple[str, ...], kind: str, most: int) -> Components:
    """`values`, per model (n, d_m) of the same samples; at most `most` components of each. "principal components": the
    leading ones; "units": those with the largest variance.

    Raises NotEnoughData (no unit of a model varies) and TooLarge (over 4,000 components in all). O(n d min(n, d)).
    """
    found, notes = [], []
    for x, name in zip(values, names, strict=True):
        mean, variance = x.mean(axis=0), x.var(axis=0)
        varies = is_varying(variance, mean)
        if not varies.any():
            raise NotEnoughData(f"no unit of {name} varies", "at least one", "Choose another tap")
        if not varies.all():
            notes.append(f"{name}: {int((~varies).sum()):,} constant unit(s) left out.")
        numbers, part, share = _leading(x, varies, variance, kind, most)
        notes.append(f"{name}: {len(numbers)} {kind} hold {share.sum():.0%} of the variance.")
        found.append((part, numbers, share))
    sizes = [len(numbers) for _, numbers, _ in found]
    if sum(sizes) > MOST_COMPONENTS:
        raise TooLarge(
            f"{len(values)} models have {sum(sizes):,} components",
            f"at most {MOST_COMPONENTS:,}",
            "Use fewer of each",
        )
    x, number, share = (np.concatenate(part, axis=-1) for part in zip(*found, strict=True))
    model = np.repeat(np.arange(len(values)), sizes)
    return Components(x, model, number, share, kind == "units", len(values), tuple(notes))


def _leading(x, varies, variance, kind: str, most: int):
    total = float(variance[varies].sum())
    if kind == "units":
        numbers = np.sort(
            np.argsort(-np.where(varies, variance, -1.0), kind="stable")[: min(most, int(varies.sum()))]
        )
        part, share = x[:, numbers] - x[:, numbers].mean(axis=0), variance[numbers] / total
    else:
        kept = x[:, varies]
        mean, directions, eigenvalues = principal_components(kept, min(most, len(x) - 1))
        part = (kept - mean) @ directions.T
        numbers = np.arange(len(directions))
        share = eigenvalues * (len(x) - 1) / len(x) / total
    part = part / np.abs(part).max(axis=0)
    part -= part.mean(axis=0)
    return numbers, part / np.sqrt((part**2).sum(axis=0)), share


def tree_of(r: np.ndarray, model: np.ndarray) -> np.ndarray:
    """SciPy's linkage of components with correlations `r` (N, N), those of one model infinitely far apart. O(N²)."""
    from scipy.cluster.hierarchy import linkage

    rows, columns = np.triu_indices(len(r), 1)
    distance = np.where(model[rows] == model[columns], APART, np.maximum(1.0 - r[rows, columns], 0.0))
    return linkage(distance, method="complete")


def cut(tree: np.ndarray, threshold: float) -> np.ndarray:
    """Cluster number (N,) from 0 of each component when any two members correlate at least `threshold`."""
    from scipy.cluster.hierarchy import fcluster

    return fcluster(tree, 1.0 - threshold + 1e-12, criterion="distance") - 1


def features_of(r: np.ndarray, model: np.ndarray, tree: np.ndarray, threshold: float) -> Features:
    """The features at a threshold, ordered."""
    clusters = cut(tree, threshold)
    members = [np.flatnonzero(clusters == c) for c in range(clusters.max() + 1)]
    inside = [r[np.ix_(m, m)][np.triu_indices(len(m), 1)] if len(m) > 1 else np.ones(1) for m in members]
    least, mean = np.array([v.min() for v in inside]), np.array([v.mean() for v in inside])
    order = np.lexsort((-mean, [-len(m) for m in members]))
    has = np.full((model.max() + 1, len(members)), -1)
    of = np.empty(len(model), dtype=np.int64)
    for t, c in enumerate(order):
        has[model[members[c]], t] = members[c]
        of[members[c]] = t
    return Features(of, has, least[order], mean[order])


def popularity_counts(clusters: np.ndarray, n_models: int) -> np.ndarray:
    """(n_models,) how many features at least 1, 2, … models have; a cluster holds one component of a model."""
    sizes = np.bincount(clusters)
    return (sizes[:, None] >= np.arange(1, n_models + 1)).sum(axis=0)


def shown(components: Components, features: Features, share: float) -> np.ndarray:
    """Ω (M, n, T) bool: the model has the feature, and the sample is among the `share` of the samples with its largest
    values (largest |values| of principal components). Ties at the limit are not shown, so that a feature which is
    silent on most samples is shown by those only that wake it. O(n N)."""
    values = components.x if components.signed else np.abs(components.x)
    limit = np.quantile(values, 1 - share, axis=0, method="inverted_cdf")
    strong = values > limit + 1e-12 * np.abs(limit)
    omega = np.zeros((len(features.has), len(values), features.has.shape[1]), dtype=bool)
    for m, t in zip(*np.nonzero(features.has >= 0), strict=True):
        omega[m, :, t] = strong[:, features.has[m, t]]
    return omega


def poisson_binomial(p: np.ndarray) -> np.ndarray:
    """(m + 1,) exact probabilities of 0 … m successes of independent trials with chances `p` (m,). O(m²)."""
    out = np.ones(1)
    for chance in p:
        out = np.convolve(out, [1 - chance, chance])
    return out
