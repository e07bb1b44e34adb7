"""One representation predicted linearly from another, on samples that had no part in the fit.

The samples are cut into folds. On all folds but one, with X = U S Vᵀ of the centred training part, ridge regression
predicts Y by V diag(s / (s² + λ)) UᵀY; λ is the one with the least generalised cross-validation error of the training
part, RSS(λ) / (1 - df(λ) / n)² with df = 1 + Σ s² / (s² + λ) (G. Golub, M. Heath & G. Wahba 1979), for all units of Y
together or for each, among 0 (where there are more samples than directions) and powers of ten. The fold left out then
says

    R² = 1 - Σ |y - ŷ|² / Σ |y - ȳ|²

with the training part's ȳ, all units and samples together: units weigh by their variance.

Chance: given the fit, exchanging the left-out samples of Y changes Σ ŷ·y only, whose mean and variance are exact
(W. Hoeffding 1951); Cantelli's bound for each fold, and twice the mean over folds, which holds however they depend on
each other (L. Rüschendorf 1982; V. Vovk & R. Wang 2020).

Each decomposition is made once for a tap and a fold, whatever it predicts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.exchange_moments import cantelli_p

TOLERANCE = 1e-6  # of the largest singular value; float32 rounds at 6e-8
PENALTIES = np.append(0.0, 10.0 ** np.arange(-10.0, 5.0))  # of the largest squared singular value


@dataclass(frozen=True)
class Fit:
    """The training part of one fold: samples left out `out` (m,), `axes` V (r, k), `singular` s (k,), `mean` (r,), `n`
    samples; `scores` (m, k) of the samples left out."""

    out: np.ndarray
    axes: np.ndarray
    singular: np.ndarray
    mean: np.ndarray
    n: int
    scores: np.ndarray


@dataclass(frozen=True)
class Predictor:
    """One representation that predicts: centred `rows` (n, r), r <= n, and a fit for each fold."""

    rows: np.ndarray
    fits: tuple[Fit, ...]


@dataclass(frozen=True)
class Prediction:
    """What held-out samples say: squared `errors` and squares about the training mean `totals` (n,), summed over the
    units; `p` a bound of the chance of as much."""

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


def predictor(rows: np.ndarray, fold: np.ndarray) -> Predictor:
    """`rows` (n, r) as `reduced` gives them; `fold` (n,) of each sample. Time O(n r min(n, r)) for each fold."""
    fits = []
    for f in range(fold.max() + 1):
        train, out = rows[fold != f], np.flatnonzero(fold == f)
        mean = train.mean(axis=0)
        _, singular, axes = np.linalg.svd(train - mean, full_matrices=False)
        kept = singular > TOLERANCE * singular.max(initial=0.0)
        axes = axes[kept].T
        fits.append(Fit(out, axes, singular[kept], mean, len(train), (rows[out] - mean) @ axes))
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


def predict(one: Predictor, y: np.ndarray, cross: np.ndarray) -> Prediction:
    """`y` (n, q) centred, predicted from `one`; `cross` XᵀY (r, q). Time O(n r q)."""
    errors, totals, chances = np.empty(len(y)), np.empty(len(y)), []
    for fit in one.fits:
        true, made = predicted(one, y, fit, cross)
        errors[fit.out] = ((true - made) ** 2).sum(axis=1)
        totals[fit.out] = (true**2).sum(axis=1)
        chances.append(_chance(true - true.mean(axis=0), made - made.mean(axis=0)))
    return Prediction(errors, totals, min(1.0, 2 * float(np.mean(chances))))


def _chance(true: np.ndarray, made: np.ndarray) -> float:
    """Bound of the chance that exchanged samples give as large a Σ ŷ·y, both (m, q) centred."""
    m, q = true.shape
    products = np.vdot(made.T @ made, true.T @ true) if q < m else np.sum((made @ true.T) ** 2)
    return float(cantelli_p(np.vdot(true, made), 0.0, np.sqrt(max(float(products), 0.0) / (m - 1))))


def unit_chances(true: np.ndarray, made: np.ndarray) -> np.ndarray:
    """The same for each unit (q,) alone."""
    true, made = true - true.mean(axis=0), made - made.mean(axis=0)
    squares = (true**2).sum(axis=0) * (made**2).sum(axis=0)
    return cantelli_p((true * made).sum(axis=0), 0.0, np.sqrt(squares / (len(true) - 1)))
