"""Heat maps that are larger than a picture, in a bundle: every cell of the tiles, down to the finest that goes."""

from __future__ import annotations

import base64

import numpy as np
import publishing_subjects as subjects
import pytest
from test_publishing_browser import ARGS, CHROMIUM, until

from analysis.store import heat_cells
from analysis.store.from_arrays import write_store
from analysis.store.tiles import SIDE, Tiles
from analysis.workspace import Workspace
from dashboard.publishing import heat_data
from dashboard.publishing.asked import Asked
from dashboard.publishing.bundle import publish

UNITS = 700
ONLY_HEAT = Asked(features="0-2", maps=("none",), figures=("none",))
HEAT = "document.querySelector('#heat-page > div:nth-of-type(2)').shadowRoot"


def made_at(path) -> Workspace:
    """A tap of 700 units, of which the last two are the same."""
    workspace = Workspace.create(path)
    rng = np.random.default_rng(0)
    values = (rng.standard_normal((40, 60)) @ rng.standard_normal((60, UNITS))).astype(np.float32)
    values[:, -1] = values[:, -2]
    write_store(workspace.path / "stores" / "s", name="s", taps={"t": values}, labels=["x"] * 40)
    workspace.run("correlation_map", ["s:t"])
    return workspace


@pytest.fixture(scope="module")
def workspace(tmp_path_factory) -> Workspace:
    return made_at(tmp_path_factory.mktemp("tiled") / "w")


@pytest.fixture(scope="module")
def whole(workspace, tmp_path_factory):
    return publish(workspace, tmp_path_factory.mktemp("tiled out") / "b", ONLY_HEAT)


def blocks_of(made, about: dict) -> dict[tuple[int, int, int], np.ndarray]:
    """(level, row, column) of every published block to its stored cells."""
    found = {}
    for path in (made.path / "data" / "heat" / about["slug"]).glob("*-*-*.js"):
        _, block = subjects.read(path)
        cells = np.frombuffer(base64.b64decode(block["cells"]), "<i2").reshape(
            block["rows"], block["columns"]
        )
        found[tuple(map(int, path.stem.split("-")))] = cells
    return found


def test_every_cell_is_there_and_is_the_correlation(workspace, whole):
    (about,) = subjects.data(whole.path, "site")["heatmaps"]
    drawn = subjects.data(whole.path, f"heat/{about['slug']}/whole")
    blocks = blocks_of(whole, about)
    assert drawn["finest"] == 0
    assert {level for level, _, _ in blocks} == {0}
    side = -(-UNITS // SIDE)
    cells = np.block([[blocks[0, i, j] for j in range(side)] for i in range(side)]) * drawn["scale"]
    assert cells.shape == (UNITS, UNITS)
    order = np.frombuffer(base64.b64decode(drawn["units"][0]), "<i4")
    expected = np.corrcoef(np.asarray(workspace.activations("s:t").units(order), np.float64), rowvar=False)
    np.testing.assert_allclose(cells, expected, atol=2 * drawn["scale"] + 1e-6)
    assert "single cells" not in str(whole.plan.left_out)


def test_where_single_cells_do_not_go_gathered_ones_do_and_it_is_said(tmp_path, monkeypatch):
    """A picture of 64 cells a side and files of 256 stand for those of 512 and 2,048."""
    monkeypatch.setattr(heat_cells, "MOST", 64)
    monkeypatch.setattr(heat_data, "MOST_CELLS", 256)
    workspace = made_at(tmp_path / "w")
    made = publish(workspace, tmp_path / "b", ONLY_HEAT)
    (about,) = subjects.data(made.path, "site")["heatmaps"]
    drawn, blocks = subjects.data(made.path, f"heat/{about['slug']}/whole"), blocks_of(made, about)
    assert drawn["finest"] == 2
    assert set(blocks) == {(2, 0, 0), (3, 0, 0)}
    tiles = Tiles.open(workspace.cache.folder(workspace.cached("correlation_map", ["s:t"]).tiles))
    for (level, _, _), cells in blocks.items():
        np.testing.assert_array_equal(cells, tiles.stored(level, 0, SIDE, 0, SIDE))
    assert "the strongest of 4 x 4" in (made.path / "index.html").read_text()


@pytest.mark.browser
@pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Debian's chromium at /usr/bin/chromium")
def test_zooming_brings_single_cells_at_every_step(whole):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGS)
        page, faults, asked = browser.new_page(viewport={"width": 1440, "height": 900}), [], []
        page.on("console", lambda m: faults.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda e: faults.append(str(e)))
        page.on("request", lambda r: asked.append(r.url))
        page.goto(whole.path.as_uri() + "/heatmaps.html")
        page.wait_for_selector("#heat-page label")
        box = page.locator("#heat-page canvas").first.bounding_box()
        page.mouse.move(box["x"] + box["width"] / 3, box["y"] + box["height"] / 2)
        for _ in range(6):
            page.mouse.wheel(0, -240)
            page.wait_for_timeout(700)
        until(page, f"!{HEAT}.textContent.includes('on their way')")
        alerts = page.locator("[role=alert]").count()
        browser.close()
    assert faults == []
    assert alerts == 0
    assert any("/heat/" in url and "/0-" in url for url in asked), "single cells were asked for"
