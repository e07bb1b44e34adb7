"""A surrogate of a game's odd part beyond its linear part, whose Shapley values are known in closed form.

A Gaussian process with kernel (x' W y)³ on coalitions x in {-1, 1}^M: all cubic functions at once, the lowest that
pairs of coalitions leave to explain. The metric W says which players act together. It begins with the players' own
values and is then learned from the even part of the same answers, (v(S) + v(N - S)) / 2: a quadratic fit has a matrix J
of pairwise interactions, and the next metric is |J| (the recursive feature machine of A. Radhakrishnan et al. 2024,
with the curvature in place of the gradients' outer product). Of some rounds the one with the smallest error left out in
the odd part is kept; the even part has no say in Shapley values, so what is learned from it costs no honesty.

The Shapley values of (u · x)³ / 2 on pairs follow from Owen's integral over independent coalitions with mean m,
φ_i = ∫ 3 u_i E[(Σ_{j≠i} u_j x_j)²] + u_i³ dm / 2, m from -1 to 1: a quadratic of m, so it is exact.
O(n³ + n² M), n pairs, at most `MOST_PAIRS`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.games.coalitions import Pairs

MOST_PAIRS = 2000  # pairs that the surrogate is fitted to: n x n matrices in memory, n³ operations
LEARNING_PAIRS = 1000  # pairs that the metric is learned from
ROUNDS = 4
SHARES = (0.5, 0.8, 0.95)  # of the variance beyond the linear part that the kernel may explain
FOLDS = 3  # parts left out in turn: with more, the parts' errors go together and intervals come out too short
LINEAR = 1e3  # prior variance of the linear part: as good as free


@dataclass(frozen=True)
class CubicSurrogate:
    """`apart` (n, outputs): what the surrogate, fitted without a pair and others, says of that pair beyond the linear
    game with the surrogate's own Shapley values. A game of such values has Shapley values 0 at every player, so it may
    be taken off the odd part. `explained`: share of the odd part beyond a linear game that is explained left out."""

    apart: np.ndarray
    explained: float


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
    apart = _left_out(pairs, scaled, many, metric, share)
    return CubicSurrogate(apart * np.where(known, spread, 0.0), explained)


def learned_metric(
    signs: np.ndarray, odd: np.ndarray, even: np.ndarray, values: np.ndarray
) -> tuple[np.ndarray, float, float]:
    """The metric (players, players), the kernel's share and the share explained that do best left out."""
    players = signs.shape[1]
    own = np.abs(values / np.maximum(np.abs(values).max(axis=0), 1e-300)).mean(axis=1)
    linear = LINEAR / players * signs @ signs.T
    free = _left_out_error(linear, np.zeros_like(linear), 0.0, odd)
    flat = even - even.mean(axis=0)
    flat = flat / np.maximum(np.sqrt((flat**2).mean(axis=0)), 1e-300)
    best = (np.inf, np.eye(players))
    for metric, rounds in ((np.eye(players), 1), (np.diag(own + 0.01), ROUNDS)):
        for _ in range(rounds):
            products = _products(signs, metric)
            error = _left_out_error(linear, products, SHARES[-2], odd)
            best = min(best, (error, metric), key=lambda one: one[0])
            metric = _next_metric(signs, flat, metric, products)
    products = _products(signs, best[1])
    errors = [_left_out_error(linear, products, share, odd) for share in SHARES]
    least = int(np.argmin(errors))
    return best[1], SHARES[least], 1 - errors[least] / free


def _products(signs: np.ndarray, metric: np.ndarray) -> np.ndarray:
    products = (signs @ metric) @ signs.T
    return products / np.diag(products).mean()


def _left_out_error(linear: np.ndarray, products: np.ndarray, share: float, y: np.ndarray) -> float:
    """Mean squared error at each pair, fitted to the others."""
    kernel = linear + share * products**3
    kernel[np.diag_indices_from(kernel)] += 1 - share
    inverse = np.linalg.inv(kernel)
    return float((((inverse @ y) / np.diag(inverse)[:, None]) ** 2).mean())


def _next_metric(signs: np.ndarray, even: np.ndarray, metric: np.ndarray, products: np.ndarray) -> np.ndarray:
    """|J| of the quadratic fit to the even part under `metric`, over outputs, with a little of the identity."""
    share, players = SHARES[-1], len(metric)
    kernel = LINEAR + share * products**2 + (1 - share) * np.eye(len(products))
    dual = np.linalg.solve(kernel, even)
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
) -> np.ndarray:
    """What surrogates say of each pair beyond their own Shapley values (n, outputs); of the pairs `many`, one that is
    fitted without the third of them that the pair is in.

    Where the share f of a size was drawn, the pairs not fitted to are fewer than all, and what a surrogate says sums to
    zero over all: its own pairs, of weight f / FOLDS, take part.
    """
    signs, players = pairs.signs, metric.shape[0]
    centres = signs[many]
    scale = float(((centres @ metric) * centres).sum(axis=1).mean())
    directions = centres @ metric / scale
    beyond = share * ((signs @ directions.T) ** 3 - signs @ cubic_shapley(directions) / 2)
    kernel = share * (centres @ directions.T) ** 3 + LINEAR / players * centres @ centres.T
    kernel[np.diag_indices_from(kernel)] += 1 - share
    inverse = np.linalg.inv(kernel)
    dual = inverse @ odd[many]
    said = np.zeros_like(odd)
    unfitted = np.ones(len(odd), dtype=bool)
    unfitted[many] = False
    for part in np.array_split(np.arange(len(many)), FOLDS):
        left = dual - inverse[:, part] @ np.linalg.solve(inverse[np.ix_(part, part)], dual[part])
        weight = np.where(unfitted, 1.0, pairs.drawn) / FOLDS
        weight[many[part]] = 1 - pairs.drawn[many[part]] * (FOLDS - 1) / FOLDS
        said += weight[:, None] * (beyond @ left)
    return said


def cubic_shapley(directions: np.ndarray) -> np.ndarray:
    """Shapley values (players, n) of the games whose odd part is (u · x)³, for each u of `directions` (n, players).

    With Y = Σ_{j≠i} u_j x_j the gain of i in that odd part is 2 (3 u_i Y² + u_i³); E Y² = m² s² + (1 - m²) q with
    s, q the sum and the sum of squares of the others' u, and m² has mean 1/3 over -1 to 1.
    """
    u = directions.T
    s, q = u.sum(axis=0) - u, (u**2).sum(axis=0) - u**2
    return 2 * (u * (s**2 + 2 * q) + u**3)
