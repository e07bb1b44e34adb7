"""What stands behind the Map page, without Streamlit: selections, pictures, colours, links."""

from __future__ import annotations

import json

import numpy as np
import pytest

from analysis.results import Scatter
from analysis.selection import Selection
from dashboard.browse import (
    colour_sources,
    map_state,
    map_view,
    selections,
)
from dashboard.browse.picture import picture


@pytest.fixture
def workspace(page_stores_made):
    return page_stores_made


@pytest.fixture
def store(workspace):
    return workspace.store("images")


def test_a_lasso_survives_in_a_link(workspace, store):
    result = workspace.run("pca", ["images:pooled"])
    layout = store.activations("pooled").layout
    mask = np.arange(len(result.rows)) % 5 == 0
    chosen = selections.of_points(mask, result, layout, store, "pooled")
    word = selections.keep(workspace, chosen)
    assert selections.keep(workspace, chosen) == word
    found = selections.find(workspace, word)
    assert (found.of, found.ids.tolist()) == ("samples", chosen.ids.tolist())
    np.testing.assert_array_equal(selections.points_of(found, result, layout, store, "pooled"), mask)
    lit = selections.rows_of(found, store, "blocks.0")
    assert lit.sum() == 5 * mask.sum()  # a selection of samples lights up all their tokens


def test_a_selection_of_tokens_lights_up_their_samples(workspace, store):
    chosen = Selection("", "rows", "images", "blocks.0", (0, 1, 12, 10**9, -4))
    assert np.flatnonzero(selections.samples_of(chosen, store)).tolist() == [0, 2]
    assert np.flatnonzero(selections.rows_of(chosen, store, "blocks.0")).tolist() == [0, 1, 12]


@pytest.mark.parametrize("word", ["", "~", "~zz", "~" + "0" * 16, "../../x", "<script>", "~../../../etc/pw"])
def test_a_link_to_no_selection(workspace, word):
    assert selections.find(workspace, word) is None


def test_a_selection_of_another_store_lights_nothing(workspace, store):
    chosen = Selection("x", "samples", "table", "", ("0", "1"))
    assert selections.rows_of(chosen, store, "pooled") is None
    assert selections.rows_of(None, store, "pooled") is None


def test_columns_are_named_by_content(workspace, store):
    result = workspace.run("pca", ["images:pooled"])
    layout = store.activations("pooled").layout
    labels = np.asarray(store.samples["label"])
    a = picture(result, layout, values=labels, name="Label")
    b = picture(result, layout, values=np.asarray(store.samples["loss"]), name="Loss", theme="dark")
    assert a.positions.key == b.positions.key
    assert a.colour_column.key != b.colour_column.key
    assert (a.colour["kind"], b.colour["kind"]) == ("category", "number")
    assert len(a.positions.data) == 8 * a.n
    assert len(a.colour_column.data) == a.n
    assert np.frombuffer(b.colour_column.data, np.float32).shape == (b.n,)
    json.dumps([a.colour, b.colour], allow_nan=False)


def test_missing_values_are_grey_and_never_nan_in_the_message(store, workspace):
    result = workspace.run("pca", ["images:pooled"])
    values = np.full(len(result.rows), np.nan)
    made = picture(result, None, values=values, name="nothing")
    json.dumps(made.colour, allow_nan=False)
    text = np.array(["", "a"] * (len(values) // 2))
    codes = np.frombuffer(picture(result, None, values=text, name="t").colour_column.data, np.uint8)
    assert set(codes.tolist()) == {0, 255}


def test_tokens_know_their_sample(workspace, store):
    result = workspace.run("pca", ["images:blocks.0"])
    made = picture(result, store.activations("blocks.0").layout)
    members = np.frombuffer(made.members.data, np.int32).reshape(-1, 2)
    assert made.of == "tokens"
    np.testing.assert_array_equal(members[7], [1, 2])


@pytest.mark.parametrize(
    ("view", "hide", "expected"),
    [
        ("0_0_1_2", "3_4", {"box": [0, 0, 1, 2], "hidden": [3, 4]}),
        ("1_1_0_0", "", None),
        ("nan_0_1_1", "x_-1_99999", None),
        ("<script>", "", None),
        ("1e999_0_2_2", "1", {"box": None, "hidden": [1]}),
    ],
)
def test_the_view_of_a_link(view, hide, expected):
    assert map_view.view_from(view, hide) == expected
    if expected and expected["box"]:
        said = map_view.view_params(expected)
        assert {name: value for name, value in said.items() if value} == {"view": view, "hide": hide}


def test_everything_can_colour_a_map(workspace, store):
    for reference, of in (("images:pooled", "rows"), ("images:blocks.0", "rows"), ("images:pooled", "units")):
        result = workspace.run("pca", [reference], {"of": of})
        taken = workspace.activations(reference)
        for source in colour_sources.sources(store, result):
            values, name, _ = colour_sources.values_of(source, store, result, taken, 3)
            assert values is None or len(values) == len(result.rows)
            made = map_state.picture_of(
                result, store, taken, taken.name.partition(":")[2], look=map_state.Look(source, 3)
            )
            json.dumps(made.colour, allow_nan=False)
            assert name or source.group == "none"


def test_errors_and_labels_are_words(store):
    assert set(colour_sources.sample_values(store, "correct")) == {"right", "wrong"}
    np.testing.assert_array_equal(colour_sources.right_or_wrong(np.array([1, 0, -1])), ["right", "wrong", ""])


def test_a_small_picture_shows_a_part_of_the_points(rng):
    result = Scatter(
        title="", positions=rng.random((900, 2)), rows=np.arange(900) * 2, columns={"q": np.arange(900)}
    )
    part = map_state.thinned(result, 100)
    assert len(part.rows) == 100
    np.testing.assert_array_equal(part.columns["q"] * 2, part.rows)
    np.testing.assert_array_equal(part.positions, result.positions[part.columns["q"]])
    assert map_state.thinned(result, 1000) is result
