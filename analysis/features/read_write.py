"""What a feature reads and what it writes, in the same words: the outputs (tokens of a vocabulary, classes).

The outputs of a feature are the L that its direction raises most if it goes straight to the output layer. Its input
score is the share of its strongest contexts whose own token, or class, is among them; contexts are rows of different
samples, at most 100, and of classes no more than a tenth of the samples. Its output score is (1 - best rank / V) x
(highest probability) of them once the feature is amplified; over prompts the mean.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.dictionaries.sparse_codes import code_blocks
from analysis.compute.streaming import Pass
from analysis.errors import InputError, NotFound
from analysis.features.logit_weights import _shown, unembedding_of
from analysis.features.tap_dictionary import TapDictionary
from analysis.spec import Progress

CONTEXTS, TENTH, LEAST = 100, 10, 8
DRAWN = 25  # sets of contexts for each random latent


@dataclass(frozen=True)
class Words:
    """Outputs: `weight` (V, d) from directions of the tap, `names` (V,), where they are from in words, and `of` a row:
    `own` (rows,) the number of the row's token (`of_tokens`) or class, -1 where it has none."""

    weight: np.ndarray
    names: tuple[str, ...]
    said: str
    own: np.ndarray
    of_tokens: bool

    def raised(self, direction: np.ndarray, count: int) -> np.ndarray:
        """(count,) outputs with the largest weights, falling."""
        return np.argsort(-(self.weight @ direction), kind="stable")[:count]


def words_of(tap, made: TapDictionary, reader) -> Words:
    """The outputs of the network, or the classes of the probe in its place.

    Raises NotFound or InputError, in words: no output layer of this width, no vocabulary, texts without tokens."""
    layout, n = tap.layout, tap.shape[0]
    own = np.full(n, -1)
    if reader.is_network:
        found = unembedding_of(made.source, made.source.store.classes)
        weight, names, said = found.weight, found.names, found.said
    else:
        weight, names, said = reader.weights, reader.classes, reader.what
    of_tokens = reader.is_network and tap.tokens(0) is not None
    if of_tokens:
        number = {name: i for i, name in enumerate(names)}
        for s in range(layout.n_samples):
            texts = tap.tokens(s) or []
            first, stop = int(layout.offsets[s]), int(layout.offsets[s + 1])
            lead = stop - first - len(texts)
            if lead not in (0, layout.leading):
                continue
            own[first + lead : stop] = [
                number.get(_shown(t, False), number.get(_shown(t, True), -1)) for t in texts
            ]
    else:
        classes = np.full(layout.n_samples, -1)
        classes[reader.samples] = reader.of
        own = np.repeat(classes, np.diff(layout.offsets))
    if not (own >= 0).any():
        raise NotFound(
            f"no row of {tap.name} has a token or class that the {len(names)} outputs of {said} name",
            "token texts of the network's own vocabulary, or labels that are its classes",
            "Record the texts with their tokens, or read by a linear probe of labels",
        )
    return Words(weight, tuple(names), said, own, of_tokens)


@dataclass(frozen=True)
class Contexts:
    """Of each of k features: `rows` (k, m) its strongest rows, one for each sample, -1 for none; `size` (k,) the mean
    of their values."""

    rows: np.ndarray
    size: np.ndarray


def strongest_contexts(tap, words: Words, features: np.ndarray, seen: Pass, progress: Progress, span):
    """Of the `features` (k,), among rows with a token or class. One pass; memory O(samples k)."""
    n, k = tap.layout.n_samples, len(features)
    best, row = np.zeros((n, k), np.float32), np.full((n, k), -1, np.int32)
    for rows, block in code_blocks(tap, seen, progress, span):
        keep = np.flatnonzero(words.own[rows] >= 0)
        if not len(keep):
            continue
        values, at = np.asarray(block[keep][:, features].todense(), np.float32), rows[keep]
        sample = tap.layout.sample_of(at)
        starts = np.flatnonzero(np.r_[True, np.diff(sample) != 0])
        for a, z in zip(starts, np.r_[starts[1:], len(at)], strict=True):
            top = values[a:z].argmax(axis=0)
            value, s = values[a:z][top, np.arange(k)], sample[a]
            new = value > best[s]
            best[s, new], row[s, new] = value[new], at[a + top[new]]
    there = CONTEXTS if words.of_tokens else max(LEAST, int((row >= 0).any(axis=1).sum()) // TENTH)
    order = np.argsort(-best, axis=0, kind="stable")[: min(CONTEXTS, there)]
    value, found = np.take_along_axis(best, order, axis=0), np.take_along_axis(row, order, axis=0)
    found[value <= 0] = -1
    counts = np.maximum((found >= 0).sum(axis=0), 1)
    return Contexts(found.T, np.where(found >= 0, value, 0).sum(axis=0, dtype=np.float64) / counts)


def input_score(words: Words, rows: np.ndarray, raised: np.ndarray) -> float:
    """Share of the contexts `rows` (m,) whose own token is among the outputs `raised`."""
    rows = rows[rows >= 0]
    return float(np.isin(words.own[rows], raised).mean()) if len(rows) else 0.0


def chance_levels(
    words: Words, raised: list[np.ndarray], counts: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Of random latents with the outputs `raised`: each one's share of the rows with a token or class that are of its
    outputs; and for each of `counts` (k,) the input score that 95 % of them stay below with so many contexts drawn at
    random: few contexts have a large share by luck."""
    own = words.own[words.own >= 0]
    shares = np.array([np.isin(own, r).mean() for r in raised])
    level = {}
    for count in np.unique(counts).tolist():
        drawn = rng.binomial(count, shares[:, None], size=(len(shares), DRAWN)) / count
        level[count] = np.percentile(drawn, 95)
    return shares, np.array([level[count] for count in counts.tolist()])


def output_score(probabilities: np.ndarray, raised: np.ndarray) -> np.ndarray:
    """(n,) for each prompt, of probabilities (n, V): (1 - best rank / V) (highest probability)."""
    top = probabilities[:, raised].max(axis=1)
    rank = (probabilities > top[:, None]).sum(axis=1)
    return (1 - rank / probabilities.shape[1]) * top


def amplified(made: TapDictionary, direction: np.ndarray, size: float):
    """A replacement that adds `size` times a direction to every row."""

    def replace(x, rows):
        return x + size * made.features.row_sizes(x) * direction

    return replace


def refuse_none(fires: np.ndarray, name: str) -> None:
    if not len(fires):
        raise InputError(f"no feature of {name} is above 0 in a row with a token or class", "one or more")
