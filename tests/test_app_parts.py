"""The parts of pages: forms, the job bar, colours, the Python that makes a result again."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass

import numpy as np
import pytest
from app_pages import button, texts, url
from page_stores import make_workspace
from streamlit.testing.v1 import AppTest

from analysis.jobs import queue
from analysis.spec import param
from dashboard import colouring, figures, words
from dashboard.parts.recipe_text import python_lines


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    workspace = make_workspace(tmp_path_factory.mktemp("parts") / "ws")
    yield workspace
    shutil.rmtree(workspace.path)


@pytest.fixture(autouse=True)
def _at_full(full, monkeypatch):
    monkeypatch.setenv("LOUPE_WORKSPACE", str(full.path))


@dataclass(frozen=True)
class Every:
    k: int = param(5, "Neighbours", low=2, high=50)
    automatic: int | None = param(None, "Chosen by itself", low=1)
    alpha: float = param(0.001, "Step", low=0.0, high=1.0)
    scaled: bool = param(False, "Scale first")
    metric: str = param("euclidean", "Distance", choices=("euclidean", "cosine"))
    column: str = param("label", "Column", column=True)
    text: str = param("", "Words")


def form(**given) -> AppTest:
    def page():
        import streamlit as st
        from test_app_parts import Every

        from dashboard import forms

        st.code(repr(forms.draw(Every, ["id", "label"])))

    at = AppTest.from_function(page)
    for name, value in given.items():
        at.query_params[f"p.{name}"] = value
    at.run()
    assert not at.exception, at.exception
    return at


def values(at: AppTest) -> dict:
    return eval(at.code[0].value, {"__builtins__": {}})  # the repr of a dict of plain values


def test_a_form_gives_only_what_differs():
    assert values(form()) == {}
    given = {"k": "7", "automatic": "3", "alpha": "0.5", "scaled": "true", "metric": "cosine", "column": "id"}
    expected = {
        "k": 7,
        "automatic": 3,
        "alpha": 0.5,
        "scaled": True,
        "metric": "cosine",
        "column": "id",
        "text": "a",
    }
    assert values(form(**given, text="a")) == expected


@pytest.mark.parametrize("value", ["1", "51", "nan", "x", "2.5", "1e400", "-" * 9000])
def test_a_form_ignores_what_is_out_of_range(value):
    assert "k" not in values(form(k=value))


def test_a_form_writes_into_the_url():
    at = form()
    at.number_input[0].set_value(9).run()
    assert url(at) == {"p.k": ["9"]}
    at.number_input[0].set_value(5).run()
    assert url(at) == {}


@dataclass(frozen=True)
class OfLayers:
    through: str = param("", "A layer, or none.", layer=True, empty="none")
    layer: str = param("", "One of the layers.", layer=True)


def test_no_layer_is_chosen_unless_one_has_to_be():
    def page():
        import streamlit as st
        from test_app_parts import OfLayers

        from dashboard import forms

        st.code(repr(forms.draw(OfLayers, layers={"a.weight": "a (3 x 4)", "b.weight": "b (4 x 4)"})))

    at = AppTest.from_function(page).run()
    assert not at.exception, at.exception
    assert values(at) == {"layer": "a.weight"}
    assert at.selectbox[0].options == ["none", "a (3 x 4)", "b (4 x 4)"]
    at.selectbox[0].set_value("b.weight").run()
    assert values(at) == {"through": "b.weight", "layer": "a.weight"}


def test_a_running_job_has_a_bar_and_can_be_cancelled(full):
    work = {"method": "pca", "inputs": ["images:pooled"], "params": {}, "seed": 5}
    id = queue.submit(full.path, "method", work, title="PCA *of* this", start=False)
    folder = full.path / "jobs" / id
    (folder / "taken").touch()
    queue.write_json(
        folder / "progress.json",
        {"fraction": 0.4, "doing": "2 of 5", "seconds_left": 7.2, "pid": os.getpid(), "seconds": 5.0},
    )

    def page(id):
        from dashboard import jobs

        jobs.watch(id, key="test")

    at = AppTest.from_function(page, args=(id,)).run()
    assert not at.exception
    bar = at.get("progress")[0].proto
    assert bar.value == 40
    assert "2 of 5, 40 %, about 7 s left" in bar.text
    assert "\\*of\\*" in bar.text
    button(at, "Cancel").click().run()
    assert (folder / "cancel").exists()


def test_an_interrupted_job_can_be_started_again(full):
    id = queue.submit(full.path, "method", {"method": "pca"}, title="PCA", start=False)
    (full.path / "jobs" / id / "taken").touch()
    queue.write_json(
        full.path / "jobs" / id / "progress.json",
        {"fraction": 0.4, "doing": "", "seconds_left": None, "pid": 2**22 + 1, "seconds": 5.0},
    )

    def page(id):
        from dashboard import jobs

        jobs.watch(id, key="test")

    at = AppTest.from_function(page, args=(id,)).run()
    assert "ended before it was done" in texts(at)
    assert button(at, "Start again") is not None


def test_points_take_their_colours_by_name(full):
    result = full.run("pca", ["images:pooled"])
    names = [source.id for source in colouring.offered(result, full)]
    assert "label" in names
    by_label = colouring.coloured(result, full, "label")
    again = colouring.coloured(result, full, by_label.colour)  # a recipe has the name only
    assert by_label.colour == again.colour
    np.testing.assert_array_equal(by_label.columns[by_label.colour], again.columns[again.colour])
    by_unit = colouring.coloured(result, full, "Unit 3")
    np.testing.assert_allclose(
        by_unit.columns["Unit 3"], full.activations("images:pooled").unit(3)[result.rows]
    )
    assert colouring.coloured(result, full, "no such thing") is result
    assert figures.export(by_label, "pdf").startswith(b"%PDF")


def test_the_python_runs(full, tmp_path, monkeypatch):
    result = full.run("pca", ["images:pooled"], {"components": 3}, seed=4)
    lines = python_lines(result, str(full.path))
    monkeypatch.chdir(tmp_path)
    made: dict = {}
    exec(lines, made)
    assert (tmp_path / "pca.pdf").read_bytes().startswith(b"%PDF")
    np.testing.assert_array_equal(made["result"].positions, result.positions)


def test_the_recipe_keeps_width_and_colour(full):
    from dashboard.parts import export_menu

    result = colouring.coloured(full.run("pca", ["images:pooled"]), full, "label")
    recipe = json.loads(export_menu._bytes_of(result, "json", width="double")())
    assert recipe["figure"] == {"width": "double", "colour": result.colour}


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.2, "less than a second"), (12, "about 12 s"), (200, "about 3 min 20 s"), (7500, "about 2 h 5 min")],
)
def test_times_in_words(seconds, said):
    assert words.about(seconds) == said


def test_sizes_in_words():
    assert [words.size(n) for n in (12, 1500, 2.5e6, 3.25e12)] == ["12 B", "1.5 kB", "2.5 MB", "3.25 TB"]
    assert [words.size(n) for n in (999.4, 999_700, 999_999_999)] == ["999 B", "1 MB", "1 GB"]  # never 1e+03


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(59.4, "59 s"), (59.7, "1 min"), (3599.7, "1 h"), (4.32e5, "5 days"), (1.8e11, "5,700 years")],
)
def test_times_are_rounded_before_they_are_named(seconds, said):
    assert words.duration(seconds) == said


@dataclass(frozen=True)
class BelowZero:
    k: int = param(-3, "Steps back", low=-9, high=0)


def test_a_limit_of_zero_is_a_limit():
    def page():
        import streamlit as st
        from test_app_parts import BelowZero

        from dashboard import forms

        st.code(repr(forms.draw(BelowZero)))

    at = AppTest.from_function(page)
    at.query_params["p.k"] = "5"
    at.run()
    assert not at.exception
    assert at.number_input[0].max == 0
    assert values(at) == {}


def test_a_picture_that_no_analysis_made_has_a_recipe_too(full):
    def page(kind):
        from dashboard import state
        from dashboard.browse.unit import Unit
        from dashboard.parts import export_menu

        workspace = state.workspace()
        unit = Unit(workspace.store("images"), "images:pooled", 3)
        result = unit.histogram() if kind == "histogram" else workspace.run("pca", ["images:pooled"])
        export_menu.draw(lambda: result, "test")

    for kind in ("histogram", "map"):
        at = AppTest.from_function(page, args=(kind,)).run()
        assert not at.get("download_button")  # made when the menu is opened
        at.session_state["export:test"] = True
        at.run()
        assert not at.exception, at.exception
        labels = [element.proto.label for element in at.get("download_button")]
        assert {"PDF", "Recipe"} <= set(labels)


def test_the_recipe_keeps_one_colour_for_all(full):
    from dashboard.parts import export_menu

    result = colouring.coloured(full.run("pca", ["images:pooled"]), full, "none")
    assert result.colour == ""
    recipe = json.loads(export_menu._bytes_of(result, "json")())
    assert recipe["figure"] == {"colour": ""}


def test_class_means_stand_over_what_shuffled_labels_give(full):
    from dashboard.browse.feature_card import mean_by_chance
    from dashboard.browse.unit import Unit

    unit = Unit(full.store("images"), "images:pooled", 5)  # raised in class c only
    chance = {name: (mean, band) for name, _, mean, _, _, band in unit.class_means()}
    assert chance["c"][0] > chance["c"][1][1]
    values = unit.column.astype(float)
    rng = np.random.default_rng(0)
    drawn = [rng.choice(values, 80, replace=False).mean() for _ in range(2000)]
    low, high = mean_by_chance(values.mean(), values.std(), len(values))(80)
    inside = np.mean([low <= m <= high for m in drawn])
    assert 0.93 < inside < 0.97


def test_a_label_begins_with_a_capital_but_for_a_symbol():
    from analysis.spec import Param
    from dashboard import forms

    said = [forms.label(Param("x", "int", 1, "", text)) for text in ("samples", "ε of the rank", "")]
    assert said == ["Samples", "ε of the rank", ""]
