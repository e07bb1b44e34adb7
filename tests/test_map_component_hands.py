"""What a person does on the map: pointing, drawing outlines, keys, touch, legend, linked maps; and leaving it."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from map_component_page import CHROMIUM, PALETTE, near, opened

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Debian's chromium at /usr/bin/chromium"),
]
SIDE = 6
GRID = np.array([(x, y) for y in range(SIDE) for x in range(SIDE)], np.float32)
CODES = (GRID.sum(axis=1) % 4).astype(int)
PACK = {"titles": [f"sample {i}" for i in range(36)]}


@pytest.fixture(scope="module")
def open_stage():
    with opened() as stage:
        yield stage


@pytest.fixture
def stage(open_stage):
    with open_stage() as stage:
        yield stage


def pack(stage, header: dict) -> str:
    """A CardPack column: cards are shown without asking Python."""
    import json

    text = json.dumps(header).encode()
    return stage.column(np.frombuffer(len(text).to_bytes(4, "little") + text, np.uint8))


def chosen(stage, n: int = 36) -> np.ndarray:
    """The selection that Python was told last."""
    told = stage.sent("select")[-1]
    assert told["n"] == n
    if not told["mask"]:
        return np.zeros(n, bool)
    bits = np.unpackbits(np.frombuffer(base64.b64decode(told["mask"]), np.uint8))[:n].astype(bool)
    assert bits.sum() == told["count"]
    return bits


def around(stage, x0, y0, x1, y1) -> list:
    """Corners on the page of a rectangle of the data."""
    return [stage.place(*p) for p in ((x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0))]


def inside(x0, y0, x1, y1) -> np.ndarray:
    x, y = GRID.T
    return (x >= x0) & (x <= x1) & (y >= y0) & (y <= y1)


LEFT, MIDDLE = (0.5, 0.5, 1.5, 4.4), (0.5, 2.5, 3.5, 3.4)


def test_lasso_box_and_their_modifiers(stage):
    stage.show(points=GRID, colour=stage.categories(CODES))
    keys = stage.page.keyboard
    stage.page.get_by_role("button", name="Lasso").click()
    stage.drag(*around(stage, *LEFT))
    assert (chosen(stage) == inside(*LEFT)).all()
    keys.down("Shift")
    stage.drag(*around(stage, *MIDDLE))
    keys.up("Shift")
    assert (chosen(stage) == inside(*LEFT) | inside(*MIDDLE)).all()
    keys.down("Alt")
    stage.drag(*around(stage, *LEFT))
    keys.up("Alt")
    assert (chosen(stage) == inside(*MIDDLE) & ~inside(*LEFT)).all()
    stage.page.get_by_role("button", name="Box").click()
    corners = around(stage, *LEFT)
    stage.drag(corners[0], corners[2])
    assert (chosen(stage) == inside(*LEFT)).all()
    assert len(stage.sent("select")) == 4  # once per gesture
    stage.page.get_by_role("button", name="Clear selection").click()
    assert not chosen(stage).any()


def test_every_tool_by_keyboard(stage):
    stage.show(points=GRID, colour=stage.categories(CODES))
    canvas, keys = stage.page.locator(".map canvas[role=application]"), stage.page.keyboard
    assert "Press ? for all keys" in canvas.get_attribute("aria-label")
    canvas.focus()
    keys.press("b")
    corners = around(stage, *LEFT)
    stage.drag(corners[0], corners[2])
    keys.press("a")
    corners = around(stage, *MIDDLE)
    stage.drag(corners[0], corners[2])
    assert (chosen(stage) == inside(*LEFT) | inside(*MIDDLE)).all()
    keys.press("s")
    stage.drag(corners[0], corners[2])
    assert (chosen(stage) == inside(*LEFT) & ~inside(*MIDDLE)).all()
    keys.press("i")
    assert (chosen(stage) == ~(inside(*LEFT) & ~inside(*MIDDLE))).all()
    keys.press("Escape")
    assert not chosen(stage).any()
    before = stage.place(2, 2)
    keys.press("ArrowLeft")
    keys.press("ArrowUp")
    assert stage.place(2, 2) == (before[0] + 60, before[1] + 60)
    keys.press("+")
    assert stage.map("m.view.zoom") == pytest.approx(0.94 * 1.3)
    keys.press("d")
    assert stage.map("m.mode") == "density"
    keys.press("0")
    keys.press("?")
    assert stage.page.locator(".map .keys").is_visible()
    keys.press("p")
    stage.map("m.view.pan(0, 20)")
    x, y = stage.map("m.view.toData(m.view.width / 2, m.view.height / 2)")
    keys.press("Enter")
    nearest = int(np.argmin(((GRID - (x, y)) ** 2).sum(axis=1)))
    assert ((GRID[nearest] - (x, y)) ** 2).sum() ** 0.5 * stage.map(
        "m.view.scale"
    ) > 14  # out of a click's reach
    assert [c["row"] for c in stage.sent("click")] == [nearest]
    keys.press("Shift+Enter")
    assert np.flatnonzero(chosen(stage)).tolist() == [nearest]


def test_pointing_and_clicking(stage):
    stage.show(points=GRID, colour=stage.categories(CODES), cards=pack(stage, PACK))
    stage.page.mouse.move(*stage.place(*GRID[14].tolist()))
    card = stage.page.locator(".map .card")
    card.get_by_text("sample 14").wait_for()
    assert "class: class 0" in card.inner_text()
    stage.page.mouse.down()
    stage.page.mouse.up()
    assert stage.sent("click") == [{"row": 14}]
    stage.page.keyboard.down("Shift")
    stage.page.mouse.down()
    stage.page.mouse.up()
    stage.page.keyboard.up("Shift")
    assert np.flatnonzero(chosen(stage)).tolist() == [14]
    x, y = stage.place(1.5, 1.5)
    stage.page.mouse.move(x, y)
    card.wait_for(state="hidden")
    stage.show(cards=None)
    stage.map("(m.pack = null)")
    stage.page.mouse.move(*stage.place(*GRID[8].tolist()))
    stage.page.wait_for_function("sent.some((s) => s.event === 'hover' && s.value.row === 8)")


def test_a_quantity_in_steps_is_not_stated_more_exactly_than_it_is_known(stage):
    steps = np.full(36, 100, np.uint8)
    steps[[1, 2, 3]] = 0, 254, 255
    colour = {"kind": "number", "label": "loss", "low": 0, "high": 254, "stops": PALETTE, "bits": 8}
    colour["key"] = stage.column(steps)
    stage.show(points=GRID, colour=colour, cards=pack(stage, PACK))
    said = []
    for i in (0, 1, 2, 3):
        stage.map(f"m.point({i})")
        said.append(stage.page.locator(".map .card .line").last.text_content())
    assert said == ["loss: about 100", "loss: about 0 or less", "loss: about 254 or more", "loss: none"]


def test_hidden_classes_are_neither_pointed_at_nor_selected(stage):
    stage.show(points=GRID, colour=stage.categories(CODES), cards=pack(stage, PACK))
    stage.page.locator(".map .legend .entry").nth(1).click()
    stage.page.mouse.move(*stage.place(*GRID[14].tolist()))
    stage.page.wait_for_timeout(100)
    assert stage.page.locator(".map .card").is_hidden()
    stage.page.locator(".map canvas[role=application]").focus()
    stage.page.keyboard.press("i")
    assert (chosen(stage) == (CODES == 1)).all()
    stage.page.keyboard.press("l")
    stage.drag(*around(stage, *LEFT))
    assert (chosen(stage) == inside(*LEFT) & (CODES == 1)).all()
    stage.page.wait_for_function("sent.some((s) => s.event === 'view' && s.value.hidden.join() === '0,2,3')")


def test_a_long_legend_is_searched(stage):
    names = [f"topic {k}" for k in range(2000)]
    palette, codes = [PALETTE[k % 4] for k in range(2000)], np.arange(36, dtype=np.uint16)
    colour = {"kind": "category", "label": "topic", "names": names, "palette": palette, "bits": 16}
    stage.show(points=GRID, colour={**colour, "key": stage.column(codes)})
    entries = stage.page.locator(".map .legend .entries .entry")
    assert entries.count() == 300
    search = stage.page.get_by_label("Search the legend")
    search.click()
    stage.page.keyboard.type("topic 17")
    assert entries.count() == 111
    stage.map("m.legend.draw()")
    stage.page.keyboard.type("77")
    assert entries.all_inner_texts() == ["topic 1777"]


def test_markup_is_text_everywhere(stage):
    evil = "<img src=x onerror='window.broken=1'><b>bold</b>"
    names = {"names": [evil, "b", "c", "d"], "label": evil, "note": evil}
    series = {"keys": [stage.column(GRID), stage.column(GRID + 1)], "names": [evil, evil], "note": evil}
    stage.show(
        points=GRID, colour={**stage.categories(CODES), **names}, labels=[{"text": evil, "x": 2, "y": 2}],
        cards=pack(stage, {"titles": [evil] * 36}), series=series, label=evil, of=evil,
        edges={"key": stage.column(np.array([(0, 1)], np.int32)), "label": evil, "button": evil, "note": evil},
    )  # fmt: skip
    stage.map("m.point(3)")
    stage.page.wait_for_timeout(200)
    assert stage.page.evaluate("window.broken") is None
    assert stage.map("m.frame.querySelectorAll('b, img').length") == 0
    assert stage.page.locator(".map .labels span").inner_text() == evil


def test_labels_do_not_cover_each_other_and_more_come_with_zoom(stage):
    coarse = [{"text": f"group {k}", "x": 2.5 + 0.02 * k, "y": 2.5, "size": k, "level": 0} for k in range(4)]
    fine = [{"text": f"part {k}", "x": k, "y": 2.25, "size": 1, "level": 2} for k in range(6)]
    stage.show(points=GRID, labels=coarse + fine)
    shown = (
        "[...m.labels.box.children].filter((s) => s.style.visibility === 'visible').map((s) => s.textContent)"
    )
    assert stage.map(shown) == ["group 3"]  # the largest
    stage.map("m.zoomBy(4.2)")
    stage.rest()
    assert {t[:5] for t in stage.map(shown)} == {"group", "part "}
    boxes = stage.map(shown.replace("s.textContent", "Object.values(s.getBoundingClientRect().toJSON())"))
    boxes = [(x, y, x + w, y + h) for x, y, w, h, *_ in boxes]
    for k, a in enumerate(boxes):
        assert all(a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1] for b in boxes[k + 1 :])
    stage.map("m.zoomBy(1 / 20)")
    stage.rest()
    assert stage.map(shown) == ["group 3"]  # the coarse names stay, however small the map


def test_pinching_zooms(open_stage):
    with open_stage(has_touch=True) as stage:
        stage.show(points=GRID)
        before = stage.map("m.view.zoom")
        client = stage.page.context.new_cdp_session(stage.page)

        def touch(kind, *at):
            points = [{"x": x, "y": 250, "id": k} for k, x in enumerate(at)]
            client.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

        touch("touchStart", 280, 320)
        for d in (30, 50, 80):
            touch("touchMove", 300 - d, 300 + d)
        touch("touchEnd")
        stage.rest()
        assert stage.map("m.view.zoom") == pytest.approx(4 * before, rel=0.05)
        assert stage.place(2.5, 2.5)[0] == pytest.approx(300, abs=3)


def test_lasso_and_hover_in_three_dimensions(stage):
    """What is inside the outline as seen from here, whatever its depth."""
    rng = np.random.default_rng(3)
    points = rng.standard_normal((400, 3)).astype(np.float32)
    stage.show(points=points, view={"camera": {"yaw": 0.7, "pitch": -0.4}})
    from dashboard.browse.picture import projected

    flat = projected(points, {"yaw": 0.7, "pitch": -0.4})
    stage.page.get_by_role("button", name="Box").click()
    left, top = stage.map("[m.canvas.getBoundingClientRect().left, m.canvas.getBoundingClientRect().top]")
    stage.drag((left + 200, top + 150), (left + 340, top + 300))
    view = stage.map("[m.view.cx, m.view.cy, m.view.scale, m.view.width, m.view.height]")
    x = (flat[:, 0] - view[0]) * view[2] + view[3] / 2
    y = view[4] / 2 - (flat[:, 1] - view[1]) * view[2]
    expected = (x > 200) & (x < 340) & (y > 150) & (y < 300)
    assert expected.sum() > 20
    assert (chosen(stage, 400) != expected).sum() <= 2  # whole pixels
    i = int(np.argmax(x))
    stage.page.mouse.move(left + x[i], top + y[i])
    stage.page.wait_for_function("(i) => map().hovered === i", arg=i)


def test_two_linked_maps(stage):
    """The ring, the selection and the view of one are seen on the other; maps of other rows keep their own."""
    linked = {"link": "pair", "rows": "same", "linkView": True}
    stage.show("a", points=GRID, colour=stage.categories(CODES), **linked)
    stage.show("b", points=GRID[:, ::-1] * 10, colour=stage.categories(CODES), **linked)
    stage.show("c", points=GRID, colour=stage.categories(CODES), link="pair", rows="other")
    stage.page.mouse.move(*stage.place(2, 3))
    stage.page.wait_for_function("map('b').echo === 20")
    assert stage.map("m.echo", "c") == -1
    stage.page.locator(".map").first.get_by_role("button", name="Lasso").click()
    stage.drag(*around(stage, *LEFT))
    assert stage.map("m.count", "b") == inside(*LEFT).sum()
    assert stage.map("m.count", "c") == 0
    assert len(stage.sent("select")) == 1  # Python hears of it once
    stage.map("m.zoomBy(2)")
    assert stage.map("m.view.zoom", "b") == pytest.approx(stage.map("m.view.zoom"))
    assert stage.map("m.view.zoom", "c") == pytest.approx(0.94)
    stage.rest("b")


def test_python_sets_the_selection_and_an_old_answer_does_not_undo_a_new_gesture(stage):
    stage.show(points=GRID, colour=stage.categories(CODES), mask=CODES == 1, stamp=0)
    assert stage.map("m.count") == (CODES == 1).sum()
    stage.page.get_by_role("button", name="Lasso").click()
    stage.drag(*around(stage, *LEFT))
    stage.show(mask=CODES == 2)  # made before Python heard of the lasso
    assert stage.map("m.count") == inside(*LEFT).sum()
    stamp = stage.sent("select")[-1]["stamp"]
    stage.show(mask=CODES == 2, stamp=stamp)
    assert stage.map("m.count") == (CODES == 2).sum()
    stage.show(mask=np.zeros(36, bool))
    assert stage.map("m.count") == 0


def test_series_by_keys_and_python(stage):
    keys = [stage.column(GRID + k) for k in range(4)]
    series = {"keys": keys, "names": list("abcd"), "note": "residual 0.1", "step": 1}
    stage.show(n=36, dims=2, positions=keys[1], series=series)
    assert stage.map("m.points.t") == 1
    stage.page.locator(".map canvas[role=application]").focus()
    stage.page.keyboard.press("]")
    stage.page.wait_for_function("sent.some((s) => s.event === 'step' && s.value.step === 2)")
    assert stage.page.locator(".map .scrubber .step").inner_text() == "c · residual 0.1"
    stage.show(series={**series, "step": 0})
    stage.page.wait_for_function("map().points.t === 0")
    stage.page.get_by_role("button", name="Play").click()
    stage.page.wait_for_function("sent.some((s) => s.event === 'step' && s.value.step === 3)")
    assert len(stage.sent("step")) == 2  # what Python asked for is not told to it


def test_less_motion_for_who_asks(open_stage):
    with open_stage(reduced_motion="reduce") as stage:
        keys = [stage.column(GRID), stage.column(GRID + 1)]
        stage.show(n=36, dims=2, positions=keys[0], series={"keys": keys, "names": ["a", "b"]})
        stage.map(
            "(window.seen = [], m.points.watched = setInterval(() => seen.push(m.points.t), 4), m.scrubber.play())"
        )
        stage.page.wait_for_function("sent.some((s) => s.event === 'step')")
        stage.map("clearInterval(m.points.watched)")
        assert set(stage.page.evaluate("seen")) <= {0, 1}


def test_the_view_is_told_whole_and_taken_up_again(stage):
    stage.show(points=GRID, colour=stage.categories(CODES))
    stage.map("(m.zoomBy(3), m.setMode('both'), m.hide(new Set([1])))")
    stage.page.wait_for_function("sent.some((s) => s.event === 'view')")
    told = stage.sent("view")[-1]
    assert told["mode"] == "both"
    assert told["hidden"] == [1]
    box = stage.map("m.view.box")
    stage.show("b", points=GRID, colour=stage.categories(CODES), view=told)
    assert stage.map("m.view.box", "b") == pytest.approx(box, rel=1e-3)
    assert stage.map("[m.mode, [...m.hidden]]", "b") == ["both", [1]]


def test_the_picture_is_saved_as_seen(stage):
    from PIL import Image

    stage.show(points=GRID, colour=stage.categories(CODES))
    with stage.page.expect_download() as waiting:
        stage.page.get_by_role("button", name="PNG").click()
    saved = np.asarray(Image.open(io.BytesIO(waiting.value.path().read_bytes())).convert("RGB")).astype(int)
    assert saved.shape[:2] == tuple(reversed(stage.map("[m.canvas.width, m.canvas.height]")))
    for p, c in zip(GRID[8:22], CODES[8:22], strict=True):
        x, y = stage.map(f"m.view.toScreen({p[0]}, {p[1]})")
        if x < 420:
            assert near(saved[round(y), round(x)], PALETTE[c])


COUNTING = """
window.left = { listeners: 0, buffers: 0, textures: 0, frames: 0, contexts: 0, observers: 0 };
const add = EventTarget.prototype.addEventListener;
EventTarget.prototype.addEventListener = function (kind, work, options) {
  if (options?.signal) { left.listeners++; add.call(options.signal, "abort", () => left.listeners--, { once: true }); }
  else if (new Error().stack.includes("map.js")) left.listeners++; // the browser's driver has some of its own
  return add.call(this, kind, work, options);
};
const gl = WebGL2RenderingContext.prototype;
for (const [what, name] of [["buffers", "Buffer"], ["textures", "Texture"]]) {
  const create = gl[`create${name}`], drop = gl[`delete${name}`];
  gl[`create${name}`] = function () { left[what]++; return create.call(this); };
  gl[`delete${name}`] = function (x) { left[what]--; return drop.call(this, x); };
}
const get = HTMLCanvasElement.prototype.getContext;
HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {
  const made = get.call(this, kind, ...rest);
  if (kind === "webgl2" && made && !made.counted) { made.counted = true; (window.all ??= []).push(made); }
  return made;
};
const ask = window.requestAnimationFrame, cancel = window.cancelAnimationFrame, asked = new Set();
window.requestAnimationFrame = (work) => {
  const id = ask((t) => { asked.delete(id); left.frames = asked.size; work(t); });
  asked.add(id); left.frames = asked.size; return id; };
window.cancelAnimationFrame = (id) => { asked.delete(id); left.frames = asked.size; cancel(id); };
const watch = ResizeObserver.prototype.observe, leave = ResizeObserver.prototype.disconnect;
ResizeObserver.prototype.observe = function (...a) { left.observers++; return watch.apply(this, a); };
ResizeObserver.prototype.disconnect = function () { left.observers--; return leave.call(this); };
"""


def test_a_hundred_mounts_leave_nothing(open_stage):
    with open_stage(COUNTING) as stage:
        key = stage.column(GRID)
        data = {
            "n": 36,
            "dims": 2,
            "positions": key,
            "label": "t",
            "height": 200,
            "series": {"keys": [key, key]},
        }
        mounts = """([data, k]) => { show('m', { ...data, mode: ['points', 'both'][k % 2] });
          const m = map('m'); m.zoomBy(1.1); m.scrubber.play(); }"""
        for k in range(100):
            stage.page.evaluate(mounts, [data, k])
            if k % 10 == 0:
                stage.page.wait_for_timeout(30)  # some get as far as their picture, some do not
            stage.page.evaluate("drop('m')")
        stage.page.wait_for_timeout(300)
        left = stage.page.evaluate("left")
        assert left == {
            "listeners": 0,
            "buffers": 0,
            "textures": 0,
            "frames": 0,
            "contexts": 0,
            "observers": 0,
        }
        assert stage.page.evaluate("all.length === 100 && all.every((c) => c.isContextLost())")
        assert stage.page.evaluate("[__loupeBuffers.waiting.size, __loupeMaps.size]") == [0, 0]


def test_a_million_labels_leave_the_map_at_work(stage):
    """No two share a place and most are markup; a few are shown, as text, and the map goes on."""
    stage.page.evaluate(
        "void (window.many = Array.from({ length: 1e6 }, (_, k) => ({ text: `<i>${k}</i>`, x: (k % 1000) / 200, "
        "y: Math.floor(k / 1000) / 200, size: k, level: k % 3 })))"
    )
    stage.show(points=GRID, colour=stage.categories(CODES))
    stage.map("m.update({ ...m.data, labels: many }, m.send)")
    stage.rest()
    shown = stage.page.locator(".map .labels span:visible")
    assert 5 < shown.count() <= 60
    assert stage.page.locator(".map .labels i").count() == 0
    assert shown.first.inner_text().startswith("<i>")
    stage.map("m.zoomBy(1.5)")
    stage.rest()
