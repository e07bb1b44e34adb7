"""What revealing another group of columns tells of a class: conditional mutual information by a model that can be asked
with any columns hidden.

Each class is a Gaussian, so that hidden columns are left out of its mean and covariance, exactly and without a new fit.
The loss of revealed columns S is -log2 p(y | x_S) at samples that the fit did not see; the gain of group i is

    mean of loss(S) - loss(S + i) = E KL(p(y | x_S, x_i) ‖ p(y | x_S)) = I(y; x_i | x_S)   where the model is right

Gains along any order add up to loss(nothing) - loss(everything). A class's covariance is drawn to that of all classes
by (columns) / (columns + its samples), so that few samples do no harm.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

RIDGE = 1e-3  # of the mean variance


@dataclass(frozen=True)
class GaussianReader:
    """`priors` (classes,) log, `means` (classes, d), `spreads` (classes, d, d)."""

    priors: np.ndarray
    means: np.ndarray
    spreads: np.ndarray

    def log_posteriors(self, x: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """(n, classes) in nats, of rows x (n, d) of which only `columns` are seen."""
        scores = np.tile(self.priors, (len(x), 1))
        for c in range(len(self.priors)) if len(columns) else ():
            root = np.linalg.cholesky(self.spreads[c][np.ix_(columns, columns)])
            apart = np.linalg.solve(root, (x[:, columns] - self.means[c, columns]).T)
            scores[:, c] += -0.5 * (apart**2).sum(axis=0) - np.log(np.diag(root)).sum()
        top = scores.max(axis=1, keepdims=True)
        return scores - top - np.log(np.exp(scores - top).sum(axis=1, keepdims=True))


def fitted(x: np.ndarray, of: np.ndarray, classes: int) -> GaussianReader:
    """To rows x (n, d) of class `of` (n,); every class has at least one row."""
    n, d = x.shape
    count = np.bincount(of, minlength=classes)
    means = np.stack([x[of == c].mean(axis=0) for c in range(classes)])
    apart = x - means[of]
    pooled = apart.T @ apart / max(n - classes, 1)
    pooled = pooled + RIDGE * max(float(np.trace(pooled)) / d, 1e-12) * np.eye(d)
    spreads = np.empty((classes, d, d))
    for c in range(classes):
        own = apart[of == c].T @ apart[of == c] / max(count[c] - 1, 1)
        share = d / (d + count[c])
        spreads[c] = (1 - share) * own + share * pooled
        spreads[c] += RIDGE * np.trace(pooled) / d * np.eye(d)
    return GaussianReader(np.log(count / n), means, spreads)


class Revealing:
    """Losses of any revealed groups on rows x (n, d): each half is read by the fit to the other. Remembers them."""

    def __init__(
        self, x: np.ndarray, of: np.ndarray, half: np.ndarray, groups: list[np.ndarray], classes: int
    ) -> None:
        self._x, self._of, self._half, self.groups = x, of, half, groups
        self._readers = [fitted(x[half != h], of[half != h], classes) for h in (0, 1)]
        self._known: dict[frozenset, tuple[np.ndarray, float]] = {}

    def loss(self, revealed) -> np.ndarray:
        """(n,) bits."""
        return self._of_set(revealed)[0]

    def accuracy(self, revealed) -> float:
        return self._of_set(revealed)[1]

    def _of_set(self, revealed) -> tuple[np.ndarray, float]:
        key = frozenset(revealed)
        if key not in self._known:
            columns = np.concatenate([np.zeros(0, np.int64), *(self.groups[g] for g in sorted(key))])
            loss, right = np.empty(len(self._of)), np.empty(len(self._of), bool)
            for h, reader in enumerate(self._readers):
                own = self._half == h
                logs = reader.log_posteriors(self._x[own], columns)
                loss[own] = -logs[np.arange(len(logs)), self._of[own]] / np.log(2)
                right[own] = logs.argmax(axis=1) == self._of[own]
            self._known[key] = loss, float(right.mean())
        return self._known[key]

    def gains(self, revealed, left) -> np.ndarray:
        """(len(left), n) bits of each group of `left` given the revealed ones."""
        before = self.loss(revealed)
        return np.stack([before - self.loss([*revealed, g]) for g in left])

    def shuffled(self, revealed, group: int, draws: int, rng: np.random.Generator) -> np.ndarray:
        """(draws,) mean gain of a group whose rows are shuffled among samples of its half, in the fit and after it."""
        columns = np.concatenate(
            [np.zeros(0, np.int64), *(self.groups[g] for g in sorted([*revealed, group]))]
        )
        names = np.searchsorted(columns, self.groups[group]) if np.all(np.diff(columns) > 0) else None
        before, classes = self.loss(revealed).mean(), len(self._readers[0].priors)
        out = np.empty(draws)
        for k in range(draws):
            x = self._x[:, columns].copy()
            at = names if names is not None else np.flatnonzero(np.isin(columns, self.groups[group]))
            for h in (0, 1):
                own = np.flatnonzero(self._half == h)
                x[np.ix_(own, at)] = x[np.ix_(rng.permutation(own), at)]
            whole = Revealing(x, self._of, self._half, [np.arange(x.shape[1])], classes)
            out[k] = before - whole.loss([0]).mean()
        return out
