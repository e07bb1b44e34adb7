"""What can be compared with what: stores with samples in common, measures that make taps x taps."""

from __future__ import annotations

import numpy as np
import pytest

from analysis import registry
from analysis.store.from_arrays import write_store
from analysis.workspace import Workspace
from dashboard.browse import comparable, measures


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    workspace = Workspace.create(tmp_path_factory.mktemp("compare") / "ws")
    rng = np.random.default_rng(0)
    for name, ids in {
        "one": range(30),
        "reversed": range(29, -1, -1),
        "part": range(20, 60),
        "three": range(27, 40),
        "apart": range(100, 130),
    }.items():
        ids = [f"s{i}" for i in ids]
        write_store(
            workspace.path / "stores" / name, name=name, taps={"x": rng.standard_normal((len(ids), 3))},
            samples={"id": ids},
        )  # fmt: skip
    return workspace


KNOWN = [f"{name}:x" for name in ("apart", "one", "part", "reversed", "three")]


def test_samples_are_counted_by_id_whatever_their_order(workspace):
    counts = {
        n: comparable.common_samples(workspace, "one", n)
        for n in ("one", "reversed", "part", "three", "apart")
    }
    assert counts == {"one": 30, "reversed": 30, "part": 10, "three": 3, "apart": 0}
    assert comparable.common_samples(workspace, "part", "one") == 10


def test_stores_with_too_few_samples_in_common_are_not_offered(workspace):
    assert comparable.comparable_stores(workspace, "one", KNOWN) == ["one", "part", "reversed"]
    assert comparable.comparable(workspace, "apart:x", KNOWN) == ["apart:x"]


def test_every_measure_gives_taps_by_taps_and_says_what_it_ignores():
    found = measures.measures()
    assert next(iter(found)) == "cka"
    assert set(found) <= set(registry.methods())
    assert all(m.invariance and m.inputs == 2 and m.more_inputs for m in found.values())
