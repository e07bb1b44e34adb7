"""Baskets: kept in the workspace, changed by two people at once, drawn and written the same each time."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import xml.etree.ElementTree as ET
import zipfile
from pathlib import Path

import numpy as np
import pytest
from test_bibliography import strictly
from test_figures_planted import NASTY, curve, gallery, matrix, scatter, table

from analysis import access
from analysis.access import Person
from analysis.errors import Busy, Forbidden, InputError, LoupeError, NotFound, ParameterError
from analysis.results import Estimate
from analysis.sharing.baskets.basket import Basket, Panel, read_basket
from analysis.sharing.baskets.shelf import Baskets, digest_of, open_basket, rewritten
from analysis.workspace import Workspace
from dashboard import cli
from dashboard.baskets.adding import add, packed
from dashboard.baskets.captions import caption_of, captions_tex
from dashboard.baskets.folder import as_zip, files_of, write
from dashboard.baskets.methods_text import cited, methods_markdown, methods_paragraphs, methods_tex
from dashboard.baskets.page import pictures
from dashboard.baskets.panels import Ready, ready
from dashboard.baskets.prose import Bold, Cite, Code, as_markdown, as_tex, words
from dashboard.colouring import coloured

SAMPLE = Path(__file__).parents[1] / "sample_data"
TAPS = ("digits-vit:vit.layers.2", "digits-vit:vit.layers.3")
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory) -> Workspace:
    """The sample workspace's networks and results, with people's things of its own."""
    project = tmp_path_factory.mktemp("project")
    for name in ("checkpoints", "data"):
        (project / name).symlink_to(SAMPLE / name)
    place = project / "workspace"
    place.mkdir()
    shutil.copy(SAMPLE / "workspace" / "workspace.json", place)
    (place / "stores").symlink_to(SAMPLE / "workspace" / "stores")
    shutil.copytree(SAMPLE / "workspace" / "cache", place / "cache")
    return Workspace.open(place)


@pytest.fixture(scope="module")
def filled(workspace) -> Basket:
    """Two maps, a spectrum, and something that no recipe makes."""
    for tap in TAPS:
        add(workspace, "figure", coloured(workspace.run("pca", [tap]), workspace, "label"), {"dpi": 200})
    add(workspace, "figure", workspace.run("pca_spectrum", [TAPS[1]], {"draws": 37}, seed=5), {})
    add(workspace, "figure", curve(origin=None, title="Drawn by hand"), {})
    return Baskets(workspace.path).open("figure")


def readied(workspace, basket, **how):
    return ready(workspace, basket, Baskets(workspace.path).path(basket.name), **how)


def planted(*results) -> tuple[Basket, list[Ready]]:
    """A basket of results that are there already."""
    panels = tuple(Panel(f"{i:08x}", {"method": "pca", "inputs": []}) for i in range(len(results)))
    basket = Basket("planted", panels)
    found = [
        Ready(p, basket.letter(i), basket.stem(i), r, {})
        for i, (p, r) in enumerate(zip(panels, results, strict=True))
    ]
    return basket, found


# ---------------------------------------------------------------------------- what is kept
def test_panels_are_recipes_unless_no_recipe_makes_them(workspace, filled):
    assert [bool(p.kept) for p in filled.panels] == [False, False, False, True]
    assert filled.panels[0].options == {"colour": "Label"}  # the sheet's options are the basket's
    assert filled.panels[2].recipe["params"]["draws"] == 37
    changed = dataclasses.replace(
        workspace.run("pca", [TAPS[0]]), title="Another title than the recipe gives"
    )
    panel = Baskets(workspace.path).path("other") and add(workspace, "other", changed, {})
    assert panel.kept
    assert panel.recipe["method"] == "pca"
    (back,) = readied(workspace, Baskets(workspace.path).open("other"))
    assert back.result.title == changed.title


def test_marked_points_and_pictures_travel_with_the_panel(workspace):
    result = workspace.run("pca", [TAPS[0]])
    mask = np.random.default_rng(0).random(len(result.positions)) < 0.3
    add(workspace, "marked", result, {"selected": mask, "point_size": np.float64(3)})
    (one,) = readied(workspace, Baskets(workspace.path).open("marked"))
    assert np.array_equal(one.options["selected"], mask)
    assert one.options["point_size"] == 3.0
    with pytest.raises(ParameterError, match="cannot be kept"):
        add(workspace, "marked", result, {"selected": [1, 2]})
    for bad in (
        {"points": 9, "packed": "AA=="},
        {"points": -1, "packed": ""},
        {"points": 10**12, "packed": ""},
        {},
    ):
        panel = dataclasses.replace(
            Baskets(workspace.path).open("marked").panels[0], options={"selected": bad}
        )
        (refused,) = readied(workspace, Basket("marked", (panel,)))
        assert "cannot be read" in refused.problem
    assert packed(mask)["points"] == len(mask)


def test_a_basket_survives_writing_and_reading(filled):
    assert read_basket(filled.as_json(), "x") == filled
    moved = filled.moved(filled.panels[0].id, 2)
    assert [p.id for p in moved.panels] == [filled.panels[i].id for i in (1, 2, 0, 3)]
    assert moved.moved(filled.panels[0].id, -99).panels[0] == filled.panels[0]
    assert [filled.letter(i) for i in range(3)] == ["a", "b", "c"]
    assert dataclasses.replace(filled, letters="(a)").letter(1) == "(b)"
    assert dataclasses.replace(filled, letters="A").letter(1) == "B"
    assert dataclasses.replace(filled, letters="none").letter(1) == ""


@pytest.mark.parametrize(
    "spoil",
    [
        lambda d: d.update(basket=99), lambda d: d.pop("panels"), lambda d: d.update(columns=0),
        lambda d: d.update(widths=[1e9]), lambda d: d.update(sheet={"width": 3}), lambda d: d.update(sheet={"x": 1}),
        lambda d: d["panels"][0].update(id="../../x"), lambda d: d["panels"][0].update(kept="../../etc/passwd"),
        lambda d: d["panels"][0].update(recipe=None), lambda d: d["panels"][0].update(recipe={"method": 3}),
        lambda d: d["panels"][0].update(span="2"), lambda d: d["panels"][0].update(options=[]),
        lambda d: d["panels"].append(d["panels"][0]), lambda d: d.update(letters="<b>"),
        lambda d: d["panels"][0].update(title="x" * 10**6), lambda d: d.update(caption=None),
    ],
)  # fmt: skip
def test_a_basket_of_a_stranger_is_looked_at(filled, spoil):
    said = json.loads(filled.as_json())
    spoil(said)
    with pytest.raises(LoupeError):
        read_basket(json.dumps(said).encode(), "x")
    for junk in (b"", b"[]", b"{", b"null", b"\xff\xfe", b'{"basket": 1}', b"[" * 100_000):
        with pytest.raises(InputError):
            read_basket(junk, "x")


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "x" * 200, "a..b", 3])
def test_names_stay_in_the_folder(workspace, name):
    with pytest.raises(ParameterError):
        Baskets(workspace.path).path(name)


# ---------------------------------------------------------------------------- two people
def test_two_people_at_once_lose_nothing(workspace):
    shelf = Baskets(workspace.path)
    ids = [add(workspace, "both", curve(5, 2, title=f"{i}", origin=None), {}).id for i in range(4)]

    def titles(mine: list[str]) -> None:
        for step in range(15):
            for id in mine:
                was = shelf.open("both").panel(id).title
                shelf.change("both", rewritten("title", was, f"{id} {step}", id))

    people = [threading.Thread(target=titles, args=(part,)) for part in (ids[:2], ids[2:])]
    adding = threading.Thread(target=lambda: add(workspace, "both", curve(4, 1, origin=None), {}))
    for one in (*people, adding):
        one.start()
    for one in (*people, adding):
        one.join()
    now = shelf.open("both")
    assert [p.title for p in now.panels[:4]] == [f"{id} 14" for id in ids]
    assert len(now.panels) == 5
    assert now.revision == 5 + 4 * 15


def test_a_text_that_somebody_changed_is_not_written_over(workspace):
    shelf = Baskets(workspace.path)
    id = add(workspace, "texts", curve(origin=None), {}).id
    shelf.change("texts", rewritten("caption", None, "hers", id))
    with pytest.raises(Busy, match="hers"):
        shelf.change("texts", rewritten("caption", None, "his", id))
    assert shelf.open("texts").panel(id).caption == "hers"
    shelf.change("texts", lambda now: now.without(id))
    with pytest.raises(NotFound, match="took it out"):
        shelf.change("texts", rewritten("caption", "hers", "his", id))


def test_a_viewer_changes_nothing(workspace, filled):
    shelf, before = Baskets(workspace.path), filled.as_json()
    with access.acting_as(Person("guest", "viewer")):
        for do in (
            lambda: add(workspace, "figure", curve(origin=None), {}),
            lambda: shelf.change("figure", lambda now: now.without(now.panels[0].id)),
            lambda: shelf.create("guest's"),
            lambda: shelf.remove("figure"),
        ):
            with pytest.raises(Forbidden):
                do()
        assert readied(workspace, shelf.open("figure"), cached=True)[0].result is not None
    assert shelf.open("figure").as_json() == before


def test_a_basket_that_is_gone_says_so(workspace):
    with pytest.raises(NotFound, match="no basket"):
        Baskets(workspace.path).open("never made")
    with pytest.raises(NotFound):
        Baskets(workspace.path).change("never made", lambda now: now)
    assert "never made" not in Baskets(workspace.path).names()


# ---------------------------------------------------------------------------- missing and changed results
def test_what_is_not_computed_is_told_and_computed_on_request(workspace):
    result = workspace.run("pca", [TAPS[1]], {"components": 3})
    add(workspace, "missing", result, {})
    workspace.cache.path(workspace.key("pca", [TAPS[1]], {"components": 3})).unlink()
    basket = Baskets(workspace.path).open("missing")
    (one,) = readied(workspace, basket, cached=True)
    assert one.result is None
    assert not one.problem
    with pytest.raises(InputError, match="not computed yet"):
        pictures(basket, [one])
    (one,) = readied(workspace, basket)
    assert digest_of(one.result) == digest_of(result)
    assert not one.said


def test_changed_inputs_are_refused_and_changed_numbers_told(workspace, filled):
    recipe = {
        **filled.panels[0].recipe,
        "inputs": [{**filled.panels[0].recipe["inputs"][0], "digest": "0" * 32}],
    }
    (one,) = readied(workspace, Basket("x", (dataclasses.replace(filled.panels[0], recipe=recipe),)))
    assert "has changed since" in one.problem
    (one,) = readied(workspace, Basket("x", (dataclasses.replace(filled.panels[0], digest="0" * 32),)))
    assert "numbers differ" in one.said
    older = {**filled.panels[0].recipe, "version": 1}
    panel = dataclasses.replace(filled.panels[0], digest="0" * 32, recipe=older)
    (one,) = readied(workspace, Basket("x", (panel,)))
    assert "version 1" in one.said


# ---------------------------------------------------------------------------- the files
@pytest.fixture(scope="module")
def files(workspace, filled) -> dict[str, bytes]:
    return files_of(workspace, filled, readied(workspace, filled), Baskets(workspace.path).path("figure"))[0]


def test_everything_is_in_the_folder(files):
    for name in ("figure.pdf", "figure.svg", "figure.png", "captions.md", "captions.tex", "methods.md", "methods.tex",
                 "references.bib", "basket.json", "README.txt", "panels/a.pdf", "panels/d.svg", "panels/b.png",
                 "data/a.csv", "data/c.estimates.csv", "tables/c.tex", "recipes/a.recipe.json"):  # fmt: skip
        assert files[name], name
    assert "recipes/d.recipe.json" not in files
    assert any(name.startswith("kept/") for name in files)
    sums = dict(reversed(line.split("  ")) for line in files["SHA256SUMS"].decode().splitlines())
    assert sums == {n: hashlib.sha256(d).hexdigest() for n, d in files.items() if n != "SHA256SUMS"}


def test_the_composed_figure_has_text_and_fonts(files, tmp_path):
    (tmp_path / "figure.pdf").write_bytes(files["figure.pdf"])
    listing = subprocess.run(
        ["pdffonts", tmp_path / "figure.pdf"], capture_output=True, text=True, check=True
    ).stdout
    fonts = listing.splitlines()[2:]
    assert fonts
    assert all("TrueType" in line and line.split()[-5:-2] == ["yes", "yes", "yes"] for line in fonts), listing
    root = ET.fromstring(files["figure.svg"])
    written = {"".join(node.itertext()).strip() for node in root.iter(SVG + "text")}
    assert {"a", "b", "c", "d", "Label (a, b)", "component"} <= written
    assert b"@font-face" in files["figure.svg"]
    assert b"CreationDate" not in files["figure.pdf"]


def test_the_data_are_what_is_plotted(workspace, filled, files):
    rows = list(csv.DictReader(io.StringIO(files["data/c.csv"].decode())))
    values = workspace.run("pca_spectrum", [TAPS[1]], {"draws": 37}, seed=5).values
    assert np.allclose([float(row["eigenvalue of the covariance"]) for row in rows], values)


def test_same_bytes_in_another_process_and_from_what_was_written(workspace, filled, files, tmp_path):
    root = Path(__file__).parents[1]
    place = Baskets(workspace.path).path("figure")
    for seed, out in (("1", "one"), ("999", "two.zip")):
        command = [sys.executable, "-m", "dashboard.cli", "render", str(place), "--out", str(tmp_path / out)]
        env = {**os.environ, "PYTHONHASHSEED": seed, "SOURCE_DATE_EPOCH": seed}
        done = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    written = {
        str(p.relative_to(tmp_path / "one")): p.read_bytes()
        for p in (tmp_path / "one").rglob("*.*")
        if p.is_file()
    }
    written["SHA256SUMS"] = (tmp_path / "one" / "SHA256SUMS").read_bytes()
    assert {n for n in files if files[n] != written.get(n)} == set()
    assert set(written) == set(files)
    with zipfile.ZipFile(tmp_path / "two.zip") as pack:
        assert {n.partition("/")[2]: pack.read(n) for n in pack.namelist()} == files
    assert (tmp_path / "two.zip").read_bytes() == as_zip(files, "figure")
    again = [
        "render",
        str(tmp_path / "one"),
        "--out",
        str(tmp_path / "again"),
        "--workspace",
        str(workspace.path),
    ]
    assert cli.main(again) == 0
    assert (tmp_path / "again" / "figure.pdf").read_bytes() == files["figure.pdf"]
    assert (tmp_path / "again" / "methods.md").read_bytes() == files["methods.md"]


def test_recipes_alone_are_enough(workspace, files, tmp_path, capsys):
    for name in ("a", "c"):
        (tmp_path / f"{name}.recipe.json").write_bytes(files[f"recipes/{name}.recipe.json"])
    arguments = [
        "render",
        str(tmp_path),
        "--workspace",
        str(workspace.path),
        "--out",
        str(tmp_path / "two.svg"),
    ]
    assert cli.main([*arguments, "--width", "single"]) == 0
    root = ET.fromstring((tmp_path / "two.svg").read_bytes())
    assert root.get("width") == "252pt"
    written = {"".join(node.itertext()).strip() for node in root.iter(SVG + "text")}
    assert {"a", "b", "component"} <= written
    (tmp_path / "none").mkdir()
    assert cli.main(["render", str(tmp_path / "none"), "--out", str(tmp_path / "x")]) == 1
    assert "holds no basket" in capsys.readouterr().err
    assert cli.main([*arguments[:-1], str(tmp_path / "x.gif")]) == 2
    assert cli.main([*arguments, "--part", "estimates"]) == 2


def test_a_folder_that_is_there_is_not_written_over(files, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="not empty"):
        write(files, tmp_path / "out", "figure")
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["mine.txt"]
    with pytest.raises(LoupeError):
        write(files, tmp_path / "no" / "folder", "figure")
    assert not list(tmp_path.glob(".*"))


def test_large_data_are_also_parquet(workspace):
    basket, panels = planted(scatter(10_500, columns={}, colour="", origin=None))
    names = files_of(workspace, basket, panels, workspace.path)[0]
    assert "data/a.parquet" in names
    assert len(names["figure.pdf"]) < 1 << 20


# ---------------------------------------------------------------------------- the words
def test_the_methods_paragraph_says_what_the_results_say(workspace, filled):
    panels = readied(workspace, filled)
    paragraphs = methods_paragraphs(workspace, panels)
    text = methods_markdown(paragraphs)
    spectrum = panels[2].result
    n, d = spectrum.origin.inputs[0]["shape"]
    assert f"n = {n:,} rows, d = {d:,} units" in text
    assert "`draws` = 37 (default automatic)" in text
    assert "seed 5" in text
    assert "Panels a and b show “Principal components” (`pca`, version 3)" in text
    for one in panels[:3]:
        for given in one.result.origin.inputs:
            assert given["digest"][:12] in text
    manifest = workspace.store("digits-vit").manifest
    assert manifest["checkpoint"]["digest"][:12] in text
    assert manifest["data"]["digest"][:12] in text
    assert f"NumPy {spectrum.origin.versions['numpy']}" in text
    for e in spectrum.estimates:
        assert e.null_method in text.replace("\\", "")
    assert "Panel d shows what was recorded, drawn without an analysis" in text
    keys = cited(paragraphs)
    assert {"garrido2023rankme", "featureloupe", "harris2020array"} <= set(keys)
    assert set(re.findall(r"@([a-z0-9]+)", text)) == set(keys)
    assert set(re.findall(r"\\cite\{([a-z0-9,]+)\}", methods_tex(paragraphs))) == {
        ",".join(p.keys) for paragraph in paragraphs for p in paragraph if isinstance(p, Cite) and p.keys
    }


def test_references_are_those_that_are_cited(files):
    keys = set(re.findall(r"@([a-z0-9]+)", files["methods.md"].decode()))
    assert set(strictly(files["references.bib"].decode())) == keys


def test_parameters_are_told_for_each_panel_where_they_differ(workspace):
    for draws in (20, 21):
        add(workspace, "two", workspace.run("pca_spectrum", [TAPS[1]], {"draws": draws}, seed=draws), {})
    text = methods_markdown(
        methods_paragraphs(workspace, readied(workspace, Baskets(workspace.path).open("two")))
    )
    for letter, draws in (("a", 20), ("b", 21)):
        assert re.search(rf"panel {letter} of [^;]*`draws` = {draws} [^;]*seed {draws}", text), text


def test_a_number_without_interval_or_null_says_so(workspace):
    bare = Estimate(
        "share", 0.5, interval="none: it is counted", null_method="none: nothing to compare", n=12
    )
    basket, panels = planted(curve(estimates=(bare,), origin=None), curve(estimates=(), origin=None))
    text = methods_markdown(methods_paragraphs(workspace, panels))
    assert "no interval: it is counted" in text
    assert "the null is none (nothing to compare)" in text
    assert "In panel b, values are shown without interval and null" in text
    assert basket.panels


def test_hostile_names_are_text_everywhere(workspace):
    evil = r"\input{/etc/passwd} $x$ <script>alert(1)</script> **b** [l](javascript:x) @key `c` # = +1"
    rows = table(3, columns={"=cmd()": np.array(["=1+1", evil, NASTY])}, title=evil, sort="", origin=None)
    basket, panels = planted(matrix(3, 3, linkage=None, title=NASTY, origin=None, row_names=(evil, NASTY, "x"),
                                    row_order=None, column_order=None, significant=None), rows)  # fmt: skip
    panels[0] = dataclasses.replace(
        panels[0], panel=dataclasses.replace(panels[0].panel, title=evil, caption=evil)
    )
    basket = dataclasses.replace(basket, caption=evil, panels=tuple(one.panel for one in panels))
    found, _ = files_of(workspace, basket, panels, workspace.path)
    tex = found["captions.tex"].decode() + found["methods.tex"].decode() + found["tables/b.tex"].decode()
    assert "\\input" not in tex
    assert "/etc/passwd" in tex
    markdown = found["captions.md"].decode().replace("\n## To say in the text\n", "")
    assert "<script" not in re.sub(r"\\.", "", markdown)
    assert not re.search(r"(?<!\\)[\[@`#$<]", markdown)
    assert not list(ET.fromstring(found["figure.svg"]).iter(SVG + "script"))
    cells = [cell for row in csv.reader(io.StringIO(found["data/b.csv"].decode())) for cell in row]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "@"))]
    assert all(re.fullmatch(r"[A-Za-z0-9._/-]+", name) for name in found)


def test_captions_are_the_draft_until_written():
    basket, panels = planted(curve(title="First"), curve(title="Second"))
    text = as_markdown(caption_of(basket, panels))
    assert text.startswith("**a**, First.")
    assert "**b**, Second." in text
    written = dataclasses.replace(panels[1], panel=dataclasses.replace(panels[1].panel, caption="Mine."))
    assert as_markdown(caption_of(basket, [panels[0], written])).endswith("**b**, Mine.")
    assert "\\begin{figure*}" in captions_tex(basket, panels)
    assert "\\begin{figure}" in captions_tex(dataclasses.replace(basket, sheet={"width": "single"}), panels)


def test_prose_in_both_languages():
    piece = ["A & b_", Code("x_1`"), Cite(("k1", "k2")), " ", Bold("a"), Cite(())]
    assert as_markdown(piece) == "A \\& b\\_x\\_1\\` [@k1; @k2] **a**"
    assert as_tex(piece) == "A \\& b\\_\\texttt{x\\_1`{}}~\\cite{k1,k2} \\textbf{a}".replace("`{}", "`")
    assert as_markdown(["1. no list"]) == "1\\. no list"
    assert as_markdown(["- no list"]) == "\\- no list"
    assert [words(list("abc"[:n])) for n in range(4)] == ["", "a", "a and b", "a, b and c"]


def test_pictures_of_samples_are_looked_up(workspace):
    basket, panels = planted(gallery(2, 5))
    drawn = pictures(
        basket, [dataclasses.replace(panels[0], options={"pictures": lambda row: np.eye(8)})], ("pdf",)
    )
    assert drawn[0]["pdf"].startswith(b"%PDF")


def test_an_exported_folder_is_a_basket(files, tmp_path):
    write(files, tmp_path / "out", "figure")
    assert len(open_basket(tmp_path / "out").panels) == 4
