"""How far several dissimilarity vectors agree: on all samples, without each group of samples, and by chance.

Each vector is turned into one of length 1 (values or midranks, centred or not), so that the agreement of two is their
inner product, and that of all pairs one matrix product; without a group, pairs with a sample of the group leave, and
ranks are made anew from the order that is known. Kendall's τ-a counts pairs of pairs, O(m log m).

Null: samples exchanged between two vectors. Mean and variance of an inner product are exact (`exchange_moments.Hollow`;
Mantel 1967). τ-a has mean 0 exactly, and asymptotically 2/3 of the deviation of Spearman's ρ-a.

The noise ceiling (H. Nili et al. 2014, "A toolbox for representational similarity analysis"): taps taken as repeated
measurements of one geometry. Upper bound: mean agreement of each with the mean of all; lower bound: with the mean of
the others. Both follow from the agreements of all pairs, as the mean of vectors of length 1 is known by its products;
mean ranks are taken as they are, and not ranked again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from analysis.compute.similarity.dissimilarity import ends_of_pairs, pair_count
from analysis.compute.statistics.exchange_moments import Hollow, hollow_moments
from analysis.errors import TooLarge
from analysis.spec import Progress, no_progress

PEARSON, SPEARMAN, KENDALL, COSINE = "Pearson", "Spearman", "Kendall τ-a", "cosine"
AGREEMENTS = (SPEARMAN, PEARSON, KENDALL, COSINE)
MOST_BYTES = 4 << 30
FLAT = 1e-10  # centred length over length below which all dissimilarities are equal
STEPS = 1e11  # of the largest value: closer ones are ties, as rounding cannot tell them apart


def bytes_needed(k: int, n: int, how: str) -> float:
    """Peak memory of comparing k taps on n samples."""
    return pair_count(n) * ((28.0 if how == SPEARMAN else 18.0) * k + 40.0)


def refuse_large(k: int, n: int, how: str) -> None:
    """Raises TooLarge above 4 GiB."""
    size = bytes_needed(k, n, how)
    if size > MOST_BYTES:
        raise TooLarge(
            f"{k} taps of {n:,} samples need {size / 2**30:.1f} GiB",
            f"at most {MOST_BYTES / 2**30:.0f} GiB",
            "Lower 'maximum samples'",
        )


class Vectors:
    """Dissimilarities (k, m) of k taps on n samples in groups (n,), compared in one of the four ways."""

    def __init__(self, vectors: Sequence[np.ndarray], group: np.ndarray, how: str) -> None:
        self.how, self.n, self.group, self.count = how, len(group), group, len(vectors)
        self.first, self.second = ends_of_pairs(self.n)
        ranked = how in (SPEARMAN, KENDALL)
        self.values = [_stepped(v) if ranked else v for v in vectors]
        self.orders = []
        if how == SPEARMAN:
            self.orders = [np.argsort(v, kind="stable").astype(np.int32) for v in self.values]
            self.values = [v[order] for v, order in zip(self.values, self.orders, strict=True)]

    def groups(self) -> Iterator[np.ndarray | None]:
        """None for all samples, then one mask (m,) of the pairs that stay without each group."""
        yield None
        for g in range(self.group.max() + 1):
            stay = self.group != g
            yield stay[self.first] & stay[self.second]

    def units(self, mask: np.ndarray | None = None) -> np.ndarray:
        """(k, m) vectors of length 1 over the pairs of the mask, 0 elsewhere and where all of a tap are equal."""
        out = np.zeros((self.count, len(self.first)))
        for a, v in enumerate(self.values):
            if self.how == SPEARMAN:
                order = self.orders[a] if mask is None else self.orders[a][stay := mask[self.orders[a]]]
                ranks = sorted_midranks(v if mask is None else v[stay])
                _to_length_one(ranks, True)
                out[a, order] = ranks
            else:
                kept = v.copy() if mask is None else v[mask]
                _to_length_one(kept, self.how != COSINE)
                out[a, slice(None) if mask is None else mask] = kept
        return out

    def products(self, progress: Progress = no_progress, span=(0.0, 1.0)) -> np.ndarray:
        """Agreements (1 + G, k, k). Time O(G k m) and a matrix product, memory 8 k m bytes."""
        found = []
        masks = self.group.max() + 2
        for which, mask in enumerate(self.groups()):
            progress(span[0] + (span[1] - span[0]) * which / masks, "comparing dissimilarities")
            z = self.units(mask)
            found.append(np.clip(z @ z.T, -1.0, 1.0))
        return np.array(found)

    def spread(self, unit: np.ndarray) -> Hollow:
        """What the null needs of a vector (m,) of length 1."""
        half = unit / np.sqrt(2)  # each pair stands twice in the matrix
        sums = np.bincount(self.first, half, self.n) + np.bincount(self.second, half, self.n)
        return Hollow.of_sums(sums, 2 * float(half @ half), self.n)

    def spreads(self) -> list[Hollow]:
        """Of every tap; for Kendall those of midranks over the length that ranks without ties have."""
        if self.how != KENDALL:
            return [self.spread(z) for z in self.units()]
        return [self.spread(rank_deviations(v)) for v in self.values]

    def kendall(self, a: int, b: int) -> np.ndarray:
        """τ-a (1 + G,) of two taps."""
        x, y = self.values[a], self.values[b]
        return np.array([kendall_a(x, y) if m is None else kendall_a(x[m], y[m]) for m in self.groups()])


def chance_moments(one: Hollow, other: Hollow, how: str) -> tuple[float, float]:
    """Mean and deviation of the agreement when samples are exchanged."""
    mean, variance = hollow_moments(one, other)
    deviation = float(np.sqrt(variance))
    if how == COSINE:
        return mean, deviation
    return 0.0, deviation * (2 / 3 if how == KENDALL else 1.0)


def ceilings(products: np.ndarray) -> np.ndarray:
    """Lower and upper noise ceiling (2, …) from agreements (…, k, k)."""
    own = np.diagonal(products, axis1=-2, axis2=-1)
    sums, total = products.sum(axis=-1), products.sum(axis=(-2, -1))[..., None]
    upper = sums / np.sqrt(np.maximum(total, np.finfo(float).tiny))
    others = np.sqrt(np.maximum(total - 2 * sums + own, np.finfo(float).tiny))
    return np.array([((sums - own) / others).mean(axis=-1), upper.mean(axis=-1)])


# ---------------------------------------------------------------------------- ranks
def sorted_midranks(ordered: np.ndarray) -> np.ndarray:
    """Midranks (m,) of values (m,) that rise. O(m)."""
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    sizes = np.diff(starts, append=len(ordered))
    return np.repeat(starts + (sizes + 1) / 2, sizes)


def rank_deviations(values: np.ndarray) -> np.ndarray:
    """Midranks (m,) about their mean, of length 1 where there is no tie."""
    m = len(values)
    order = np.argsort(values, kind="stable")
    ranks = np.empty(m)
    ranks[order] = sorted_midranks(values[order])
    return (ranks - (m + 1) / 2) * np.sqrt(12 / (float(m) ** 3 - m))


def kendall_a(x: np.ndarray, y: np.ndarray) -> float:
    """Kendall's τ-a: concordant minus discordant pairs over all pairs, ties among them. O(m log m)."""
    from scipy.stats import kendalltau

    m = len(x)
    pairs = m * (m - 1) / 2
    untied = [pairs - _tied(v) for v in (x, y)]
    if min(untied) <= 0:
        return 0.0
    tau_b = kendalltau(x, y, method="asymptotic").statistic
    return float(tau_b * np.sqrt(untied[0] / pairs) * np.sqrt(untied[1] / pairs))


def _tied(values: np.ndarray) -> float:
    """Pairs of equal values."""
    counts = np.unique(values, return_counts=True)[1].astype(np.float64)
    return float((counts * (counts - 1)).sum() / 2)


def _stepped(values: np.ndarray) -> np.ndarray:
    largest = values.max(initial=0.0)
    return np.rint(values * (STEPS / largest)) if largest > 0 else values


def _to_length_one(values: np.ndarray, centred: bool) -> None:
    """In place: minus their mean if asked, over their length; 0 where they are all equal."""
    whole = np.linalg.norm(values)
    if centred:
        values -= values.mean()
    length = np.linalg.norm(values)
    values *= 1 / length if length > FLAT * whole else 0.0
