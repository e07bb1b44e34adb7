"""Are the weights of matched units arranged alike in two networks? CCA and similarity analysis of paired rows.

U (k, a) and V (k, b) are the weight rows (decoder directions) of k matched units. Neither score looks at the basis:

- SVCCA: each side is centred and cut to its main directions; the mean of the canonical correlations between the two
  subspaces of R^k. A rotation or rescaling of either weight space changes nothing. Unrelated rows give a mean *squared*
  correlation of max(r, s) / (k - 1) for r and s directions, exactly over all pairings: the more directions for k rows,
  the higher, so that at most (k - 1) / 4 of them are kept.
- RSA: Spearman's correlation of the cosines between rows, over pairs of units. Its mean over pairings is 0 exactly.

References: M. Raghu et al. (2017), "SVCCA"; N. Kriegeskorte, M. Mur & P. Bandettini (2008) for RSA; M. Lan et al.
(2024), "Sparse autoencoders reveal universal feature spaces across large language models".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FEWEST = 5  # pairs


@dataclass(frozen=True)
class PairedRows:
    """`one` (k, r) and `other` (k, s), orthonormal directions of each side over the pairs; `cosines` and
    `cosines_other` (k, k), the midranks of the cosines between rows, centred over pairs of rows, diagonal 0."""

    one: np.ndarray
    other: np.ndarray
    cosines: np.ndarray
    cosines_other: np.ndarray

    def svcca(self, order: np.ndarray | None = None) -> float:
        """Mean canonical correlation, with `order` (k,) after pairing unit i with the partner of unit order[i]."""
        other = self.other if order is None else self.other[order]
        found = np.linalg.svd(self.one.T @ other, compute_uv=False)
        return float(np.minimum(found, 1.0).mean())

    def rsa(self, order: np.ndarray | None = None) -> float:
        """Spearman's correlation of the cosines; 0 where all cosines of a side are equal."""
        other = self.cosines_other if order is None else self.cosines_other[np.ix_(order, order)]
        scale = np.sqrt((self.cosines**2).sum() * (other**2).sum())
        return float((self.cosines * other).sum() / scale) if scale > 0 else 0.0

    def rsa_of_each(self) -> np.ndarray:
        """(k,) correlation of each unit's ranks of cosines to the other units."""
        k = len(self.cosines)
        a, b = (c - c.sum(axis=1, keepdims=True) / (k - 1) for c in (self.cosines, self.cosines_other))
        off = ~np.eye(k, dtype=bool)
        a, b = a * off, b * off
        scale = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
        return np.divide((a * b).sum(axis=1), scale, out=np.zeros(k), where=scale > 0)


def paired_rows(u: np.ndarray, v: np.ndarray, variance: float) -> PairedRows:
    """Of rows `u` (k, a) and `v` (k, b) without a zero row; directions holding the share `variance`. O(k² (a + b))."""
    return PairedRows(_directions(u, variance), _directions(v, variance), _ranked(u), _ranked(v))


def _directions(rows: np.ndarray, variance: float) -> np.ndarray:
    """(k, r) orthonormal directions over the rows that hold `variance` of it, at least one and at most (k - 1) / 4."""
    centred = rows - rows.mean(axis=0)
    left, size, _ = np.linalg.svd(centred / (np.abs(centred).max() or 1.0), full_matrices=False)
    power = np.cumsum(size**2)
    if power[-1] <= 0:
        return np.zeros((len(rows), 1))
    enough = int(np.searchsorted(power, variance * power[-1] * (1 - 1e-12))) + 1
    rank = int((size > size[0] * 1e-10).sum())
    return left[:, : max(1, min(enough, rank, (len(rows) - 1) // 4))]


def _ranked(rows: np.ndarray) -> np.ndarray:
    from scipy.stats import rankdata

    length = np.sqrt((rows**2).sum(axis=1, keepdims=True))
    cosine = np.round(rows / length @ (rows / length).T, 12)  # equal cosines must be ties in every basis
    i, j = np.triu_indices(len(rows), 1)
    ranks = rankdata(cosine[i, j])
    out = np.zeros(cosine.shape)
    out[i, j] = out[j, i] = ranks - ranks.mean()
    return out


def random_pairings(pairs: PairedRows, draws: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """SVCCA and RSA (draws,) of the same rows paired at random. O(draws (k r s + k²))."""
    orders = [rng.permutation(len(pairs.one)) for _ in range(draws)]
    return np.array([pairs.svcca(o) for o in orders]), np.array([pairs.rsa(o) for o in orders])


def without_groups(u: np.ndarray, v: np.ndarray, variance: float, groups: list[np.ndarray]) -> np.ndarray:
    """(G, 2) SVCCA and RSA without each group of pairs. O(G k² (a + b))."""
    out = []
    for g in groups:
        left = paired_rows(np.delete(u, g, axis=0), np.delete(v, g, axis=0), variance)
        out.append((left.svcca(), left.rsa()))
    return np.array(out)
