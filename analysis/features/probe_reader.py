"""A linear probe of labels in the place of the network: what is left of a tap's use where the network cannot be run.

Rows of a sample are averaged, units standardised, and a softmax regression with a ridge is fitted to one half of the
samples and read on the other, both ways. It says what a linear reader loses, which is not what the network loses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations
from analysis.arrays import finite_rows
from analysis.compute.linear.softmax_regression import Softmax, softmax_fit
from analysis.compute.rows.class_codes import class_codes
from analysis.errors import NotEnoughData
from analysis.features.answers import CLEAN, Answers, Replacement, divergence, log_softmax, spread
from analysis.spec import Progress

SMALLEST, PENALTY, BLOCK = 4, 1e-2, 4096


@dataclass(frozen=True)
class Probe:
    """A softmax regression on standardised units: `mean`, `size` (d,), `fit`."""

    mean: np.ndarray
    size: np.ndarray
    fit: Softmax

    def scores(self, x: np.ndarray) -> np.ndarray:
        """(n, C) log-probabilities of rows `x` (n, d)."""
        return log_softmax((x - self.mean) / self.size @ self.fit.weights + self.fit.intercept)

    @property
    def weights(self) -> np.ndarray:
        """(d, C) on the units as they are."""
        return self.fit.weights / self.size[:, None]


def probe_of(x: np.ndarray, of: np.ndarray, classes: int) -> Probe:
    """Fitted to rows `x` (n, d) of class `of` (n,)."""
    mean, size = x.mean(axis=0), x.std(axis=0)
    size = np.where(size > 1e-9 * max(float(size.max()), 1e-300), size, 1.0)
    return Probe(mean, size, softmax_fit((x - mean) / size, of, classes, PENALTY))


def halves_of(of: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(n,) 0 or 1: half of every class."""
    half = np.zeros(len(of), np.int64)
    for c in np.unique(of):
        own = rng.permutation(np.flatnonzero(of == c))
        half[own[len(own) // 2 :]] = 1
    return half


class ProbeReader:
    """A `Reader` of class labels. Holds one mean row a sample. `half` (n,) 0 or 1: each sample is read by
    the probe of the other half."""

    is_network = False

    def __init__(
        self, tap: Activations, column: str, maximum: int, rng: np.random.Generator, progress: Progress, span
    ) -> None:
        found = class_codes(np.asarray(tap.samples[column]), column, SMALLEST)
        samples, of = np.flatnonzero(found.stay), found.codes
        notes = list(found.notes)
        if len(samples) > maximum:
            notes.append(f"A random {maximum:,} of {len(samples):,} labelled samples were read.")
            some = np.sort(rng.choice(len(samples), size=maximum, replace=False))
            samples, of = samples[some], of[some]
        self._tap, self.classes, self.column = tap, found.names, column
        self._offsets = np.asarray(tap.layout.offsets)
        self.samples, self.of = samples, of
        x, count = self._pooled(None, progress, span)
        good = count > 0
        self.samples, self.of, self._x, self._count = samples[good], of[good], x[good], count[good]
        if len(self.samples) < 2 * SMALLEST or len(np.unique(self.of)) < 2:
            raise NotEnoughData(
                f"{tap.name} has {len(self.samples)} labelled sample(s) with finite rows",
                f"at least {2 * SMALLEST}",
                "Record more samples",
            )
        self.half = halves_of(self.of, rng)
        self.probes = [
            probe_of(self._x[self.half != h], self.of[self.half != h], len(self.classes)) for h in (0, 1)
        ]
        self.what = f"a linear probe of '{column}'"
        self.notes = (
            *notes,
            f"The network was not run: a linear probe of '{column}', fitted to one half of the samples and read on the "
            "other, stands in its place. What it loses is not what the network loses.",
        )

    @property
    def pooled(self) -> np.ndarray:
        """(n, d) mean row of each sample."""
        return self._x

    def blocks(self, only: np.ndarray | None = None):
        """Yield (numbers (m,) of samples in `samples`, rows (m,), finite x (m, d) float64)."""
        own = np.arange(len(self.samples)) if only is None else np.flatnonzero(only)
        sizes = np.diff(self._offsets)[self.samples[own]]
        cut = np.cumsum(sizes) // BLOCK
        for b in np.unique(cut):
            some = own[cut == b]
            starts, stops = self._offsets[self.samples[some]], self._offsets[self.samples[some] + 1]
            rows = np.concatenate([np.arange(a, z) for a, z in zip(starts, stops, strict=True)])
            if not len(rows):
                continue
            x = np.asarray(self._tap.take(rows))
            good = finite_rows(x)
            yield np.repeat(some, stops - starts)[good], rows[good], x[good].astype(np.float64)

    def _pooled(self, replace: Replacement | None, progress: Progress, span, only=None):
        n, done = len(self.samples), 0
        total, count = np.zeros((n, self._tap.shape[1])), np.zeros(n)
        for at, rows, x in self.blocks(only):
            progress(span[0] + (span[1] - span[0]) * min(done / max(n, 1), 1), f"reading {self._tap.name}")
            done += len(np.unique(at))
            if not len(at):
                continue
            x = x if replace is None else np.asarray(replace(x, rows), np.float64)
            starts = np.flatnonzero(np.r_[True, np.diff(at) != 0])
            total[at[starts]] += np.add.reduceat(x, starts, axis=0)
            count += np.bincount(at, minlength=n)
        return total / np.maximum(count, 1)[:, None], count

    def scores(self, x: np.ndarray) -> np.ndarray:
        """(n, C) log-probabilities of each sample by the probe that did not see it."""
        out = np.empty((len(x), len(self.classes)))
        for h, probe in enumerate(self.probes):
            out[self.half == h] = probe.scores(x[self.half == h])
        return out

    def read(self, replacements: Mapping[str, Replacement], progress: Progress, span, only=None):
        clean, step = self.scores(self._x), (span[1] - span[0]) / max(len(replacements), 1)
        found = {CLEAN: self._answers(clean, clean, only)}
        for i, (name, replace) in enumerate(replacements.items()):
            at = span[0] + step * i
            x, _ = self._pooled(replace, progress, (at, at + step), only)
            found[name] = self._answers(clean, self.scores(x), only)
        return found

    def _answers(self, clean: np.ndarray, scores: np.ndarray, only) -> Answers:
        keep = slice(None) if only is None else only
        loss = -scores[np.arange(len(scores)), self.of]
        return Answers(loss[keep], divergence(clean, scores)[keep], scores.argmax(axis=1)[keep])

    def probabilities(self, replacements: Mapping[str, Replacement], n: int, progress: Progress, span):
        """(n, classes) of n samples spread over the data, by name."""
        only = np.isin(np.arange(len(self.samples)), spread(len(self.samples), n))
        found = {CLEAN: np.exp(self.scores(self._x))[only]}
        for i, (name, replace) in enumerate(replacements.items()):
            progress(span[0] + (span[1] - span[0]) * i / len(replacements), "reading changed rows")
            found[name] = np.exp(self.scores(self._pooled(replace, lambda *_: None, span, only)[0]))[only]
        return found

    @property
    def weights(self) -> np.ndarray:
        """(classes, d) mean of the probes' weights, centred over classes."""
        both = np.mean([p.weights for p in self.probes], axis=0).T
        return both - both.mean(axis=0)

    def slopes(self, progress: Progress, span):
        wrong = np.exp(self.scores(self._x))
        wrong[np.arange(len(wrong)), self.of] -= 1
        weights = np.stack([p.weights for p in self.probes])[self.half]
        slope = np.einsum("ndc,nc->nd", weights, wrong) / self._count[:, None]
        rows, parts = [], []
        for at, some, _ in self.blocks():
            progress(span[0], f"differentiating at {self._tap.name}")
            rows.append(some)
            parts.append(slope[at])
        return np.concatenate(rows), np.concatenate(parts)
