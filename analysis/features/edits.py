"""Edits of an attribute through a dictionary: rows of class a made like those of class b by exchanging a few features.

The supervised edit adds δ = μ_b - μ_a, the difference of class means. A dictionary's edit takes at most m features S
and gives each the mean value that it has in rows of b:

    x' = x + Σ_{i in S} (c̄_bi - c_i(x)) d_i,        S greedily, least |δ - Σ_{i in S} (c̄_bi - c̄_ai) d_i|

so that the row's own values of these features go and those of b come. Means and S are found on one half of the samples,
and the other half is edited. Which classes are exchanged is one cycle for each shift: class i becomes class i + s.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from analysis.features.answers import Replacement
from analysis.features.rivals import OWN, PRINCIPAL, RANDOM, Rivals

SUPERVISED, NOISE = "class means", "a random direction"
DIRECTIONS = 64  # random ones, dealt out to the samples: a single one leads to the wanted class, or nowhere


@dataclass(frozen=True)
class Codebook:
    """`encode(x (m, d)) -> (m, k)`, `directions` (k, d), and `back(changes (m, k) sparse, x) -> (m, d)`: what a change
    of codes does to rows."""

    encode: Callable[[np.ndarray], np.ndarray]
    directions: np.ndarray
    back: Callable


def codebooks(known: Rivals) -> dict[str, Codebook]:
    """Of the dictionary and the rivals that have features."""
    features = known.made.features
    own = features.decoder.astype(np.float64) / features.scale
    random = known.random.astype(np.float64) * known.gain
    plain = lambda directions: lambda changes, x: changes @ directions  # noqa: E731

    def beside(changes, x):
        x = x.astype(np.float32)
        none = features.decode_beside(np.zeros((1, features.n_features), np.float32), x)
        return (features.decode_beside(changes.astype(np.float32), x) - none).astype(np.float64)

    return {
        OWN: Codebook(
            lambda x: features.encode(x.astype(np.float32)), own, beside if features.normalise else plain(own)
        ),
        PRINCIPAL: Codebook(lambda x: (x - known.mean) @ known.axes.T, known.axes, plain(known.axes)),
        RANDOM: Codebook(known.random_codes, random, plain(random)),
    }


def chosen_features(
    start: np.ndarray, end: np.ndarray, directions: np.ndarray, wanted: np.ndarray, most: int
) -> np.ndarray:
    """Features (at most `most`) whose exchange from mean codes `start` to `end` (k,) comes nearest to `wanted` (d,).
    Greedy; none is taken that does not come nearer. O(most k d)."""
    change = end - start
    left, taken = wanted.copy(), []
    square = change**2 * (directions**2).sum(axis=1)
    while len(taken) < most:
        gain = 2 * change * (directions @ left) - square
        gain[taken] = -np.inf
        best = int(gain.argmax())
        if not gain[best] > 0:
            break
        taken.append(best)
        left -= change[best] * directions[best]
    return np.array(taken, dtype=np.int64)


@dataclass
class Edits:
    """What a half of the samples says: `means` (C, d) of rows, `codes` by dictionary (C, k) mean codes; `row_class`
    (n_rows,) number of each row's class among the C exchanged, -1 for others. `taken` by dictionary and pair."""

    known: Rivals
    books: dict[str, Codebook]
    means: np.ndarray
    codes: dict[str, np.ndarray]
    row_class: np.ndarray
    most: int
    taken: dict[tuple[str, int, int], np.ndarray] = field(default_factory=dict)
    moved: dict[tuple[str, int], list] = field(default_factory=dict)

    @property
    def count(self) -> int:
        return len(self.means)

    def features(self, name: str, a: int, b: int) -> np.ndarray:
        key = (name, a, b)
        if key not in self.taken:
            self.taken[key] = chosen_features(
                self.codes[name][a], self.codes[name][b], self.books[name].directions,
                self.means[b] - self.means[a], self.most,
            )  # fmt: skip
        return self.taken[key]

    def edit(self, name: str, shift: int, rng: np.random.Generator | None = None) -> Replacement:
        """Rows of class i become like class i + `shift`; others stay. `NOISE`: as long as the dictionary's own edit, in
        the sample's one of 64 random directions."""
        toward = None if rng is None else rng.standard_normal((DIRECTIONS, self.known.mean.shape[0]))
        sample_of = self.known.made.source.layout.sample_of

        def replace(x, rows):
            out, of, size = x.copy(), self.row_class[rows], []
            for a in np.unique(of[of >= 0]):
                at, b = np.flatnonzero(of == a), (a + shift) % self.count
                own = None if toward is None else toward[sample_of(rows[at]) % DIRECTIONS]
                delta = self._delta(name, x[at], a, b, own)
                out[at] += delta
                supervised = np.linalg.norm(self.means[b] - self.means[a])
                size.append(np.linalg.norm(delta, axis=1) / max(supervised, 1e-300))
            self.moved.setdefault((name, shift), []).extend(size)
            return out

        return replace

    def _delta(self, name: str, x: np.ndarray, a: int, b: int, toward) -> np.ndarray:
        if name == SUPERVISED:
            return np.broadcast_to(self.means[b] - self.means[a], x.shape)
        if name == NOISE:
            length = np.linalg.norm(self._delta(OWN, x, a, b, None), axis=1)
            return (length / np.linalg.norm(toward, axis=1))[:, None] * toward
        return exchanged(self.books[name], x, self.features(name, a, b), self.codes[name][b])


def exchanged(book: Codebook, x: np.ndarray, features: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Change (m, d) of rows `x` when `features` get `values` (k,)."""
    from scipy.sparse import csr_array

    if not len(features):
        return np.zeros_like(x)
    codes = book.encode(x)
    change = (values[features] - codes[:, features]).astype(np.float64)
    m, s = change.shape
    sparse = csr_array((change.ravel(), np.tile(features, m), np.arange(m + 1) * s), shape=codes.shape)
    return np.asarray(book.back(sparse, x), np.float64)


def edits_of(known: Rivals, blocks, row_class: np.ndarray, count: int, most: int) -> Edits:
    """From the rows of one half of the samples, `blocks` of (rows, x)."""
    d, books = known.mean.shape[0], codebooks(known)
    sums, sizes = np.zeros((count, d)), np.zeros(count)
    totals = {name: np.zeros((count, len(b.directions))) for name, b in books.items()}
    for rows, x in blocks:
        of = row_class[rows]
        hot = (of[:, None] == np.arange(count)).astype(np.float64)
        sums += hot.T @ x
        sizes += hot.sum(axis=0)
        for name, book in books.items():
            totals[name] += hot.T @ book.encode(x)
    sizes = np.maximum(sizes, 1)[:, None]
    return Edits(known, books, sums / sizes, {k: t / sizes for k, t in totals.items()}, row_class, most)
