"""Estimates of runs of networks follow what earlier runs took on this machine."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from analysis import pipeline
from analysis.store import timings
from analysis.store.from_arrays import write_store
from analysis.store.timings import KEPT, Timings
from analysis.workspace import Workspace


@pytest.fixture
def known(tmp_path):
    return Timings(tmp_path / "t.json")


def test_nothing_is_known_at_first(known):
    assert known.factor("a:b", "saliency_map", 100) == 1


def test_a_run_like_the_last_takes_as_long(known):
    known.add("a:b", "m", 1000, 6.0, 18.0)
    assert known.factor("a:b", "m", 1000) == pytest.approx(3.0)
    assert known.factor("a:b", "m", 3000) == pytest.approx(3.0)
    assert known.factor("a:c", "m", 1000) == 1


def test_the_run_nearest_in_passes_counts_and_a_small_one_promises_nothing(known):
    known.add("a:b", "m", 10, 5.0, 0.5)
    assert known.factor("a:b", "m", 20) == pytest.approx(0.1)
    assert known.factor("a:b", "m", 10_000) == 1  # no shorter for a far larger one
    known.add("a:b", "m", 5000, 10.0, 40.0)
    assert known.factor("a:b", "m", 10_000) == pytest.approx(4.0)
    assert known.factor("a:b", "m", 20) == pytest.approx(0.1)


def test_other_methods_tell_of_the_same_tap(known):
    known.add("a:b", "one", 100, 5.0, 10.0)
    assert known.factor("a:b", "new", 100) == 1
    known.add("a:b", "two", 100, 5.0, 20.0)
    assert known.factor("a:b", "new", 100) == pytest.approx(3.0)


def test_the_latest_runs_count(known):
    for took in [100.0] * 3 + [10.0] * KEPT:
        known.add("a:b", "m", 100, 5.0, took)
    assert known.factor("a:b", "m", 100) == pytest.approx(2.0)
    known.add("a:b", "m", 100, 5.0, 15.0)
    assert known.factor("a:b", "m", 100) == pytest.approx(3.0)  # of equally near ones the last


@pytest.mark.parametrize("text", ["", "{", "[]", '{"x": 3}', '{"x": {"t": {"m": [["a", 1]]}}}', "\udcff"])
def test_a_damaged_file_is_empty_and_mended(known, text):
    known.path.write_bytes(text.encode("utf-8", "surrogateescape"))
    assert known.factor("a:b", "m", 1) == 1
    known.add("a:b", "m", 10, 1.0, 2.0)
    assert known.factor("a:b", "m", 10) == pytest.approx(2.0)


def test_times_of_another_machine_are_not_used(known, monkeypatch):
    known.add("a:b", "m", 10, 1.0, 2.0)
    monkeypatch.setattr(timings, "_machine", lambda: "another")
    assert known.factor("a:b", "m", 10) == 1
    known.add("a:b", "m", 10, 1.0, 3.0)
    assert len(json.loads(known.path.read_text())) == 2


def test_runs_without_passes_leave_nothing(known):
    known.add("a:b", "m", 0, 1.0, 1.0)
    assert not known.path.exists()


def test_a_workspace_estimates_by_what_its_runs_took(tmp_path):
    workspace = Workspace.create(tmp_path / "ws")
    x = np.random.default_rng(0).standard_normal((20, 4))
    samples = {"id": [f"s{i}" for i in range(20)], "label": (np.arange(20) % 2).astype(str)}
    write_store(workspace.path / "stores" / "p", name="p", taps={"one": x}, samples=samples)
    told = pipeline.cost("saliency_map", [(20, 4)])
    assert told.passes > 0
    assert workspace.cost("saliency_map", ["p:one"]) == replace(told, passes=0)  # there is no network to run
    workspace.run("saliency_map", ["p:one"])
    took = workspace.cached("saliency_map", ["p:one"]).origin.seconds
    assert workspace.cost("saliency_map", ["p:one"]).seconds == pytest.approx(took, rel=1e-6)
    workspace.run("saliency_map", ["p:one"])  # taken from the cache: nothing is learned from that
    runs = json.loads(workspace.cache.timings.path.read_text())
    assert [len(m["saliency_map"]) for taps in runs.values() for m in taps.values()] == [1]
