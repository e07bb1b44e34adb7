"""What the map draws, read back from screenshots: a known grid of coloured points after everything that moves it."""

from __future__ import annotations

import numpy as np
import pytest
from map_component_page import CHROMIUM, GREYS, NO_WEBGL, PALETTE, near, opened

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Debian's chromium at /usr/bin/chromium"),
]
SIDE = 6
GRID = np.array([(x, y) for y in range(SIDE) for x in range(SIDE)], np.float32)
CODES = (GRID.sum(axis=1) % 4).astype(int)  # no two neighbours alike
VIRIDIS = ["#440154", "#21918c", "#fde725"]


@pytest.fixture(scope="module")
def open_stage():
    with opened() as stage:
        yield stage


@pytest.fixture
def stage(open_stage):
    with open_stage() as stage:
        yield stage


def check(stage, points=GRID, colours=None, *, name="a", least=None) -> None:
    """Every point in the picture has its colour at its place, and between points there is nothing."""
    shot = stage.shot()
    wanted = [PALETTE[c] for c in CODES] if colours is None else colours
    seen = 0
    for p, colour in zip(points, wanted, strict=True):
        x, y = stage.place(*map(float, p), name=name)
        if not (60 < y < 460 and 8 < x < 420):  # not under the tools or the legend
            continue
        seen += 1
        assert near(shot[y, x], colour), (p, (x, y), shot[y, x], colour)
    assert seen >= (len(points) // 4 if least is None else least)


def white_between(stage, *, name="a") -> bool:
    x, y = stage.place(1.5, 1.5, name=name)
    return bool((stage.shot()[y, x] > 250).all())


def test_a_grid_of_coloured_points(stage):
    stage.show(points=GRID, colour=stage.categories(CODES))
    assert stage.map("m.renderer.constructor.name") == "RendererGL"
    check(stage)
    assert white_between(stage)


def test_after_pan_and_zoom(stage):
    stage.show(points=GRID, colour=stage.categories(CODES))
    before = stage.place(2, 2)
    stage.drag((250, 250), (310, 290))
    stage.rest()
    assert stage.place(2, 2) == pytest.approx((before[0] + 60, before[1] + 40), abs=1)
    check(stage)
    x, y = stage.place(2, 3)
    stage.page.mouse.move(x, y)
    stage.page.mouse.wheel(0, -500)
    stage.rest()
    assert stage.place(2, 3) == pytest.approx((x, y), abs=1)  # the point under the pointer stays there
    assert stage.map("m.view.zoom") == pytest.approx(0.94 * np.exp(0.75), rel=1e-3)
    check(stage, least=4)
    stage.page.keyboard.press("Tab")
    stage.page.locator(".map canvas[role=application]").focus()
    stage.page.keyboard.press("0")
    stage.rest()
    assert stage.place(2, 2) == pytest.approx(before, abs=1)


def test_recolour_sends_a_column_and_keeps_the_positions(stage):
    stage.show(points=GRID, colour=stage.categories(CODES))
    kept = stage.map("(window.buffer = m.renderer.buffers.get(m.points.now), 1)")
    assert kept
    turned = (CODES + 1) % 4
    stage.show(colour=stage.categories(turned))
    check(stage, colours=[PALETTE[c] for c in turned])
    assert stage.map("m.renderer.buffers.get(m.points.now) === window.buffer")
    values = np.linspace(0, 1, len(GRID), dtype=np.float32)
    values[7] = np.nan
    number = {"kind": "number", "label": "v", "low": 0, "high": 1, "stops": VIRIDIS}
    stops = np.array([[int(s[k : k + 2], 16) for k in (1, 3, 5)] for s in VIRIDIS])
    wanted = [np.interp(values, [0, 0.5, 1], stops[:, c]) for c in range(3)]
    expected = [
        "#" + "".join(f"{0 if np.isnan(w[i]) else round(w[i]):02x}" for w in wanted) for i in range(len(GRID))
    ]
    expected[7] = GREYS[1]
    stage.show(colour={**number, "key": stage.column(values)})
    check(stage, colours=expected)
    for bits, kind, missing in ((8, np.uint8, 255), (16, np.uint16, 65535)):
        steps = np.where(np.isnan(values), missing, np.rint(np.nan_to_num(values) * (missing - 1))).astype(
            kind
        )
        stage.show(colour={**number, "key": stage.column(steps), "bits": bits})
        check(stage, colours=expected)
    stage.show(colour=None)
    check(stage, colours=[GREYS[0]] * len(GRID))


def test_many_categories_and_hidden_ones(stage):
    """Codes beyond 255 travel as uint16; a code above the palette is a missing value; hidden ones are not drawn."""
    palette = [PALETTE[k % 4] for k in range(700)]
    codes = np.arange(len(GRID)) * 19
    codes[5] = 900
    colour = {
        "kind": "category",
        "label": "many",
        "names": [f"n{k}" for k in range(700)],
        "palette": palette,
        "bits": 16,
    }
    stage.show(points=GRID, colour={**colour, "key": stage.column(codes.astype(np.uint16))})
    expected = [palette[c] if c < 700 else GREYS[1] for c in codes]
    check(stage, colours=expected)
    x, y = stage.place(*map(float, GRID[14]))
    stage.map(f"m.hide(new Set([{codes[14]}]))")
    stage.rest()
    assert (stage.shot()[y, x] > 250).all()


def test_a_selection_dims_the_others(stage):
    mask = CODES == 2
    stage.show(points=GRID, colour=stage.categories(CODES), mask=mask)
    colours = [PALETTE[2] if m else GREYS[2] for m in mask]
    check(stage, colours=colours)
    stage.show(mask=~mask)
    check(stage, colours=[GREYS[2] if m else PALETTE[c] for m, c in zip(mask, CODES, strict=True)])
    stage.show(mask=np.zeros(len(GRID), bool))
    check(stage)


def test_a_lost_context_comes_back_without_a_reload(stage):
    stage.show(points=GRID, colour=stage.categories(CODES), mask=CODES == 1, mode="points")
    colours = [PALETTE[c] if c == 1 else GREYS[2] for c in CODES]
    stage.map("(window.loss = m.renderer.gl.getExtension('WEBGL_lose_context'), loss.loseContext())")
    stage.page.wait_for_function("map().renderer.lost")
    stage.map("m.redraw()")  # must not throw meanwhile
    stage.page.wait_for_timeout(100)
    stage.page.evaluate("loss.restoreContext()")
    stage.page.wait_for_function("!map().renderer.lost")
    stage.page.wait_for_timeout(300)
    stage.rest()
    check(stage, colours=colours)
    stage.map("m.setMode('density')")
    stage.rest()
    assert stage.map("m.renderer.constructor.name") == "RendererGL"


def test_a_context_that_stays_lost_is_replaced_by_the_plain_canvas(stage):
    stage.show(points=GRID, colour=stage.categories(CODES))
    stage.map("m.renderer.gl.getExtension('WEBGL_lose_context').loseContext()")
    stage.page.wait_for_function("map().renderer.constructor.name === 'RendererCanvas'", timeout=20_000)
    stage.rest()
    check(stage)


def test_orbit_by_ninety_degrees(stage):
    """Seen from the side, x is the depth: what lay behind lies beside, and nearer points hide farther ones."""
    points = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 0, 1) for z in (-1, 1)], np.float32)
    codes = (points[:, 0] > 0) + 2 * (points[:, 2] > 0)
    front = {"view": {"camera": {"yaw": 0, "pitch": 0}}}
    stage.show(points=points, colour=stage.categories(codes), **front)
    nearest = points[:, 2] > 0
    check(stage, points[nearest], [PALETTE[c] for c in codes[nearest]])
    assert stage.place(1, 0, 1) == stage.place(1, 0, -1)
    stage.drag((250, 300), (250 + 157.08, 300), steps=9)  # 0.01 radian a pixel
    stage.rest()
    assert stage.map("m.view.yaw") == pytest.approx(np.pi / 2, abs=0.02)
    nearest = points[:, 0] < 0  # the left side has come to the front
    check(stage, points[nearest], [PALETTE[c] for c in codes[nearest]])
    left, right = stage.place(-1, 0, -1), stage.place(-1, 0, 1)
    assert abs(left[0] - right[0]) > 100
    camera = stage.page.wait_for_function(
        "sent.filter((s) => s.event === 'view').at(-1)?.value.camera"
    ).json_value()
    assert camera["yaw"] == pytest.approx(np.pi / 2, abs=0.02)


def test_half_way_between_two_steps(stage):
    first, second = GRID, GRID[:, ::-1] + 1
    keys = [stage.column(first), stage.column(second)]
    series = {"keys": keys, "names": ["epoch 1", "epoch 2"]}
    stage.show(points=first, colour=stage.categories(CODES), series=series, positions=keys[0])
    check(stage)
    slider = stage.page.locator(".map .scrubber input")
    slider.evaluate("(s) => { s.value = 0.5; s.dispatchEvent(new Event('input')); }")
    stage.rest()
    check(stage, (first + second) / 2, least=20)  # pairs that meet there have the same colour
    slider.evaluate(
        "(s) => { s.value = 0.8; s.dispatchEvent(new Event('input')); s.dispatchEvent(new Event('change')); }"
    )
    stage.page.wait_for_function("sent.some((s) => s.event === 'step' && s.value.step === 1)")
    stage.rest()
    check(stage, second)
    assert stage.page.locator(".map .scrubber .step").inner_text() == "epoch 2"


def count_on(stage, where: str) -> None:
    """Let the card or the processor count, whatever this machine would choose."""
    stage.map(
        f"(m.renderer.density.byHand = {str(where == 'processor').lower()}, m.densest = null, m.redraw())"
    )
    stage.rest()


BOTH_WAYS = pytest.mark.parametrize("where", ["card", "processor"])


@BOTH_WAYS
def test_density_counts_what_overlaps(stage, rng, where):
    """A heap of 40,000 points is shaded more strongly than a heap of 40, on the ramp's end; empty places stay empty."""
    heap = rng.standard_normal((40_000, 2)) * 0.02 + [0, 0]
    few = rng.standard_normal((40, 2)) * 0.02 + [1, 0]
    corners = [(-1, -1), (2, 1)]
    points = np.concatenate([heap, few, corners])
    stage.show(points=points, mode="density")
    count_on(stage, where)
    shot = stage.shot()
    x, y = stage.place(0, 0)
    top = shot[y - 4 : y + 5, x - 4 : x + 5].reshape(-1, 3)
    assert any(near(p, VIRIDIS[2], 30) for p in top)
    x, y = stage.place(1, 0)
    weak = shot[y - 4 : y + 5, x - 4 : x + 5].reshape(-1, 3)
    assert not any(near(p, VIRIDIS[2], 60) for p in weak)
    assert (weak.min(axis=1) < 200).any()
    assert (shot[slice(*sorted((y - 60, y - 50))), x] > 250).all()
    stage.page.wait_for_selector(".map .legend .ramp")
    (across, up), bins = stage_cells(stage, points), [np.arange(0, 601, 8), np.arange(0, 505, 8)]
    off = (-0.5, 0, 0.5) if where == "card" else (0,)  # a card snaps to sixteenths of a cell
    most = [np.histogram2d(across + x, up + y, bins=bins)[0].max() for x in off for y in off]
    said = float(stage.page.locator(".map .legend .ends span").nth(1).inner_text().replace(",", ""))
    assert 0.995 * min(most) <= said <= 1.005 * max(most)
    assert max(most) < 1.3 * min(most)


def stage_cells(stage, points) -> np.ndarray:
    """Pixels of the points inside the map, from the view's own numbers."""
    cx, cy, scale, w, h = stage.map("[m.view.cx, m.view.cy, m.view.scale, m.view.width, m.view.height]")
    cells = np.ceil(h / 8) * 8  # rows of cells are counted from the lower edge of the texture
    x = (points[:, 0] - cx) * scale + w / 2
    y = (points[:, 1] - cy) * scale + h / 2
    wide = np.ceil(w / 8) * 8
    return np.stack([x / w * wide, y / h * cells])


@BOTH_WAYS
def test_both_shows_lone_points_and_shades_heaps(stage, rng, where):
    heap = rng.standard_normal((40_000, 2)) * 0.02
    points = np.concatenate([heap, [(-1, -1), (2, 1), (1, 0)]])
    codes = np.full(len(points), 1)
    codes[-1] = 2
    stage.show(points=points, colour=stage.categories(codes), mode="both")
    count_on(stage, where)
    shot = stage.shot()
    x, y = stage.place(0, 0)
    assert near(shot[y, x], PALETTE[1], 60)
    x, y = stage.place(1, 0)
    assert any(near(p, PALETTE[2], 80) for p in shot[y - 1 : y + 2, x - 1 : x + 2].reshape(-1, 3))


@pytest.mark.parametrize("dims", [2, 3])
def test_card_and_processor_count_alike(stage, rng, dims):
    """The same picture, with missing values, hidden and selected points, and in three dimensions."""
    points = rng.standard_normal((30_000, dims)).astype(np.float32)
    points[5] = np.nan
    codes = rng.integers(0, 5, len(points))  # 4 has no colour: missing
    mask = rng.random(len(points)) < 0.2
    number = {"kind": "number", "label": "v", "low": -1, "high": 1, "stops": VIRIDIS}
    values = np.where(codes == 4, np.nan, points[:, 0]).astype(np.float32)
    colours = [stage.categories(codes), {**number, "key": stage.column(values)}, None]
    for mode in ("density", "both"):
        for colour in colours:
            for chosen in (None, mask) if mode == "both" else (mask,):
                stage.show(points=points, colour=colour, mask=np.zeros(1, bool) if chosen is None else chosen)
                stage.map(
                    f"(m.setMode('{mode}'), m.hidden = new Set(m.colour?.palette ? [1] : []), m.intake.recoloured())"
                )
                shots = []
                for where in ("card", "processor"):
                    count_on(stage, where)
                    shots.append(stage.shot()[60:440, 10:360])
                assert (shots[0] < 240).any()
                # a card snaps points to sixteenths of a cell: some on the border fall into the next cell
                differ = np.abs(shots[0] - shots[1]).mean()
                assert differ < 3, (mode, colour and colour["kind"], chosen is not None, differ)


def points_of(stage) -> np.ndarray:
    """The picture left of the legend, which is drawn a moment after the points."""
    return stage.shot()[:, :420]


def test_other_colours_draw_the_same_points_without_choosing_them_again(stage, rng):
    points = rng.standard_normal((30_000, 2)).astype(np.float32)
    stage.show(points=points, colour=stage.categories(rng.integers(0, 5, len(points))))
    stage.map("m.setMode('both')")
    count_on(stage, "processor")
    stage.map("void (window.chosen = m.renderer.asked)")
    stage.show(colour=stage.categories(rng.integers(0, 5, len(points))))
    stage.rest()
    assert stage.map("m.renderer.asked === window.chosen")
    recoloured = points_of(stage)
    stage.map("(m.renderer.asked = null, m.redraw())")
    stage.rest()
    np.testing.assert_array_equal(recoloured, points_of(stage))
    stage.map("(m.hidden = new Set([1]), m.intake.recoloured(), m.redraw())")
    stage.rest()
    assert not stage.map("m.renderer.asked === window.chosen")
    hidden = points_of(stage)
    stage.map("(m.renderer.asked = null, m.redraw())")
    stage.rest()
    np.testing.assert_array_equal(hidden, points_of(stage))
    assert (hidden != recoloured).any()


def test_points_without_a_place_are_not_drawn(stage):
    points = GRID.copy()
    points[[3, 20]] = np.nan
    points[21, 0] = np.inf
    stage.show(points=points, colour=stage.categories(CODES))
    real = np.isfinite(points).all(axis=1)
    check(stage, points[real], [PALETTE[c] for c in CODES[real]])
    x, y = stage.place(3, 0)
    assert (stage.shot()[y, x] > 250).all()


def test_positions_as_steps_of_a_grid(stage):
    from dashboard.browse import picture

    saved, picture.GRID_ABOVE = picture.GRID_ABOVE, 3
    try:
        points = GRID.copy()
        points[9] = np.nan
        column, grid = picture.placed(points)
    finally:
        picture.GRID_ABOVE = saved
    assert len(column.data) == 4 * len(GRID)
    steps = np.frombuffer(column.data, np.uint16).reshape(-1, 2)
    key = stage.column(steps)
    stage.show(n=len(GRID), dims=2, grid=list(grid), positions=key, colour=stage.categories(CODES))
    real = np.isfinite(points).all(axis=1)
    check(stage, points[real], [PALETTE[c] for c in CODES[real]])


@pytest.mark.parametrize("mode", ["points", "both"])
def test_without_webgl(open_stage, mode):
    with open_stage(NO_WEBGL) as stage:
        stage.show(points=GRID, colour=stage.categories(CODES), mode=mode)
        assert stage.map("m.renderer.constructor.name") == "RendererCanvas"
        check(stage)
        assert white_between(stage)
        mask = CODES == 2
        stage.show(mask=mask)
        check(stage, colours=[PALETTE[2] if m else GREYS[2] for m in mask])


def test_density_without_webgl(open_stage, rng):
    with open_stage(NO_WEBGL) as stage:
        points = np.concatenate([rng.standard_normal((30_000, 2)) * 0.02, [(-1, -1), (2, 1)]])
        stage.show(points=points, mode="density")
        x, y = stage.place(0, 0)
        around = stage.shot()[y - 6 : y + 7, x - 6 : x + 7].reshape(-1, 3)
        assert any(near(p, VIRIDIS[2], 40) for p in around)


def test_edges_and_ellipses(stage):
    pairs = np.array([(0, 1), (0, 6), (24, 29), (2, 99), (-1, 3)], np.int32)  # two of them name no point
    edges = {"key": stage.column(pairs), "label": "tree"}
    stage.show(points=GRID, colour=stage.categories(CODES), edges=edges)
    dark = lambda x, y: (stage.shot()[y - 1 : y + 2, x - 1 : x + 2].min(axis=2) < 200).any()  # noqa: E731
    assert dark(*stage.place(0.5, 0))
    assert dark(*stage.place(2.5, 4))
    assert not dark(*stage.place(2.5, 2))
    values = {
        "values": stage.column(np.array([0, 1, 0.5, 1, 1], np.float32)),
        "low": 0,
        "high": 1,
        "stops": ["#ff0000", "#0000ff"],
    }
    stage.show(edges={**edges, **values})
    x, y = stage.place(0.5, 0)
    assert any(near(p, "#ff0000", 80) for p in stage.shot()[y - 1 : y + 2, x])
    stage.page.get_by_role("button", name="Edges").click()
    stage.rest()
    assert not dark(*stage.place(0.5, 0))
    ellipse = np.array([[14, 0.45, 0.2, np.pi / 2]], np.float32)  # around (2, 2): 0.45 up, 0.2 across
    stage.show(edges=None, ellipses={"key": stage.column(ellipse), "label": "stretch"})
    assert dark(*stage.place(2, 2.45))
    assert dark(*stage.place(2.2, 2))
    assert not dark(*stage.place(2.45, 2))
