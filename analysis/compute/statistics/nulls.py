"""What structureless data of the same shape would give, and intervals by resampling. Explicit generators only.

- *matched Gaussian*: independent units with the data's variances, n independent rows.
- *permutation*: the data itself with each unit's samples moved, so that heavy tails and the dependence of the
  tokens inside a sample stay, and only the relation between units is lost.
"""

from __future__ import annotations

import numpy as np
from scipy.special import bdtr, bdtrc, stdtr


def null_draws(d: int) -> int:
    """How many null spectra to draw: many when one is cheap; three above 700 units, where the largest
    null eigenvalue hardly varies (relative spread about d^(-2/3))."""
    return int(np.clip(1e9 / max(d, 1) ** 3, 3, 100))


def gaussian_eigenvalues(
    variances: np.ndarray, n: int, rng: np.random.Generator, draws: int | None = None
) -> np.ndarray:
    """Sample-covariance eigenvalues of independent Gaussian units, (draws, d), falling.

    Drawn through Bartlett's decomposition, so the cost does not depend on n: O(d³) per draw, memory O(d²).

    Parameters
    ----------
    variances : (d,) variance of each unit.
    n : int
        Number of independent samples, at least 2.
    """
    d = len(variances)
    scale = np.sqrt(np.maximum(variances, 0.0))
    out = np.empty((null_draws(d) if draws is None else draws, d))
    for i in range(len(out)):
        factor = _bartlett(d, n - 1, rng) * scale[:, None]
        small = factor.T @ factor if factor.shape[1] < d else factor @ factor.T
        values = np.maximum(np.linalg.eigvalsh(small)[::-1], 0.0) / (n - 1)
        out[i] = np.pad(values, (0, d - len(values)))
    return out


def gaussian_singular_values(
    shape: tuple[int, int], square: float, rng: np.random.Generator, draws: int
) -> np.ndarray:
    """(draws, k) singular values, k the smaller side of `shape`, of independent Gaussian entries of mean 0 and mean
    square `square`; a draw O(k³), whatever the longer side."""
    short, long = sorted(shape)
    return np.sqrt(gaussian_eigenvalues(np.full(short, square), long + 1, rng, draws) * long)


def gaussian_correlation(d: int, n: int, rng: np.random.Generator) -> np.ndarray:
    """Sample correlation matrix (d, d) of n independent rows of d independent Gaussian units. O(d³)."""
    factor = _bartlett(d, n - 1, rng)
    factor /= np.sqrt((factor**2).sum(axis=1, keepdims=True))
    return factor @ factor.T


def _bartlett(d: int, freedom: int, rng: np.random.Generator) -> np.ndarray:
    """Lower-trapezoidal L (d, min(d, freedom)) with L Lᵀ ~ Wishart(identity, freedom)."""
    k = min(d, freedom)
    factor = np.tril(rng.standard_normal((d, k)), -1)
    factor[np.arange(k), np.arange(k)] = np.sqrt(rng.chisquare(freedom - np.arange(k)))
    return factor


def moved_samples(x: np.ndarray, rng: np.random.Generator, offsets: np.ndarray | None = None) -> np.ndarray:
    """A copy of `x` (rows, units) in which every unit is rolled by its own random number of whole samples.

    A cyclic shift keeps each unit's values and the order of the tokens inside a sample (exactly when all
    samples have as many tokens, nearly otherwise), and breaks every relation between units. `offsets`
    (n_samples + 1,) bound the samples; without them each row is a sample, and then rows are shuffled freely, as
    they are where there is one sample only.

    Time and memory O(n d).
    """
    if offsets is None or len(offsets) in (2, len(x) + 1):
        return rng.permuted(x, axis=0)
    out = np.empty_like(x)
    for j, start in enumerate(rng.choice(offsets[:-1], size=x.shape[1])):
        out[:, j] = np.roll(x[:, j], int(start))
    return out


def add_one_p(observed: float | np.ndarray, null: np.ndarray) -> np.ndarray:
    """Monte-Carlo p-value (1 + number of null >= observed) / (1 + draws), never 0 (Phipson & Smyth 2010).

    `observed` has any shape s, `null` shape (draws,) or (draws, *s).
    """
    null = np.asarray(null)
    return (1 + (null >= np.asarray(observed)).sum(axis=0)) / (1 + len(null))


def against(observed: float, null: np.ndarray) -> dict[str, float]:
    """What an `Estimate` says of its null (draws,): mean, middle 95 %, and the p-value of `add_one_p`."""
    return {**null_spread(null), "p_value": float(add_one_p(observed, null))}


def student_p(observed: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """One-sided p (…) of `observed` (…) under Gaussian nulls known by `draws` (g, …): Student's t with g - 1 degrees of
    freedom, as mean and deviation are estimated; 1 where the draws do not vary. A normal tail would call far too many
    of thousands of cells by 20 draws each."""
    g = len(draws)
    mean, spread = np.mean(draws, axis=0), np.std(draws, axis=0, ddof=1) * np.sqrt(1 + 1 / g)
    known = spread > 1e-12
    return np.where(known, stdtr(g - 1, (mean - observed) / np.where(known, spread, 1.0)), 1.0)


def away_p(away: np.ndarray, draws: np.ndarray, error: np.ndarray, groups: int) -> np.ndarray:
    """Two-sided p (…) of values that lie `away` (…) from the mean of `draws` (g, …) of their null and are known with a
    standard `error` (…) from `groups` jackknife groups or samples: Student's t with Welch's degrees of freedom."""
    g = len(draws)
    null, own = np.var(draws, axis=0, ddof=1) * (1 + 1 / g), np.square(error)
    both = null + own
    safe = np.where(both > 0, both, 1.0)
    free = np.square(safe) / np.maximum(np.square(null) / (g - 1) + np.square(own) / (groups - 1), 1e-300)
    p = 2 * stdtr(np.clip(free, 1, 1e9), -np.abs(away) / np.sqrt(safe))
    return np.where(both > 0, p, np.where(np.abs(away) > 0, 0.0, 1.0))


def binomial_p(hits: np.ndarray, n: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Two-sided exact p (…) of `hits` in `n` draws of which each is one with the chance `share`."""
    tails = np.minimum(
        bdtr(hits, n, share), np.where(hits > 0, bdtrc(np.maximum(hits - 1, 0), n, share), 1.0)
    )
    return np.minimum(2 * tails, 1.0)


def null_spread(null: np.ndarray) -> dict[str, float]:
    """The same without the p-value, of a number that is not the further from chance the larger it is."""
    low, high = np.percentile(null, [2.5, 97.5])
    return {"null": float(null.mean()), "null_low": float(low), "null_high": float(high)}


def bootstrap_mean(
    values: np.ndarray, rng: np.random.Generator, *, level: float = 0.95, draws: int = 1000
) -> tuple[np.ndarray, np.ndarray]:
    """Percentile bootstrap interval of the mean over rows: (low, high), each (columns,).

    Parameters
    ----------
    values : (n, columns) or (n,); rows are resampled together.

    Notes
    -----
    Time O(draws n columns), in blocks of 50 resamples; memory O(50 n).
    """
    values = np.asarray(values, dtype=np.float64)
    columns = np.ascontiguousarray(values.reshape(len(values), -1).T)
    n = len(values)
    means = np.empty((draws, len(columns)))
    for start in range(0, draws, 50):
        stop = min(start + 50, draws)
        drawn = rng.integers(n, size=(stop - start, n), dtype=np.uint32)
        for j, column in enumerate(columns):
            means[start:stop, j] = column[drawn].mean(axis=1)
    tail = 100 * (1 - level) / 2
    low, high = np.percentile(means, [tail, 100 - tail], axis=0)
    return low.reshape(values.shape[1:]), high.reshape(values.shape[1:])


def bootstrap(
    values: np.ndarray, statistic, rng: np.random.Generator, *, level: float = 0.95, draws: int = 500
) -> tuple[float | None, float | None]:
    """Percentile bootstrap interval (low, high) of `statistic`; (None, None) for fewer than two values.

    Parameters
    ----------
    values : (n,)
    statistic : callable
        (resamples, n) -> (resamples,).

    Notes
    -----
    Time O(draws n), in blocks of 50 resamples; memory O(50 n).
    """
    n = len(values)
    if n < 2:
        return None, None
    found = [
        statistic(values[rng.integers(n, size=(min(50, draws - start), n))]) for start in range(0, draws, 50)
    ]
    tail = 100 * (1 - level) / 2
    low, high = np.percentile(np.concatenate(found), [tail, 100 - tail])
    return float(low), float(high)


def wilson(successes: float, n: int, z: float = 1.959964) -> tuple[float, float]:
    """Wilson's interval of a share: stays inside [0, 1] and works at 0 and n successes."""
    p = successes / n
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return float(max(0.0, middle - half)), float(min(1.0, middle + half))


def share_over(yes: np.ndarray, what: str) -> dict:
    """Share of `yes` (n,) bool, at least one, as an `Estimate` takes it: Wilson's 95 % interval over the n of them, in
    words, `what` they are; they stand for others of their sort."""
    n, share = len(yes), float(np.mean(yes))
    low, high = wilson(float(np.sum(yes)), n)
    return {
        "value": share,
        "low": min(low, share),
        "high": max(high, share),
        "interval": f"Wilson over {n:,} {what}",
    }
