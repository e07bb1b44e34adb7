"""Edits tried on samples that had no part in choosing them: who answers, what else changes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations
from analysis.arrays import finite_rows
from analysis.compute.rows.known_factors import factors_of
from analysis.compute.rows.samples import pooled_samples
from analysis.errors import NotEnoughData, NotFound
from analysis.features.answers import CLEAN, Reader
from analysis.features.edits import NOISE, OWN, SUPERVISED, Edits, edits_of
from analysis.features.probe_reader import Probe, ProbeReader, halves_of, probe_of
from analysis.features.readers import AUTOMATIC, reader_of
from analysis.features.rivals import Rivals, RowClasses
from analysis.spec import Progress

SMALLEST, MOST_OTHERS, BLOCK = 8, 6, 2048
ANSWERS = ("label", "predicted", "correct", "confidence", "loss")  # the network's task, or its answer


@dataclass(frozen=True)
class Asked:
    """What a trial asks: the attribute, at most how many `features` to exchange and `classes` to change into each
    other, who answers (`readers.READERS`)."""

    column: str
    features: int
    classes: int
    reader: str
    maximum_samples: int


@dataclass(frozen=True)
class Trial:
    """By way of editing: `success` (n,), `another` (n,) and `other` (n,) shares of each sample over its edits, `size`,
    `exchanged` features; `other` is empty without other attributes. `names` of the classes, `what` answers."""

    success: dict[str, np.ndarray]
    another: dict[str, np.ndarray]
    other: dict[str, np.ndarray]
    size: dict[str, float]
    exchanged: dict[str, float]
    names: tuple[str, ...]
    what: str
    notes: tuple[str, ...]

    @property
    def n(self) -> int:
        return len(self.success[OWN])


def answering(
    source: Activations, column: str, reader: str, maximum: int, rng, progress: Progress, span
) -> tuple[Reader, tuple[str, ...]]:
    """The network where its classes are the column's and it can be run, else a probe of the column."""
    store = getattr(source, "store", None)
    own = store is not None and column == "label" and bool(store.classes)
    if reader == AUTOMATIC and own:
        found, notes = reader_of(source, reader, column, maximum, rng, progress, span)
        if not found.is_network or (found.of >= 0).any():
            return found, notes
    made = ProbeReader(source, column, maximum, rng, progress, span)
    return made, made.notes


def trial(
    source: Activations, known: Rivals, classes: RowClasses, names: tuple[str, ...], params, rng, progress: Progress,
    span,
) -> Trial:  # fmt: skip
    """See `Trial`; `params` has what `Asked` has. Raises NotEnoughData where fewer than two classes have eight samples
    that are answered rightly."""
    cut = span[0] + 0.2 * (span[1] - span[0])
    reader, notes = answering(
        source, params.column, params.reader, params.maximum_samples, rng, progress, (span[0], cut)
    )
    clean = reader.read({}, progress, (cut, cut))[CLEAN]
    right = (reader.of >= 0) & (clean.predicted == reader.of)
    counts = np.bincount(reader.of[right], minlength=len(reader.classes))
    chosen = np.sort(np.argsort(-counts, kind="stable")[: params.classes])
    chosen = chosen[counts[chosen] >= SMALLEST]
    if len(chosen) < 2:
        raise NotEnoughData(
            f"{len(chosen)} class(es) of '{params.column}' have {SMALLEST} samples that {reader.what} answers rightly",
            "at least two such classes",
            "Record more samples, or choose another column or tap",
        )
    half = reader.half if isinstance(reader, ProbeReader) else halves_of(reader.of, rng)
    number = np.full(len(reader.classes), -1)
    number[chosen] = np.arange(len(chosen))
    own = np.where(reader.of >= 0, number[reader.of], -1)
    row_class, offsets = np.full(source.shape[0], -1), np.asarray(source.layout.offsets)
    for i in np.flatnonzero(own >= 0):
        row_class[offsets[reader.samples[i]] : offsets[reader.samples[i] + 1]] = own[i]
    first = np.zeros(source.layout.n_samples, bool)
    first[reader.samples[(half == 0) & (own >= 0)]] = True
    of_row = source.layout.sample_of(np.arange(source.shape[0]))
    found = edits_of(
        known, _blocks(source, np.flatnonzero(first[of_row])), row_class, len(chosen), params.features
    )
    judged = (half == 1) & right & (own >= 0)
    others = _others(source, params.column, reader.samples, half, rng)
    return _tried(
        source, found, reader, own, judged, others, names, chosen, notes, rng, progress, (cut, span[1])
    )


def _tried(
    source, found: Edits, reader: Reader, own, judged, others, names, chosen, notes, rng, progress, span
) -> Trial:
    shifts, n = range(1, found.count), int(judged.sum())
    success, another, other = ({k: np.zeros(n) for k in names} for _ in range(3))
    rows = np.flatnonzero(
        np.isin(source.layout.sample_of(np.arange(source.shape[0])), reader.samples[judged])
    )
    before = [probe.scores(x[judged]).argmax(axis=1) for probe, x in others]
    for shift in shifts:
        at = span[0] + (span[1] - span[0]) * (shift - 1) / len(shifts)
        edits = {k: found.edit(k, shift, rng if k == NOISE else None) for k in names}
        answers = reader.read(edits, progress, (at, at + (span[1] - span[0]) / len(shifts)), judged)
        wanted = chosen[(own[judged] + shift) % found.count]
        for k in names:
            said = answers[k].predicted
            success[k] += said == wanted
            another[k] += (said != wanted) & (said != reader.of[judged])
            if others:
                x = _pooled(source, edits[k], rows, reader.samples[judged])
                other[k] += np.mean([p.scores(x).argmax(axis=1) != b for (p, _), b in zip(others, before, strict=True)],
                                    axis=0)  # fmt: skip
    share = lambda d: {k: v / len(shifts) for k, v in d.items()}  # noqa: E731
    size = {k: float(np.mean(np.concatenate([s for t in shifts for s in found.moved[k, t]]))) for k in names}
    taken = {
        k: float(np.mean([len(v) for (name, *_), v in found.taken.items() if name == k] or [1]))
        for k in names
    }
    taken[SUPERVISED], taken[NOISE] = 1.0, 0.0
    said = () if others else (
        "There is no other attribute among the sample columns, so side effects are only those on other classes.",
    )  # fmt: skip
    return Trial(share(success), share(another), share(other) if others else {}, size, taken,
                 tuple(reader.classes[i] for i in chosen), reader.what, (*notes, *said))  # fmt: skip


def _blocks(source: Activations, rows: np.ndarray):
    for start in range(0, len(rows), BLOCK):
        some = rows[start : start + BLOCK]
        x = np.asarray(source.take(some))
        good = finite_rows(x)
        if good.any():
            yield some[good], x[good].astype(np.float64)


def _pooled(source: Activations, replace, rows: np.ndarray, samples: np.ndarray) -> np.ndarray:
    """(n, d) mean edited row of each of `samples`, rising."""
    total, count = np.zeros((len(samples), source.shape[1])), np.zeros(len(samples))
    for some, x in _blocks(source, rows):
        at = np.searchsorted(samples, source.layout.sample_of(some))
        np.add.at(total, at, replace(x, some))
        count += np.bincount(at, minlength=len(samples))
    return total / np.maximum(count, 1)[:, None]


def _others(
    source: Activations, column: str, samples: np.ndarray, half, rng
) -> list[tuple[Probe, np.ndarray]]:
    """Probes of the other attributes, fitted to the first half, and the mean rows (n, d) they read."""
    ids = np.asarray(source.samples["id"]).astype(str)[samples]
    try:
        factors, _ = factors_of([source], ids)
    except NotFound:
        return []
    factors = [f for f in factors if not f.is_number and f.name not in (column, *ANSWERS)][:MOST_OTHERS]
    if not factors:
        return []
    x, kept, _ = pooled_samples(source, "mean", samples, lambda *_: None, (0.0, 0.0))
    whole = np.zeros((len(samples), x.shape[1]))
    whole[kept] = x
    found = []
    for f in factors:
        some = (half == 0) & f.known & kept
        if len(np.unique(f.of[some])) == len(f.classes):
            found.append((probe_of(whole[some], f.of[some], len(f.classes)), whole))
    return found
