"""The workspace page: stores and their problems, recording, importing, selections, jobs."""

from __future__ import annotations

import re
import shutil

import numpy as np
import pytest
from app_pages import button, is_whole, open_page, texts, url
from page_stores import make_workspace
from streamlit.testing.v1 import AppTest

from analysis.jobs import queue
from analysis.selection import Selection
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


def test_an_import_is_told_what_the_tokens_are(full, tmp_path):
    rows = np.random.default_rng(0).standard_normal((8, 12, 4)).astype(np.float32)
    np.save(tmp_path / "acts.npy", rows)
    form = {"show": "import", "dump": str(tmp_path / "acts.npy")}
    for name, types in (("typed", "class:1+patch:3x3+head:2"), ("wrong", "class:1+patch:3x3")):
        at = open_page("workspace", **form, dump_name=name, dump_types=types)
        button(at, "Import").click().run(timeout=60)
        job = queue.wait(full.path, url(at)["job"][0], timeout=60)
        assert (job.state == "done") == (name == "typed"), job.error
    assert "10 tokens" in job.error["found"]
    assert "12 tokens" in job.error["expected"]
    (tap,) = full.store("typed").taps
    kept = full.store("typed").activations(tap)
    assert kept.layout.grid == (3, 3)
    shown = kept.take(np.arange(2 * 12)).reshape(2, 12, 4)
    np.testing.assert_array_equal(shown[:, 3:], rows[:2, 1:10])  # class and heads first


@pytest.mark.parametrize(
    ("types", "why"),
    [("class1+patch", "'class1'"), ("class:1", "without patches"), ("patch:2x2+patch:4", "several runs of patches"),
     ("class:1+patch:7", "no square"), ("patch:2x2+<b>x</b>:3", "token types"), ("patch:0", "a count of 1 or more"),
     ("patch:4+class:2", "several class tokens")],
)  # fmt: skip
def test_types_that_cannot_be_read_are_refused_before_anything_is_imported(full, tmp_path, types, why):
    np.save(tmp_path / "acts.npy", np.zeros((8, 12, 4), np.float32))
    at = open_page("workspace", show="import", dump=str(tmp_path / "acts.npy"), dump_types=types)
    assert is_whole(at)
    assert why in texts(at)
    assert button(at, "Import").disabled


def test_what_types_are_taken_for_is_told(full, tmp_path):
    np.save(tmp_path / "acts.npy", np.zeros((8, 19, 4), np.float32))
    said = "patch:4x4+class:1+head:2"
    at = open_page("workspace", show="import", dump=str(tmp_path / "acts.npy"), dump_types=said)
    told = texts(at).replace("\\", "")
    assert "19 tokens of a sample, patches 4 x 4" in told
    assert "row 0: class, rows 1 to 2: head, rows 3 to 18: patch" in told
    assert not button(at, "Import").disabled
    at = open_page("workspace", show="import", dump=str(tmp_path / "acts.npy"))
    assert "tokens of a sample, patches" not in texts(at)
    assert not button(at, "Import").disabled


def test_selections_are_listed_and_deleted(full):
    full.save_selection(Selection("odd ones", "samples", "images", "pooled", ("0", "1")))
    at = open_page("workspace", show="selections")
    assert at.dataframe[0].value["Holds"][0] == "2 samples"
    assert button(at, "Delete").disabled  # it would go for everybody
    next(box for box in at.checkbox if box.label.startswith("Delete it for everybody")).check().run()
    button(at, "Delete").click().run()
    assert full.selections() == []


def test_the_ticks_of_modules_are_in_the_link(full, tmp_path):
    (tmp_path / "ck").mkdir()
    where = str(tmp_path / "ck")
    ended(full, "dry_run", {"checkpoint": where, "data": where, "data_options": {}}, result=TREE)
    form = {"show": "record", "checkpoint": where, "data": where, "choose": "Pick in the table"}
    at = open_page("workspace", **form, pick=["net.blocks.7", "net.blocks.2", "not a module"])
    assert is_whole(at)
    assert url(at)["pick"] == ["net.blocks.2", "net.blocks.7"]  # in the order of the table
    assert button(at, "Record") is not None
    button(at, "Record").click().run()
    job = next(j for j in queue.listing(full.path) if j.kind == "record")
    queue.cancel(full.path, job.id)
    assert job.arguments["taps"] == ["net.blocks.2", "net.blocks.7"]
    at = open_page("workspace", **form)
    assert "pick" not in url(at)
    assert button(at, "Record") is None


def test_names_that_no_module_has_are_not_markdown(full, tmp_path):
    (tmp_path / "ck").mkdir()
    where = str(tmp_path / "ck")
    ended(full, "dry_run", {"checkpoint": where, "data": where, "data_options": {}}, result=TREE)
    form = {"show": "record", "checkpoint": where, "data": where, "choose": "By name"}
    at = open_page("workspace", **form, pattern="![x](https://elsewhere/y.png)")
    assert "\\[x\\]" in at.warning[0].value


def test_every_item_left_out_is_named(full):
    """The manifest counts what was skipped and names the first hundred."""
    store = full.store("table")
    named = [f"row {i}: no value in *x*" for i in range(100)]
    data = {**(store.manifest.get("data") or {}), "skipped": 250, "skipped_items": named}
    store.manifest = {**store.manifest, "data": data}

    def page(store):
        from dashboard.parts import stores

        stores.details(store)

    at = AppTest.from_function(page, args=(store,)).run()
    assert not at.exception, at.exception
    assert any("250 items" in box.label for box in at.expander)
    assert "first 100 of 250" in texts(at)
    assert list(next(d.value for d in at.dataframe if "Left out" in d.value)["Left out"]) == named
    facts = next(d.value for d in at.dataframe if "What" in d.value)
    assert "250 unreadable items" in list(facts["Value"])


def test_accuracy_has_an_interval_and_a_baseline(full):
    at = open_page("workspace", store="images")
    said = str(at.dataframe[0].value["Accuracy"][0])
    value, low, high = (float(v) for v in re.findall(r"[\d.]+", said))
    assert low < value < high
    assert '"rows": [0]' in at.dataframe[0].proto.selection_default  # the store of the link is ticked
    facts = next(d.value for d in at.dataframe if "What" in d.value).set_index("What")["Value"]
    assert "33.3 % of 240" in facts["Commonest class"]


def test_long_work_is_seen_behind_many_short_jobs(full):
    long = queue.submit(full.path, "record", {"name": "big"}, title="*big*", start=False)
    for k in range(30):
        ended(full, "check", {"method": f"m{k}"}, result={})
    at = open_page("workspace", show="jobs")
    bars = [bar.proto.text for bar in at.get("progress")]
    assert any("\\*big\\*" in text and "waiting" in text for text in bars), bars
    queue.cancel(full.path, long)
