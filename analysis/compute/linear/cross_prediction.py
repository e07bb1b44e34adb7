"""One representation predicted linearly from another, on samples that had no part in the fit.

The samples are cut into folds. On all folds but one, with X = U S Vᵀ of the centred training part, ridge regression
predicts Y by V diag(s / (s² + λ)) UᵀY; λ is the one with the least generalised cross-validation error of the training
part, RSS(λ) / (1 - df(λ) / n)² with df = 1 + Σ s² / (s² + λ) (G. Golub, M. Heath & G. Wahba 1979), for all units of Y
together or for each, among 0 (where there are more samples than directions) and powers of ten. The fold left out then
says

    R² = 1 - Σ |y - ŷ|² / Σ |y - ȳ|²

with the training part's ȳ, all units and samples together: units weigh by their variance.

Chance: given the fit, exchanging the left-out samples of Y changes Σ ŷ·y only, so that thousands of exchanges cost a
product: p with one added in each fold, and over the folds twice the mean, which holds however these depend on each
other (L. Rüschendorf 1982; V. Vovk & R. Wang 2020). Nothing else is assumed. Units one by one are tested by the t
distribution of ŷ's correlation with y in the fold (E. Pitman 1937), combined in the same way.

Each decomposition is made once for a tap and a fold, whatever it predicts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr

EXCHANGES = 999
TOLERANCE = 1e-6  # of the largest singular value; float32 rounds at 6e-8
PENALTIES = np.append(0.0, 10.0 ** np.arange(-10.0, 5.0))  # of the largest squared singular value


@dataclass(frozen=True)
class Fit:
    """The training part of one fold: samples left out `out` (m,), `axes` V (r, k), `singular` s (k,), `mean` (r,), `n`
    samples; `scores` (m, k) of the samples left out, and `orders` (EXCHANGES, m) of these, or none."""

    out: np.ndarray
    axes: np.ndarray
    singular: np.ndarray
    mean: np.ndarray
    n: int
    scores: np.ndarray
    orders: np.ndarray


@dataclass(frozen=True)
class Predictor:
    """One representation that predicts: centred `rows` (n, r), r <= n, and a fit for each fold."""

    rows: np.ndarray
    fits: tuple[Fit, ...]


@dataclass(frozen=True)
class Prediction:
    """What held-out samples say: squared `errors` and squares about the training mean `totals` (n,), summed over the
    units; `p` of as much by chance (NaN: not asked for)."""

    errors: np.ndarray
    totals: np.ndarray
    p: float

    def r2(self) -> float:
        return 1 - float(self.errors.sum() / self.totals.sum())

    def series(self, group: np.ndarray) -> np.ndarray:
        """R² (1 + G,) of all samples, then without those of each group (n,); fits stay as they are."""
        errors, totals = (np.bincount(group, v) for v in (self.errors, self.totals))
        return np.append(self.r2(), 1 - (errors.sum() - errors) / (totals.sum() - totals))


def reduced(x: np.ndarray) -> np.ndarray:
    """Centred features (n, r), r <= n, with the same inner products. Time O(n d min(n, d)) where d > n."""
    centred = x - x.mean(axis=0)
    largest = float(np.abs(centred).max(initial=0.0))
    centred /= largest or 1.0
    return np.linalg.qr(centred.T, mode="r").T if centred.shape[1] > len(centred) else centred


def orders_of(fold: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Exchanges (EXCHANGES, m) of the samples of each fold, for `fold` (n,)."""
    return tuple(_orders(m, rng) for m in np.bincount(fold))


def _orders(m: int, rng: np.random.Generator) -> np.ndarray:
    return rng.permuted(np.tile(np.arange(m, dtype=np.int32), (EXCHANGES, 1)), axis=1)


def predictor(rows: np.ndarray, fold: np.ndarray, orders: tuple[np.ndarray, ...] = ()) -> Predictor:
    """`rows` (n, r) as `reduced` gives them; `fold` (n,) of each sample; `orders` of `orders_of` where many pairs are
    to be tested (without, each test draws its own, always the same). Time O(n r min(n, r)) for each fold."""
    fits = []
    orders = orders or tuple(np.empty((0, 0), np.int32) for _ in range(fold.max() + 1))
    for f in range(fold.max() + 1):
        train, out = rows[fold != f], np.flatnonzero(fold == f)
        mean = train.mean(axis=0)
        _, singular, axes = np.linalg.svd(train - mean, full_matrices=False)
        kept = singular > TOLERANCE * singular.max(initial=0.0)
        axes = axes[kept].T
        fits.append(Fit(out, axes, singular[kept], mean, len(train), (rows[out] - mean) @ axes, orders[f]))
    return Predictor(rows, tuple(fits))


def predicted(
    one: Predictor, y: np.ndarray, fit: Fit, cross: np.ndarray, *, each: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Held-out values and predictions (m, q), both about the training mean.

    y : (n, q) centred. cross : XᵀY (r, q) of all samples. each : every unit has a penalty of its own.
    """
    out = y[fit.out]
    mean = -out.sum(axis=0) / fit.n  # of the training part, as y is centred
    rest = cross - one.rows[fit.out].T @ out - np.outer(fit.n * fit.mean, mean)
    inner = (fit.axes.T @ rest) / fit.singular[:, None]  # UᵀY
    squares = inner**2
    totals = np.einsum("ij,ij->j", y, y) - np.einsum("ij,ij->j", out, out) - fit.n * mean**2
    if not each:
        squares, totals = squares.sum(axis=1, keepdims=True), totals.sum(keepdims=True)
    factor = _penalised(fit.singular, squares, totals, fit.n)
    return out - mean, fit.scores @ (factor / fit.singular[:, None] * inner)


def _penalised(singular: np.ndarray, squares: np.ndarray, totals: np.ndarray, n: int) -> np.ndarray:
    """Factors s² / (s² + λ) (k, u) of the penalty with the least generalised cross-validation error, from the squared
    entries of UᵀY (k, u) and the squares about the mean (u,)."""
    if not len(singular):
        return squares
    ratio = (singular / singular.max()) ** 2
    shares = PENALTIES if len(singular) < n - 1 else PENALTIES[1:]
    kept = ratio / (ratio + shares[:, None])
    left = 1 - kept
    residual = np.maximum(totals - squares.sum(axis=0), 0.0) + left**2 @ squares
    freedom = (left.sum(axis=1) + (n - 1 - len(singular))) / n
    return kept[np.argmin(residual / freedom[:, None] ** 2, axis=0)].T


def predict(one: Predictor, y: np.ndarray, cross: np.ndarray, *, tested: bool = True) -> Prediction:
    """`y` (n, q) centred, predicted from `one`; `cross` XᵀY (r, q). Time O(n r q), tested O(n m q) more."""
    errors, totals, chances = np.empty(len(y)), np.empty(len(y)), []
    for fit in one.fits:
        true, made = predicted(one, y, fit, cross)
        errors[fit.out] = ((true - made) ** 2).sum(axis=1)
        totals[fit.out] = (true**2).sum(axis=1)
        if tested:
            orders = fit.orders if len(fit.orders) else _orders(len(true), np.random.default_rng(0))
            chances.append(_chance(true, made, orders))
    return Prediction(errors, totals, combined(np.array(chances)) if tested else np.nan)


def combined(p: np.ndarray) -> np.ndarray:
    """p-values (…) from those of several folds (folds, …), whatever their dependence."""
    return np.minimum(2 * np.mean(p, axis=0), 1.0)


def _chance(true: np.ndarray, made: np.ndarray, orders: np.ndarray) -> float:
    """p of Σ ŷ·y (m, q) among the exchanges of the samples (EXCHANGES, m), one added."""
    products = (made - made.mean(axis=0)) @ true.T
    exchanged = np.zeros(len(orders))
    for i, line in enumerate(products):
        exchanged += line[orders[:, i]]
    observed = float(np.trace(products))
    slack = 1e-12 * np.abs(np.diag(products)).sum()
    return (1 + int((exchanged >= observed - slack).sum())) / (1 + len(orders))


def unit_chances(true: np.ndarray, made: np.ndarray) -> np.ndarray:
    """One-sided p (q,) of the correlation of each unit with its prediction in a fold (m, q); 1 where one of them does
    not vary."""
    m = len(true)
    true, made = true - true.mean(axis=0), made - made.mean(axis=0)
    squares = (true**2).sum(axis=0) * (made**2).sum(axis=0)
    r = np.divide((true * made).sum(axis=0), np.sqrt(squares), out=np.zeros(true.shape[1]), where=squares > 0)
    r = np.clip(r, -1 + 1e-15, 1 - 1e-15)
    return np.where(squares > 0, stdtr(m - 2, -r * np.sqrt((m - 2) / (1 - r * r))), 1.0)
