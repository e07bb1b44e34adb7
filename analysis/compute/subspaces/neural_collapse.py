"""How far classes have collapsed to equally long, equally spread means: the numbers of Papyan, Han & Donoho.

μ_c class means, μ their mean (each class counts once), S_c within-class covariances (divisor n_c - 1), A = [μ_c - μ]:

    Σ_W = mean_c S_c,   Σ_B = A Aᵀ / C
    NC1   tr(Σ_W Σ_B⁺) / C                     and   tr Σ_W / tr Σ_B
    NC2   sd / mean of the lengths |μ_c - μ|;   of the cosines between them: sd, and mean |cos + 1 / (C - 1)|

Class means of n_c samples hold noise t_c = tr S_c / n_c. In many dimensions noise alone makes means of equal length at
equal angles, a simplex: E AᵀA = G + H diag(t) H, with H = I - 1/C. So G = AᵀA - H diag(t) H, unbiased, gives tr Σ_B,
lengths and cosines without what sampling adds, as long as all lengths of G are positive. For Gaussian noise without any
classes, units of equal variance and d > C, n_c = m: E tr(Σ_W Σ_B⁺) / C = m (C - 1) / (d - C).

Reference: V. Papyan, X. Han & D. Donoho (2020), "Prevalence of neural collapse during the terminal phase of deep
learning training".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

NAMES = (
    "NC1, tr(Σ_W Σ_B⁺) / C",
    "NC1, tr Σ_W / tr Σ_B",
    "share of the variance between classes",
    "NC2, spread of the lengths of the class means",
    "NC2, spread of their cosines",
    "NC2, mean distance of their cosines from -1 / (C - 1)",
)
SMALL = 1e-10  # singular values of the class means below this share of the largest are zeros


@dataclass(frozen=True)
class ClassMeans:
    """`means` (C, d), `centred` A (C, d) about the mean of the means, `noise` t (C,) and `within` tr S_c (C,)."""

    means: np.ndarray
    centred: np.ndarray
    within: np.ndarray
    noise: np.ndarray

    def gram(self, corrected: bool) -> np.ndarray:
        """AᵀA (C, C), less what sampling adds to it where asked."""
        g = self.centred @ self.centred.T
        if corrected:
            c = len(g)
            g = g - np.diag(self.noise) + (self.noise[:, None] + self.noise) / c - self.noise.sum() / c**2
        return g


def class_means(x: np.ndarray, of: np.ndarray, classes: int) -> ClassMeans:
    """Of rows `x` (n, d), best about their mean, with class `of` (n,), at least two rows each. O(n d)."""
    counts = np.bincount(of, minlength=classes)
    means = _sums(x, of, classes) / counts[:, None]
    rest = x - means[of]
    within = np.bincount(of, np.einsum("ij,ij->i", rest, rest), classes) / (counts - 1)
    return ClassMeans(means, means - means.mean(axis=0), within, within / counts)


def _sums(x: np.ndarray, of: np.ndarray, classes: int) -> np.ndarray:
    return (of == np.arange(classes)[:, None]).astype(np.float64) @ x


def within_over_between(x: np.ndarray, of: np.ndarray, m: ClassMeans) -> float:
    """tr(Σ_W Σ_B⁺) / C, as Σ_B⁺ = C (A⁺)ᵀ A⁺. O(n d C); NaN where all class means are equal."""
    u, s, v = np.linalg.svd(m.centred, full_matrices=False)
    keep = s > SMALL * s[0]
    if s[0] == 0:
        return np.nan
    counts = np.bincount(of, minlength=len(u))
    rest = (x - m.means[of]) @ (v[keep].T / s[keep])
    each = np.bincount(of, (rest**2).sum(axis=1), len(u)) / (counts - 1)
    return float(each.mean())


def spread_of_means(gram: np.ndarray) -> np.ndarray | None:
    """(3,) spread of the lengths, spread of the cosines, mean |cos + 1 / (C - 1)|; None where a length is not
    positive."""
    squares = np.diag(gram)
    if not (squares > 0).all():
        return None
    lengths, c = np.sqrt(squares), len(gram)
    cosines = cosines_of(gram)[np.triu_indices(c, 1)]
    return np.array([lengths.std() / lengths.mean(), cosines.std(), np.abs(cosines + 1 / (c - 1)).mean()])


def cosines_of(gram: np.ndarray) -> np.ndarray:
    lengths = np.sqrt(np.diag(gram))
    return np.clip(gram / np.outer(lengths, lengths), -1.0, 1.0)


def collapse(x: np.ndarray, of: np.ndarray, classes: int, corrected: bool = False) -> np.ndarray:
    """The numbers of `NAMES` (6,) for rows `x` (n, d) of class `of` (n,); NaN where they have no value. `corrected`: of
    all but the first, without what sampling adds; lengths and cosines are NaN where a length is then not positive,
    which is where class means are not told apart."""
    m = class_means(x, of, classes)
    gram = m.gram(corrected)
    between, within = float(np.trace(gram)) / classes, float(m.within.mean())
    spread = spread_of_means(gram)
    ratio = within / between if between > 0 else np.nan
    first = np.nan if corrected else within_over_between(x, of, m)
    share = between / (between + within) if between + within > 0 else np.nan
    return np.array([first, ratio, share, *(np.full(3, np.nan) if spread is None else spread)])


def nearest_mean(x: np.ndarray, of: np.ndarray, classes: int, fold: np.ndarray) -> np.ndarray:
    """Class (n,) whose mean of the other folds is nearest to each row of `x` (n, d). O(n d C)."""
    out = np.empty(len(x), np.int64)
    for f in range(fold.max() + 1):
        train, test = fold != f, fold == f
        counts = np.bincount(of[train], minlength=classes)
        means = _sums(x[train], of[train], classes) / np.maximum(counts, 1)[:, None]
        away = (means**2).sum(axis=1) - 2 * x[test] @ means.T
        out[test] = np.where(counts > 0, away, np.inf).argmin(axis=1)
    return out


def self_duality(means: np.ndarray, head: np.ndarray) -> tuple[float, np.ndarray]:
    """NC3: |A / |A| - W / |W||² of centred class means and centred head rows (C, d), 0 where they are alike, 2 where
    they have nothing in common; and the cosine (C,) of each class."""
    a, w = means - means.mean(axis=0), head - head.mean(axis=0)
    whole = np.linalg.norm(a) * np.linalg.norm(w)
    apart = 2.0 - 2.0 * float((a * w).sum()) / max(whole, 1e-300)
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(w, axis=1)
    return apart, (a * w).sum(axis=1) / np.maximum(lengths, 1e-300)
