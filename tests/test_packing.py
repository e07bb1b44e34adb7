"""A workspace packed and unpacked is the same workspace: every digest, every result, every word that people wrote."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from packing_subjects import KEY, SAMPLES, made, members

from analysis.errors import InputError, ParameterError, TooLarge
from analysis.sharing import packing
from analysis.sharing.container import MANIFEST, digest_of
from analysis.sharing.inputs import input_of
from analysis.sharing.packing import pack, planned
from analysis.sharing.plan import Plan
from analysis.sharing.unpacking import unpack
from analysis.sources.checkpoint import open_checkpoint
from analysis.sources.data import open_data
from analysis.workspace import Workspace
from dashboard.cli import main


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return made(tmp_path_factory.mktemp("there"))


@pytest.fixture(scope="module")
def travelled(original, tmp_path_factory):
    """The pack and what became of it, in a folder where nothing of the original can be found by a relative path."""
    folder = tmp_path_factory.mktemp("else") / "where"
    folder.mkdir()
    packed = pack(original, folder / "work.zip", networks=True, data=True)
    return packed, unpack(packed.path, folder / "w")


def test_every_activation_feature_set_result_and_word_arrives(original, travelled):
    there, here = original, Workspace.open(travelled[1].path)
    assert here.store("first").digest == there.store("first").digest
    assert here.store("first").verify() == []
    np.testing.assert_array_equal(
        here.activations("first:a/tap").unit(2), there.activations("first:a/tap").unit(2)
    )
    assert here.features.open("atoms").digest == there.features.open("atoms").digest
    np.testing.assert_array_equal(here.cache.get(KEY).series["s"], there.cache.get(KEY).series["s"])
    assert here.cache.path(KEY).read_bytes() == there.cache.path(KEY).read_bytes()
    (selection,) = here.selections()
    assert (selection, selection.note, selection.made) == (
        *there.selections(),
        "look",
        there.selections()[0].made,
    )
    assert here.notes("first", "a/tap") == {2: "likes vowels"}
    assert here.stars("first", "a/tap") == (3,)


def test_network_and_data_are_found_again_in_the_workspace_itself(travelled):
    store = Workspace.open(travelled[1].path).store("first")
    network, data = store.manifest["checkpoint"], store.manifest["data"]
    assert open_checkpoint(network["path"]).digest == network["digest"]
    assert open_data(data["path"], **data["options"]).digest == data["digest"]
    assert all(str(travelled[1].path) in place for place in (network["path"], data["path"]))
    media = store.samples["media_path"]
    assert len(media) == SAMPLES
    assert all(Path(m).read_text() == f"the text {k}" for k, m in enumerate(media))
    assert travelled[1].links == (("first", "network", "inside"), ("first", "data", "inside"))


def test_the_same_content_gives_the_same_bytes_also_from_what_was_unpacked(original, travelled, tmp_path):
    packed, unpacked = travelled
    again = pack(original, tmp_path / "again.zip", networks=True, data=True)
    back = pack(Workspace.open(unpacked.path), tmp_path / "back.zip")
    assert again.path.read_bytes() == packed.path.read_bytes() == back.path.read_bytes()
    assert again.digest == unpacked.digest


def test_what_stays_is_told_and_nothing_of_the_machine_travels(original, tmp_path):
    packed = pack(original, tmp_path / "work.zip")
    assert dict(packed.about["left_out"]) == {
        "network of first": "not asked for (--networks)",
        "data of first": "not asked for (--data)",
    }
    names = members(packed.path)
    assert not any("jobs" in n or "timings" in n or "/." in n or "inputs" in n for n in names)
    here = Workspace.open(unpack(packed.path, tmp_path / "w").path)
    assert set(here.store("first").samples["media_path"]) == {""}  # nobody opens a path that nobody checked
    assert here.store("first").digest == original.store("first").digest


def test_only_the_files_of_the_data_set_travel(travelled):
    assert not any("private" in name for name in members(travelled[0].path))


def test_a_part_can_stay(original, tmp_path):
    names = members(pack(original, tmp_path / "w.zip", without=("results", "notes")).path)
    assert not any("cache" in n or "people" in n for n in names)
    with pytest.raises(ParameterError, match="without"):
        pack(original, tmp_path / "x.zip", without=("stores",))


def test_any_zip_program_opens_it_and_sha256sum_agrees(travelled, tmp_path):
    if shutil.which("unzip") is None or shutil.which("sha256sum") is None:
        pytest.skip("no unzip here")
    subprocess.run(["unzip", "-q", travelled[0].path, "-d", tmp_path], check=True)
    assert Workspace.open(tmp_path / "workspace").store("first").digest
    names = sorted(json.loads((tmp_path / MANIFEST).read_text())["files"], key=str.encode)
    lines = subprocess.run(["sha256sum", *names], cwd=tmp_path, capture_output=True, check=True).stdout
    whole = subprocess.run(["sha256sum"], input=lines, capture_output=True, check=True).stdout
    assert whole.decode().split()[0] == travelled[0].digest


def test_beyond_the_limits_of_plain_zip(original, tmp_path, monkeypatch):
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 1000)
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 3)
    packed = pack(original, tmp_path / "w.zip")
    assert b"PK\x06\x06" in packed.path.read_bytes()[-200:]
    assert unpack(packed.path, tmp_path / "w").digest == packed.digest


def test_deleted_notes_do_not_travel(tmp_path):
    workspace = made(tmp_path)
    workspace.note("first", "a/tap", 4, "a-secret-that-was-deleted")
    workspace.note("first", "a/tap", 4, "")
    assert b"a-secret" not in members(pack(workspace, tmp_path / "w.zip").path)["workspace/people.db"]


def test_links_out_of_the_workspace_are_not_followed(tmp_path):
    workspace, secret = made(tmp_path), tmp_path / "secret.txt"
    secret.write_text("a secret")
    (workspace.path / "features" / "one.txt").symlink_to(secret)
    (workspace.path / "linked").symlink_to(tmp_path)
    (workspace.path / "stores" / "first" / "more").symlink_to(tmp_path)
    os.mkfifo(workspace.path / "pipe")
    packed = pack(workspace, tmp_path / "w.zip")
    assert b"a secret" not in packed.path.read_bytes()
    left = dict(packed.about["left_out"])
    assert {"features/one.txt", "linked", "stores/first/more", "pipe"} <= set(left)


def test_a_workspace_that_calls_other_peoples_files_its_data_gets_none(tmp_path):
    """As if somebody had sent the workspace: its store says that a folder of ours is its data."""
    from analysis.store import manifest

    workspace, ours = made(tmp_path), tmp_path / "ours"
    ours.mkdir()
    (ours / "diary.txt").write_text("dear diary")
    path = workspace.path / "stores" / "first"
    manifest.write(
        path, manifest.read(path) | {"data": {"path": str(ours), "kind": "text", "digest": "0" * 32}}
    )
    packed = pack(Workspace.open(workspace.path), tmp_path / "w.zip", data=True)
    assert "not what was recorded" in dict(packed.about["left_out"])["data of first"]
    assert b"dear diary" not in packed.path.read_bytes()


def test_unfinished_and_damaged_stores_stay_and_the_others_go(tmp_path):
    from store_subjects import create, write

    workspace = made(tmp_path)
    with create(workspace.path / "stores" / "half") as writer:
        write(writer, 2)
    (workspace.path / "stores" / "broken").mkdir()
    packed = pack(workspace, tmp_path / "w.zip")
    left = dict(packed.about["left_out"])
    assert "resume it" in left["stores/half"]
    assert "stores/broken" in left
    assert list(packed.about["stores"]) == ["first"]


def test_where_a_pack_may_be_written(original, tmp_path):
    with pytest.raises(InputError, match="in the workspace"):
        pack(original, original.path / "w.zip")
    (tmp_path / "there.zip").write_text("mine")
    with pytest.raises(InputError, match="already a file"):
        pack(original, tmp_path / "there.zip")
    assert (tmp_path / "there.zip").read_text() == "mine"
    with pytest.raises(InputError, match="no folder"):
        pack(original, tmp_path / "nowhere" / "w.zip")
    assert pack(original, tmp_path / "there.zip", replace=True).digest


@pytest.mark.parametrize("when", ["full", "grown", "stopped"])
def test_a_pack_that_cannot_be_finished_leaves_nothing(original, tmp_path, monkeypatch, when):
    def stop(fraction, doing):
        if when == "stopped" and fraction > 0.5:
            raise KeyboardInterrupt

    if when == "full":
        monkeypatch.setattr(packing.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(9, 9, 9))
    if when == "grown":
        real = Plan.add
        monkeypatch.setattr(
            Plan, "add", lambda s, n, p: (real(s, n, p), s.sizes.__setitem__(f"workspace/{n}", 3))
        )
    with pytest.raises({"full": TooLarge, "grown": InputError, "stopped": KeyboardInterrupt}[when]):
        pack(original, tmp_path / "w.zip", progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_removed_by_the_next(original, tmp_path):
    (tmp_path / ".w.zip.partial-0123").write_bytes(b"half")
    (tmp_path / ".w.partial-0123").mkdir()
    unpack(pack(original, tmp_path / "w.zip").path, tmp_path / "w")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["w", "w.zip"]


def test_the_plan_says_what_the_pack_then_holds(original, tmp_path):
    with planned(original, data=True) as plan:
        expected = dict(plan.sizes)
    packed = pack(original, tmp_path / "w.zip", data=True)
    assert {n: len(d) for n, d in members(packed.path).items() if n != MANIFEST} == expected
    about = json.loads(members(packed.path)[MANIFEST])
    assert about["digest"] == digest_of(about["files"]) == packed.digest


def test_the_commands(original, tmp_path, capsys):
    def run(*arguments):
        code = main([str(a) for a in arguments])
        return code, *capsys.readouterr()

    code, out, _ = run("pack", original.path, "--dry-run", "--networks")
    assert code == 0
    assert "would pack" in out
    assert "left out: data of first: not asked for (--data)" in out
    code, out, _ = run("pack", original.path, "--out", tmp_path / "w.zip", "--networks", "--data", "--json")
    digest = json.loads(out)["digest"]
    assert code == 0
    code, out, _ = run("unpack", tmp_path / "w.zip", "--out", tmp_path / "w", "--digest", digest)
    assert code == 0
    assert "every checksum holds" in out
    code, _, err = run("unpack", tmp_path / "w.zip", "--out", tmp_path / "w")
    assert code == 1
    assert "--replace" in err
    assert run("pack", original.path)[0] == 2


@pytest.mark.parametrize("part", ["checkpoint", "data"])
def test_a_dump_is_in_the_store_and_nothing_is_said_against_its_file(tmp_path, part):
    file = tmp_path / "dump.npy"
    np.save(file, np.eye(4))
    store = SimpleNamespace(manifest={part: {"kind": "dump", "path": str(file), "digest": "of its numbers"}})
    with pytest.raises(InputError, match="what was imported is in the store"):
        input_of(store, part)
