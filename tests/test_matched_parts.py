"""What is drawn of two samples whose parts match, of cells that are painted, and of maps over samples with pictures."""

from __future__ import annotations

import base64
from dataclasses import replace

import numpy as np
import pytest
from page_stores import png

from analysis.attribution.pairs.similar_pair import ONE
from analysis.methods.retrieval.masked_retrieval import MaskedRetrievalParams, masked_retrieval
from analysis.store.from_arrays import write_store
from analysis.store.manifest import TapSpec
from analysis.workspace import Workspace
from dashboard.browse.matched_parts import EVIDENCE, VOTES, matches
from dashboard.browse.pictured import with_pictures
from dashboard.components.cell_painter import written

N, GRID = 12, (3, 3)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """Pictures of 3 x 3 patches behind one leading token; patch 5 of sample 7 is patch 0 of sample 2."""
    found = Workspace.create(tmp_path_factory.mktemp("matched") / "ws")
    x = np.random.default_rng(0).standard_normal((N, 10, 24))
    x[7, 6] = x[2, 1]
    write_store(
        found.path / "stores" / "p", name="p", taps={"map": x},
        specs={"map": TapSpec("map", 24, "float32", "all", "Block", GRID, 1)},
        samples={"id": [f"s{i}" for i in range(N)]},
        thumbnails=[png(np.full((6, 6), 20 * i, np.uint8)) for i in range(N)],
    )  # fmt: skip
    return found


def test_each_part_has_a_line_to_its_best_match(workspace):
    result = workspace.run(VOTES, ["p:map"], {"query": 2, "item": 7, "centred": False})
    drawn = matches(workspace, result)
    assert [side["name"] for side in drawn.sides] == ["sample s2", "sample s7"]
    assert all(side["grid"] == [3, 3] and side["leading"] == 1 and side["image"] for side in drawn.sides)
    assert len(drawn.lines) == 10  # one for each token
    best = drawn.lines[0]
    assert (best["from"], best["to"], best["share"]) == (1, 6, 1.0)
    assert "cosine 1," in best["text"]
    assert drawn.data()["cells"] is None


def test_all_pairs_are_sent_as_shares_of_the_largest(workspace):
    result = workspace.run(EVIDENCE, ["p:map"], {"first": 2, "second": 7})
    drawn = matches(workspace, result)
    cells = drawn.data()["cells"]
    got = np.frombuffer(base64.b64decode(cells["values"]), np.int8).reshape(cells["rows"], cells["columns"])
    assert np.abs(got / 127 - result.values / np.abs(result.values).max()).max() <= 0.5 / 127 + 1e-9
    assert (drawn.lines[0]["from"], drawn.lines[0]["to"]) == (1, 6)
    low, high = result.null_band
    assert all(not low <= result.values[line["from"], line["to"]] <= high for line in drawn.lines)


def test_nothing_is_drawn_of_other_results_or_of_single_tokens(workspace):
    pooled = workspace.run(EVIDENCE, ["p:map"], {"first": 2, "second": 7, "pooling": ONE, "token": 1})
    assert pooled.values.shape == (1, 1)
    assert matches(workspace, pooled) is None
    assert matches(workspace, workspace.run("masked_retrieval", ["p:map"], {})) is None


def test_painted_cells_are_what_the_search_sees(workspace):
    assert written([]) == ""
    assert written([3, 7, 8]) == "3, 7-8"
    found = masked_retrieval(workspace.activations("p:map"), MaskedRetrievalParams(cells=written([0, 4, 5])))
    assert np.flatnonzero(np.isfinite(found.values[0])).tolist() == [0, 4, 5]


def test_maps_over_samples_lie_over_their_pictures(workspace):
    result = workspace.run("masked_retrieval", ["p:map"], {"query": 2})
    drawn = with_pictures(workspace, result)
    assert drawn.pictures[:, 0, 0, 0].tolist() == (20 * result.samples).tolist()
    atoms = replace(result, origin=replace(result.origin, method="atom_mosaic"))
    assert with_pictures(workspace, atoms) is atoms  # what names are given to may be no samples
