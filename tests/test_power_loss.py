"""Loss of power: whatever the disk holds of what was not synced, a store resumes to the same numbers.

The disk here keeps of every file what it held when it was last synced. Journal lines may have reached it or not.
"""

from __future__ import annotations

import os
import shutil
import stat
import zlib
from pathlib import Path

import numpy as np
import pytest

from analysis.errors import StoreDamaged
from analysis.store import journal, shards
from analysis.store.manifest import TapSpec
from analysis.store.reader import Store
from analysis.store.writer import StoreWriter, TapBlock

TAPS = (TapSpec("pooled", 6, "float16"), TapSpec("tokens", 4, "float32", tokens="all"))
N, BATCHES = 100, 8


@pytest.fixture(autouse=True)
def short_shards(monkeypatch):
    """256 rows: three batches of the pooled tap make one, and so does every batch of the other."""
    monkeypatch.setattr(shards, "SHARD_ROWS", 256)


class Disk:
    """What every file held, and which names every folder had, when they were last synced, by inode."""

    def __init__(self, monkeypatch) -> None:
        self.synced: dict[int, bytes] = {}
        self.names: dict[int, set[str]] = {}
        for name in ("fsync", "fdatasync"):
            monkeypatch.setattr(os, name, self._noting(getattr(os, name)))

    def _noting(self, real):
        def sync(fd: int) -> None:
            real(fd)
            about = os.fstat(fd)
            if stat.S_ISREG(about.st_mode):
                self.synced[about.st_ino] = Path(f"/proc/self/fd/{fd}").read_bytes()
            elif stat.S_ISDIR(about.st_mode):
                self.names[about.st_ino] = set(os.listdir(fd))

        return sync

    def has_name(self, path: Path) -> bool:
        return path.name in self.names.get(path.parent.stat().st_ino, ())

    def after_the_loss(self, path: Path, target: Path, *, survives: str = "") -> Path:
        """A copy of the store as it would be found; the file called `survives` is whole."""
        assert self.has_name(path)
        shutil.copytree(path, target)
        for file in sorted(path.rglob("*"), reverse=True):
            there = target / file.relative_to(path)
            if not self.has_name(file):
                shutil.rmtree(there) if file.is_dir() else there.unlink()
            elif file.is_file() and file.name != survives:
                there.write_bytes(self.synced.get(file.stat().st_ino, b""))
        return target


def create(path: Path) -> StoreWriter:
    return StoreWriter.create(path, name="w", taps=TAPS, classes=("x", "y"), settings={"seed": 3})


def append(writer: StoreWriter, k: int) -> None:
    rng = np.random.default_rng(k)
    counts = rng.integers(1, 7, N)
    taps = {
        "pooled": TapBlock(rng.normal(size=(N, 6))),
        "tokens": TapBlock(rng.normal(size=(counts.sum(), 4)), counts),
    }
    ids = [f"s{k * N + i}" for i in range(N)]
    tokens = [[f"t{j}" for j in range(c)] for c in counts]
    more = {"class_index": rng.integers(-1, 2, N), "thumbnails": [i.encode() for i in ids], "tokens": tokens}
    writer.append({"id": ids}, taps, **more)


def completed(path: Path) -> Store:
    with StoreWriter.resume(path) as writer:
        for k in range(writer.finished_batches, BATCHES):
            append(writer, k)
        return writer.finish()


@pytest.fixture
def whole(tmp_path) -> Store:
    with create(tmp_path / "whole") as writer:
        for k in range(BATCHES):
            append(writer, k)
        return writer.finish()


def assert_same(store: Store, whole: Store) -> None:
    assert store.verify() == []
    assert store.digest == whole.digest
    assert store.samples["id"].tolist() == [f"s{i}" for i in range(N * BATCHES)]
    assert store.tokens(N * BATCHES - 1) == whole.tokens(N * BATCHES - 1)
    np.testing.assert_array_equal(store.class_index, whole.class_index)


@pytest.mark.parametrize("survives", ["", journal.FILE])
def test_what_rests_on_a_shard_is_never_lost(tmp_path, monkeypatch, whole, survives):
    disk, settled = Disk(monkeypatch), []
    with create(tmp_path / "w") as writer:
        for k in range(BATCHES):
            append(writer, k)
            lost = disk.after_the_loss(tmp_path / "w", tmp_path / f"lost{k}", survives=survives)
            with StoreWriter.resume(lost) as resumed:
                settled.append(resumed.finished_batches)
                assert journal.read(tmp_path / "w").settled <= resumed.finished_batches <= k + 1
            assert_same(completed(lost), whole)
    assert settled[-1] > 3


def test_a_finished_store_is_on_the_disk(tmp_path, monkeypatch, whole):
    disk = Disk(monkeypatch)
    with create(tmp_path / "w") as writer:
        for k in range(BATCHES):
            append(writer, k)
        writer.finish()
    assert_same(Store.open(disk.after_the_loss(tmp_path / "w", tmp_path / "lost")), whole)


@pytest.fixture
def stopped(tmp_path, monkeypatch) -> Path:
    """A store of three batches, none of which is in a shard yet."""
    monkeypatch.setattr(shards, "SHARD_ROWS", 8192)
    with create(tmp_path / "stopped") as writer:
        for k in range(3):
            append(writer, k)
    return tmp_path / "stopped"


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("name", ["samples.jsonl", "thumbnails.bin", "tokens.bin"])
def test_a_last_batch_whose_samples_are_lost_is_recorded_again(stopped, name):
    flip(stopped / name, -3)
    with StoreWriter.resume(stopped) as writer:
        assert writer.finished_batches == 2


def test_a_batch_that_the_journal_lacks_is_recorded_again(stopped):
    file = stopped / journal.FILE
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(lines[0] + lines[2] + lines[2])
    with StoreWriter.resume(stopped) as writer:
        assert writer.finished_batches == 1


def test_damage_before_a_shard_is_not_recorded_over(tmp_path):
    """What a shard rests on was synced: if it does not match, the disk is at fault, and nothing is thrown away."""
    with create(tmp_path / "w") as writer:
        for k in range(4):
            append(writer, k)
    flip(tmp_path / "w" / "samples.jsonl", 20)
    before = sorted(f.name for f in (tmp_path / "w").rglob("*"))
    with pytest.raises(StoreDamaged, match="batch 0"):
        StoreWriter.resume(tmp_path / "w")
    assert sorted(f.name for f in (tmp_path / "w").rglob("*")) == before


def test_a_value_changed_together_with_its_checksum_is_found(whole):
    """The digest in the manifest is of the checksum tables: a shard cannot vouch for itself alone."""
    shard = whole.shards("pooled")[0]
    data = bytearray(shard.path.read_bytes())
    data[0] ^= 1
    table = shard.n_units * shard.row_bytes
    data[table : table + 4] = zlib.crc32(data[: shard.row_bytes]).to_bytes(4, "little")
    shard.path.write_bytes(data)
    assert ["checksum table has changed" in line for line in whole.verify()] == [True]
    with pytest.raises(StoreDamaged, match="checksum table"):
        list(whole.activations("pooled").chunks())
