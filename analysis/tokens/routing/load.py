"""How evenly tokens are spread over experts.

    f_e share of choices that fall on expert e, P_e its mean gate:   balance loss E Σ f_e P_e, 1 where both are even
    a capacity of c n k / E choices:   overflow Σ_e max(0, n_e - capacity) / (n k)

Sums over groups of samples are kept, so that a jackknife costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.tokens.routing.gates import chosen, effective, gates, marked


@dataclass(frozen=True)
class Load:
    """Of G groups of tokens: choices that fell on each expert and sums of gates (G, E), tokens, and sums of experts in
    use (G,); `k` choices of a token."""

    counts: np.ndarray
    mass: np.ndarray
    tokens: np.ndarray
    used: np.ndarray
    k: int

    @property
    def experts(self) -> int:
        return self.counts.shape[1]

    @property
    def whole(self) -> Load:
        """All groups as one."""
        return Load(*(x.sum(axis=0, keepdims=True) for x in self.parts), self.k)

    @property
    def without(self) -> Load:
        """Each group left out."""
        return Load(*(x.sum(axis=0, keepdims=True) - x for x in self.parts), self.k)

    @property
    def parts(self) -> tuple[np.ndarray, ...]:
        return self.counts, self.mass, self.tokens, self.used

    @property
    def shares(self) -> np.ndarray:
        """f (G, E), each row of sum 1."""
        return self.counts / (self.tokens * self.k)[:, None]

    def balance(self) -> np.ndarray:
        """(G,) E Σ f P."""
        return self.experts * (self.shares * self.mass / self.tokens[:, None]).sum(axis=1)

    def lost(self, factor: float) -> np.ndarray:
        """(G, E) choices beyond the capacity of each expert."""
        capacity = np.ceil(factor * self.tokens * self.k / self.experts - 1e-9)
        return np.maximum(self.counts - capacity[:, None], 0.0)

    def overflow(self, factor: float) -> np.ndarray:
        """(G,) share of all choices that is lost."""
        return self.lost(factor).sum(axis=1) / (self.tokens * self.k)

    def evenness(self) -> np.ndarray:
        """(G,) exp(entropy of f): experts that share the load."""
        return effective(self.shares)

    def in_use(self) -> np.ndarray:
        """(G,) experts in use for one token, mean."""
        return self.used / self.tokens


def load(logits: np.ndarray, k: int, groups: np.ndarray) -> Load:
    """Of logits (n, E), with tokens of the groups (n,) 0, 1, …"""
    p, many = gates(logits), int(groups.max()) + 1
    hits, used = marked(chosen(logits, k), logits.shape[1]), effective(p)
    order = np.argsort(groups, kind="stable")
    cuts = np.searchsorted(groups[order], np.arange(many))
    add = lambda x: np.add.reduceat(x[order], cuts, axis=0)  # noqa: E731
    return Load(add(hits), add(p), np.bincount(groups, minlength=many).astype(float), add(used), k)


def dealt(logits: np.ndarray, samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Logits with the experts of each sample (n,) renamed at random: every token is as sure as before, tokens of a
    sample still go together, and no expert is preferred."""
    _, of = np.unique(samples, return_inverse=True)
    names = rng.permuted(np.tile(np.arange(logits.shape[1]), (int(of.max()) + 1, 1)), axis=1)
    return np.take_along_axis(logits, names[of], axis=1)
