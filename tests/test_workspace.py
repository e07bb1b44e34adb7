"""The workspace: names, schema, what people write, and that looking never writes."""

from __future__ import annotations

import json
import os
import threading

import pytest

from analysis.errors import InputError, NewerSchema, NotFound, ParameterError, StoreDamaged
from analysis.people import People
from analysis.selection import Selection
from analysis.workspace import Workspace


@pytest.fixture
def workspace(tmp_path):
    return Workspace.create(tmp_path / "w")


def a_selection(**changes) -> Selection:
    given = {
        "name": "blurred 4s",
        "of": "samples",
        "store": "s",
        "tap": "t",
        "ids": ("a", "b"),
        "note": "odd",
    }
    return Selection(**{**given, **changes})


def test_open_needs_a_workspace(tmp_path):
    with pytest.raises(NotFound, match=r"workspace\.json"):
        Workspace.open(tmp_path)


def test_newer_workspace_is_refused_and_unchanged(workspace):
    file = workspace.path / "workspace.json"
    file.write_text(json.dumps({"schema": 99}))
    with pytest.raises(NewerSchema, match="99"):
        Workspace.open(workspace.path)
    assert json.loads(file.read_text()) == {"schema": 99}


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": "x"}', "\x00"])
def test_damaged_workspace_file(workspace, text):
    (workspace.path / "workspace.json").write_text(text)
    with pytest.raises(InputError):
        Workspace.open(workspace.path)


@pytest.mark.parametrize(
    "name", ["", "../x", "a/b", "/etc", ".hidden", "a" * 101, "a\nb", "..", "<b>", "a\x00"]
)
def test_names_that_cannot_be_a_store(workspace, name):
    with pytest.raises(ParameterError):
        workspace.store(name)


def test_unknown_store_lists_what_there_is(workspace):
    with pytest.raises(NotFound, match="none yet"):
        workspace.store("nothing")
    with pytest.raises(ParameterError, match="STORE:TAP"):
        workspace.activations("no-tap")


def test_a_broken_store_hides_no_other(workspace):
    broken = workspace.path / "stores" / "broken"
    broken.mkdir()
    (broken / "manifest.json").write_text("{")
    (entry,) = workspace.stores()
    assert entry.store is None
    assert entry.problem


def test_selection_round_trip_replace_and_delete(workspace):
    workspace.save_selection(a_selection())
    assert workspace.selection("blurred 4s").ids.tolist() == ["a", "b"]
    workspace.save_selection(a_selection(ids=("c",)))
    assert workspace.selection("blurred 4s").ids.tolist() == ["c"]
    assert [s.name for s in workspace.selections("s")] == ["blurred 4s"]
    assert workspace.selections("other") == []
    workspace.delete_selection("blurred 4s")
    with pytest.raises(NotFound, match="none yet"):
        workspace.selection("blurred 4s")


@pytest.mark.parametrize("changes", [{"ids": ()}, {"name": "  "}, {"of": "points"}])
def test_selections_that_are_refused(workspace, changes):
    with pytest.raises((InputError, ParameterError)):
        workspace.save_selection(a_selection(**changes))
    assert workspace.selections() == []


def test_hostile_text_is_kept_as_text(workspace):
    name = "'; DROP TABLE selections; -- <script>"
    workspace.save_selection(a_selection(name=name, note="=1+1"))
    assert workspace.selection(name).note == "=1+1"


def test_stars_and_notes(workspace):
    workspace.star("s", "t", 3)
    workspace.star("s", "t", 1)
    workspace.star("s", "t", 3)
    assert workspace.stars("s", "t") == (1, 3)
    workspace.star("s", "t", 3, on=False)
    assert workspace.stars("s", "t") == (1,)
    workspace.note("s", "t", 1, "edge detector")
    assert workspace.notes("s", "t") == {1: "edge detector"}
    workspace.note("s", "t", 1, "  ")
    assert workspace.notes("s", "t") == {}


def test_looking_writes_nothing(workspace):
    before = sorted(p.name for p in workspace.path.rglob("*"))
    workspace.selections()
    workspace.stars("s", "t")
    workspace.notes("s", "t")
    workspace.stores()
    assert sorted(p.name for p in workspace.path.rglob("*")) == before


def test_many_writers_lose_nothing(workspace):
    def write(k: int) -> None:
        for unit in range(20):
            workspace.star("s", "t", 100 * k + unit)

    threads = [threading.Thread(target=write, args=(k,)) for k in range(4)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert len(workspace.stars("s", "t")) == 80


def test_a_newer_people_file_is_refused(workspace):
    import sqlite3

    workspace.star("s", "t", 1)
    with sqlite3.connect(workspace.path / "people.db") as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(NewerSchema):
        workspace.stars("s", "t")


def test_a_damaged_people_file_says_so(workspace):
    (workspace.path / "people.db").write_bytes(b"garbage" * 1000)
    with pytest.raises(StoreDamaged, match=r"people\.db"):
        workspace.selections()
    with pytest.raises(StoreDamaged, match=r"people\.db"):
        workspace.star("s", "t", 1)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_workspace_says_so(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(InputError, match="writable"):
            People(tmp_path / "people.db").star("s", "t", 1)
    finally:
        tmp_path.chmod(0o700)


def test_search_gives_samples_where_whole_samples_are_meant_and_tokens_otherwise():
    from pathlib import Path

    import numpy as np

    sample = Workspace.open(Path(__file__).parents[1] / "sample_data" / "workspace")
    store = sample.store("digits-vit-patches")
    label = np.asarray(store.samples["label"]).astype(str)
    whole = sample.search("digits-vit-patches:vit.layers.3", "label = 4")
    assert whole.of == "samples"
    assert set(whole.ids) == set(np.asarray(store.samples["id"])[label == "4"])
    values = store.activations("vit.layers.3").unit(5)
    some = sample.search("digits-vit-patches:vit.layers.3", f"unit 5 > {float(np.median(values))!r}")
    assert some.of == "rows"
    assert np.array_equal(some.ids, np.flatnonzero(values > np.median(values)))
    assert not len(sample.search("digits-vit-patches:vit.layers.3", "unit 5 > 1e9"))
    with pytest.raises(NotFound, match="column"):
        sample.search("digits-vit-patches:vit.layers.3", "colour = red")
