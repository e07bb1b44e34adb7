"""What a union of subspaces keeps of samples it was not fitted on, of which dimension it is, and who belongs where."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.subspaces.union import Union, assigned, k_subspaces, leading, posterior_weights
from analysis.spec import Progress

Span = tuple[float, float]


@dataclass(frozen=True)
class HeldOut:
    """Squares `kept` (n,) and `all` (n,) of each sample."""

    kept: np.ndarray
    all: np.ndarray

    @property
    def share(self) -> float:
        return float(self.kept.sum() / self.all.sum())


def kept_held_out(
    x: np.ndarray, sample: np.ndarray, k: int, d: int, rng, restarts: int, progress: Progress, span: Span
) -> tuple[HeldOut, HeldOut]:
    """By the union, and by one subspace of d dimensions, of `x` (n, q): each half of the samples (`sample` (n,), from
    0) by what was fitted on the other."""
    half = rng.permutation(int(sample.max()) + 1)[sample] % 2
    union, one = np.empty(len(x)), np.empty(len(x))
    middle = (span[0] + span[1]) / 2
    for h, at in ((0, (span[0], middle)), (1, (middle, span[1]))):
        mine = half == h
        fit = k_subspaces(x[~mine], k, d, rng, restarts, progress, at)
        union[mine] = assigned(x[mine], fit.bases)[1]
        one[mine] = assigned(x[mine], leading(x[~mine], d)[0][None])[1]
    whole = (x**2).sum(axis=1)
    return HeldOut(union, whole), HeldOut(one, whole)


def steepest_dimension(
    x: np.ndarray, k: int, most: int, rng, restarts: int, progress: Progress, span: Span
) -> int:
    """The d <= `most` at which the spectra of k components fitted with d fall most steeply: the largest mean of
    log λ_d / λ_{d+1}."""
    falls = []
    for d in range(1, most + 1):
        at = tuple(span[0] + (span[1] - span[0]) * i / most for i in (d - 1, d))
        fit = k_subspaces(x, k, d, rng, restarts, progress, at)
        spectra = [leading(x[fit.codes == j], d)[1] for j in range(k)]
        falls.append(np.mean([np.log((v[d - 1] + 1e-12 * v[0]) / (v[d] + 1e-12 * v[0])) for v in spectra]))
    return int(np.argmax(falls)) + 1


def fitted_weights(x: np.ndarray, fit: Union) -> np.ndarray:
    """Posterior weights (n, K), with s² + γ² and γ² the mean squares inside and outside the assigned subspaces."""
    (n, q), (k, _, d) = x.shape, fit.bases.shape
    total = float((x**2).sum())
    noise = max((total - fit.kept) / (n * (q - d)), 1e-12 * total / n)
    signal = max(fit.kept / (n * d) - noise, 1e-12 * total / n)
    shares = (np.bincount(fit.codes, minlength=k) + 1e-9) / n
    return posterior_weights(x, fit.bases, shares, float(np.sqrt(signal)), float(np.sqrt(noise)))
