"""Figures that no analysis made: their recipe holds the plotted numbers, and needs no workspace to be drawn again."""

from __future__ import annotations

import base64
import json
from dataclasses import replace

import numpy as np
import pytest
from test_figures_planted import curve, distribution, hostile, ordinary

from analysis.results import KINDS, SCHEMA, packed
from analysis.sharing.recipes import numbers_in
from dashboard import figures
from dashboard.cli import main

ALL = {**ordinary(), **{f"hostile {name}": one for name, one in hostile().items()}}


@pytest.mark.parametrize("name", ALL)
def test_the_recipe_of_what_no_method_made_is_the_result(name):
    given = replace(ALL[name], origin=None)
    recipe = json.loads(figures.export(given, "json"))
    found = numbers_in(recipe)
    assert packed(found) == packed(given)
    assert found.kind in KINDS
    assert found.origin is None
    assert figures.export(found, "csv") == figures.export(given, "csv")


@pytest.mark.parametrize("format", ["pdf", "svg", "png", "csv", "tex", "json"])
def test_the_command_line_makes_the_same_file_without_a_workspace(tmp_path, format):
    given = distribution(origin=None)
    options = {"width": "double", "font": "serif", "greyscale": True}
    (tmp_path / "recipe.json").write_bytes(figures.export(given, "json", **options))
    out = tmp_path / f"figure.{format}"
    nowhere = tmp_path / "no workspace"
    assert (
        main(["render", str(tmp_path / "recipe.json"), "--out", str(out), "--workspace", str(nowhere)]) == 0
    )
    assert out.read_bytes() == figures.export(given, format, **options)
    assert not nowhere.exists()


def test_what_a_method_made_has_a_recipe_without_numbers():
    given = ordinary()["curve"] if "curve" in ordinary() else curve()
    recipe = json.loads(figures.export(given, "json"))
    assert numbers_in(recipe) is None
    assert recipe["method"] == given.origin.method


def _pickled() -> str:
    import io

    buffer = io.BytesIO()
    np.savez(buffer, __header__=np.array([{"kind": "table"}], object))
    return base64.b64encode(buffer.getvalue()).decode()


@pytest.mark.parametrize(
    "wrong",
    [
        {"plotted": 7},
        {"plotted": "no base64!"},
        {"plotted": base64.b64encode(b"no archive").decode()},
        {"plotted": _pickled()},
        {"plotted": "", "recipe": SCHEMA + 1},
        {"plotted": "", "figure": []},
    ],
)
def test_what_holds_no_numbers_is_refused_in_words(tmp_path, capsys, wrong):
    (tmp_path / "recipe.json").write_text(json.dumps({"recipe": SCHEMA, **wrong}))
    out = tmp_path / "figure.csv"
    assert main(["render", str(tmp_path / "recipe.json"), "--out", str(out)]) == 1
    said = capsys.readouterr().err
    assert "recipe" in said
    assert "Traceback" not in said
    assert not out.exists()
