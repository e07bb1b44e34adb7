"""The last step of writing: sample table, offsets, checksums, index and the complete manifest, in this order."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from analysis.store import manifest, sketch
from analysis.store import samples as sample_files
from analysis.store.durable import file_crc
from analysis.store.index_files import EXACT_VALUES, write_index, write_npy
from analysis.store.journal import JournalState
from analysis.store.manifest import TapSpec
from analysis.store.row_map import RowMap
from analysis.store.sample_table import PARQUET, ColumnKind, write_samples
from analysis.store.shards import read_checksums
from analysis.store.summaries import THREADS, UnitSummary
from analysis.store.tap_writer import TapWriter, shard_of

# buckets of the quantile sketch between 0 and float16's smallest normal number, 2^-14
FAINT = np.flatnonzero(
    (np.maximum(abs(sketch.LOW), abs(sketch.HIGH)) <= 2.0**-14) & (np.arange(sketch.N_BUCKETS) != sketch.ZERO)
)
MANY_FAINT = 0.01  # share of the values that are not 0


def finish_store(
    path: Path, about: dict, state: JournalState, writers: dict[str, TapWriter], rows: dict[str, RowMap]
) -> None:
    """Write everything a complete store has beyond its shards. Interrupted, it is simply done again."""
    lines = path / sample_files.LINES
    known = _Known()
    for line in sample_files.read_lines(lines):
        known.see(line)
    write_samples(path, known.kinds, (line["columns"] for line in sample_files.read_lines(lines)))
    files = [path / PARQUET, *_write_blobs(path, known)]
    if about["classes"]:
        files.append(write_npy(path / sample_files.CLASS_INDEX, np.concatenate(known.classes)))
    problems, entries = list(state.problems), []

    def finished(entry: dict) -> tuple[dict, list[Path], list[str]]:
        return _finish_tap(path, entry, state, writers[entry["name"]], rows[entry["name"]])

    with ThreadPoolExecutor(THREADS) as pool:
        finished_taps = list(pool.map(finished, about["taps"]))
    for done, made, said in finished_taps:
        entries.append(done)
        files += made
        problems += said
    complete = {
        **about, "schema": manifest.SCHEMA, "complete": True, "n_samples": state.n_samples,
        "columns": list(known.kinds), "taps": entries, "problems": problems,
        "files": {str(f.relative_to(path)): [f.stat().st_size, file_crc(f)] for f in files},
    }  # fmt: skip
    manifest.write(path, complete)
    left_over = [f"{kind}.bin" for kind in sample_files.BLOBS if f"{kind}.bin" not in complete["files"]]
    for name in (sample_files.LINES, *left_over):
        with contextlib.suppress(OSError):
            os.unlink(path / name)


class _Known:
    """What of all sample lines is held at once: types of the columns, and numbers per sample."""

    def __init__(self) -> None:
        self.kinds: dict[str, ColumnKind] = {}
        self.classes: list[np.ndarray] = []
        self.lengths: dict[str, list[np.ndarray]] = {kind: [] for kind in sample_files.BLOBS}

    def see(self, line: dict) -> None:
        columns = line["columns"]
        for name, values in columns.items():
            self.kinds.setdefault(name, ColumnKind()).see(values)
        if line["classes"] is not None:
            self.classes.append(np.array(line["classes"], np.int32))
        for kind, lengths in self.lengths.items():
            lengths.append(np.array(line["lengths"][kind] or [0] * len(columns["id"]), np.int64))


def _write_blobs(path: Path, known: _Known) -> list[Path]:
    """Offset tables of the thumbnails and tokens that there are."""
    files = []
    for kind, lengths in known.lengths.items():
        offsets = np.concatenate([[0], *lengths]).astype(np.int64).cumsum()
        if offsets[-1]:
            files += [path / f"{kind}.bin", write_npy(path / f"{kind}.idx", offsets)]
    return files


def _finish_tap(path: Path, entry: dict, state: JournalState, writer: TapWriter, rows: RowMap):
    """Index, offsets and checksum table of one tap; its manifest entry, files and problems in words."""
    folder, tap = writer.folder, writer.tap
    summary = writer.summary(rows)
    small = len(rows.ends) * tap.n_units <= EXACT_VALUES
    finished = summary.finish()
    files = write_index(
        folder, finished, dtype=tap.numpy_dtype, n_rows=writer.rows_in_shards, with_sketch=not small
    )
    checksums = np.empty((tap.n_units, len(writer.shards)), "<u4")  # without a column where there is no row
    for k, line in enumerate(writer.shards):
        checksums[:, k] = read_checksums(shard_of(folder, line, tap))
    files.append(write_npy(folder / "checksums.npy", checksums))
    counts = rows.counts
    equal = bool((counts == counts[0]).all())
    if not equal:
        offsets = np.concatenate([[0], rows.ends]).astype(np.int64)
        files.append(write_npy(folder / "offsets.npy", offsets))
    lost = {kind: counts.get(entry["slug"], 0) for kind, counts in state.lost.items()}
    bad = finished.table["nonfinite"]
    done = {
        **entry, "n_rows": writer.rows_in_shards, "tokens_per_sample": int(counts[0]) if equal else None,
        "shards": writer.shards, "nonfinite": int(bad.sum()), **lost,
    }  # fmt: skip
    said = [*_lost_values(tap, summary, lost["underflow"], lost["overflow"]), *_nonfinite(tap.name, bad)]
    return done, files, said


def _lost_values(tap: TapSpec, summary: UnitSummary, underflow: int, overflow: int) -> Iterator[str]:
    """What the stored dtype could not hold. float16 begins to round coarsely below 6.1e-5 and ends at 6e-8; values
    there are said only where they are many, since every smooth activation has a few."""
    if overflow:
        yield (
            f"Tap {tap.name}: {overflow} finite value(s) are beyond the range of {tap.dtype} and were stored as "
            "infinity; record this tap with dtype float32."
        )
    if tap.dtype != "float16":
        return
    faint = underflow + int(summary.histogram[:, FAINT].sum())
    if faint and faint >= MANY_FAINT * (int(summary.nonzero.sum()) + underflow):
        yield (
            f"Tap {tap.name}: {faint} value(s) are so small (below 6.1e-5) that float16 keeps fewer digits of them"
            + (f", {underflow} of them none: they were stored as 0" if underflow else "")
            + "; record this tap with dtype float32."
        )


def _nonfinite(name: str, bad: np.ndarray) -> Iterator[str]:
    """`bad` : (units,) values that are not finite."""
    if bad.any():
        worst = int(bad.argmax())
        yield (
            f"Tap {name}: {int(bad.sum())} value(s) in {int((bad > 0).sum())} unit(s) are NaN or infinite "
            f"(most in unit {worst}: {int(bad[worst])}); they are left out of every statistic."
        )
