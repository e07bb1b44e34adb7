"""Audio clips by soundfile: mono float32, brought to one sampling rate."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from analysis.errors import InputError
from analysis.sources.clips import Clip, resampled
from analysis.sources.data_source import DataSource, checked_range
from analysis.sources.digests import file_digest, text_digest
from analysis.sources.folders import FolderListing, list_folder
from analysis.sources.thumbnails import clip_thumbnail

SUFFIXES = (".wav", ".flac", ".ogg", ".aiff", ".aif", ".au", ".mp3")


@dataclass
class AudioClips(DataSource):
    """Items are `Clip`s (t,) in [-1, 1], channels averaged, resampled to `sampling_rate` Hz where they differ."""

    paths: list[Path] = field(default_factory=list)
    sampling_rate: int = 16000
    digests: list[str] = field(default_factory=list)

    def items(self, start: int, stop: int) -> list[Clip]:
        return [
            resampled(read_clip(self.paths[i]), self.sampling_rate)
            for i in checked_range(start, stop, len(self))
        ]

    def thumbnails(self, start: int, stop: int) -> list[bytes]:
        return [clip_thumbnail(clip) for clip in self.items(start, stop)]

    def media_path(self, i: int) -> str:
        return str(self.paths[i])

    def media_digest(self, i: int) -> str:
        return self.digests[i]

    def content(self) -> str:
        return text_digest([str(self.sampling_rate), *self.digests])


def read_clip(path: Path) -> Clip:
    """One file as a mono clip. Raises InputError where it cannot be read or holds nothing."""
    import soundfile

    try:
        samples, rate = soundfile.read(str(path), dtype="float32", always_2d=True)
    except Exception as error:
        raise InputError(
            f"{path.name}: unreadable ({error})", "an audio file that libsndfile knows"
        ) from None
    if not len(samples):
        raise InputError(f"{path.name}: no sound in it (0 samples)", "at least one sample")
    return Clip.of(samples.mean(axis=1), rate)


def open_audio(
    path: Path,
    *,
    label: str | None = None,
    metadata=None,
    pattern: str | None = None,
    sampling_rate: int | None = None,
) -> AudioClips:
    """A folder of clips, or one file. Unreadable files are skipped and listed.

    sampling_rate : Hz of the items; by default the most frequent rate among the files.
    """
    if path.is_dir():
        listing = list_folder(path, SUFFIXES, label=label, metadata=metadata, pattern=pattern)
    else:
        listing = FolderListing(path.parent, [path], None)
    keep, rates, seconds, digests, skipped = [], [], [], [], list(listing.skipped)
    for i, file in enumerate(listing.paths):
        try:
            clip = read_clip(file)  # decoded whole once: a truncated file shows only then
        except InputError as error:
            skipped.append(error.found)
            continue
        keep.append(i)
        rates.append(clip.sampling_rate)
        seconds.append(len(clip) / clip.sampling_rate)
        digests.append(file_digest(file))
    common = Counter(rates).most_common(1)[0][0] if rates else 16000
    chosen = sampling_rate or common
    notes = list(listing.notes)
    changed = sum(r != chosen for r in rates)
    if changed:
        notes.append(f"{changed} clips resampled to {chosen} Hz (sampling_rate= changes that)")
    given = listing.labels(keep)
    given["columns"] |= {"seconds": np.array(seconds)}
    return AudioClips(
        "audio", path.stem, path, listing.ids(keep), skipped=skipped, notes=notes, digests=digests,
        paths=[listing.paths[i] for i in keep], sampling_rate=chosen, **given,
    )  # fmt: skip
