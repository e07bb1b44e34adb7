"""Results that show their samples: as tiles, on paper, in a recipe; and the ways to an axis on Map and Subspaces."""

from __future__ import annotations

import io
import json
import re
import shutil
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from app_pages import button, is_whole, open_page, texts, url
from page_stores import make_workspace
from pypdf import PdfReader

from analysis.features.feature_set import FeatureSet
from analysis.results import Gallery, Origin, Scatter, Table
from analysis.selection import Selection
from dashboard import cli, figures
from dashboard.browse import axis_choice
from dashboard.browse.pictured import looks, pictured
from dashboard.components import questions


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    workspace = make_workspace(tmp_path_factory.mktemp("pictured") / "ws")
    yield workspace
    shutil.rmtree(workspace.path)


@pytest.fixture(autouse=True)
def _at_full(full, monkeypatch):
    monkeypatch.setenv("LOUPE_WORKSPACE", str(full.path))
    monkeypatch.setattr(questions, "AT_ONCE", 30.0)


def origin(*names: str) -> Origin:
    return Origin("some", 1, {}, tuple({"name": name} for name in names), 0, {})


def gallery(tap: str, rows) -> Gallery:
    rows = np.asarray(rows)
    values = np.arange(len(rows)) / 2
    return Gallery(title="t", groups={"one": rows}, values={"one": values}, origin=origin(tap))


# ---------------------------------------------------------------------------- which samples
def test_tiles_are_of_the_samples_that_rows_belong_to(full):
    found = pictured(full, gallery("images:blocks.0", [7, 12]))
    tiles = found.tiles()[0]["tiles"]
    assert [(t["sample"], t["row"], t["value"]) for t in tiles] == [(1, 7, "0"), (2, 12, "0.5")]
    assert tiles[0]["box"] == [0.5, 0.0, 0.5, 0.5]  # the second of 2 x 2 patches, after the class token
    assert all(t["image"].startswith("data:image/png") for t in tiles)
    assert found.look(7).shape == (8, 8, 3)
    words = pictured(full, gallery(f"texts:{next(iter(full.store('texts').taps))}", [0, 1]))
    assert words.kind == "texts"
    assert words.tiles()[0]["tiles"][0]["tokens"]
    assert words.look(0) in "".join(full.store("texts").tokens(0))


def test_a_table_of_samples_and_the_corners_of_a_map_have_samples_too(full):
    ids = full.store("images").samples["id"]
    columns = {"sample": np.asarray(ids[[5, 2]]), "share": np.array([0.5, 0.25])}
    table = Table(title="t", columns=columns, index="sample", sort="share", origin=origin("images:pooled"))
    ((name, (rows, words)),) = pictured(full, table).groups.items()
    assert rows == [5, 2]
    assert words == ["0.5", "0.25"]
    assert "share" in name
    who = np.array(["", "A: x", "", "B: y"])
    corners = Scatter(title="t", positions=np.zeros((4, 2)), rows=np.array([3, 9, 4, 8]), columns={"exemplar": who},
                      origin=origin("images:pooled"))  # fmt: skip
    ((_, (rows, words)),) = pictured(full, corners).groups.items()
    assert (rows, words) == ([9, 8], ["A: x", "B: y"])


def test_nothing_to_show_is_no_picture(full):
    assert pictured(full, gallery("gone:tap", [0])) is None
    assert pictured(full, gallery("images:gone", [0])) is None
    assert pictured(full, gallery("images:pooled", [10**6])) is None
    assert pictured(full, Gallery(title="t", groups={})) is None
    assert pictured(full, gallery(f"table:{next(iter(full.store('table').taps))}", [0])) is None
    assert looks(full, Table(title="t", columns={}, origin=origin("images:pooled"))) is None


# ---------------------------------------------------------------------------- on paper
def test_pictures_and_texts_on_paper(full):
    shown = gallery("images:pooled", np.arange(20))
    data = figures.export(shown, "pdf", pictures=looks(full, shown))
    assert len(PdfReader(io.BytesIO(data)).pages[0].images) >= 8
    words = gallery(f"texts:{next(iter(full.store('texts').taps))}", [0, 1])
    text = figures.export(words, "svg", width="double", pictures=looks(full, words)).decode()
    first = "".join(full.store("texts").tokens(0)).split()[0]
    assert first in re.sub(r"&#?\w+;", " ", text)


def test_a_recipe_draws_the_samples_again(full, tmp_path, capsys):
    result = full.run(
        "rank_along_axis", ["images:pooled"], {"direction": "unit:3", "steps": 2, "examples": 2}
    )
    recipe = tmp_path / "recipe.json"
    recipe.write_bytes(figures.export(result, "json", pictures=True))
    assert json.loads(recipe.read_text())["figure"] == {"pictures": True}
    out = tmp_path / "figure.pdf"
    assert cli.main(["--workspace", str(full.path), "render", str(recipe), "--out", str(out)]) == 0, (
        capsys.readouterr()
    )
    assert len(PdfReader(io.BytesIO(out.read_bytes())).pages[0].images) == 4
    assert out.read_bytes() == figures.export(result, "pdf", pictures=looks(full, result))


# ---------------------------------------------------------------------------- pages
def asked_by(at) -> list[dict]:
    links = re.findall(r"\]\((subspaces\?[^)]*)\)", texts(at))
    return [{n.replace(".", "__"): v[0] for n, v in parse_qs(urlsplit(link).query).items()} for link in links]


def test_two_samples_on_the_map_lead_to_their_axis(full):
    ids = [str(id) for id in full.store("images").samples["id"]]
    at = open_page("map", tap="images:pooled", focus="4")
    button(at, "Start an axis here").click().run()
    assert url(at)["from"] == [ids[4]]
    assert "An axis starts here" in texts(at)
    assert not asked_by(at)
    at = open_page("map", tap="images:pooled", focus="9", **{"from": ids[4]})
    asked = asked_by(at)
    assert [a["ask"] for a in asked] == ["rank_along_axis", "edit_path", "edit_neighbours"]
    assert all((a["p__low"], a["p__high"]) == (ids[4], ids[9]) for a in asked)
    for one in asked[:2]:
        at = open_page("subspaces", **one)
        assert is_whole(at), texts(at)
        assert not at.error, texts(at)
        assert f"from {ids[4]} to {ids[9]}" in texts(at)
    two = Selection("two", "samples", "images", "pooled", (ids[1], ids[2]))
    full.save_selection(two)
    asked = asked_by(open_page("map", tap="images:pooled", sel="two"))
    assert (asked[0]["p__low"], asked[0]["p__high"]) == (ids[1], ids[2])
    at = open_page("map", tap="images:pooled", focus="9", **{"from": "<script>"})
    assert is_whole(at)
    assert button(at, "Start an axis here")


def page(**more):
    return open_page(
        "subspaces", view="concepts", ask="rank_along_axis", tap="images:pooled", settings="true", **more
    )


def test_the_form_offers_every_kind_of_axis(full):
    at = page(axis="samples")
    assert is_whole(at), texts(at)
    assert "along the line from" in texts(at)  # the first two of different classes, to begin with
    low, high = (box.value for box in at.selectbox if box.label in ("From", "To"))
    button(at, "Swap").click().run()
    assert url(at)["p.low"] == [high]
    assert url(at)["p.high"] == [low]
    for kind, said, refused in (
        ("unit", "constant", True),  # unit 0 is dead
        ("pc", "along principal axis 1", False),
        ("probe", "a probe of", False),
        ("weights", "is shown instead", True),  # and the classes have no order to make an axis of
        ("row", "is shown instead", True),
        ("feature", "is shown instead", True),
    ):
        at = page(axis=kind)
        assert is_whole(at), texts(at)
        assert said in texts(at), kind
        assert bool(at.error) == refused, kind


def a_set(name: str, atoms: np.ndarray) -> FeatureSet:
    k, d = atoms.shape
    return FeatureSet(name, "ReLU", atoms.T, atoms, *(np.zeros(n, np.float32) for n in (k, d, d)))


def test_an_axis_is_a_feature_of_a_set_by_its_name(full, rng):
    units = full.activations("images:pooled").shape[1]
    atoms = rng.standard_normal((4, units)).astype(np.float32)
    zero, wide = np.zeros_like(atoms), rng.standard_normal((3, units + 1)).astype(np.float32)
    sets = [a_set(name, w) for name, w in (("atoms", atoms), ("empty", zero), ("wide", wide))]
    for one in sets:
        full.features.add(one)
    try:
        assert axis_choice.fitting_sets(full, "images:pooled") == {"atoms": 4, "empty": 4}
        at = page(axis="feature", p__direction="feature:atoms:2")
        assert is_whole(at), texts(at)
        assert not at.error, texts(at)
        assert "along feature 2 of atoms" in texts(at)
        assert next(box.value for box in at.number_input if box.label == "Feature") == 2
        at = page(p__direction="feature:empty:0")
        assert is_whole(at)
        assert "finite number" in texts(at)
        assert is_whole(page(p__direction="feature:gone:9"))
    finally:
        for one in sets:
            full.features.delete(one.name)


def test_the_same_sample_twice_is_refused_with_the_reason(full):
    one = str(full.store("images").samples["id"][0])
    at = page(p__low=one, p__high=one)
    assert is_whole(at)
    assert "two different samples" in texts(at)
    assert "no way from it to itself" in texts(at)


def test_an_axis_that_was_named_in_a_link_stays(full):
    for direction in ("unit:3-5", "probe:label=b"):
        at = page(p__direction=direction)
        assert is_whole(at), texts(at)
        assert url(at)["p.direction"] == [direction]
    assert "along a probe of label = b" in texts(at)
    for strange in ("unit:x", "row:a:b:1e9"):
        assert is_whole(page(p__direction=strange)), strange
    values = page(draw="values", p__direction="unit:3")
    assert values.get("plotly_chart")
    assert not page(p__direction="unit:3").get("plotly_chart")
