"""The workspace page: stores and their problems, recording, importing, selections, jobs."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from app_pages import button, is_whole, open_page, texts, url
from page_stores import make_workspace

from analysis.jobs import queue
from analysis.people import Selection
from analysis.store.manifest import TapSpec
from analysis.store.writer import StoreWriter, TapBlock

TREE = {
    "checkpoint": "TinyModel",
    "samples": 12,
    "data": "12 images from here",
    "classes": ["a", "b"],
    "skipped": ["broken.png cannot be read"],
    "taps": [
        {"name": f"net.blocks.{k}", "type": "Block", "shape": [5, 8], "n_tokens": 5, "n_units": 8,
         "bytes_per_sample": 80, "is_default": k < 2, "is_block": True, "note": "",
         "problem": "" if k else "it gives no tensor"}
        for k in range(300)
    ],
}  # fmt: skip


@pytest.fixture
def full(tmp_path, monkeypatch):
    workspace = make_workspace(tmp_path / "ws")
    monkeypatch.setenv("LOUPE_WORKSPACE", str(workspace.path))
    yield workspace
    shutil.rmtree(workspace.path)


def ended(workspace, kind, arguments, **outcome):
    id = queue.submit(workspace.path, kind, arguments, start=False)
    (workspace.path / "jobs" / id / "taken").touch()
    queue.write_json(
        workspace.path / "jobs" / id / "outcome.json", {"state": "done", "seconds": 1.0, **outcome}
    )
    return id


def test_stores_are_listed_with_what_is_in_them(full):
    at = open_page("workspace")
    assert is_whole(at)
    table = at.dataframe[0].value
    assert list(table["Store"]) == ["images", "table", "texts", "zz-single"]
    assert table["Samples"][0] == 240
    at = open_page("workspace", store="texts")
    assert "texts" in texts(at)


def test_a_damaged_store_hides_no_other(full):
    (full.path / "stores" / "images" / "manifest.json").write_text("{")
    at = open_page("workspace")
    assert is_whole(at)
    assert any("images" in e.value for e in at.error)
    assert len(at.dataframe[0].value) == 4


def test_an_interrupted_recording_can_be_resumed(full):
    writer = StoreWriter.create(
        full.path / "stores" / "half",
        name="half",
        taps=[TapSpec("a", 4)],
        checkpoint={"kind": "hugging_face", "path": "/no/where"},
        data={"path": "/no/where"},
        settings={"taps": ["a"], "tokens": "mean", "batch": 4},
        n_expected=8,
    )
    writer.append({"id": list("abcd")}, {"a": TapBlock(np.ones((4, 4), np.float32))})
    writer.close()
    at = open_page("workspace")
    assert is_whole(at)
    assert "4 samples of 8" in texts(at)
    assert button(at, "Resume") is not None
    ended(full, "record", {"name": "half"}, state="failed", error={"found": "/no/where is not there"})
    at = open_page("workspace")
    assert "/no/where is not there" in at.error[0].value
    assert button(at, "Resume") is not None


def test_recording_starts_by_looking_inside(full, tmp_path):
    (tmp_path / "ck").mkdir()
    sources = {"checkpoint": str(tmp_path / "ck"), "data": str(tmp_path / "ck"), "data_options": {}}
    at = open_page("workspace", show="record", checkpoint=sources["checkpoint"])
    assert button(at, "Look inside").disabled
    at = open_page("workspace", show="record", checkpoint=sources["checkpoint"], data=sources["data"])
    assert not button(at, "Look inside").disabled
    ended(full, "dry_run", sources, result=TREE)
    at = open_page("workspace", show="record", checkpoint=sources["checkpoint"], data=sources["data"])
    assert is_whole(at)
    assert "TinyModel" in texts(at)
    assert button(at, "Record") is not None


def test_a_long_tree_can_be_narrowed(full, tmp_path):
    (tmp_path / "ck").mkdir()
    where = str(tmp_path / "ck")
    ended(full, "dry_run", {"checkpoint": where, "data": where, "data_options": {}}, result=TREE)
    at = open_page(
        "workspace", show="record", checkpoint=where, data=where, choose="By name", pattern="net.blocks.29*"
    )
    assert "11 of 299 modules" in texts(at)
    at = open_page(
        "workspace", show="record", checkpoint=where, data=where, choose="By name", pattern="nothing*"
    )
    assert "No module is called" in texts(at)
    assert button(at, "Record") is None


def test_a_path_that_is_not_there_is_said_at_once(full):
    at = open_page("workspace", show="record", checkpoint="/not/there/model", data="/not/there/data")
    assert is_whole(at)
    assert "There is no" in texts(at)
    at = open_page("workspace", show="import", dump="/not/there.npy")
    assert "There is no" in texts(at)


def test_a_failed_recording_says_why(full):
    error = {"found": "weights are missing", "expected": "model.safetensors", "remedy": "copy it"}
    id = ended(full, "import", {"path": "x", "name": "y"}, state="failed", error=error)
    at = open_page("workspace", show="import", job=id)
    assert is_whole(at)
    assert "weights are missing" in at.error[0].value
    at = open_page("workspace", show="jobs")
    assert "failed" in list(at.dataframe[0].value["State"])


def test_an_import_runs_and_offers_the_map(full, tmp_path):
    np.save(tmp_path / "acts.npy", np.random.default_rng(0).standard_normal((30, 4)).astype(np.float32))
    at = open_page("workspace", show="import", dump=str(tmp_path / "acts.npy"), dump_name="mine")
    button(at, "Import").click().run(timeout=60)
    job = queue.wait(full.path, url(at)["job"][0], timeout=60)
    assert job.state == "done", job.error
    at = open_page("workspace", show="import", job=job.id)
    assert "is ready" in texts(at)


def test_selections_are_listed_and_deleted(full):
    full.save_selection(Selection("odd ones", "samples", "images", "pooled", ("0", "1")))
    at = open_page("workspace", show="selections")
    assert at.dataframe[0].value["Holds"][0] == "2 samples"
    button(at, "Delete").click().run()
    assert full.selections() == []
