"""The interpretability axis of the court: how well codes of several dictionaries tell classes, on the same samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations
from analysis.arrays import finite_rows
from analysis.compute.dictionaries.concept_scores import f1, f1_parts, halves, judged
from analysis.features.edits import codebooks
from analysis.features.rivals import PRINCIPAL, Rivals, RowClasses

BLOCK, SMALLEST = 2048, 4


@dataclass(frozen=True)
class Told:
    """Mean F1 over classes of the best feature, chosen on one half of the samples and judged on the other, with its
    bootstrap interval over samples, and the mean of the same search with exchanged labels."""

    value: float
    low: float
    high: float
    chance: float


def classes_told(
    source: Activations, known: Rivals, classes: RowClasses, most: int, draws: int, rng: np.random.Generator
) -> tuple[dict[str, Told], int]:
    """By dictionary, and the number of samples. Principal components count with both signs. Raises nothing: empty where
    fewer than two classes have four samples."""
    offsets = np.asarray(source.layout.offsets)
    of = np.full(source.layout.n_samples, -1)
    has = np.diff(offsets) > 0
    of[has] = classes.codes[offsets[:-1][has]]
    good = np.flatnonzero(np.bincount(of[of >= 0], minlength=1) >= SMALLEST)
    samples = np.flatnonzero(np.isin(of, good))
    if len(good) < 2:
        return {}, 0
    if len(samples) > most:
        samples = np.sort(rng.choice(samples, size=most, replace=False))
    hot = of[samples][:, None] == good
    hot = hot[:, hot.sum(axis=0) >= SMALLEST]
    if hot.shape[1] < 2:
        return {}, 0
    first, out = halves(of[samples], rng), {}
    mixed = [rng.permutation(len(samples)) for _ in range(draws)]
    for name, values in _pooled(source, known, samples).items():
        fires = (values != values[0]).any(axis=0)
        values = values[:, fires] if fires.any() else values[:, :1]
        single = judged(values, hot, first, unions=False)[1]
        null = [f1(judged(values, hot[m], first, unions=False)[1], hot[m]).mean() for m in mixed]
        value, (above, below) = float(f1(single, hot).mean()), f1_parts(single, hot)
        drawn = []
        for _ in range(200):
            at = rng.integers(len(hot), size=len(hot))
            drawn.append((above[at].sum(axis=0) / np.maximum(below[at].sum(axis=0), 1)).mean())
        low, high = np.percentile(drawn, [2.5, 97.5])
        out[name] = Told(value, min(float(low), value), max(float(high), value), float(np.mean(null)))
    return out, len(samples)


def _pooled(source: Activations, known: Rivals, samples: np.ndarray) -> dict[str, np.ndarray]:
    """Codes (n, k) of every dictionary, the maximum over the rows of each sample; finite rows only."""
    books, offsets = codebooks(known), np.asarray(source.layout.offsets)
    out = {name: np.full((len(samples), len(b.directions) * (1 + (name == PRINCIPAL))), -np.inf)
           for name, b in books.items()}  # fmt: skip
    rows = np.concatenate([np.arange(offsets[i], offsets[i + 1]) for i in samples])
    at = np.repeat(np.arange(len(samples)), np.diff(offsets)[samples])
    for start in range(0, len(rows), BLOCK):
        x = np.asarray(source.take(rows[start : start + BLOCK]))
        good = finite_rows(x)
        if not good.any():
            continue
        own, x = at[start : start + BLOCK][good], x[good].astype(np.float64)
        starts = np.flatnonzero(np.r_[True, np.diff(own) != 0])
        for name, book in books.items():
            codes = book.encode(x)
            codes = np.hstack([codes, -codes]) if name == PRINCIPAL else codes
            most = np.maximum.reduceat(codes, starts, axis=0)
            out[name][own[starts]] = np.maximum(out[name][own[starts]], most)
    return {name: np.where(np.isfinite(v), v, 0.0) for name, v in out.items()}
