"""A linear probe of classes that knows how frequent they are: Fisher's discriminants with a shrunk covariance, and
Bayes' rule for Gaussian classes of one shape.

    class of z = argmax_c  t·m_c - |m_c|² / 2 + ln π_c         t, m_c: z and the class mean on the discriminants

With nothing to tell classes apart it names the most frequent one, so that its floor is the majority rate; the nearest
of the class means instead (`linear.tap_probe`) would be right as often as classes are frequent.

References: R. Fisher (1936); C. Rao (1948); O. Ledoit & M. Wolf (2004) for the shrinkage.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.linear.fisher import Basis, basis_of, discriminants


@dataclass(frozen=True)
class BayesProbe:
    """`mean` (d,), `weights` (d, k), `centres` (C, k), `offsets` (C,); -infinite for a class it never saw."""

    mean: np.ndarray
    weights: np.ndarray
    centres: np.ndarray
    offsets: np.ndarray

    def scores(self, x: np.ndarray) -> np.ndarray:
        """(n, C): differences are logarithms of ratios of the classes' probabilities."""
        return ((x - self.mean) @ self.weights) @ self.centres.T + self.offsets

    def named(self, x: np.ndarray) -> np.ndarray:
        """(n,) class of each row."""
        return self.scores(x).argmax(axis=1)


def bayes_probe(x: np.ndarray, of: np.ndarray, classes: int, basis: Basis | None = None) -> BayesProbe:
    """Fitted to `x` (n, d) with class numbers `of` (n,); `basis` is `basis_of(x)` where it is known. O(n d min(n,
    d))."""
    basis = basis_of(x) if basis is None else basis
    found = discriminants(basis, of, classes)
    counts = np.bincount(of, minlength=classes).astype(np.float64)
    onehot = (of == np.arange(classes)[:, None]).astype(np.float64)
    centres = (onehot @ (basis.z @ found.weights)) / np.maximum(counts, 1)[:, None]
    offsets = np.log(np.maximum(counts, 1) / len(of)) - (centres**2).sum(axis=1) / 2
    offsets = np.where(counts > 0, offsets, -np.inf)
    return BayesProbe(basis.mean, basis.vectors @ found.weights, centres, offsets)


def held_out_classes(
    x: np.ndarray, labellings: list[np.ndarray], classes: int, fold: np.ndarray
) -> np.ndarray:
    """(labellings, n) class named for every sample by the probe of the other folds, for each labelling (n,) of the
    same samples `x` (n, d). O(folds (n d min(n, d) + labellings n d classes))."""
    out = np.empty((len(labellings), len(x)), np.int64)
    for f in range(int(fold.max()) + 1):
        train, test = fold != f, fold == f
        basis = basis_of(x[train])
        for i, of in enumerate(labellings):
            out[i, test] = bayes_probe(x[train], of[train], classes, basis).named(x[test])
    return out
