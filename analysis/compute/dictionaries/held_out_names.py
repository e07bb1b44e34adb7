"""Words for features, and features for words: chosen on the samples of one half, judged on the other half."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from analysis.activations import Activations
from analysis.compute.dictionaries.detection import (
    LEVELS,
    Detectors,
    Judged,
    both,
    detectors,
    f1_of,
    finite_of,
    judged_pairs,
)
from analysis.compute.dictionaries.row_attributes import RowAttributes, row_attributes
from analysis.errors import NotEnoughData, ParameterError
from analysis.spec import Progress, no_progress, param

FEWEST_SAMPLES = 8
CONTEXT = 24  # characters before the token of an example


@dataclass(frozen=True)
class NamingParams:
    """What every view of words and features asks."""

    kinds: str = param("", "Kinds of your own: 'name: word word', several with ; between, e.g. 'loop: for while'.",
                       label="kinds of your own")  # fmt: skip
    draws: int = param(19, "Exchanges of texts between samples.", low=4, high=199)
    maximum_rows: int = param(200_000, "Most rows; a seeded random subset of the samples above.", low=100,
                              high=5_000_000)  # fmt: skip


@dataclass(frozen=True)
class Observed:
    """Some samples of a tap: `rows` (m,), `sample` (m,) of each, their attributes and detectors, `first` (m,) bool, the
    rows of the half that choices are made on, and a `note` of what was left out."""

    rows: np.ndarray
    sample: np.ndarray
    attributes: RowAttributes
    found: Detectors
    first: np.ndarray
    note: str

    @cached_property
    def halves(self) -> tuple[tuple[np.ndarray, Detectors], tuple[np.ndarray, Detectors]]:
        """(rows' places, their detectors) of the half that choices are made on, and of the other."""
        yes = self.found.yes.tocsr()
        places = (np.flatnonzero(self.first), np.flatnonzero(~self.first))
        return tuple((at, Detectors(yes[at].tocsc(), self.found.thresholds)) for at in places)

    def choose_and_judge(self, hot, choose) -> tuple[np.ndarray, np.ndarray, Judged]:
        """What `choose` (detectors, attributes) -> (detector, attribute) finds on one half with attributes `hot`
        (m, C), and its scores on the other."""
        (one, first), (other, second) = self.halves
        rows = hot.tocsr()
        detector, attribute = choose(first, rows[one].tocsc())
        scored = judged_pairs(second, rows[other].tocsc(), detector, attribute, self.sample[other])
        return detector, attribute, scored

    def by_chance(
        self, choose, draws: int, rng: np.random.Generator, progress: Progress, span: tuple[float, float]
    ) -> list[Judged]:
        """The same scores with samples exchanged, so many times."""
        found, rows = [], self.attributes.hot.tocsr()
        for draw in range(draws):
            progress(span[0] + (span[1] - span[0]) * draw / draws, "exchanging texts between samples")
            found.append(self.choose_and_judge(rows[self.exchanged(rng)], choose)[2])
        return found

    def exchanged(self, rng: np.random.Generator) -> np.ndarray:
        """(m,) rows in an order that gives the activations of every sample another sample's text, turned by a random
        number of tokens: places in a sample are attributes, too, and would stay as they are."""
        starts = np.flatnonzero(np.r_[True, self.sample[1:] != self.sample[:-1]])
        sizes, order = np.diff(np.r_[starts, len(self.sample)]), rng.permutation(len(starts))
        other = np.empty(len(starts), np.int64)
        other[order] = np.roll(order, 1)  # one circle through all: nobody keeps his own
        token = np.arange(len(self.sample)) - np.repeat(starts, sizes)
        turn = rng.integers(sizes[other])
        other, turn = np.repeat(other, sizes), np.repeat(turn, sizes)
        return starts[other] + (token + turn) % sizes[other]


def observed(
    activations: Activations, params: NamingParams, rng: np.random.Generator, progress: Progress = no_progress
) -> Observed:
    """Read a tap for naming. Raises NotEnoughData for fewer than `FEWEST_SAMPLES` samples, or nothing to say;
    ParameterError for kinds that cannot be read."""
    own, maximum_rows = own_groups(params.kinds), params.maximum_rows
    layout = activations.layout
    n, sizes = layout.n_samples, np.diff(layout.offsets)
    if n < FEWEST_SAMPLES:
        raise NotEnoughData(
            f"{activations.name} has {n} samples", f"at least {FEWEST_SAMPLES}, half to judge by"
        )
    order = rng.permutation(n)
    most = max(FEWEST_SAMPLES, int(np.searchsorted(np.cumsum(sizes[order]), maximum_rows, side="right")))
    samples = np.sort(order[:most])
    note = "" if most >= n else f"A random {most:,} of {n:,} samples were read."
    progress(0.05, "reading texts and columns")
    rows, attributes = row_attributes(activations, samples, own)
    if not len(attributes.names):
        raise NotEnoughData(
            f"{activations.name} has neither classes, columns nor texts that at least five rows share",
            "labels, text columns or tokens", "Record with labels or metadata, or a text tap with every token",
        )  # fmt: skip
    progress(0.15, "reading features")
    rows, attributes, said = _finite(activations, rows, attributes)
    sample = layout.sample_of(rows)
    samples, note = np.unique(sample), " ".join(filter(None, [note, said]))
    first = np.isin(sample, rng.permutation(samples)[: len(samples) // 2])
    return Observed(rows, sample, attributes, detectors(activations, rows), first, note)


def _finite(activations: Activations, rows: np.ndarray, attributes: RowAttributes):
    """Without rows that are not finite, and a sentence about them."""
    good, said = finite_of(activations, rows), ""
    if not good.all():
        said = f"{int((~good).sum()):,} rows with NaN or infinity were left out."
        rows, attributes = rows[good], attributes.only(np.flatnonzero(good))
    left = len(np.unique(activations.layout.sample_of(rows)))
    if left < FEWEST_SAMPLES or not len(attributes.names):
        raise NotEnoughData(
            f"{activations.name} has {left} samples with finite rows",
            f"at least {FEWEST_SAMPLES} that share a word",
        )
    return rows, attributes, said


def best_attribute(found: Detectors, hot) -> tuple[np.ndarray, np.ndarray]:
    """(detector column, attribute) (k,) of the best F1 of every feature over levels and attributes."""
    k = found.n_features
    f1 = f1_of(*both(found, hot)).reshape(len(LEVELS), k, -1).transpose(1, 0, 2)
    best = f1.reshape(k, -1).argmax(axis=1)
    level, attribute = np.divmod(best, f1.shape[2])
    return level * k + np.arange(k), attribute


def best_detector(found: Detectors, hot) -> tuple[np.ndarray, np.ndarray]:
    """(detector column, attribute) (C,) of the best F1 for every attribute."""
    return f1_of(*both(found, hot)).argmax(axis=0), np.arange(hot.shape[1])


def own_groups(text: str) -> dict[str, tuple[str, ...]]:
    """`name: word word; name: word` as groups. Raises ParameterError for a group without a name or without words."""
    groups = {}
    for part in filter(str.strip, text.replace("\n", ";").split(";")):
        name, colon, words = part.partition(":")
        if not colon or not name.strip() or not words.split():
            raise ParameterError(
                f"kinds of your own: {part.strip()!r}", "'name: word word', several with ; between"
            )
        groups[name.strip()] = tuple(words.split())
    return groups


def strongest_texts(activations: Activations, unit: int, many: int = 3) -> str:
    """Where a feature is strongest, one place a sample: the text up to the ⟦token⟧ and a little after; sample ids where
    there is no text."""
    values = np.nan_to_num(np.asarray(activations.unit(unit), np.float64), nan=-np.inf)
    said, seen, layout = [], set(), activations.layout
    tokens = getattr(activations, "tokens", None)
    for row in np.argsort(-values, kind="stable")[: 200 * many]:
        sample = int(layout.sample_of(row))
        if sample in seen or not values[row] > 0:
            continue
        seen.add(sample)
        said.append(_place(tokens(sample) if tokens else None, row, sample, activations))
        if len(said) == many:
            break
    return "  ·  ".join(said)


def _place(texts: list[str] | None, row: int, sample: int, activations: Activations) -> str:
    layout = activations.layout
    count = int(layout.offsets[sample + 1] - layout.offsets[sample])
    at = int(row - layout.offsets[sample]) - (count - len(texts) if texts else 0)
    if not texts or not 0 <= at < len(texts) or count - len(texts) not in (0, layout.leading):
        return str(activations.samples["id"][sample])
    before, after = "".join(texts[:at])[-CONTEXT:], "".join(texts[at + 1 :])[:6]
    return f"{before}⟦{texts[at]}⟧{after}".replace("\n", "↵")
