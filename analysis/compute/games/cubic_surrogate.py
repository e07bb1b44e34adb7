"""A surrogate of a game's odd part beyond its linear part, whose Shapley values are known in closed form.

A Gaussian process with kernel (x' W y)³ on coalitions x in {-1, 1}^M: all cubic functions at once, the lowest that
pairs of coalitions leave to explain. The metric W says which players act together. It begins with the players' own
values and is then learned from the even part of the same answers, (v(S) + v(N - S)) / 2: a quadratic fit has a matrix J
of pairwise interactions, and the next metric is |J| (the recursive feature machine of A. Radhakrishnan et al. 2024,
with the curvature in place of the gradients' outer product). Of some rounds the one with the smallest error left out in
the odd part is kept; the even part has no say in Shapley values, so what is learned from it costs no honesty.

The Shapley values of a cube (u · x)³ follow from Owen's integral over independent coalitions with mean m in -1 to 1
(`cubic_shapley`). O(n³ + n² M), n pairs, at most `MOST_PAIRS`. Measured on the way: boosted trees on the same answers
explained less (of what is left of a CNN's 100 patches 62 % against 83 %, of an MLP's 30 columns 53 % against 84 %).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.games.coalitions import Pairs

MOST_PAIRS = 2000  # pairs that the surrogate is fitted to: n x n matrices in memory, n³ operations
LEARNING_PAIRS = 1000  # pairs that the metric is learned from
ONE_BY_ONE = 300  # pairs up to which each is left out alone to measure an error
ROUNDS = 6
SHARES = (0.5, 0.8, 0.95)  # of the variance beyond the linear part that the kernel may explain
FOLDS = 12  # parts left out in turn
LINEAR = 1e3  # prior variance of the linear part: as good as free


@dataclass(frozen=True)
class CubicSurrogate:
    """`apart` (n, outputs): what the surrogate, fitted without a pair and others, says of that pair beyond the linear
    game with the surrogate's own Shapley values. A game of such values has Shapley values 0 at every player, so it may
    be taken off the odd part. `explained`: share of the odd part beyond a linear game that is explained left out.
    `told` (n, outputs): the same by the one surrogate that knows nothing of the pair: what errors are made of; `apart`
    has a share of the others in it, see `_left_out`. `mutual` (m, m), of the pairs `fitted` (m,): how much what is said
    of one pair owes to the answer at another, times the same the other way.
    """

    apart: np.ndarray
    explained: float
    told: np.ndarray | None = None
    fitted: np.ndarray | None = None
    mutual: np.ndarray | None = None


def fit_surrogate(pairs: Pairs, odd: np.ndarray, even: np.ndarray, values: np.ndarray,
                  rng: np.random.Generator) -> CubicSurrogate:  # fmt: skip
    """From `pairs` (n), the odd and the even part of the game (n, outputs) there and first `values` (players,
    outputs) of the players. Everything is scaled by the spread of each output's rest."""
    signs = pairs.signs
    rest = odd - signs @ np.linalg.lstsq(signs, odd, rcond=None)[0]
    spread = np.sqrt((rest**2).mean(axis=0))
    known = spread > 1e-9 * np.abs(odd).max(axis=0, initial=1e-300)
    if not known.any():  # nothing beyond pairs
        return CubicSurrogate(np.zeros_like(odd), 0.0)
    scaled = np.where(known, odd / np.where(known, spread, 1), 0.0)
    order = rng.permutation(len(odd))
    few, many = order[:LEARNING_PAIRS], order[:MOST_PAIRS]
    metric, share, explained = learned_metric(signs[few], scaled[few], even[few], values)
    if explained <= 0:
        return CubicSurrogate(np.zeros_like(odd), 0.0)
    apart, told, mutual = _left_out(pairs, scaled, many, metric, share)
    back = np.where(known, spread, 0.0)
    return CubicSurrogate(apart * back, explained, told * back, many, mutual)


def learned_metric(
    signs: np.ndarray, odd: np.ndarray, even: np.ndarray, values: np.ndarray
) -> tuple[np.ndarray, float, float]:
    """The metric (players, players), the kernel's share and the share explained that do best left out."""
    players = signs.shape[1]
    own = np.abs(values / np.maximum(np.abs(values).max(axis=0), 1e-300)).mean(axis=1)
    linear = LINEAR / players * signs @ signs.T
    free = _left_out_error(linear, np.zeros_like(linear), 0.0, odd, players)
    flat = even - even.mean(axis=0)
    flat = flat / np.maximum(np.sqrt((flat**2).mean(axis=0)), 1e-300)
    best = (np.inf, np.eye(players))
    for metric, rounds in ((np.eye(players), 1), (np.diag(own + 0.01), ROUNDS)):
        before = np.inf
        for k in range(rounds):
            products = _products(signs, metric)
            error = _left_out_error(linear, products, SHARES[1], odd, players)
            best = min(best, (error, metric), key=lambda one: one[0])
            if error > before or k == rounds - 1:
                break
            before, metric = error, _next_metric(signs, flat, metric, products)
    least, metric = best
    products = _products(signs, metric)
    others = {
        share: _left_out_error(linear, products, share, odd, players)
        for share in SHARES
        if share != SHARES[1]
    }
    errors = {SHARES[1]: least, **others}
    share = min(errors, key=errors.get)
    return metric, share, 1 - errors[share] / free


def _products(signs: np.ndarray, metric: np.ndarray) -> np.ndarray:
    products = (signs @ metric) @ signs.T
    return products / np.diag(products).mean()


def _left_out_error(
    linear: np.ndarray, products: np.ndarray, share: float, y: np.ndarray, players: int
) -> float:  # fmt: skip
    """Mean squared error at each pair, fitted to the others; of many pairs for their players, at the last quarter
    fitted to the first three (a seventh of the time)."""
    from scipy.linalg import cho_factor, cho_solve, lapack

    kernel = linear + share * _cubed(products)
    kernel[np.diag_indices_from(kernel)] += 1 - share
    if len(y) > max(ONE_BY_ONE, 4 * players):
        fit = 3 * len(y) // 4
        dual = cho_solve(cho_factor(kernel[:fit, :fit], lower=True), y[:fit])
        return float(((y[fit:] - kernel[fit:, :fit] @ dual) ** 2).mean())
    factor = cho_factor(kernel, lower=True, overwrite_a=True)
    dual = cho_solve(factor, y)
    inverse, _ = lapack.dpotri(factor[0], lower=1)  # its lower half
    return float(((dual / np.diag(inverse)[:, None]) ** 2).mean())


def _cubed(x: np.ndarray) -> np.ndarray:
    """x³; a power of arrays is many times slower than two products."""
    return x * x * x


def _inverse(kernel: np.ndarray) -> np.ndarray:
    """Of a symmetric positive definite matrix, by its Cholesky factor."""
    from scipy.linalg import lapack

    factor, failed = lapack.dpotrf(kernel.T, lower=1)
    half, failed_too = lapack.dpotri(factor, lower=1)
    if failed or failed_too:
        return np.linalg.inv(kernel)
    half = np.tril(half)
    return half + np.tril(half, -1).T


def _next_metric(signs: np.ndarray, even: np.ndarray, metric: np.ndarray, products: np.ndarray) -> np.ndarray:
    """|J| of the quadratic fit to the even part under `metric`, over outputs, with a little of the identity."""
    from scipy.linalg import cho_factor, cho_solve

    share, players = SHARES[-1], len(metric)
    kernel = LINEAR + share * products * products
    kernel[np.diag_indices_from(kernel)] += 1 - share
    dual = cho_solve(cho_factor(kernel), even)
    moved = signs @ metric
    total = np.zeros_like(metric)
    for column in dual.T:
        curvature = (moved * column[:, None]).T @ moved
        np.fill_diagonal(curvature, 0.0)
        roots, axes = np.linalg.eigh(curvature)
        total += (axes * np.abs(roots)) @ axes.T
    scale = np.trace(total) / players
    return np.eye(players) if scale == 0 else total / scale + 0.02 * np.eye(players)


def _left_out(
    pairs: Pairs, odd: np.ndarray, many: np.ndarray, metric: np.ndarray, share: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What surrogates say of each pair beyond their own Shapley values (n, outputs); of the pairs `many`, one that is
    fitted without the part of them that the pair is in. Then `told`
    and `mutual`, see `CubicSurrogate`.

    Where the share f of a size was drawn, the pairs not fitted to are fewer than all, and what a surrogate says sums to
    zero over all: its own pairs, of weight f / FOLDS each time, take part.
    """
    signs, players = pairs.signs, metric.shape[0]
    centres, drawn = signs[many], pairs.drawn[many]
    scale = float(((centres @ metric) * centres).sum(axis=1).mean())
    directions = centres @ metric / scale
    beyond = _beyond(centres, directions, share)
    kernel = share * _cubed(centres @ directions.T) + LINEAR / players * centres @ centres.T
    kernel[np.diag_indices_from(kernel)] += 1 - share
    inverse = _inverse(kernel)
    dual, through = inverse @ odd[many], beyond @ inverse
    said, told, owes, mean = np.zeros_like(odd), np.zeros_like(odd), np.zeros_like(inverse), 0.0
    for part in np.array_split(np.arange(len(many)), FOLDS):
        inner = np.linalg.solve(inverse[np.ix_(part, part)], inverse[part])
        owes[part] = through[part] - through[np.ix_(part, part)] @ inner
        left = dual - inner.T @ dual[part]
        mean = mean + left / FOLDS
        says = beyond @ left
        weight = drawn / FOLDS
        weight[part] = 1 - drawn[part] * (FOLDS - 1) / FOLDS
        said[many] += weight[:, None] * says
        told[many[part]] = says[part]
    others = np.setdiff1d(np.arange(len(odd)), many)
    for start in range(0, len(others), MOST_PAIRS):
        rows = others[start : start + MOST_PAIRS]
        said[rows] = told[rows] = _beyond(signs[rows], directions, share) @ mean
    return said, told, owes * owes.T


def _beyond(signs: np.ndarray, directions: np.ndarray, share: float) -> np.ndarray:
    """The kernel between `signs` (n, players) and the centres, less the linear game of its Shapley values (n, m)."""
    return share * (_cubed(signs @ directions.T) - signs @ cubic_shapley(directions) / 2)


def cubic_shapley(directions: np.ndarray) -> np.ndarray:
    """Shapley values (players, n) of the games whose odd part is (u · x)³, for each u of `directions` (n, players).

    With Y = Σ_{j≠i} u_j x_j the gain of i in that odd part is 2 (3 u_i Y² + u_i³); E Y² = m² s² + (1 - m²) q with
    s, q the sum and the sum of squares of the others' u, and m² has mean 1/3 over -1 to 1.
    """
    u = directions.T
    s, q = u.sum(axis=0) - u, (u**2).sum(axis=0) - u**2
    return 2 * (u * (s**2 + 2 * q) + u**3)
