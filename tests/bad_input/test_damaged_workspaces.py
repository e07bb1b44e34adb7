"""Workspaces and stores that are newer, damaged or read-only."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from bad_input import (
    N,
    accepted,
    contents,
    job_refused,
    loupe,
    recording,
    refused,
    weights,
)


def changed_json(path: Path, **values) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_a_newer_workspace(capsys, spare, tmp_path, rows):
    changed_json(spare / "workspace.json", schema=99)
    before = contents(spare)
    for arguments in (
        ("info", spare),
        ("info", spare, "--verify"),
        ("run", "pca", "good:0", "--workspace", spare),
        ("import", rows, "--workspace", spare, "--name", "new"),
        recording(weights(tmp_path), rows, spare),
    ):
        refused(capsys, *arguments, says=["schema 99", "Update"])
    job_refused(spare, "import", {"path": str(rows), "name": "new"}, "schema 99")
    assert contents(spare) == before


def test_a_newer_store_hides_no_other(capsys, spare, tmp_path, rows):
    shutil.copytree(spare / "stores" / "good", spare / "stores" / "newer")
    changed_json(spare / "stores" / "newer" / "manifest.json", schema=99)
    before = contents(spare)
    out = accepted(capsys, "info", spare)
    assert "schema 99" in out
    assert f"good: {N} samples" in out
    refused(capsys, "info", spare / "stores" / "newer", says=["schema 99", "Update"])
    refused(capsys, "run", "pca", "newer:0", "--workspace", spare, says="schema 99")
    for more, says in (((), "already a store"), (("--resume",), "schema 99")):
        refused(capsys, *recording(weights(tmp_path), rows, spare, *more, name="newer"), says=says)
    assert contents(spare) == before


@pytest.mark.parametrize(
    ("file", "at", "named"),
    [
        ("taps/0/000000.rows", 50, "chunk 0/000000.rows"),
        ("taps/0/index/table.npy", -10, "taps/0/index/table.npy"),
        ("samples.parquet", 50, "samples.parquet"),
    ],
)
def test_a_flipped_byte_is_named_by_verify(capsys, spare, file, at, named):
    store = spare / "stores" / "good"
    assert "as written" in accepted(capsys, "info", store, "--verify")
    data = bytearray((store / file).read_bytes())
    data[at] ^= 1
    (store / file).write_bytes(data)
    for path in (store, spare):
        code, out, _ = loupe(capsys, "info", path, "--verify")
        assert code == 1
        assert named in out
    code, out, _ = loupe(capsys, "info", store, "--verify", "--json")
    assert code == 1
    assert named in json.loads(out)["damaged"]["good"][0]
    if file.endswith(".rows"):
        refused(capsys, "run", "pca", "good:0", "--workspace", spare, says=named)


def test_verify_needs_a_store(capsys, rows):
    refused(capsys, "info", rows, "--verify", code=2, says="a store")


@pytest.mark.parametrize("text", [b"", b"[]", b'{"schema": 1}', b"\xff\xfe"])
def test_a_damaged_manifest(capsys, spare, text):
    manifest = spare / "stores" / "good" / "manifest.json"
    manifest.write_bytes(text)
    refused(capsys, "run", "pca", "good:0", "--workspace", spare, says="manifest")
    refused(capsys, "info", spare / "stores" / "good", says="manifest")
    assert "manifest" in accepted(capsys, "info", spare)
    assert manifest.read_bytes() == text


def test_a_damaged_workspace_file_or_people_file(capsys, spare):
    (spare / "people.db").write_bytes(b"garbage" * 1000)
    refused(capsys, "info", spare, says="people.db")
    accepted(capsys, "run", "pca", "good:0", "--workspace", spare)
    (spare / "workspace.json").write_text("[]")
    refused(capsys, "info", spare, says="workspace.json")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_workspace(capsys, spare, tmp_path, rows):
    (spare / "stores").chmod(0o555)
    try:
        refused(capsys, *recording(weights(tmp_path), rows, spare), says="Permission denied")
    finally:
        (spare / "stores").chmod(0o755)
