"""The index of a finished store, made again from its shards: after damage to index files, or to compare."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from analysis.errors import InputError
from analysis.spec import no_progress
from analysis.store import manifest
from analysis.store.durable import WriterLock, file_crc, room_for
from analysis.store.index_files import EXACT_VALUES, FOLDER, write_index
from analysis.store.row_map import RowMap
from analysis.store.summaries import UnitSummary


def summarise_tap(store, tap: str, progress=no_progress) -> UnitSummary:
    """One pass over the tap's shards. Equal, bit for bit, to the summary made while recording."""
    activations, spec = store.activations(tap), store.taps[tap]
    summary = UnitSummary(spec.n_units, len(store.classes), int(store.manifest["settings"].get("seed") or 0))
    rows = RowMap.of(np.diff(activations.layout.offsets), store.class_index)
    for first, block in activations.blocks():
        progress(first / max(activations.shape[0], 1), f"indexing {tap}")
        summary.update(block, rows.rows(first, block.shape[1]))
    return summary


def rebuild_index(store, progress=no_progress) -> None:
    """Write every tap's index files again and the manifest's checksums of them. Open the store anew afterwards.

    Raises InputError for an unfinished store, Busy while someone writes it, StoreDamaged for damaged shards.
    """
    if not store.complete:
        raise InputError(f"store '{store.name}' is unfinished", "a finished one", "Resume it instead")
    path = Path(store.path)
    lock = WriterLock(path)
    try:
        with room_for(path, "the index"):
            folders = tuple(f"taps/{store.entry(tap)['slug']}/{FOLDER}/" for tap in store.recorded)
            files = {k: v for k, v in store.manifest["files"].items() if not k.startswith(folders)}
            for tap, spec in store.recorded.items():
                finished = summarise_tap(store, tap, progress).finish()
                small = store.n_samples * spec.n_units <= EXACT_VALUES
                made = write_index(
                    store.folder(tap), finished,
                    dtype=spec.numpy_dtype, n_rows=int(store.entry(tap)["n_rows"]), with_sketch=not small,
                )  # fmt: skip
                files |= {str(f.relative_to(path)): [f.stat().st_size, file_crc(f)] for f in made}
            about = manifest.read(path)  # with its paths as they were kept
            manifest.write(path, {**about, "schema": manifest.SCHEMA, "files": files})
    finally:
        lock.close()
