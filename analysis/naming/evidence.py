"""What a language model is told of a feature: examples of one half of the samples to name it by, of the other to judge.

Of the samples where it is active and of the others, half go to each side at random, anew for each feature. A row is
active where the feature is above 0; where it is 0 on less than half of the rows, or kept densely, in the upper tenth of
its values. One example for each sample: the strongest, some between the median and the weakest, and places where it is
silent. For judging there are as many active as silent examples, without marks; the active ones are spread evenly over
the feature's strengths. An example whose text the model has been told is left out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from analysis.errors import NotEnoughData, NotFound
from analysis.naming.row_words import LONGEST, TEXT, Example, RowWords

STRONGEST, WEAK, SILENT = 8, 4, 6
JUDGED = 10  # active examples to judge by, and as many silent ones
FEWEST_JUDGED = 4
UPPER = 0.9


@dataclass(frozen=True)
class Evidence:
    """`kind`: TEXT or COLUMNS. `held_out`: to be judged by, in a random order; too few where it is empty, `few` says
    how many there were. `words`: what the examples are, to be shown."""

    kind: str
    strongest: tuple[Example, ...]
    weak: tuple[Example, ...]
    silent: tuple[Example, ...]
    held_out: tuple[Example, ...]
    few: str = ""
    marked: bool = True

    @property
    def words(self) -> str:
        if self.kind == TEXT:
            return (
                "a few words of text around each place"
                if self.marked
                else f"texts up to {LONGEST} characters"
            )
        return "labels and columns of the samples and the places of patches, and no picture"


def evidence(store, tap: str, feature: int, seed: int = 0) -> Evidence:
    """Read one feature. The same for the same tap, feature and seed.

    Raises NotFound for a feature that there is not, NotEnoughData for one that is never active, or where samples have
    neither text nor columns.
    """
    activations = store.activations(tap)
    if not 0 <= feature < activations.shape[1]:
        raise NotFound(f"{activations.name} has no feature {feature}", f"0 … {activations.shape[1] - 1}")
    told = RowWords(store, tap)
    rows, values, gaps = active_rows(activations, feature)
    rng = np.random.default_rng([seed, feature])
    keep = told.has_text(rows)
    rows, values = rows[keep], values[keep]
    peaks = _peaks(activations.layout, rows, values)
    if not peaks:
        raise NotEnoughData(f"feature {feature} of {activations.name} is never active", "a feature that is")
    first = named_by(activations.layout.n_samples, [p[0] for p in peaks], rng)
    own = sorted((p for p in peaks if first[p[0]]), key=lambda p: (-p[2], p[1]))
    most = own[0][2] or 1.0
    shown = [told.example(row, value, most, rows) for _, row, value in own[:STRONGEST]]
    below = own[max(STRONGEST, len(own) // 2) :]
    weak = [told.example(row, value, most, rows) for _, row, value in _spread(below, WEAK)]
    quiet = told.silent(np.flatnonzero(first), rows, gaps, rng, SILENT)
    held, few = _held_out(told, peaks, first, rows, gaps, rng, {e.plain for e in (*shown, *weak, *quiet)})
    return Evidence(told.kind, tuple(shown), tuple(weak), tuple(quiet), held, few, told.marked)


def active_rows(activations, feature: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(rows, values, gaps): where a feature is active and how strongly, rising, and rows of which nothing is known."""
    if hasattr(activations, "entries_of"):
        rows, values = activations.entries_of(feature)
        if 2 * len(rows) <= activations.shape[0]:
            on = values > 0
            return rows[on], values[on].astype(np.float64), activations.gaps
    x = np.asarray(activations.unit(feature), np.float64)
    good = np.isfinite(x)
    if not good.any():
        return np.zeros(0, np.int64), np.zeros(0), np.flatnonzero(~good)
    least = np.quantile(x[good], UPPER)
    rows = np.flatnonzero(good & (x > least))
    return rows, x[rows] - least, np.flatnonzero(~good)


def named_by(n_samples: int, active: list[int], rng: np.random.Generator) -> np.ndarray:
    """(n,) bool: the samples to name a feature by, half of the `active` ones and half of the others; the first of them
    where their number is odd."""
    first = np.zeros(n_samples, bool)
    for group in (np.asarray(active, np.int64), np.setdiff1d(np.arange(n_samples), active)):
        first[rng.permutation(group)[: (len(group) + 1) // 2]] = True
    return first


def _peaks(layout, rows: np.ndarray, values: np.ndarray) -> list[tuple[int, int, float]]:
    """(sample, row, value) of the strongest active row of each sample that has one."""
    of = layout.sample_of(rows)
    order = np.lexsort((rows, -values, of))
    head = order[np.flatnonzero(np.diff(of[order], prepend=-1))]
    return [(int(of[i]), int(rows[i]), float(values[i])) for i in head]


def _spread(items: list, most: int) -> list:
    """At most so many, evenly over the list, both ends among them."""
    if len(items) <= most:
        return items
    return [items[i] for i in np.round(np.linspace(0, len(items) - 1, most)).astype(int)]


def _held_out(told, peaks, first, rows, gaps, rng, known: set[str]) -> tuple[tuple[Example, ...], str]:
    """As many active as silent examples that the model has not been told, shuffled; else why there are too few."""
    there = sorted((p for p in peaks if not first[p[0]]), key=lambda p: (-p[2], p[1]))
    active = [replace(told.example(row, 0.0, 1.0, rows), active=True) for _, row, _ in _spread(there, JUDGED)]
    silent = told.silent(np.flatnonzero(~first), rows, gaps, rng, JUDGED)
    if told.kind == TEXT:  # columns of different samples are often the same, and rightly so
        active, silent = ([e for e in each if e.plain not in known] for each in (active, silent))
    n = min(len(active), len(silent))
    if n < FEWEST_JUDGED:
        what = "active" if len(active) < FEWEST_JUDGED else "silent"
        return (), f"only {min(len(active), len(silent))} held-out examples in which it is {what}"
    both = [*_spread(active, n), *silent[:n]]
    return tuple(both[i] for i in rng.permutation(len(both))), ""
