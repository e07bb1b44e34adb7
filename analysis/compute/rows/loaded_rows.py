"""Rows of one tap or two in memory, for what cannot be made from sums: ranks, distances between rows, bins."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout
from analysis.compute.rows.tap_rows import TapRows, refuse_few_samples
from analysis.compute.statistics.auroc import midranks
from analysis.compute.statistics.moments import is_varying
from analysis.compute.streaming import Pass, refuse_few
from analysis.spec import Progress, no_progress

MOST_BYTES = 1 << 29  # of all values, in float32; reading and ranking hold them three times
COLUMNS = 128  # ranked at a time


@dataclass(frozen=True)
class LoadedRows:
    """`values`, one (n, units) array a tap, of the `units` that vary; `samples` count as independent, `layout` says
    which rows belong to one; `notes` on what was left out."""

    values: tuple[np.ndarray, ...]
    units: tuple[np.ndarray, ...]
    names: tuple[str, ...]
    samples: int
    layout: Layout
    notes: tuple[str, ...]


def loaded_rows(
    rows: TapRows,
    kept: tuple,
    rng: np.random.Generator,
    maximum: int,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 0.3),
) -> LoadedRows:
    """The units `kept` (all where None) of at most `maximum` rows, a seeded random part above, and never more than half
    a GB of float32. Raises NotEnoughData below four samples, or where too few units vary."""
    width = sum(tap.shape[1] if k is None else len(k) for tap, k in zip(rows.taps, kept, strict=True))
    n, most = rows.taps[0].shape[0], max(16, min(maximum, MOST_BYTES // (4 * width)))
    chosen = np.sort(rng.choice(n, most, replace=False)) if n > most else np.arange(n)
    seen, at, parts = Pass(), [], []
    for found, blocks in rows.blocks(progress, "reading", span, seen):
        mine = np.isin(found, chosen, assume_unique=True)
        at.append(found[mine])
        parts.append([(b if k is None else b[:, k])[mine] for b, k in zip(blocks, kept, strict=True)])
    refuse_few_samples(rows, seen)
    at = np.concatenate(at)
    values = [np.concatenate(part) for part in zip(*parts, strict=True)]
    notes = list(seen.notes)
    if len(chosen) < n:
        notes.append(f"A random {len(at):,} of {n:,} rows used.")
    _, counts = np.unique(rows.taps[0].layout.sample_of(at), return_counts=True)
    samples = len(counts) if len(counts) > 1 else len(at)
    refuse_few(rows.taps[0].name, samples, 4, "sample(s) among the rows used")
    units = []
    for i, (tap, k) in enumerate(zip(rows.taps, kept, strict=True)):
        varies = np.flatnonzero(_varies(values[i]))
        refuse_few(tap.name, len(varies), 2 if rows.is_one else 1, "unit(s) that vary")
        if len(varies) < values[i].shape[1]:
            missing = values[i].shape[1] - len(varies)
            notes.append(f"{missing} constant unit(s) of {tap.name} have no correlation and are left out.")
            values[i] = values[i][:, varies]
        units.append(varies if k is None else k[varies])
    layout = Layout(np.concatenate([[0], np.cumsum(counts)]))
    names = tuple(tap.name for tap in rows.taps)
    return LoadedRows(tuple(values), tuple(units), names, samples, layout, tuple(notes))


def _varies(x: np.ndarray) -> np.ndarray:
    mean = x.mean(axis=0, dtype=np.float64)
    out = np.empty(x.shape[1], bool)
    for start in range(0, x.shape[1], COLUMNS):
        part = slice(start, start + COLUMNS)
        out[part] = is_varying(x[:, part].var(axis=0, dtype=np.float64), mean[part])
    return out & (x.max(axis=0) > x.min(axis=0))


def ranked(data: LoadedRows, progress: Progress = no_progress, span=(0.3, 0.4)) -> TapRows:
    """Midranks about their mean as taps: whole numbers and halves, exact in float32 up to 8 million rows."""
    taps, done, width = [], 0, sum(x.shape[1] for x in data.values)
    for x, name in zip(data.values, data.names, strict=True):
        out = np.empty(x.shape, np.float32)
        for start in range(0, x.shape[1], COLUMNS):
            progress(span[0] + (span[1] - span[0]) * done / width, "ranking")
            part = slice(start, start + COLUMNS)
            out[:, part] = midranks(x[:, part])[0] - (len(x) + 1) / 2
            done += COLUMNS
        taps.append(ArrayActivations(out, f"ranks of {name}", layout=data.layout, digest="ranks"))
    return TapRows(tuple(taps))
