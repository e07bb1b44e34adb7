"""A bundle: the same numbers as the dashboard, the same bytes twice, nothing private, and no folder of anybody else."""

from __future__ import annotations

import getpass
import json
import os
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import app_pages
import numpy as np
import publishing_subjects as subjects
import pytest

from analysis.errors import InputError, NotFound, ParameterError
from analysis.sharing.bundle_folder import MANIFEST, damaged
from analysis.workspace import Workspace
from dashboard.cli import main
from dashboard.publishing import card_data, scripts, site_pages
from dashboard.publishing.asked import Asked
from dashboard.publishing.bundle import publish

SMALL = Asked(taps=("images:pooled",), features="0-3", maps=("none",), figures=("none",), heatmaps="none")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    return subjects.made(tmp_path_factory.mktemp("of people"))


@pytest.fixture(scope="module")
def whole(workspace, tmp_path_factory):
    """Everything of it."""
    return publish(
        workspace, tmp_path_factory.mktemp("published") / "site", Asked(title="Mine", authors="A. Author")
    )


# ---------------------------------------------------------------------------- files
def test_every_file_is_in_the_manifest_with_its_checksum(whole):
    assert damaged(whole.path) == []
    about = json.loads((whole.path / MANIFEST).read_text())
    there = {p.relative_to(whole.path).as_posix() for p in whole.path.rglob("*") if p.is_file()}
    assert there == {*about["files"], MANIFEST}
    assert about["digest"] == whole.digest
    assert about["recipe"]["title"] == "Mine"
    assert about["stores"]["images"]


def test_another_byte_is_found(workspace, tmp_path):
    made = publish(workspace, tmp_path / "b", SMALL)
    page = made.path / "features.html"
    page.write_bytes(page.read_bytes().replace(b"Features", b"Fraudres", 1))
    (made.path / "LICENSE.txt").unlink()
    assert sorted(line.partition(":")[0] for line in damaged(made.path)) == ["LICENSE.txt", "features.html"]


def test_the_same_wishes_give_the_same_bytes(workspace, whole, tmp_path):
    again = publish(
        Workspace.open(workspace.path), tmp_path / "other name", Asked(title="Mine", authors="A. Author")
    )
    assert (again.path / MANIFEST).read_bytes() == (whole.path / MANIFEST).read_bytes()
    other = publish(workspace, tmp_path / "else", SMALL)
    assert other.digest != whole.digest


class _Links(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found, self.anchors = [], set()

    def handle_starttag(self, tag, attrs):
        about = dict(attrs)
        self.found += [about[k] for k in ("href", "src") if k in about]
        self.anchors.add(about.get("id"))


def test_every_link_leads_somewhere(whole):
    pages = {}
    for path in whole.path.glob("*.html"):
        pages[path.name] = _Links()
        pages[path.name].feed(path.read_text())
    assert set(pages) == {f"{n}.html" for n in ("index", "map", "features", "heatmaps", "figures", "notes")}
    seen = 0
    for name, page in pages.items():
        for link in page.found:
            if link == "data:,":
                continue
            target = urlsplit(link)
            assert (target.scheme, target.netloc) == ("", ""), link
            if target.path:
                assert (whole.path / target.path).is_file(), link
            if target.fragment.startswith("/"):
                kind, *rest = map(unquote, target.fragment.split("/")[1:])
                assert kind in ("list", "feature")
                tap = subjects.tap_of(whole.path, rest[0])
                if kind == "feature":
                    assert int(rest[1]) in subjects.data(whole.path, f"taps/{tap['slug']}/list")["units"]
            elif target.fragment:
                assert target.fragment in pages[target.path or name].anchors, link
            seen += 1
    assert seen > 60


def test_all_that_the_pages_will_ask_for_is_there(whole):
    site = subjects.data(whole.path, "site")
    for tap in site["taps"]:
        listed = subjects.data(whole.path, f"taps/{tap['slug']}/list")
        packs = [
            subjects.data(whole.path, f"taps/{tap['slug']}/cards-{k}")
            for k in range(-(-tap["n"] // site["cards"]))
        ]
        cards = [card for pack in packs for card in pack]
        assert [c["unit"] for c in cards] == listed["units"]
        for card in cards:
            groups = [card["strongest"] or {"tiles": []}, *card["weaker"]]
            for tile in (tile for group in groups for tile in group["tiles"]):
                assert (
                    tile["image"] is None
                    or (whole.path / "pictures" / str(tap["store"]) / tile["image"]).is_file()
                )
                entry = subjects.data(
                    whole.path, f"samples/{tap['store']}/{tile['sample'] // site['samples']}"
                )
                assert entry[str(tile["sample"])]["title"] == tile["title"]
    for one in site["maps"]:
        drawn = subjects.data(whole.path, f"maps/{one['slug']}")
        assert len(scripts.base64.b64decode(drawn["positions"])) == 4 * drawn["n"] * drawn["dims"]
    assert {m["of"] for m in site["maps"]} == {"samples", "tokens", "units"}


# ---------------------------------------------------------------------------- the numbers are those of the dashboard
@pytest.mark.parametrize(
    ("tap", "unit"),
    [
        ("images:blocks.0", 3),
        ("images:pooled", 5),
        ("images:blocks.0", 0),
        ("texts:h.0", 2),
        ("table:mlp", 1),
    ],
)
def test_a_card_says_what_the_page_says(workspace, whole, monkeypatch, tap, unit):
    monkeypatch.setenv("LOUPE_WORKSPACE", str(workspace.path))
    at = app_pages.open_page("features", tap=tap, unit=unit, bands="1")
    assert app_pages.is_whole(at)
    sent = [json.loads(e.proto.json) for e in at.get("bidi_component") if e.proto.json]
    card = subjects.card_of(whole.path, tap, unit)
    page = app_pages.texts(at).replace("\\", "")
    assert card["title"] in page
    for sentence in card["sentences"]:
        assert sentence in page
    charts = [chart for one in sent for chart in one.get("charts", [])]
    assert card["charts"] == charts
    (histogram,) = [one for one in sent if "value_name" in one] or [None]
    mine = card["histogram"]
    assert (mine is None) == (histogram is None) == card["dead"]
    if mine:
        shown = [{k: g[k] for k in ("name", "counts")} for g in histogram["groups"]]
        assert mine == {**histogram, "groups": shown}
    tiles = [one["tiles"] for one in sent if "tiles" in one]
    own = [card["strongest"]["tiles"]] if card["strongest"] else []
    own += [band["tiles"] for band in card["weaker"] if band["tiles"]]
    assert [[_words(t) for t in group] for group in own] == [[_words(t) for t in group] for group in tiles]
    for x, y in zip(own, tiles, strict=True):
        assert [t["image"] is None for t in x] == [t["image"] is None for t in y]


def _words(tile: dict) -> dict:
    return {k: v for k, v in tile.items() if k != "image"}


def test_the_list_has_the_numbers_of_the_table(workspace, whole):
    tap = subjects.tap_of(whole.path, "images:blocks.0")
    listed = subjects.data(whole.path, f"taps/{tap['slug']}/list")
    table = workspace.store("images").index("blocks.0").table()
    got = np.frombuffer(scripts.base64.b64decode(listed["numbers"]["mean"]), "<f4")
    np.testing.assert_allclose(got, table["mean"], rtol=1e-6)
    assert [k & 1 for k in listed["kinds"]] == [1] + [0] * 15, "unit 0 is dead"
    lines = (whole.path / "data" / "taps" / tap["slug"] / "features.csv").read_text().splitlines()
    assert len(lines) == 17
    head = lines[0].split(",")
    assert float(lines[4].split(",")[head.index("maximum")]) == table["maximum"][3]


def test_a_map_has_its_places_colours_and_doubts(workspace, whole):
    site = subjects.data(whole.path, "site")
    one = next(m for m in site["maps"] if m["reference"] == "images:pooled" and m["of"] == "samples")
    drawn, result = (
        subjects.data(whole.path, f"maps/{one['slug']}"),
        workspace.cached("pca", ["images:pooled"]),
    )
    got = np.frombuffer(scripts.base64.b64decode(drawn["positions"]), "<f4").reshape(-1, 2)
    np.testing.assert_array_equal(got, np.asarray(result.positions, np.float32))
    assert {"label", "predicted", "correct", "loss", "source"} <= {c["id"] for c in drawn["colours"]}
    label = next(c for c in drawn["colours"] if c["id"] == "label")
    codes = np.frombuffer(scripts.base64.b64decode(label["column"]), np.uint8)
    names = np.array(label["light"]["names"])[codes]
    assert names.tolist() == [str(v) for v in workspace.store("images").samples["label"]]
    assert len(drawn["estimates"]) == len(result.estimates) > 0
    assert drawn["caveats"] == list(result.caveats)


def test_heat_blocks_are_the_cells(workspace, whole):
    site = subjects.data(whole.path, "site")
    drawn = subjects.data(whole.path, f"heat/{site['heatmaps'][0]['slug']}/whole")
    result = workspace.cached("correlation_map", ["images:pooled"])
    assert drawn["shape"] == list(result.shape)
    cells = scripts.base64.b64decode(drawn["cells"])
    scale = np.frombuffer(cells[20:24], "<f4")[0]
    values = np.frombuffer(cells[32:], "<i2").reshape(result.shape) * scale
    np.testing.assert_allclose(values, result.overview, atol=scale)


# ---------------------------------------------------------------------------- what must not be told
def test_no_path_of_this_machine_and_no_login(workspace, whole):
    said = subjects.everything(whole.path)
    for place in (str(workspace.path), str(workspace.path.parent), "of people0", os.getcwd()):
        assert place not in said, place
    who = getpass.getuser()
    notes = (whole.path / "notes.html").read_text() + json.dumps(subjects.data(whole.path, "site"))
    assert f">{who}<" not in notes


def test_paths_that_a_store_remembers_are_taken_out(workspace, monkeypatch, tmp_path):
    """A name that holds a path of the workspace: a network called by its folder."""
    from dashboard.publishing import provenance

    real = provenance.of_store
    monkeypatch.setattr(
        provenance, "of_store", lambda w, n, p: [*real(w, n, p), ("Network", f"{w.path}/secret/net.pt")]
    )
    made = publish(workspace, tmp_path / "b", SMALL)
    assert str(workspace.path) not in subjects.everything(made.path)
    assert "…/secret/net.pt" in (made.path / "index.html").read_text()


def test_without_pictures_nothing_of_the_data_is_there(workspace, tmp_path):
    made = publish(workspace, tmp_path / "b", Asked(taps=("images", "texts"), pictures=False))
    assert not (made.path / "pictures").exists()
    said = subjects.everything(made.path)
    assert "😀" not in said, "a token of the texts"
    card = subjects.card_of(made.path, "texts:h.0", 2)
    assert not any("tokens" in tile for tile in card["strongest"]["tiles"])
    assert card["strongest"]["tiles"][0]["value"]
    entry = subjects.data(made.path, "samples/0/0")["0"]
    assert set(entry) == {"title", "facts", "strong", "more"}
    assert any("--without-pictures" in line for line in (made.path / "index.html").read_text().splitlines())


def test_only_pictures_of_samples_that_are_shown(workspace, tmp_path):
    made = publish(workspace, tmp_path / "b", SMALL)
    site = subjects.data(made.path, "site")
    assert [t["n"] for t in site["taps"]] == [4]
    shown = {int(s) for f in (made.path / "data" / "samples" / "0").iterdir() for s in subjects.read(f)[1]}
    pictures = {int(p.stem) for p in (made.path / "pictures").rglob("*.png")}
    cards = subjects.data(made.path, f"taps/{site['taps'][0]['slug']}/cards-0")
    tiles = {
        t["sample"]
        for c in cards
        for g in [c["strongest"] or {"tiles": []}, *c["weaker"]]
        for t in g["tiles"]
    }
    assert pictures == shown == tiles
    assert len(pictures) < workspace.store("images").n_samples


def test_json_in_a_script_cannot_end_it():
    text = scripts.as_json(
        {"a": "".join(subjects.ATTACKS), "b": float("nan"), "c": np.float32(1.5), 2: np.arange(2)}
    )
    assert not any(mark in text for mark in ("<", ">", "&", "\u2028", "\u2029"))
    assert json.loads(text) == {"a": "".join(subjects.ATTACKS), "b": None, "c": 1.5, "2": [0, 1]}


# ---------------------------------------------------------------------------- which features
@pytest.mark.parametrize(
    ("features", "units"),
    [
        ("all", list(range(16))),
        ("3-5, 9", [3, 4, 5, 9]),
        ("starred", [4]),
        ("strongest:2", [1, 5]),
        ("selection:two", [2, 6]),
        ("14-99999999", [14, 15]),
    ],
)
def test_which_features_go(tmp_path, features, units):
    import page_stores

    from analysis.selection import Selection

    workspace = Workspace.create(tmp_path / "w")
    page_stores.images(workspace.path / "stores" / "images", n=60)
    workspace.star("images", "pooled", 4)
    workspace.save_selection(Selection("two", "units", "images", "pooled", [2, 6, 99]))
    made = publish(workspace, tmp_path / "b", Asked(taps=("images:pooled",), features=features))
    tap = subjects.tap_of(made.path, "images:pooled")
    assert subjects.data(made.path, f"taps/{tap['slug']}/list")["units"] == units
    said = (made.path / "index.html").read_text()
    if len(units) < 16:
        assert f"{16 - len(units):,} of 16 features of images:pooled" in said


def test_a_limit_keeps_the_strongest_and_says_so(workspace, tmp_path):
    made = publish(workspace, tmp_path / "b", Asked(taps=("images:pooled",), most=3, maps=("none",)))
    table = workspace.store("images").index("pooled").table()
    tap = subjects.tap_of(made.path, "images:pooled")
    units = subjects.data(made.path, f"taps/{tap['slug']}/list")["units"]
    assert min(table["maximum"][units]) >= np.delete(table["maximum"], units).max()
    assert (
        "13 of 16 features of images:pooled: not among the 3 with the largest maximum"
        in (made.path / "index.html").read_text()
    )


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        (Asked(features="best"), ParameterError),
        (Asked(features="strongest:0"), ParameterError),
        (Asked(features="selection:none such"), NotFound),
        (Asked(taps=("nothing:*",)), NotFound),
        (Asked(maps=("no such map",)), NotFound),
        (Asked(figures=("no such file.json",)), NotFound),
    ],
)
def test_wishes_that_cannot_be_met_leave_nothing(workspace, tmp_path, asked, error):
    with pytest.raises(error):
        publish(workspace, tmp_path / "b", asked)
    assert list(tmp_path.iterdir()) == []


def test_a_figure_by_its_recipe(workspace, whole, tmp_path):
    recipes = [p for p in (whole.path / "figures").glob("*.json") if "pca-spectrum" in p.name]
    asked = Asked(taps=("images:pooled",), features="0", maps=("none",), figures=(str(recipes[0]),))
    made = publish(workspace, tmp_path / "b", asked)
    (svg,) = (made.path / "figures").glob("*.svg")
    assert svg.read_bytes() == (whole.path / "figures" / recipes[0].name).with_suffix(".svg").read_bytes()


def test_a_map_that_is_not_kept_is_computed(tmp_path):
    import page_stores

    workspace = Workspace.create(tmp_path / "w")
    page_stores.images(workspace.path / "stores" / "images", n=60)
    made = publish(workspace, tmp_path / "b", Asked(taps=("images:pooled",), features="0", maps=("pca",)))
    assert [m["method"] for m in subjects.data(made.path, "site")["maps"]] == ["pca"]


def test_results_of_changed_activations_stay_out(tmp_path):
    import shutil

    import page_stores

    workspace = Workspace.create(tmp_path / "w")
    page_stores.images(workspace.path / "stores" / "images", n=60)
    workspace.run("pca", ["images:pooled"])
    shutil.rmtree(workspace.path / "stores" / "images")
    page_stores.images(workspace.path / "stores" / "images", n=61)
    made = publish(Workspace.open(workspace.path), tmp_path / "b", Asked(features="0"))
    assert not (made.path / "map.html").exists()
    assert "made of activations that have changed since" in (made.path / "index.html").read_text()


# ---------------------------------------------------------------------------- places
def test_a_folder_of_somebody_else_is_refused(workspace, tmp_path):
    other = tmp_path / "b"
    other.mkdir()
    (other / "thesis.tex").write_text("years of work")
    for replace in (False, True):
        with pytest.raises(InputError, match="other things"):
            publish(workspace, other, SMALL, replace=replace)
    assert (other / "thesis.tex").read_text() == "years of work"
    (other / MANIFEST).write_text(json.dumps({"kind": "something else", "files": {"thesis.tex": {}}}))
    with pytest.raises(InputError, match="other things"):
        publish(workspace, other, SMALL, replace=True)


def test_a_bundle_is_replaced_only_when_asked_and_only_whole(workspace, tmp_path, monkeypatch):
    made = publish(workspace, tmp_path / "b", SMALL)
    with pytest.raises(InputError, match="--replace"):
        publish(workspace, tmp_path / "b", SMALL)
    (tmp_path / "b" / "CNAME").write_text("example.org")
    with pytest.raises(InputError, match="CNAME"):
        publish(workspace, tmp_path / "b", SMALL, replace=True)
    (tmp_path / "b" / "CNAME").unlink()

    def stop(*_):
        raise OSError("pulled the plug")

    with monkeypatch.context() as patched:
        patched.setattr(card_data, "card", stop)
        with pytest.raises(OSError, match="plug"):
            publish(workspace, tmp_path / "b", SMALL, replace=True)
    assert damaged(tmp_path / "b") == []
    assert [p.name for p in tmp_path.iterdir()] == ["b"], "nothing half-written is left"
    again = publish(workspace, tmp_path / "b", Asked(**{**vars(SMALL), "features": "7"}), replace=True)
    assert again.digest != made.digest
    assert damaged(tmp_path / "b") == []


def test_not_into_the_workspace_nor_through_a_link(workspace, tmp_path):
    with pytest.raises(InputError, match="workspace"):
        publish(workspace, workspace.path / "site", SMALL)
    with pytest.raises(InputError, match="workspace"):
        publish(workspace, workspace.path.parent, SMALL, replace=True)
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(InputError, match="not a folder"):
        publish(workspace, tmp_path / "link", SMALL)


# ---------------------------------------------------------------------------- the command
def test_the_command_and_its_dry_run(workspace, tmp_path, capsys):
    chosen = [str(workspace.path), "--taps", "images", "--title", "T", "--json"]
    assert main(["publish", *chosen, "--dry-run"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert not list(tmp_path.iterdir())
    assert main(["publish", *chosen, "--out", str(tmp_path / "b")]) == 0
    made = json.loads(capsys.readouterr().out)
    assert (plan["cards"], plan["maps"], plan["left_out"]) == (made["cards"], made["maps"], made["left_out"])
    assert 0.5 < plan["estimated_bytes"] / made["bytes"] < 2
    assert damaged(Path(made["path"])) == []
    assert main(["publish", *chosen, "--out", str(tmp_path / "b")]) == 1
    assert "--replace" in capsys.readouterr().err
    assert main(["publish", str(workspace.path)]) == 2


def test_progress_rises_to_the_end(workspace, tmp_path):
    seen = []
    publish(workspace, tmp_path / "b", Asked(taps=("images",)), progress=lambda f, _="": seen.append(f))
    assert seen == sorted(seen)
    assert 0.9 < seen[-1] <= 1.0


def test_a_card_that_cannot_be_read_says_so(workspace, tmp_path, monkeypatch):
    from analysis.errors import StoreDamaged
    from dashboard.browse.unit import Unit

    def damage(self):
        raise StoreDamaged("shard 3 is damaged", "", "")

    monkeypatch.setattr(Unit, "histogram", damage)
    made = publish(workspace, tmp_path / "b", SMALL)
    card = subjects.card_of(made.path, "images:pooled", 2)
    assert card["histogram"] is None
    assert any("shard 3" in line for line in card["problems"])
    assert card["strongest"]["tiles"]


def test_only_the_cards_of_one_file_are_held(workspace, monkeypatch, tmp_path):
    """A bundle of thousands of cards does not grow in memory: what was written is let go."""
    import weakref

    class Held(dict):
        pass

    alive, most, real = weakref.WeakSet(), 0, card_data.card

    class _Set:
        pass

    def watched(tap, number):
        nonlocal most
        made = Held(real(tap, number))
        token = _Set()
        made["token"] = None
        alive.add(token)
        made.__dict__["kept"] = token
        most = max(most, len(alive))
        return made

    monkeypatch.setattr(card_data, "card", watched)
    monkeypatch.setattr(site_pages, "CARDS", 4)
    publish(workspace, tmp_path / "b", Asked(taps=("images",), maps=("none",), figures=("none",)))
    assert 4 <= most <= 8
