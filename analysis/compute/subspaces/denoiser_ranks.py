"""The best denoiser of subspaces fitted to a tap, and how many directions it keeps at each level of noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations
from analysis.compute.linear.mixture_denoiser import Mixture
from analysis.compute.rows.cloud import point_cloud
from analysis.compute.subspaces.union import k_subspaces, leading
from analysis.compute.subspaces.union_fits import steepest_dimension
from analysis.errors import NotEnoughData
from analysis.spec import Progress

FEWEST, SAMPLES = 40, 60
STARTS, SEARCH = 12, 6  # of the fit, and of the fit at each dimension tried: most starts end in a poor one
LEVELS = np.logspace(-2, 1, 13)


@dataclass(frozen=True)
class DenoiserRanks:
    """`ranks` (levels, m) of `m` samples, `null` (levels,) those of one Gaussian, `clear` (levels, m) the weight of the
    likeliest piece; of K pieces of `d` dimensions fitted to `n` points on `q` axes; `notes`."""

    ranks: np.ndarray
    null: np.ndarray
    clear: np.ndarray
    d: int
    n: int
    q: int
    notes: tuple[str, ...]


def best_denoiser_ranks(
    tap: Activations, params, rng: np.random.Generator, progress: Progress, span: tuple[float, float]
) -> DenoiserRanks:
    """Of one tap; `params` as of the method (components, dimension, epsilon, axes, maximum_rows).

    Raises NotEnoughData below 40 points or 2 K (d + 1); InputError, TooLarge as `point_cloud`.
    """

    def at(fraction: float, doing: str = "") -> None:
        progress(span[0] + (span[1] - span[0]) * fraction, doing)

    x, notes = _points(tap, params, rng, at)
    mixture, d = _fitted(x, params, rng, at)
    directions, squares = leading(x, min(x.shape))
    one = Mixture(np.ones(1), [directions], [np.maximum(squares[: directions.shape[1]] / len(x), 1e-12)])
    chosen = rng.choice(len(x), size=min(SAMPLES, len(x)), replace=False)
    ranks, clear = np.empty((2, len(LEVELS), len(chosen)))
    for i, level in enumerate(LEVELS):
        at(0.5 + 0.5 * i / len(LEVELS), f"noise {level:.2g}")
        noised = x[chosen] + level * rng.standard_normal((len(chosen), x.shape[1]))
        ranks[i] = counted(np.linalg.eigvalsh(mixture.jacobians(noised, level)), params.epsilon)
        clear[i] = mixture.weights(noised, level).max(axis=1)
    null = np.array([counted(one.gains(level)[0][None], params.epsilon)[0] for level in LEVELS])
    return DenoiserRanks(ranks, null, clear, d, *x.shape, tuple(notes))


def _points(tap, params, rng, progress) -> tuple[np.ndarray, list[str]]:
    """Centred points (n, q) on their leading axes, of mean square 1 a coordinate of all q, and what is said of them."""
    cloud = point_cloud(tap, rng, maximum_rows=params.maximum_rows, minimum=FEWEST, progress=progress)
    x = np.asarray(cloud.x, dtype=np.float64)
    x = x - x.mean(axis=0)
    vectors, squares = np.linalg.svd(x, full_matrices=False)[2], (x**2).sum()
    z = x @ vectors[: params.axes].T
    z = z[:, (z**2).sum(axis=0) > 1e-12 * squares]
    if z.shape[1] < 2:
        raise NotEnoughData(f"the points span {z.shape[1]} direction(s)", "at least 2", "Choose another tap")
    said = f"The {z.shape[1]} principal axes used hold {(z**2).sum() / squares:.1%} of the squares."
    return z / np.sqrt((z**2).mean()), [*cloud.notes, said]


def _fitted(x: np.ndarray, params, rng, progress) -> tuple[Mixture, int]:
    """K subspaces of the points with the variances inside them; and their dimension."""
    n, q = x.shape
    k = params.components
    room = min(n // (2 * k) - 1, max(q - 1, 1))
    if room < (params.dimension or 1):
        raise NotEnoughData(
            f"{n} points for {k} subspaces of {params.dimension or 1} dimension(s) in {q} axes",
            f"at least {2 * k * ((params.dimension or 1) + 1)} points and more axes", "Ask for fewer or smaller ones",
        )  # fmt: skip
    most = min(max(1, q // 2), room, 8)
    d = params.dimension or steepest_dimension(x, k, most, rng, SEARCH, progress, (0.1, 0.4))
    fit = k_subspaces(x, k, d, rng, STARTS, progress, (0.4, 0.5))
    shares, bases, variances = [], [], []
    for j in range(k):
        mine = x[fit.codes == j]
        shares.append(max(len(mine), 1e-9) / n)
        bases.append(fit.bases[j])
        variances.append(
            np.maximum(((mine @ fit.bases[j]) ** 2).mean(axis=0) if len(mine) else np.ones(d), 1e-9)
        )
    return Mixture(np.array(shares) / np.sum(shares), bases, variances), d


def counted(values: np.ndarray, epsilon: float) -> np.ndarray:
    """(n,) how many of each row of values (n, k) exceed the share of the largest."""
    return (values > epsilon * values.max(axis=1, keepdims=True)).sum(axis=1).astype(np.float64)
