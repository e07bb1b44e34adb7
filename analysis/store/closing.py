"""The last step of writing: sample table, offsets, checksums, index and the complete manifest, in this order."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import numpy as np

from analysis.store import manifest
from analysis.store import samples as sample_files
from analysis.store.durable import file_crc
from analysis.store.index_files import EXACT_VALUES, write_index, write_npy
from analysis.store.journal import JournalState
from analysis.store.shards import read_checksums
from analysis.store.tap_writer import RowMap, TapWriter, shard_of


def finish_store(
    path: Path, about: dict, state: JournalState, writers: dict[str, TapWriter], rows: dict[str, RowMap]
) -> None:
    """Write everything a complete store has beyond its shards. Interrupted, it is simply done again."""
    lines = list(sample_files.read_lines(path / sample_files.LINES))
    columns = sample_files.joined_columns(lines)
    sample_files.write_samples(path, columns)
    files = [path / sample_files.PARQUET, *_write_blobs(path, lines)]
    if about["classes"]:
        index = [c for line in lines for c in line["classes"]]
        files.append(write_npy(path / sample_files.CLASS_INDEX, np.array(index, np.int32)))
    problems, entries = list(state.problems), []
    for entry in about["taps"]:
        done, made, said = _finish_tap(path, entry, state, writers[entry["name"]], rows[entry["name"]])
        entries.append(done)
        files += made
        problems += said
    n = state.n_samples
    complete = {
        **about, "complete": True, "n_samples": n, "columns": list(columns), "taps": entries, "problems": problems,
        "files": {str(f.relative_to(path)): [f.stat().st_size, file_crc(f)] for f in files},
    }  # fmt: skip
    manifest.write(path, complete)
    left_over = [f"{kind}.bin" for kind in sample_files.BLOBS if f"{kind}.bin" not in complete["files"]]
    for name in (sample_files.LINES, *left_over):
        with contextlib.suppress(OSError):
            os.unlink(path / name)


def _write_blobs(path: Path, lines: list[dict]) -> list[Path]:
    """Offset tables of the thumbnails and tokens that there are."""
    files = []
    for kind in sample_files.BLOBS:
        blob = path / f"{kind}.bin"
        if not any(line["lengths"][kind] for line in lines):
            continue
        lengths = [n for line in lines for n in line["lengths"][kind] or [0] * len(line["columns"]["id"])]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        files += [blob, write_npy(path / f"{kind}.idx", offsets)]
    return files


def _finish_tap(path: Path, entry: dict, state: JournalState, writer: TapWriter, rows: RowMap):
    """Index, offsets and checksum table of one tap; its manifest entry, files and problems in words."""
    folder, tap = writer.folder, writer.tap
    summary = writer.summary(rows)
    small = len(rows.counts) * tap.n_units <= EXACT_VALUES
    finished = summary.finish()
    files = write_index(folder, finished, dtype=tap.numpy_dtype, with_sketch=not small)
    table = np.stack([read_checksums(shard_of(folder, s, tap)) for s in writer.shards], axis=1)
    files.append(write_npy(folder / "checksums.npy", table))
    equal = len(set(rows.counts.tolist())) == 1
    if not equal:
        offsets = np.concatenate([[0], np.cumsum(rows.counts)]).astype(np.int64)
        files.append(write_npy(folder / "offsets.npy", offsets))
    overflow = sum(b["overflow"].get(entry["slug"], 0) for b in state.batches)
    bad = finished.table["nonfinite"]
    done = {
        **entry, "n_rows": writer.rows_in_shards, "tokens_per_sample": int(rows.counts[0]) if equal else None,
        "shards": writer.shards, "nonfinite": int(bad.sum()), "overflow": overflow,
    }  # fmt: skip
    return done, files, _problems(tap.name, bad, overflow, tap.dtype)


def _problems(name: str, bad: np.ndarray, overflow: int, dtype: str) -> list[str]:
    said = []
    if overflow:
        said.append(
            f"Tap {name}: {overflow} finite value(s) are beyond the range of {dtype} and were stored as infinity; "
            "record this tap with dtype float32."
        )
    if bad.any():
        worst = int(bad.argmax())
        said.append(
            f"Tap {name}: {int(bad.sum())} value(s) in {int((bad > 0).sum())} unit(s) are NaN or infinite "
            f"(most in unit {worst}: {int(bad[worst])}); they are left out of every statistic."
        )
    return said
