"""Sample columns that files and tables really hold: names that are not UTF-8, and whole numbers beyond 64 bits."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from analysis.store import samples as sample_files
from analysis.store.from_arrays import write_store
from analysis.store.manifest import TapSpec
from analysis.store.places import located, portable
from analysis.store.reader import Store
from analysis.store.text import readable
from analysis.store.writer import StoreWriter, TapBlock

ODD = os.fsdecode(b"caf\xe9.png")


def written(path, columns: dict, **more) -> tuple[dict, dict]:
    """Columns read back before and after finishing."""
    n = len(next(iter(columns.values())))
    with StoreWriter.create(path, name="s", taps=[TapSpec("m", 2)], **more) as writer:
        writer.append(columns, {"m": TapBlock(np.ones((n, 2)))})
        before = Store.open(path)
        before = {name: before.samples[name] for name in before.samples}
        store = writer.finish()
    assert store.verify() == []
    return before, {name: store.samples[name] for name in store.samples}


def test_names_that_are_not_utf8_do_not_lose_the_recording(tmp_path):
    file = tmp_path / "data" / ODD
    file.parent.mkdir()
    file.write_bytes(b"picture")
    columns = {"id": ["a", ODD], "media_path": ["", str(file)], "\udcff": [1, 2], "lone": ["\ud800", None]}
    before, after = written(tmp_path / "s", columns, classes=(ODD,), data={"path": str(file)})
    for found in (before, after):
        assert found["id"].tolist() == ["a", "caf\\udce9.png"]
        assert found["media_path"].tolist() == ["", str(file)]  # exactly: the file is there
        assert Path(found["media_path"][1]).read_bytes() == b"picture"
        assert found["\\udcff"].tolist() == [1, 2]
        assert found["lone"].tolist() == ["\\ud800", ""]
    store = Store.open(tmp_path / "s")
    assert store.classes == ("caf\\udce9.png",)
    assert store.manifest["data"]["path"] == str(file)


def test_a_text_may_end_in_nul(tmp_path):
    """NumPy drops NULs at the end of a text: two ids would be one."""
    columns = {"id": ["a\0", "a", "\0"], "text\0": ["x\0y", "\0", None]}
    for found in written(tmp_path / "s", columns, classes=("c\0", "c"), settings={"from": "a\0"}):
        assert found["id"].tolist() == ["a\\x00", "a", "\\x00"]
        assert found["text\\x00"].tolist() == ["x\\x00y", "\\x00", ""]
    store = Store.open(tmp_path / "s")
    assert store.classes == ("c\\x00", "c")
    assert store.manifest["settings"]["from"] == "a\\x00"


def test_data_may_have_ids_that_end_in_nul():
    from analysis.sources.data_source import as_text

    assert as_text(["a", "a\0"]).tolist() == ["a", "a\0"]


def test_names_without_a_name_are_no_class(tmp_path):
    store = write_store(tmp_path / "s", name="s", taps={"t": np.ones((3, 2))}, labels=["b", None, "a"])
    assert store.classes == ("a", "b")
    assert store.class_index.tolist() == [1, -1, 0]
    assert store.samples["label"].tolist() == ["b", "", "a"]


def test_the_manifest_keeps_numbers_beyond_64_bits(tmp_path):
    facts = {"big": 2**70, "small": -(2**90), "unsigned": np.uint64(2**63)}
    store = write_store(tmp_path / "s", name="s", taps={"t": np.ones((3, 2))}, data=facts, settings=facts)
    assert Store.open(store.path).manifest["data"] == {**facts, "unsigned": 2**63}


def test_a_recording_that_such_a_name_had_stopped_can_be_finished(tmp_path, monkeypatch):
    """Lines that are on the disk already hold the name as it was."""
    path = str(tmp_path / ODD)
    with monkeypatch.context() as patch:
        patch.setattr(sample_files, "readable", lambda text: text)
        patch.setattr("analysis.store.writer.portable", lambda place, store: path)
        with StoreWriter.create(tmp_path / "s", name="s", taps=[TapSpec("m", 2)]) as writer:
            writer.append({"id": [ODD], "media_path": [path]}, {"m": TapBlock(np.ones((1, 2)))})
    with StoreWriter.resume(tmp_path / "s") as writer:
        store = writer.finish()
    assert store.samples["id"].tolist() == ["caf\\udce9.png"]
    assert store.samples["media_path"].tolist() == [path]


def test_notes_and_tokens_are_valid_unicode(tmp_path):
    with StoreWriter.create(tmp_path / "s", name="s", taps=[TapSpec("m", 2)]) as writer:
        writer.note_problem(f"{ODD} is broken")
        writer.append({"id": ["a"]}, {"m": TapBlock(np.ones((1, 2)))}, tokens=[["b\udce9", "ü"]])
        store = writer.finish()
    assert store.problems == ["caf\\udce9.png is broken"]
    assert store.tokens(0) == ["b\\udce9", "ü"]


@pytest.mark.parametrize("name", ["plain.png", "ü.png", ODD, "bytes:x", os.fsdecode(b"bytes:\xff%20 a")])
def test_a_remembered_path_is_the_same_path(tmp_path, name):
    kept = portable(tmp_path / name, tmp_path / "store")
    assert readable(kept) == kept
    assert located(kept, tmp_path / "store") == str(tmp_path / name)


@pytest.mark.parametrize(
    ("values", "expected", "kind"),
    [
        ([1, -2], [1, -2], "i"),
        ([2**63, 0], [2**63, 0], "u"),
        ([2**64 - 1, 5], [2**64 - 1, 5], "u"),
        ([2**63, -1], [str(2**63), "-1"], "U"),
        ([2**70, 1], [str(2**70), "1"], "U"),
        ([2**2000, None], [str(2**2000), ""], "U"),
        ([1.5, 2**70], ["1.5", str(2**70)], "U"),
        ([1, 2.5], [1.0, 2.5], "f"),
        ([True, 2], ["True", "2"], "U"),
        ([True, False], [True, False], "b"),
        (np.array([2**63, 7], np.uint64), [2**63, 7], "u"),
    ],
)
def test_numbers_come_back_with_every_digit(tmp_path, values, expected, kind):
    for found in written(tmp_path / "s", {"id": ["a", "b"], "x": values}):
        assert found["x"].dtype.kind == kind
        assert found["x"].tolist() == expected


def test_a_type_is_that_of_all_batches_and_row_groups_do_not_show(tmp_path, monkeypatch):
    monkeypatch.setattr("analysis.store.sample_table._GROUP", 3)
    parts = [{"id": ["a", "b"], "x": [1, 2]}, {"id": ["c", "d"], "x": [None, 2.5]}, {"id": ["e"], "y": ["t"]}]
    with StoreWriter.create(tmp_path / "s", name="s", taps=[TapSpec("m", 2)]) as writer:
        for part in parts:
            writer.append(part, {"m": TapBlock(np.ones((len(part["id"]), 2)))})
        store = writer.finish()
    assert store.samples["id"].tolist() == list("abcde")
    np.testing.assert_array_equal(store.samples["x"], [1, 2, np.nan, 2.5, np.nan])
    assert store.samples["y"].tolist() == ["", "", "", "", "t"]


def test_a_data_column_is_never_written_over(tmp_path):
    from analysis.recording.columns import renamed

    kept = renamed(["label", "data_label", "x", "data_data_label"])
    assert kept["data_label"] == "data_label"
    assert len(set(kept.values())) == 4
    assert "label" not in kept.values()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"labels": [0, 3], "classes": ("a", "b")}, r"label 3\. Expected -1 … 1 \(2 class names\)"),
        ({"labels": [0, -2], "classes": ("a", "b")}, "label -2"),
        ({"labels": [0]}, r"labels have shape \(1,\)\. Expected \(2,\)"),
        ({"labels": [0.5, 1.0]}, r"label 0\.5 \(float\)\. Expected whole numbers, or names and None"),
        ({"labels": np.array([0, None], object)}, r"label 0 \(int\)"),
        ({"labels": ["a", "c"], "classes": ("a", "b")}, "label 'c' is not a class. Expected one of a, b"),
        ({"taps": {}}, "has no tap"),
        ({"taps": {"t": []}}, "tap 't' of store 's' has no sample"),
        ({"taps": {"t": np.empty((0, 3))}}, "no sample"),
        ({"taps": {"t": np.array(7.0)}}, "no sample"),
        ({"taps": {"t": np.ones((2, 3)), "u": np.ones((3, 3))}}, "'u' has 3 samples. Expected 2, as many as tap 't'"),
        ({"taps": {"t": np.ones(2)}}, r"tap 't' has shape \(2,\)\. Expected \(n, units\) or \(n, tokens, units\)"),
        ({"taps": {"t": np.ones((2, 1, 4, 4))}}, r"tap 't' has shape \(2, 1, 4, 4\)\..*positions of a map into"),
        ({"taps": {"t": np.ones((2, 0))}}, "tap 't' has 0 units"),
        ({"taps": {"t": np.array([[None, 1], [2, 3]], object)}}, "tap 't' gives object values. Expected numbers"),
        ({"taps": {"t": np.array([["a"], ["b"]])}}, "tap 't' gives <U1 values. Expected numbers"),
        ({"taps": {"t": np.ones((2, 3), complex)}}, "tap 't' gives complex128 values. Expected numbers"),
        ({"taps": {"t": [np.ones((2, 3)), np.ones((2, 4))]}}, r"sample of tap 't' has shape \(2, 4\)"),
        ({"taps": {"t": [np.ones(3), np.ones(3)]}}, r"first sample of tap 't' has shape \(3,\)"),
        ({"taps": {"t\0": np.ones((2, 3))}}, "text without NUL"),
        ({"specs": {"other": TapSpec("other", 3)}}, "specs of"),
        ({"thumbnails": [b"1"]}, "1 thumbnails for 2 samples"),
        ({"tokens": [["a"]]}, "1 tokens for 2 samples"),
        ({"samples": {"x": [object(), 1]}}, "sample column 'x' holds object"),
        ({"samples": {"x": [1]}}, "sample column 'x' has 1 entries. Expected 2, one per sample"),
        ({"samples": {"x": [10**5000, 1]}}, "whole number of 16,610 bits"),
        ({"samples": {"id": ["a", "a"]}}, r"1 id\(s\) are there more than once \('a'\)"),
        ({"samples": {"id": [1, "1"]}}, "more than once"),
    ],
)  # fmt: skip
def test_wrong_arrays_are_refused_in_words_and_leave_nothing(tmp_path, wrong, said):
    from analysis.errors import InputError

    with pytest.raises(InputError, match=said):
        write_store(tmp_path / "s", name="s", **{"taps": {"t": np.ones((2, 3))}, **wrong})
    assert not (tmp_path / "s").exists()
    write_store(tmp_path / "s", name="s", taps={"t": np.ones((2, 3))})
    with pytest.raises(InputError, match="already holds"):
        write_store(tmp_path / "s", name="s", taps={"t": np.ones((2, 3))})
    assert Store.open(tmp_path / "s").complete
