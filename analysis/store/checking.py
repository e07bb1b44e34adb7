"""Every byte of a store against its checksums."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis.errors import StoreDamaged
from analysis.spec import Progress, no_progress
from analysis.store import manifest
from analysis.store.batch_files import sound_batches
from analysis.store.durable import file_crc
from analysis.store.journal import JournalState
from analysis.store.pending import has_grown
from analysis.store.shards import read_shard
from analysis.store.sparse_shards import SparseShard, read_tables, read_units

if TYPE_CHECKING:
    from analysis.store.reader import Store


def damage(store: Store, state: JournalState | None, progress: Progress = no_progress) -> list[str]:
    """The damaged chunks in words, [] when all is well; `state` of an unfinished store. One pass over every file."""
    bad: list[str] = []
    work = [(tap, shard) for tap in store.taps for shard in store.shards(tap)]
    files = list(store.manifest.get("files", {}).items())
    for tap in store.taps.keys() - store.recorded.keys():
        place = store.folder(tap).relative_to(store.path)
        files += [(f"{place}/{name}", known) for name, known in store.entry(tap)["files"].items()]
    total = max(len(work) + len(files), 1)
    for k, (tap, shard) in enumerate(work):
        progress(k / total, f"checking {tap}")
        try:
            if isinstance(shard, SparseShard):
                read_tables(shard)
                read_units(shard, 0, shard.n_units)
            else:
                read_shard(shard)
        except StoreDamaged as error:
            bad.append(error.found)
    for k, (name, (size, crc)) in enumerate(files):
        progress((len(work) + k) / total, f"checking {name}")
        path = store.path / name
        if not path.exists():
            bad.append(f"file {name} is missing")
        elif path.stat().st_size != size or file_crc(path) != crc:
            bad.append(f"file {name} is damaged")
    if state is not None:
        bad += _unfinished(store, state)
    progress(1.0, "checked")
    return bad


def _unfinished(store: Store, state: JournalState) -> list[str]:
    """Rows that are not in shards, and what each batch wrote of its samples."""
    if manifest.read(store.path)["complete"]:
        raise has_grown(store.path)
    bad = []
    for tap in store.recorded:
        try:
            store.pending(tap)
        except StoreDamaged as error:
            bad.append(error.found)
    sound = sound_batches(store.path, state.batches)
    if sound < state.n_batches:
        bad.append(f"the samples of batch {sound} do not match their checksums")
    return bad
