"""What projected keys and values cost: the outputs of attention, or the answer of the network.

Projections are fitted on every other sample and judged on the rest, and the other way round, so that no sample is
judged by a projection that has seen it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.tokens.cache.projections import AtRandom, Principal, QueryWeighted, shared_out
from analysis.tokens.cache.reading import Cache, Cached, attended
from analysis.tokens.cache.trained import KEYS, VALUES, Nested
from analysis.tokens.outputs import changes

WEIGHTED, PCA, RANDOM, SHARED = (
    "query-weighted",
    "PCA of keys",
    "random directions",
    "query-weighted, shared out",
)
TRAINED = "trained"
WAYS = (WEIGHTED, PCA, SHARED, RANDOM)
FOLDS, MOST_RANKS = 2, 12


@dataclass(frozen=True)
class Fitted:
    """Projections of one fold: by way, [layer][head] of keys; `values` likewise; `energies` (L · H, e) squared singular
    values of the heads' logits."""

    keys: dict[str, list[list]]
    values: dict[str, list[list]]
    energies: np.ndarray

    def matrices(self, way: str, rank: int, layer: int, with_values: bool) -> tuple[np.ndarray, np.ndarray]:
        """((H, e, e) what keys are multiplied by from the right, the same of values), rank numbers a head; where ranks
        of keys are shared out, on average over all layers."""
        of = WEIGHTED if way == SHARED else way
        heads = len(self.keys[of][layer])
        ranks = np.full(heads, rank)
        if way == SHARED:
            ranks = shared_out(self.energies, rank * len(self.energies)).reshape(-1, heads)[layer]
        keys = np.stack([p(int(r)).T for p, r in zip(self.keys[of][layer], ranks, strict=True)])
        if not with_values:
            return keys, np.broadcast_to(np.eye(keys.shape[-1]), keys.shape)
        return keys, np.stack([p(rank) for p in self.values[of][layer]])


def ways_of(cache: Cache, ways: tuple[str, ...]) -> tuple[str, ...]:
    """These, and trained projections where there are some."""
    return (*ways, TRAINED) if cache.trained else ways


def fitted(cache: Cache, fold: int, rng: np.random.Generator) -> Fitted:
    """Of all samples that are not of this fold."""
    samples = [s for i, s in enumerate(cache.samples) if i % FOLDS != fold]
    layers, heads, _, e = cache.shape
    q = sum(_moment(s.queries.reshape(layers, heads, -1, e)) for s in samples)
    k, v = sum(_moment(s.keys) for s in samples), sum(_moment(s.values) for s in samples)
    grid = [[(i, j) for j in range(heads)] for i in range(layers)]

    def each(make):
        return [[make(i, j) for i, j in row] for row in grid]

    weighted = each(lambda i, j: QueryWeighted(q[i, j], k[i, j]))
    principal = each(lambda i, j: Principal(v[i, j]))
    chance = each(lambda i, j: AtRandom(e, rng))
    energies = np.square([p.singular for row in weighted for p in row])
    keys = {WEIGHTED: weighted, PCA: each(lambda i, j: Principal(k[i, j])), RANDOM: chance}
    values = {WEIGHTED: principal, PCA: principal, RANDOM: chance}
    if cache.trained:
        own, other = cache.trained[KEYS], cache.trained.get(VALUES)
        keys[TRAINED] = each(lambda i, j: Nested(own[i, j]))
        values[TRAINED] = principal if other is None else each(lambda i, j: Nested(other[i, j]))
    return Fitted(keys, values, energies)


def ranks_of(e: int) -> np.ndarray:
    """Ranks that are tried, the last of them e."""
    return np.unique(np.round(np.linspace(1, e, min(e, MOST_RANKS))).astype(int))


def output_errors(
    cache: Cache, ways: tuple[str, ...], ranks: np.ndarray, with_values: bool, rng, progress, span=(0.5, 1.0)
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """(by way (n, R, L, H) squared error of the heads' outputs on each sample, (n, L, H) their squared size)."""
    folds = [fitted(cache, f, rng) for f in range(FOLDS)]
    layers, heads, _, _ = cache.shape
    errors = {way: np.zeros((cache.n, len(ranks), layers, heads)) for way in ways}
    size = np.zeros((cache.n, layers, heads))
    for layer in range(layers):
        made = [{(w, r): folds[f].matrices(w, int(r), layer, with_values) for w in ways for r in ranks}
                for f in range(FOLDS)]  # fmt: skip
        for i, s in enumerate(cache.samples):
            done = (layer * cache.n + i) / (layers * cache.n)
            progress(span[0] + (span[1] - span[0]) * done, "attention with projected keys")
            q, k, v = s.queries[layer], s.keys[layer], s.values[layer]
            whole = attended(q, k, v, cache.causal)
            size[i, layer] = np.square(whole).sum(axis=(1, 2, 3))
            for way in ways:
                for j, r in enumerate(ranks):
                    a, b = made[i % FOLDS][way, r]
                    errors[way][i, j, layer] = np.square(attended(q, k @ a, v @ b, cache.causal) - whole).sum(
                        axis=(1, 2, 3)
                    )
    return errors, size


def relative(errors: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Root of errors over sizes, 0 where there is nothing."""
    return np.sqrt(np.where(size > 0, errors / np.where(size > 0, size, 1), 0))


def answer_errors(
    cache: Cache, ways: tuple[str, ...], ranks: np.ndarray, with_values: bool, rng, progress, span=(0.5, 1.0)
) -> dict[str, np.ndarray]:
    """By way (n, R) Kullback-Leibler divergence in nats of the network's answer (of text: of the next token) with the
    keys of all layers projected, from the one without."""
    folds = [fitted(cache, f, rng) for f in range(FOLDS)]
    network, layers = cache.who.opened.network, cache.shape[0]
    nats = {way: np.zeros((cache.n, len(ranks))) for way in ways}
    made = {(f, w, r): [folds[f].matrices(w, int(r), x, with_values) for x in range(layers)]
            for f in range(FOLDS) for w in ways for r in ranks}  # fmt: skip
    for i in range(cache.n):
        progress(span[0] + (span[1] - span[0]) * i / cache.n, "the network with projected keys")
        inputs = cache.who.opened.prepared(i, i + 1)
        whole = network.run(inputs)
        for way in ways:
            for j, r in enumerate(ranks):
                change = changed_cache(cache, made[i % FOLDS, way, r])
                nats[way][i, j] = changes(whole, network.run(inputs, change=change))[1][0]
    return nats


def changed_cache(cache: Cache, matrices: list[tuple[np.ndarray, np.ndarray]]):
    """What `TokenNetwork.run` takes as `change`: keys and values projected around their means."""
    import torch

    shared = cache.shape[2]

    def change(layer, keys, values):
        out = []
        for x, mean, matrix in zip((keys, values), cache.means, matrices[layer], strict=True):
            m, p = (torch.from_numpy(np.repeat(a, shared, axis=0)).to(x.dtype) for a in (mean[layer], matrix))
            out.append(m + (x - m) @ p)
        return out

    return change


def _moment(x: np.ndarray) -> np.ndarray:
    return x.swapaxes(-1, -2) @ x


def one_sample(queries, keys, values) -> Cached:
    """Of arrays (L, H, t, e): for checks and tests."""
    return Cached(queries[:, :, None], keys, values)
