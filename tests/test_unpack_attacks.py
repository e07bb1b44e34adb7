"""Packs that were made to harm: each is refused in words, and nothing of it is left on the disk."""

from __future__ import annotations

import errno
import fcntl
import io
import json
import os
import sqlite3
import stat
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from packing_subjects import forged, made, members

from analysis.errors import (
    Busy,
    Cancelled,
    InputError,
    LoupeError,
    NewerSchema,
    NotFound,
    StoreDamaged,
    UnsafeFile,
)
from analysis.sharing import unpacking
from analysis.sharing.container import MANIFEST, ROOT
from analysis.sharing.packing import pack
from analysis.sharing.unpacking import unpack
from analysis.store import manifest
from analysis.store.durable import DiskFull
from analysis.workspace import Workspace


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A sound pack."""
    folder = tmp_path_factory.mktemp("pack")
    return pack(made(folder), folder / "w.zip").path


@pytest.fixture
def files(whole):
    return members(whole)


def refused(path: Path, error, words: str | None, out: Path | None = None, **more) -> None:
    """It is refused with these words, and the folder that it should go to holds what it held."""
    folder = (out or path).parent
    before = sorted(str(p) for p in folder.parent.rglob("*"))
    with pytest.raises(error, match=words) as refusal:
        unpack(path, out or folder / "out", **more)
    assert isinstance(refusal.value, LoupeError)
    assert sorted(str(p) for p in folder.parent.rglob("*")) == before


def test_a_forged_pack_that_harms_nobody_is_taken(tmp_path, files):
    """Or the refusals below could come from how these packs are forged."""
    made = unpack(forged(tmp_path / "f.zip", files), tmp_path / "out")
    assert Workspace.open(made.path).notes("first", "a/tap") == {2: "likes vowels"}


@pytest.mark.parametrize(
    "name",
    ["../evil", "/etc/evil", "workspace/../../evil", "workspace/a/../../../evil", "workspace\\..\\..\\evil", "C:/evil",
     "workspace/./evil", "workspace//evil", "workspace/.ssh/authorized_keys", "workspace/.streamlit/config.toml",
     "elsewhere/evil", "workspace/\u202egnp.exe", "workspace/a\nb", "workspace/" + "d/" * 60 + "evil",
     "workspace/" + "x" * 300, "workspace/folder/"],
)  # fmt: skip
def test_names_that_lead_elsewhere_or_mislead(tmp_path, files, name):
    refused(forged(tmp_path / "f.zip", {**files, name: b"evil"}), UnsafeFile, "holds")


def test_a_name_that_ends_at_a_nul(tmp_path, files):
    path = forged(tmp_path / "f.zip", {**files, "workspace/aXb": b""})
    path.write_bytes(path.read_bytes().replace(b"workspace/aXb", b"workspace/a\0b"))
    refused(path, LoupeError, None)


@pytest.mark.parametrize(
    ("kind", "words"),
    [(stat.S_IFLNK, "symbolic link"), (stat.S_IFIFO, "device or pipe"), (stat.S_IFCHR, "device or pipe"),
     (stat.S_IFBLK, "device or pipe"), (stat.S_IFSOCK, "device or pipe"), (stat.S_IFDIR, "folder")],
)  # fmt: skip
def test_what_is_no_plain_file(tmp_path, files, kind, words):
    def change(infos):
        infos["workspace/link"].external_attr = (kind | 0o777) << 16

    refused(forged(tmp_path / "f.zip", {**files, "workspace/link": b"/etc"}, change), UnsafeFile, words)


def test_the_mode_of_a_file_is_not_taken_over(tmp_path, files):
    def change(infos):
        infos["workspace/run"].external_attr = (stat.S_IFREG | 0o6777) << 16

    made = unpack(forged(tmp_path / "f.zip", {**files, "workspace/run": b"#!"}, change), tmp_path / "out")
    assert (made.path / "run").stat().st_mode & 0o7111 == 0


def test_a_bomb_of_zeros(tmp_path, files):
    def change(infos):
        infos["workspace/zeros"].compress_type = zipfile.ZIP_DEFLATED

    refused(
        forged(tmp_path / "f.zip", {**files, "workspace/zeros": bytes(1 << 22)}, change),
        UnsafeFile,
        "compressed",
    )


def test_a_bomb_of_files_that_share_their_bytes(tmp_path, files):
    """Every entry of the directory points at the same bytes (no compression is needed for that)."""
    path = tmp_path / "f.zip"
    big = {f"workspace/{k}": bytes(1 << 16) for k in range(20)}
    forged(path, {**files, **big})
    data = path.read_bytes()
    with zipfile.ZipFile(path) as file:
        kept = next(i for i in file.infolist() if i.filename == "workspace/0")
        first, start = kept.header_offset, file.start_dir
        offsets = {f"workspace/{k}".encode() for k in range(1, 20)}
    new, place = bytearray(data), start
    while new[place : place + 4] == b"PK\x01\x02":
        n, extra, comment = struct.unpack_from("<3H", new, place + 28)
        if bytes(new[place + 46 : place + 46 + n]) in offsets:
            struct.pack_into("<L", new, place + 42, first)
        place += 46 + n + extra + comment
    path.write_bytes(new)
    refused(path, LoupeError, None)


def test_sizes_that_are_not_those_of_the_bytes(tmp_path, files):
    small = forged(tmp_path / "a.zip", files)
    huge = json.loads(members(small)[MANIFEST])["files"]
    refused(
        forged(tmp_path / "b.zip", files, files={n: [1 << 50, sha] for n, (_, sha) in huge.items()}),
        StoreDamaged,
        None,
    )
    data = bytearray(small.read_bytes())
    with zipfile.ZipFile(small) as file:
        place = file.start_dir
    struct.pack_into("<2L", data, place + 20, 1 << 31, 1 << 31)  # zip's directory says two gigabytes
    (tmp_path / "c.zip").write_bytes(data)
    refused(tmp_path / "c.zip", UnsafeFile, "bomb")


def test_too_many_files(tmp_path, whole, files):
    data = bytearray(whole.read_bytes())
    struct.pack_into("<2H", data, len(data) - 14, 0xFFFE, 0xFFFE)
    (tmp_path / "a.zip").write_bytes(data)
    refused(tmp_path / "a.zip", LoupeError, None)
    end = io.BytesIO()  # a million entries, in a directory of their size
    end.write(b"PK\x03\x04" + bytes(60_000_000 - 4))
    end.write(struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 10**6, 10**6, 60_000_000, 0))
    end.write(struct.pack("<4sLQL", b"PK\x06\x07", 0, 60_000_000, 1))
    end.write(struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0))
    (tmp_path / "b.zip").write_bytes(end.getvalue())
    refused(tmp_path / "b.zip", UnsafeFile, "1,000,000 files")


@pytest.mark.parametrize(
    "text", [b"[" * 100_000, b"{", b"null", b'{"format": "feature-loupe-pack", "version": 1}']
)
def test_a_manifest_that_is_none(tmp_path, files, text):
    path = tmp_path / "f.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("workspace/workspace.json", files["workspace/workspace.json"])
        file.writestr(MANIFEST, text)
    refused(path, LoupeError, "manifest")


def test_two_things_of_one_name(tmp_path, files):
    with zipfile.ZipFile(tmp_path / "f.zip", "w") as file:
        file.writestr("workspace/a", b"")
        file.writestr("workspace/b", b"")
        file.writestr(MANIFEST, files[MANIFEST])
    (tmp_path / "f.zip").write_bytes(
        (tmp_path / "f.zip").read_bytes().replace(b"workspace/b", b"workspace/a")
    )
    refused(tmp_path / "f.zip", UnsafeFile, "one name")
    refused(
        forged(tmp_path / "g.zip", {**files, "workspace/a": b"", "workspace/a/b": b""}),
        UnsafeFile,
        "one name",
    )


def test_cut_off_anywhere(tmp_path, whole):
    data = whole.read_bytes()
    for length in (0, 3, 21, 22, 100, len(data) // 2, len(data) - 500, len(data) - 23, len(data) - 1):
        (tmp_path / "f.zip").write_bytes(data[:length])
        refused(tmp_path / "f.zip", LoupeError, "cut off|is no pack")


def test_something_before_after_or_between(tmp_path, whole):
    data = whole.read_bytes()
    for k, changed in enumerate([b"#!/bin/sh\n" + data, data + b"more", data[:-2] + b"\4\0more"]):
        (tmp_path / f"{k}.zip").write_bytes(changed)
        refused(tmp_path / f"{k}.zip", LoupeError, None)


def test_something_hidden_in_a_gap(tmp_path, whole):
    with zipfile.ZipFile(whole) as file:
        start = file.start_dir
    data = bytearray(whole.read_bytes()[:start] + b"hidden" + whole.read_bytes()[start:])
    struct.pack_into("<L", data, len(data) - 6, start + 6)
    (tmp_path / "f.zip").write_bytes(data)
    refused(tmp_path / "f.zip", UnsafeFile, "gap")


def test_no_changed_byte_gets_through(tmp_path, whole):
    """A byte changed anywhere is refused, or lies in a field of zip's that nobody reads: then all content is right."""
    data, rng = whole.read_bytes(), np.random.default_rng(0)
    place, kept = tmp_path / "f.zip", members(whole)
    refusals = 0
    for at in rng.integers(0, len(data), 60):
        changed = bytearray(data)
        changed[at] ^= 1 << rng.integers(0, 8)
        place.write_bytes(changed)
        try:
            made = unpack(place, tmp_path / "out", replace=True)
        except LoupeError:
            refusals += 1
            continue
        here = {
            f"{ROOT}{p.relative_to(made.path).as_posix()}": p for p in made.path.rglob("*") if p.is_file()
        }
        assert {n: p.read_bytes() for n, p in here.items() if "/." not in n} == {
            n: d for n, d in kept.items() if n != MANIFEST
        }
    assert refusals > 40


def test_a_changed_activation(tmp_path, files, whole):
    data, rows = bytearray(whole.read_bytes()), files["workspace/stores/first/taps/a-tap/000000.rows"]
    data[data.index(rows) + 7] ^= 1
    (tmp_path / "f.zip").write_bytes(data)
    refused(tmp_path / "f.zip", StoreDamaged, "000000.rows does not match its checksum")


def test_another_content_than_was_told(tmp_path, whole):
    (tmp_path / "p").mkdir()
    refused(whole, StoreDamaged, "digest", tmp_path / "p" / "out", digest="0" * 64)


def test_a_newer_pack_and_something_else(tmp_path, files):
    refused(forged(tmp_path / "f.zip", files, version=2), NewerSchema, "Update")
    (tmp_path / "text.zip").write_text("hello")
    refused(tmp_path / "text.zip", InputError, "is no pack")
    refused(tmp_path / "nothing.zip", NotFound, "does not exist")
    os.mkfifo(tmp_path / "pipe")
    refused(tmp_path / "pipe", InputError, "not a plain file")


def test_a_note_book_that_acts_by_itself(tmp_path, files):
    (tmp_path / "people.db").write_bytes(files["workspace/people.db"])
    with sqlite3.connect(tmp_path / "people.db") as db:
        db.execute("CREATE TRIGGER t AFTER INSERT ON loupe_entries BEGIN DELETE FROM loupe_selections; END")
    data = (tmp_path / "people.db").read_bytes()
    refused(forged(tmp_path / "f.zip", {**files, "workspace/people.db": data}), UnsafeFile, "acts by itself")


def changed_store(files: dict[str, bytes], folder: Path, **change) -> dict[str, bytes]:
    """The files with entries of the store's manifest replaced, and its checksum right."""
    name = "workspace/stores/first/manifest.json"
    folder.mkdir()
    manifest.write(folder, json.loads(files[name]) | change)
    return {**files, name: (folder / "manifest.json").read_bytes()}


def test_a_store_that_names_files_outside(tmp_path, files):
    """Sounds are played from the paths in the sample table; shards and tables are read from paths in the manifest."""
    taps = json.loads(files["workspace/stores/first/manifest.json"])["taps"]
    sound = {"media": {"from": "../../../data/texts", "to": "../../../../../etc"}}
    slug = {"taps": [{**taps[0], "slug": "../../../../etc"}]}
    for k, (change, words) in enumerate(((sound, "not in the workspace"), (slug, None))):
        store = changed_store(files, tmp_path / str(k), **change)
        refused(forged(tmp_path / f"{k}.zip", store), LoupeError, words)


def test_a_store_that_is_not_the_one_that_was_packed(tmp_path, files):
    about = json.loads(files[MANIFEST])
    refused(forged(tmp_path / "a.zip", files, stores={"first": "0" * 32}), StoreDamaged, "not those")
    refused(
        forged(tmp_path / "b.zip", files, stores=about["stores"] | {"second": "0"}), StoreDamaged, "not those"
    )
    refused(
        forged(tmp_path / "c.zip", changed_store(files, tmp_path / "s", complete=False)), LoupeError, None
    )


def test_an_existing_workspace_is_not_touched_unless_asked(tmp_path, whole):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    there = made(tmp_path / "a")
    there.note("first", "a/tap", 0, "mine")
    refused(whole, InputError, "there is a workspace", there.path)
    (tmp_path / "b" / "photo.png").write_bytes(b"")
    refused(whole, InputError, "other things", tmp_path / "b", replace=True)
    (tmp_path / "link").symlink_to(there.path)
    refused(whole, InputError, "not a folder", tmp_path / "link", replace=True)
    assert there.notes("first", "a/tap")[0] == "mine"
    unpack(whole, there.path, replace=True)
    assert there.notes("first", "a/tap") == {2: "likes vowels"}
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == ["data", "work"]


def test_a_damaged_pack_takes_the_place_of_nothing(tmp_path, whole):
    there = made(tmp_path)
    data = bytearray(whole.read_bytes())
    data[2000] ^= 255
    (tmp_path / "f.zip").write_bytes(data)
    refused(tmp_path / "f.zip", LoupeError, None, there.path, replace=True)
    assert there.store("first").verify() == []


def test_a_workspace_in_which_somebody_works_is_not_replaced(tmp_path, whole):
    there = made(tmp_path)
    with open(there.path / "stores" / "first" / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        refused(whole, Busy, "somebody works", there.path, replace=True)


@pytest.mark.parametrize("when", ["full", "stopped", "no room"])
def test_an_unpacking_that_cannot_be_finished_leaves_nothing(tmp_path, whole, monkeypatch, when):
    def told(fraction, doing):
        if fraction > 0.5:
            raise OSError(errno.ENOSPC, "full") if when == "full" else Cancelled()

    if when == "no room":
        fields = list(os.statvfs(tmp_path))
        fields[4] = 0  # free blocks
        monkeypatch.setattr(unpacking.os, "statvfs", lambda path: os.statvfs_result(fields))
    error, words = {
        "full": (DiskFull, "full"),
        "stopped": (Cancelled, "Stopped"),
        "no room": (LoupeError, "room"),
    }[when]
    (tmp_path / "p").mkdir()
    refused(whole, error, words, tmp_path / "p" / "out", progress=told)
