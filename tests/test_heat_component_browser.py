"""The heat map in a browser: its pixels are its cells, and what hands do to it."""

from __future__ import annotations

import numpy as np
import pytest
from heat_component_page import CHROMIUM, Matrix, heatmap, opened

from dashboard.figures.style import BERLIN, RED_BLUE

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Debian's chromium at /usr/bin/chromium"),
]


@pytest.fixture(scope="module")
def open_stage():
    with opened() as stage:
        yield stage


@pytest.fixture
def stage(open_stage):
    with open_stage() as stage:
        yield stage


def colour(value: float, stops=RED_BLUE, faded: float | None = None, ground=255) -> np.ndarray:
    """The colour of a value in [-1, 1], by NumPy's own interpolation."""
    table = np.array([[int(s[k : k + 2], 16) for k in (1, 3, 5)] for s in stops], float)
    at = np.linspace(-1, 1, len(table))
    bare = np.array([np.interp(value, at, table[:, c]) for c in range(3)])
    return bare if faded is None or abs(value) >= faded else 0.28 * bare + 0.72 * np.asarray(ground)


def planted(p: int, q: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (p, q))


def test_every_cell_has_its_colour(stage):
    values = planted(12, 9)
    stage.show(heatmap(values))
    shot = stage.shot()
    for i in range(12):
        for j in range(9):
            x, y = stage.place(i + 0.5, j + 0.5)
            assert np.abs(shot[round(y), round(x)] - colour(values[i, j])).max() <= 2, (i, j)


def test_cells_are_crisp_up_to_their_edges(stage):
    stage.show(heatmap(np.where(np.arange(64).reshape(8, 8) % 2, 0.9, -0.9)))
    shot = stage.shot()
    for i in range(8):
        x0, x1, y = stage.place(i, 3)[0], stage.place(i, 4)[0], round(stage.place(i + 0.5, 0)[1])
        inside = shot[y, round(x0) + 1 : round(x1) - 1]
        assert np.abs(inside - colour(0.9)).max() <= 2  # no blurred border


def test_what_is_not_significant_is_faded_and_the_button_brings_it_back(stage):
    values = np.array([[0.9, 0.1], [-0.1, -0.9]])
    stage.show(heatmap(values, threshold=0.3, share_significant=0.5))
    assert np.abs(stage.pixel(0.5, 1.5) - colour(0.1, faded=0.3)).max() <= 2
    assert np.abs(stage.pixel(0.5, 0.5) - colour(0.9)).max() <= 2
    button = stage.page.get_by_role("button", name="Fade what is not significant")
    assert button.get_attribute("aria-pressed") == "true"
    button.click()
    stage.rest()
    stage.page.mouse.move(1, 1)
    assert np.abs(stage.pixel(0.5, 1.5) - colour(0.1)).max() <= 2
    assert stage.sent("fade") == [{"on": False}]
    stage.show(heatmap(values))  # nothing was tested
    assert button.is_hidden()


def test_the_null_band_is_hatched_into_the_scale_at_its_place(stage):
    stage.show(heatmap(np.zeros((4, 4)), null_band=(-0.5, 0.25)))
    box = stage.page.locator("canvas").bounding_box()
    x0, w = box["x"] + stage.heat("h.frame.x"), 300
    strip = stage.shot()[round(box["y"]) + 7 : round(box["y"]) + 17]
    expected = np.array([colour(v) for v in -1 + 2 * (np.arange(w) + 0.5) / w])
    seen = strip[:, round(x0) : round(x0) + w]
    dark = (expected[None] - seen).max(axis=2) > 60  # lines of the hatch
    found = np.flatnonzero(dark.any(axis=0)) / w * 2 - 1
    assert found.min() == pytest.approx(-0.5, abs=0.03)
    assert found.max() == pytest.approx(0.25, abs=0.03)
    bare = np.abs(np.median(seen, axis=0) - expected).max(axis=1)[10:60]
    assert (bare <= 6).all()
    said = stage.page.locator(".legend").inner_text()
    assert "structureless data: −0.5 to 0.25" in said


def test_many_cells_keep_their_strongest_on_a_small_picture(stage):
    """512 cells on about 200 pixels: a single strong one is seen."""
    values = np.zeros((512, 512))
    values[201, 333], values[77, 12] = 1.0, -1.0
    stage.show(heatmap(values), width=260)
    shot, ground = stage.shot(), colour(0)
    for (i, j), v in (((201, 333), 1.0), ((77, 12), -1.0)):
        x, y = (round(at) for at in stage.place(i + 0.5, j + 0.5))
        near = shot[y - 3 : y + 4, x - 3 : x + 4].reshape(-1, 3)
        assert np.abs(near - colour(v)).max(axis=1).min() <= 3
        assert np.abs(near - ground).max(axis=1).min() <= 3
    stage.page.mouse.move(*stage.place(201.5, 333.5))
    said = stage.page.locator(".card").inner_text().replace("\n", " ")
    side = stage.heat("h.cursor.side")
    assert side >= 2
    assert f"r 1.000 unit r{201 // side * side} … " in said  # what is said is what is drawn
    assert f"strongest of {side} × {side} cells" in said
    assert f"each cell is the strongest of {side} × {side}" in stage.page.locator(".status").inner_text()


def test_a_zoom_asks_for_the_block_once_and_draws_it(stage):
    values = planted(2000, 2000)
    stage.show(heatmap(values, 4))
    assert "each cell is the strongest of 8 × 8" in stage.page.locator(".status").inner_text()
    stage.page.wait_for_timeout(400)
    assert not stage.sent("view")  # the overview shows as much as there is room for
    stage.heat("h.show([600, 650, 1200, 1250])")
    asked = stage.answer(Matrix(values))
    assert asked["box"] == [600, 650, 1200, 1250]
    r0, r1, c0, c1 = asked["block"]
    assert r0 < 600 < 650 < r1 <= 700
    assert c0 < 1200 < 1250 < c1 <= 1300
    for i, j in ((600, 1200), (625, 1233), (649, 1249)):
        assert np.abs(stage.pixel(i + 0.5, j + 0.5) - colour(values[i, j])).max() <= 2
    assert "strongest" not in stage.page.locator(".status").inner_text()
    stage.heat("h.move(5, -5)")  # within the margin: nothing new is needed
    stage.page.wait_for_timeout(500)
    told = stage.sent("view")
    assert [t["ask"] is not None for t in told] == [True, False]
    assert told[-1]["box"] == [605, 655, 1195, 1245]
    stage.page.locator("canvas").focus()
    stage.page.keyboard.press("0")
    stage.page.wait_for_function("sent.at(-1).value.box === null")
    assert stage.heat("h.layers.all.length") == 2
    part = values[296:304, 296:304].ravel()
    stage.page.mouse.move(1, 1)
    assert np.abs(stage.pixel(300.5, 300.5) - colour(part[np.abs(part).argmax()])).max() <= 2


@pytest.mark.parametrize("shape", [(2000, 2000), (1301, 977), (3000, 40), (512, 2048), (17, 1100)])
def test_the_block_that_is_asked_for_is_fine_enough_and_covers_what_is_seen(stage, shape):
    """Whatever the view: the answer of the store, cut as it cuts, has the level that the browser wanted."""
    (p, q), rng = shape, np.random.default_rng(1)
    values = planted(p, q)
    tiles = Matrix(values)
    stage.show(heatmap(values, 4))
    boxes = [[*np.sort(rng.uniform(0, p, 2)), *np.sort(rng.uniform(0, q, 2))] for _ in range(40)]
    most = rng.integers(64, 513, 40).tolist()
    asked = [[[float(edge) for edge in box], count] for box, count in zip(boxes, most, strict=True)]
    told = stage.heat(
        f"{asked}.map(([box, most]) => {{ h.view.show(box); return Object.values(h.wanted(most)) }})"
    )
    for count, (seen, level, block) in zip(most, told, strict=True):
        assert 0 <= block[0] <= seen[0] < seen[1] <= block[1] <= p
        assert 0 <= block[2] <= seen[2] < seen[3] <= block[3] <= q
        got, cells = tiles.cut(*block, most=count)
        assert got <= level
        assert max(cells[1] - cells[0], cells[3] - cells[2]) <= count
        assert cells[0] << got <= seen[0]
        assert cells[2] << got <= seen[2]


def test_a_lost_answer_is_asked_for_again(open_stage):
    with open_stage() as stage:
        values = planted(2000, 2000)
        stage.show(heatmap(values, 4))
        stage.page.evaluate(
            "window.patience = 2000"
        )  # long enough to answer the second ask on a busy machine
        stage.page.evaluate(
            "() => { heat().later = function (name, ms, work) { clearTimeout(this.timers[name]);"
            " this.timers[name] = setTimeout(work, Math.min(ms, window.patience)); } }"
        )
        stage.heat("h.show([600, 650, 1200, 1250])")
        first = stage.page.wait_for_function("sent.filter((s) => s.value.ask)[1]?.value").json_value()
        assert first["block"] == stage.sent("view")[0]["block"]
        assert first["ask"] != stage.sent("view")[0]["ask"]
        stage.answer(Matrix(values), 2)
        assert np.abs(stage.pixel(610.5, 1210.5) - colour(values[610, 1210])).max() <= 2
        stage.page.evaluate("window.patience = 300")
        stage.heat("h.show([100, 150, 200, 250])")
        stage.page.wait_for_timeout(2500)
        assert len([v for v in stage.sent("view") if v["ask"]]) == 5  # three times, not for ever


def test_hover_says_row_column_and_value(stage):
    values = planted(40, 30)
    stage.show(heatmap(values, threshold=0.5, share_significant=0.5))
    i, j = np.argwhere(np.abs(values) < 0.4)[7]
    stage.page.mouse.move(*stage.place(i + 0.5, j + 0.5))
    card = stage.page.locator(".card")
    card.wait_for()
    said = f"r {values[i, j]:.3f}".replace("-", "−")
    assert card.inner_text().split("\n") == [said, f"unit r{i} × unit c{j}", "not significant"]
    stage.page.mouse.move(2, 2)
    card.wait_for(state="hidden")
    big = planted(640, 640)
    stage.show(heatmap(big, 32))
    stage.page.mouse.move(*stage.place(70, 330))
    said = card.inner_text()
    assert "strongest of 32 × 32 cells" in said
    assert "unit r64 … r95 × unit c320 … c351" in said
    stage.page.mouse.move(*stage.place(639, 639))
    part = big[608:, 608:]
    assert f"{np.abs(part).max():.3f}" in card.inner_text()


def test_a_click_opens_its_cell_and_a_double_click_shows_everything(stage):
    values = planted(40, 30)
    stage.show(heatmap(values))
    stage.page.mouse.click(*stage.place(17.5, 4.5))
    stage.page.wait_for_function("sent.some((s) => s.event === 'open')")
    assert stage.sent("open") == [{"rows": [17, 18], "columns": [4, 5]}]
    stage.heat("h.show([10, 20, 5, 15])")
    stage.page.mouse.dblclick(*stage.place(15, 10))
    stage.page.wait_for_timeout(600)
    assert stage.heat("h.view.atHome")
    assert len(stage.sent("open")) == 1
    stage.show(heatmap(planted(130, 130), 4))
    stage.page.mouse.click(*stage.place(129.5, 5))
    stage.page.wait_for_function("sent.filter((s) => s.event === 'open').length === 2")
    assert stage.sent("open")[-1] == {"rows": [128, 130], "columns": [4, 8]}


def test_wheel_drag_and_box(stage):
    values = planted(100, 100)
    stage.show(heatmap(values))
    x, y = stage.place(20, 70)
    stage.page.mouse.move(x, y)
    stage.page.mouse.wheel(0, -800)
    stage.page.wait_for_function("!heat().view.atHome")
    stage.page.wait_for_timeout(100)
    assert np.allclose(stage.place(20, 70), (x, y), atol=1)  # what is under the pointer stays there
    before = stage.heat("h.view.box")
    stage.page.mouse.down()
    stage.page.mouse.move(x - 60, y - 30, steps=4)
    stage.page.mouse.up()
    after = stage.heat("h.view.box")
    assert after[0] - before[0] == pytest.approx(30 / stage.heat("h.frame.down"), rel=0.05)
    assert after[2] - before[2] == pytest.approx(60 / stage.heat("h.frame.across"), rel=0.05)
    stage.page.wait_for_timeout(400)
    assert not stage.sent("open")  # a drag is no click
    stage.heat("h.home()")
    stage.page.keyboard.down("Shift")
    (x0, y0), (x1, y1) = stage.place(30, 40), stage.place(50, 60)
    stage.page.mouse.move(x0, y0)
    stage.page.mouse.down()
    stage.page.mouse.move(x1, y1, steps=4)
    stage.page.mouse.up()
    stage.page.keyboard.up("Shift")
    assert np.allclose(stage.heat("h.view.box"), [30, 50, 40, 60], atol=0.5)
    stage.page.wait_for_function("sent.at(-1).value.box?.[0] >= 29")


def test_the_view_never_leaves_the_matrix(stage):
    stage.show(heatmap(planted(50, 400)))
    rng = np.random.default_rng(0)
    for _ in range(60):
        a, b, c = rng.uniform(-200, 600), rng.uniform(-200, 600), np.exp(rng.uniform(-3, 3))
        stage.heat(f"h.view.zoomAt({a}, {b}, {c})")
        stage.heat(f"h.view.move({rng.normal(0, 100)}, {rng.normal(0, 100)})")
        r0, r1, c0, c1 = stage.heat("h.view.box")
        assert -1e-9 <= r0 < r1 <= 50 + 1e-9
        assert -1e-9 <= c0 < c1 <= 400 + 1e-9
        assert r1 - r0 >= 4 - 1e-9
        assert c1 - c0 >= 4 - 1e-9
    stage.heat("h.home()")
    assert stage.heat("h.view.atHome")


def test_the_wheel_scrolls_the_page_where_all_is_seen(stage):
    stage.show(heatmap(planted(20, 20)))
    stage.page.evaluate("document.body.style.height = '3000px'")
    stage.page.mouse.move(*stage.place(10, 10))
    stage.page.mouse.wheel(0, 300)
    stage.page.wait_for_function("scrollY > 100")
    assert stage.heat("h.view.atHome")


def test_every_cell_by_keyboard(stage):
    values = planted(40, 40)
    stage.show(heatmap(values))
    canvas, keys = stage.page.locator("canvas"), stage.page.keyboard
    assert canvas.get_attribute("role") == "img"
    assert canvas.get_attribute("aria-label").startswith("test")
    canvas.focus()
    keys.press("ArrowRight")
    assert stage.heat("[h.cursor.row, h.cursor.column]") == [20, 20]  # first the middle
    for key in ("ArrowRight", "ArrowUp", "Shift+ArrowLeft"):
        keys.press(key)
    assert stage.heat("[h.cursor.row, h.cursor.column]") == [19, 11]
    spoken = stage.page.locator(".spoken")
    assert spoken.get_attribute("aria-live") == "polite"
    assert "unit r19  ×  unit c11" in spoken.text_content()
    assert f"{abs(values[19, 11]):.3f}" in spoken.text_content()
    for _ in range(5):
        keys.press("+")
    stage.page.wait_for_timeout(50)
    r0, r1, *_ = stage.heat("h.view.box")
    assert r1 - r0 < 8
    assert r0 <= 19.5 <= r1
    keys.press("ArrowDown")  # zooming forgets the cell pointed at: again the middle
    for _ in range(12):
        keys.press("ArrowDown")
    row = stage.heat("h.cursor.row")
    assert row > 28
    r0, r1, *_ = stage.heat("h.view.box")
    assert r0 <= row < r1  # the view goes along
    keys.press("Enter")
    assert stage.sent("open")[-1]["rows"] == [row, row + 1]
    keys.press("0")
    assert stage.heat("h.view.atHome")
    keys.press("?")
    assert stage.page.locator(".keys").is_visible()
    keys.press("Escape")
    assert stage.heat("h.cursor === null")


def test_pinching_zooms_and_a_finger_scrolls_past_the_whole(open_stage):
    with open_stage(has_touch=True, viewport={"width": 390, "height": 800}) as stage:
        stage.show(heatmap(planted(100, 100)), width=380)
        assert stage.heat("h.canvas.style.touchAction") == "pan-y"
        client = stage.page.context.new_cdp_session(stage.page)
        x, y = stage.place(50, 50)

        def touch(kind, *at):
            points = [{"x": px, "y": y, "id": k} for k, px in enumerate(at)]
            client.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

        touch("touchStart", x - 20, x + 20)
        for d in (30, 50, 80):
            touch("touchMove", x - d, x + d)
        touch("touchEnd")
        r0, r1, c0, c1 = stage.heat("h.view.box")
        assert r1 - r0 == pytest.approx(25, rel=0.1)
        assert (c0 + c1) / 2 == pytest.approx(50, abs=3)
        assert stage.heat("h.canvas.style.touchAction") == "none"
        assert (
            stage.page.evaluate("document.documentElement.scrollWidth") <= 390
        )  # nothing sticks out of a phone
        stage.page.wait_for_timeout(500)
        assert not stage.sent("open")


def test_a_link_starts_at_its_view(stage):
    values = planted(2000, 1500)
    stage.show(heatmap(values, 4), view=[100, 140, 1000, 1030])
    assert np.allclose(stage.heat("h.view.box"), [100, 140, 1000, 1030], atol=5)
    stage.answer(Matrix(values))
    assert np.abs(stage.pixel(110.5, 1010.5) - colour(values[110, 1010])).max() <= 2
    box = stage.heat("h.view.box")
    stage.show(view=None)  # Python answers with the view that it was told: nothing jumps
    assert stage.heat("h.view.box") == box


def test_names_stand_where_they_fit(stage):
    values = planted(300, 300)
    stage.show(heatmap(values))
    assert stage.heat("h.box.dataset.named") == "00"
    stage.heat("h.show([10, 30, 40, 60])")
    stage.rest()
    assert stage.heat("h.box.dataset.named") == "11"
    left = stage.heat("[h.frame.x, h.frame.y, h.frame.w, h.frame.h]")
    stage.heat("h.home()")
    assert stage.heat("[h.frame.x, h.frame.y, h.frame.w, h.frame.h]") == left  # the picture does not jump


def test_another_result_takes_the_place_of_the_first(stage):
    stage.show(heatmap(planted(20, 20)))
    stage.heat("h.show([3, 9, 3, 9])")
    other = planted(30, 10, seed=5)
    stage.show(heatmap(other))
    assert stage.heat("[h.view.p, h.view.q, h.view.atHome]") == [30, 10, True]
    assert np.abs(stage.pixel(29.5, 9.5) - colour(other[29, 9])).max() <= 2


def test_markup_in_names_is_text(stage):
    evil = "<img src=x onerror='window.broken=1'><b>bold</b>"
    result = heatmap(
        planted(3, 3), row_names=np.array([evil] * 3), column_names=np.array([evil] * 3), value_name=evil
    )
    stage.show(result, nullWords=evil, nullBand=[-0.1, 0.1], help=evil, label=evil, titles=[evil, evil])
    stage.page.mouse.move(*stage.place(1.5, 1.5))
    stage.page.locator(".card").wait_for()
    assert stage.page.evaluate("window.broken") is None
    assert stage.heat("h.box.querySelectorAll('b, img').length") == 0
    assert evil in stage.page.locator(".legend").inner_text()


def test_leaving_takes_everything_along(stage):
    stage.show(heatmap(planted(5, 5)))
    stage.page.evaluate("drop()")
    assert stage.page.evaluate("waiting()") == 0
    assert stage.page.evaluate("document.getElementById('place').shadowRoot.childElementCount") == 0


def test_dark(open_stage):
    with open_stage("dark") as stage:
        values = planted(6, 6)
        stage.show(heatmap(values, threshold=0.5, share_significant=0.5), theme="dark")
        shot, ground = stage.shot(), (15, 19, 25)
        for i in range(6):
            for j in range(6):
                x, y = stage.place(i + 0.5, j + 0.5)
                expected = colour(values[i, j], BERLIN, 0.5, ground)
                assert np.abs(shot[round(y), round(x)] - expected).max() <= 2
