"""Estimates of runs of networks follow what earlier runs took on this machine."""

from __future__ import annotations

import json

import pytest

from analysis.store import timings
from analysis.store.timings import KEPT, Timings


def test_nothing_is_known_at_first(tmp_path):
    assert Timings(tmp_path / "t.json").seconds("a:b", "saliency_map", 100) is None


def test_a_run_like_the_last_takes_as_long_and_more_passes_longer(tmp_path):
    known = Timings(tmp_path / "t.json")
    known.add("a:b", "quick", 10, 2.0)  # opening, mostly
    known.add("a:b", "long", 1000, 22.0)
    assert known.seconds("a:b", "long", 1000) == pytest.approx(22.0)
    assert known.seconds("a:b", "long", 2000) == pytest.approx(42.0)
    assert 2.0 <= known.seconds("a:b", "quick", 10) <= 3.0
    assert known.seconds("a:b", "quick", 1000) > 20  # not only opening


def test_other_methods_tell_of_the_same_tap_only(tmp_path):
    known = Timings(tmp_path / "t.json")
    known.add("a:b", "one", 100, 5.0)
    assert known.seconds("a:b", "new", 100) is None
    known.add("a:b", "two", 100, 9.0)
    assert 5.0 < known.seconds("a:b", "new", 100) <= 14.0
    assert known.seconds("a:c", "new", 100) is None


def test_the_last_runs_count(tmp_path):
    known = Timings(tmp_path / "t.json")
    known.add("a:b", "least", 10, 1.0)
    for took in [101.0] * 3 + [11.0] * KEPT:
        known.add("a:b", "m", 100, took)
    assert known.seconds("a:b", "m", 100) == pytest.approx(11.0)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"x": 3}', '{"x": {"t": {"m": [["a", 1]]}}}'])
def test_a_damaged_file_is_empty_and_mended(tmp_path, text):
    path = tmp_path / "t.json"
    path.write_text(text)
    known = Timings(path)
    assert known.seconds("a:b", "m", 1) is None
    known.add("a:b", "m", 10, 1.0)
    assert known.seconds("a:b", "m", 10) is not None


def test_times_of_another_machine_are_not_used(tmp_path, monkeypatch):
    known = Timings(tmp_path / "t.json")
    known.add("a:b", "m", 10, 1.0)
    monkeypatch.setattr(timings, "_machine", lambda: "another")
    assert known.seconds("a:b", "m", 10) is None
    known.add("a:b", "m", 10, 3.0)
    assert len(json.loads((tmp_path / "t.json").read_text())) == 2


def test_runs_without_passes_leave_nothing(tmp_path):
    known = Timings(tmp_path / "t.json")
    known.add("a:b", "m", 0, 1.0)
    assert not (tmp_path / "t.json").exists()
