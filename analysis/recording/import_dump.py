"""A dump of activations into a store, chunk by chunk: the same store that a recording would give."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from analysis.errors import InputError, NotFound
from analysis.recording.columns import renamed
from analysis.recording.origin import first_few, note_once
from analysis.sources.dump import Dump, DumpChunk
from analysis.spec import Progress, no_progress
from analysis.store.manifest import TapSpec
from analysis.store.manifest import read as read_manifest
from analysis.store.reader import Store
from analysis.store.writer import StoreWriter, TapBlock


def import_dump(
    dump: Dump,
    directory,
    *,
    name: str,
    resume: bool = False,
    samples: int | None = None,
    progress: Progress = no_progress,
) -> Store:
    """Write every chunk of `dump` into a store at `directory`.

    Parameters
    ----------
    dump : Dump
        From `analysis.sources.dumps.open_dump`.
    directory : path
        Of the new store.
    name : str
        Of the store.
    resume : bool
        Go on with an interrupted import of the same dump.
    samples : int, optional
        Samples per chunk; memory is one chunk.
    progress : callable
        Gets a fraction and what is being done; may raise Cancelled (then `resume` goes on).

    Returns
    -------
    Store

    Raises
    ------
    Busy, InputError
        See StoreWriter.create; damaged dumps while reading.
    """
    directory = Path(directory)
    made_here = not directory.exists()
    if resume:
        refuse_other(dump, directory)
        if read_manifest(directory)["complete"]:
            return Store.open(directory)
    writer = StoreWriter.resume(directory) if resume else create(dump, directory, name)
    try:
        return _write(dump, writer, samples, progress)
    except InputError:  # the dump turned out damaged: what was made of it must not take up the name
        if made_here:
            shutil.rmtree(directory, ignore_errors=True)
        raise


def refuse_other(dump: Dump, directory: Path) -> None:
    """Raise unless the store at `directory` was begun from this dump."""
    if not (directory / "manifest.json").exists():
        raise NotFound(
            f"{directory} holds no interrupted import", "a store to go on with", "Import without resume"
        )
    begun, now = read_manifest(directory)["data"].get("digest"), dump.as_dict()["digest"]
    if begun != now:
        raise InputError(
            f"this import was begun from other content (digest {begun}, now {now})",
            "the same dump and labels",
            "Import under another name, or resume with what it was begun with",
        )


def _write(dump: Dump, writer: StoreWriter, samples: int | None, progress: Progress) -> Store:
    with writer:
        note_once(writer, beforehand(dump))
        done = writer.finished_samples
        for chunk in dump.chunks(samples):
            part = beyond(chunk, done, dump)
            if part is not None:
                append(writer, dump, part)
            progress(chunk.stop / len(dump), f"{chunk.stop:,} of {len(dump):,} samples")
        return writer.finish()


def create(dump: Dump, directory: Path, name: str) -> StoreWriter:
    """A writer for the dump's taps; the dump stands in for both checkpoint and data."""
    taps = [
        TapSpec(
            t.name,
            t.n_units,
            t.stored_dtype,
            t.tokens,
            module="dump",
            grid=t.grid,
            unit_names=t.unit_names,
            leading=t.leading,
            types=t.said,
        )  # fmt: skip
        for t in dump.taps.values()
    ]
    facts = dump.as_dict()
    origin = {
        "kind": "dump",
        "name": dump.name,
        "path": facts["path"],
        "digest": facts["digest"],
        "rules": facts["rules"],
    }
    return StoreWriter.create(
        directory, name=name, taps=taps, checkpoint=origin, data=facts, settings={"seed": 0}, classes=dump.classes,
        n_expected=len(dump),
    )  # fmt: skip


def beforehand(dump: Dump) -> list[str]:
    """What is to be said before the first chunk, in sentences for `Store.problems`."""
    narrowed = [t.name for t in dump.taps.values() if t.dtype == "float64"]
    return [f"float64 in the dump, kept as float32: {first_few(narrowed, ', ')}"] if narrowed else []


def beyond(chunk: DumpChunk, done: int, dump: Dump) -> DumpChunk | None:
    """The part of a chunk that is not in the store yet; None where all of it is."""
    if chunk.stop <= done:
        return None
    if chunk.start >= done:
        return chunk
    skip = done - chunk.start
    values = {name: v[skip * dump.taps[name].n_tokens :] for name, v in chunk.values.items()}
    return DumpChunk(done, chunk.stop, values)


def append(writer: StoreWriter, dump: Dump, chunk: DumpChunk) -> None:
    """One batch: ids, labels, metadata and the rows of every tap."""
    part = slice(chunk.start, chunk.stop)
    columns: dict = {"id": dump.ids[part]}
    labels = None if dump.labels is None else dump.labels[part]
    if labels is not None:
        names = np.array([*dump.classes, ""], dtype=object)  # -1 finds the empty name at the end
        columns["label"] = names[labels].tolist()
    for name, kept in renamed(dump.columns).items():
        columns[kept] = dump.columns[name][part]
    blocks = {name: TapBlock(values) for name, values in chunk.values.items()}
    writer.append(columns, blocks, class_index=labels)
