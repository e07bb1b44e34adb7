/* Mouse, pen, touch and wheel. One finger or the left button acts with the chosen tool; two fingers pinch. */
const HOVER_MS = 80, REACH = 14, TURN = 0.01; // radians per pixel

class Pointer {
  constructor(map, on) {
    Object.assign(this, { map, fingers: new Map(), outline: null, strayed: 0, at: null });
    const { canvas } = map;
    on(canvas, "pointerdown", (e) => this.press(e));
    on(canvas, "pointermove", (e) => this.drag(e));
    for (const kind of ["pointerup", "pointercancel"]) on(canvas, kind, (e) => this.lift(e));
    on(canvas, "pointerleave", () => !this.fingers.size && this.hover(null));
    on(canvas, "contextmenu", (e) => map.points.dims === 3 && !map.data.compact && e.preventDefault());
    on(canvas, "wheel", (e) => {
      if (map.data.compact) return;
      e.preventDefault();
      map.zoomBy(Math.exp(-e.deltaY * (e.deltaMode ? 0.05 : 0.0015)), e.offsetX, e.offsetY);
    }, { passive: false });
  }
  /* Whether points are being dragged about. */
  get holds() {
    return this.fingers.size > 0 && !this.outline;
  }
  press(e) {
    const { map } = this, solid = map.points.dims === 3;
    if (map.data.compact || (e.button > 0 && !(solid && e.button === 2))) return;
    map.canvas.setPointerCapture(e.pointerId);
    this.fingers.set(e.pointerId, [e.offsetX, e.offsetY]);
    [this.began, this.strayed] = [[e.offsetX, e.offsetY], 0];
    const asked = map.tool !== "pan" || (!solid && (e.shiftKey || e.altKey || e.ctrlKey || e.metaKey));
    const drawing = this.fingers.size === 1 && e.button === 0 && asked;
    this.outline = drawing ? [[e.offsetX, e.offsetY]] : null;
    this.boxed = drawing && map.tool === "box";
    this.turns = solid && !e.shiftKey && e.button === 0;
    if (drawing) map.card.hidden = true;
  }
  drag(e) {
    const { map } = this, before = this.fingers.get(e.pointerId), [x, y] = [e.offsetX, e.offsetY];
    if (!before) return this.hover([x, y]);
    this.strayed = Math.max(this.strayed, Math.hypot(x - this.began[0], y - this.began[1]));
    if (this.outline) return this.extend(x, y);
    if (this.fingers.size === 2) {
      const other = [...this.fingers].find(([id]) => id !== e.pointerId)[1];
      const apart = (p) => Math.hypot(p[0] - other[0], p[1] - other[1]) || 1;
      map.view.pan((x - before[0]) / 2, (y - before[1]) / 2); // the middle of the two moves half as far
      map.view.zoomAt((x + other[0]) / 2, (y + other[1]) / 2, apart([x, y]) / apart(before));
    } else if (this.turns) map.view.orbit(map.view.yaw + TURN * (x - before[0]), map.view.pitch + TURN * (y - before[1]));
    else map.view.pan(x - before[0], y - before[1]);
    this.fingers.set(e.pointerId, [x, y]);
    map.card.hidden = true;
    return map.moved();
  }
  extend(x, y) {
    const [x0, y0] = this.began, last = this.outline.at(-1);
    if (this.boxed) this.outline = [[x0, y0], [x, y0], [x, y], [x0, y]];
    else if (Math.hypot(x - last[0], y - last[1]) > 3) this.outline.push([x, y]);
    this.map.overlay.draw();
  }
  lift(e) {
    if (!this.fingers.delete(e.pointerId)) return;
    const still = this.strayed < 4, done = e.type === "pointerup"; // not where it ended: a lasso ends where it began
    const outline = this.outline;
    this.outline = null;
    if (outline && !still && done) this.finish(outline, howOf(e));
    else if (still && done && e.button === 0) this.click(e.offsetX, e.offsetY, howOf(e));
    this.map.overlay.draw();
  }
  finish(outline, how) {
    const { map } = this;
    if (outline.length < 3) return;
    const polygon = outline.map(([x, y]) => map.view.toData(x, y));
    map.selection.choose(insidePolygon(map.points.flat(map.view), polygon, map.allowed), how ?? undefined);
  }
  click(x, y, how) {
    this.choose(this.map.finder.find(x, y, REACH), how);
  }
  choose(row, how) {
    const { map } = this;
    if (row >= 0 && how) map.selection.toggle(row, how);
    else if (row >= 0) map.send("click", { row });
    else if (!how && map.tool !== "pan") map.selection.clear();
  }
  /* The pointer is at a place, or (null) away. Without an index yet, the answer comes when there is one. */
  hover(at) {
    const { map } = this;
    this.at = at;
    if (!map.points.n || map.drawing.moving) return;
    if (!at) map.point(-1);
    else if (map.finder.prepare(() => map.hoverAgain())) map.point(map.finder.find(...at, REACH));
  }
  cancel() {
    const drawing = Boolean(this.outline);
    this.outline = null;
    this.map.overlay.draw();
    return drawing;
  }
}
const howOf = (e) => (e.altKey ? "remove" : e.shiftKey || e.ctrlKey || e.metaKey ? "add" : null);

/* Keys, while the map has the focus; each is listed under "?" in the toolbar. */
const keysOf = (map) => {
  const step = 60, turn = Math.PI / 24, { view } = map;
  const go = (dx, dy) => (e) => {
    if (view.dims === 3 && !e.shiftKey) view.orbit(view.yaw - turn * dx, view.pitch - turn * dy);
    else view.pan(step * dx, step * dy);
    map.moved();
  };
  const nearest = () => map.finder.find(view.width / 2, view.height / 2, Math.min(view.width, view.height) / 2); // to the middle
  return {
    ArrowLeft: go(1, 0), ArrowRight: go(-1, 0), ArrowUp: go(0, 1), ArrowDown: go(0, -1),
    "+": () => map.zoomBy(1.3), "=": () => map.zoomBy(1.3), "-": () => map.zoomBy(1 / 1.3), 0: () => map.home(),
    l: () => map.use("lasso"), b: () => map.use("box"), p: () => map.use("pan"),
    a: () => map.selection.combine("add"), s: () => map.selection.combine("remove"), i: () => map.selection.invert(),
    d: () => map.setMode(MODES[(MODES.findIndex(([name]) => name === map.mode) + 1) % MODES.length][0]),
    "[": () => map.scrubber.by(-1), "]": () => map.scrubber.by(1),
    "?": () => map.toolbar.showKeys(map.toolbar.keys.hidden),
    Escape: () => map.pointer.cancel() || map.selection.clear(),
    " ": () => map.point(nearest()), // its card
    Enter: (e) => map.pointer.choose(nearest(), e.shiftKey ? "add" : null),
  };
};
const listenToKeys = (map, on) => {
  const does = keysOf(map);
  on(map.canvas, "keydown", (e) => {
    const work = does[e.key.length === 1 ? e.key.toLowerCase() : e.key];
    if (!work || map.data.compact || e.ctrlKey || e.metaKey || e.altKey) return;
    e.preventDefault();
    e.stopPropagation();
    work(e);
  });
};
