/* Mouse, pen, touch, wheel and keys. One finger or the left button moves, with Shift (or the Box tool) it draws a box to
 * zoom into; two fingers pinch; a click opens the pair of a cell, a double click shows everything again. */
const STILL = 4, CLICK_MS = 260; // pixels; time in which a click may become a double click

class Hands {
  constructor(heat, on) {
    Object.assign(this, { heat, fingers: new Map(), outline: null, began: null, strayed: 0, clicks: null });
    const { canvas } = heat;
    on(canvas, "pointerdown", (e) => this.press(e));
    on(canvas, "pointermove", (e) => this.drag(e));
    for (const kind of ["pointerup", "pointercancel"]) on(canvas, kind, (e) => this.lift(e));
    on(canvas, "pointerleave", () => !this.fingers.size && heat.point(null));
    on(canvas, "dblclick", () => (clearTimeout(this.clicks), heat.home()));
    on(canvas, "wheel", (e) => this.wheel(e), { passive: false });
    on(canvas, "keydown", (e) => this.key(e));
    on(canvas, "blur", () => heat.point(null));
  }
  /* Where everything is seen already, the wheel goes on scrolling the page. */
  wheel(e) {
    const { heat } = this, [row, column] = heat.frame.place(e.offsetX, e.offsetY);
    if (!heat.frame.inside(e.offsetX, e.offsetY) || (heat.view.atHome && e.deltaY > 0)) return;
    e.preventDefault();
    heat.zoomAt(row, column, Math.exp(-e.deltaY * (e.deltaMode ? 0.05 : 0.0015)));
    this.hover(e.offsetX, e.offsetY);
  }
  press(e) {
    const { heat } = this;
    if (e.button > 0 || !heat.frame.inside(e.offsetX, e.offsetY)) return;
    heat.canvas.setPointerCapture(e.pointerId);
    this.fingers.set(e.pointerId, [e.offsetX, e.offsetY]);
    this.began = [e.offsetX, e.offsetY];
    this.strayed = this.fingers.size > 1 ? Infinity : 0;
    this.boxes = this.fingers.size === 1 && (e.shiftKey || heat.boxing);
  }
  drag(e) {
    const { heat } = this, before = this.fingers.get(e.pointerId), [x, y] = [e.offsetX, e.offsetY];
    if (!before) return this.hover(x, y);
    this.strayed = Math.max(this.strayed, Math.hypot(x - this.began[0], y - this.began[1]));
    if (this.strayed < STILL) return undefined;
    heat.point(null);
    if (this.boxes) {
      this.outline = [...this.began, x, y];
      return heat.paint.soon();
    }
    if (this.fingers.size === 2) this.pinch(e.pointerId, before, [x, y]);
    else heat.move((before[1] - y) / heat.frame.down, (before[0] - x) / heat.frame.across);
    return this.fingers.set(e.pointerId, [x, y]);
  }
  pinch(id, before, now) {
    const { heat } = this, other = [...this.fingers].find(([finger]) => finger !== id)[1];
    const apart = (p) => Math.hypot(p[0] - other[0], p[1] - other[1]) || 1;
    const [row, column] = heat.frame.place((now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
    heat.zoomAt(row, column, apart(now) / apart(before));
  }
  lift(e) {
    if (!this.fingers.delete(e.pointerId)) return;
    const { heat, outline } = this, still = this.strayed < STILL, done = e.type === "pointerup";
    this.outline = null;
    if (outline && done) this.zoomInto(outline);
    else if (still && done) this.click(e.offsetX, e.offsetY);
    heat.paint.soon();
  }
  zoomInto([x0, y0, x1, y1]) {
    const { heat } = this, [a, b] = [heat.frame.place(x0, y0), heat.frame.place(x1, y1)];
    if (Math.abs(x1 - x0) < STILL || Math.abs(y1 - y0) < STILL) return;
    heat.show([Math.min(a[0], b[0]), Math.max(a[0], b[0]), Math.min(a[1], b[1]), Math.max(a[1], b[1])]);
  }
  click(x, y) {
    const { heat } = this;
    if (!heat.frame.inside(x, y)) return;
    this.hover(x, y);
    clearTimeout(this.clicks);
    const cell = heat.cursor;
    this.clicks = setTimeout(() => heat.open(cell), CLICK_MS);
  }
  hover(x, y) {
    const { heat } = this;
    if (!heat.frame.inside(x, y)) return heat.point(null);
    const [row, column] = heat.frame.place(x, y).map(Math.floor);
    return heat.point(heat.layers.at(row, column, heat.frame.pixels), [x, y]);
  }
  /* Arrows move the cell that is pointed at; the view goes along. */
  step(rows, columns) {
    const { heat, heat: { view, frame } } = this, first = heat.cursor === null;
    const from = heat.cursor ?? { row: Math.floor((view.r0 + view.r1) / 2), column: Math.floor((view.c0 + view.c1) / 2), side: 1 };
    const within = (v, all) => Math.min(Math.max(v, 0), all - 1), go = first ? 0 : from.side;
    const [row, column] = [within(from.row + rows * go, view.p), within(from.column + columns * go, view.q)];
    view.reach(row, column);
    heat.moved();
    const cell = heat.layers.at(row, column, frame.pixels);
    heat.point(cell, cell && [frame.left(cell.column + cell.side / 2), frame.top(cell.row + cell.side / 2)]);
  }
  get middle() {
    const { heat: { cursor, view } } = this;
    return cursor ? [cursor.row + cursor.side / 2, cursor.column + cursor.side / 2] : [(view.r0 + view.r1) / 2, (view.c0 + view.c1) / 2];
  }
  key(e) {
    const { heat } = this, far = e.shiftKey ? 10 : 1;
    const does = {
      ArrowLeft: () => this.step(0, -far), ArrowRight: () => this.step(0, far), ArrowUp: () => this.step(-far, 0), ArrowDown: () => this.step(far, 0),
      "+": () => heat.zoomAt(...this.middle, 1.5), "=": () => heat.zoomAt(...this.middle, 1.5), "-": () => heat.zoomAt(...this.middle, 1 / 1.5),
      0: () => heat.home(), Enter: () => heat.open(heat.cursor), " ": () => heat.open(heat.cursor), b: () => heat.useBox(!heat.boxing),
      f: () => heat.fade(!heat.fades), "?": () => heat.tools.showKeys(heat.tools.keys.hidden), Escape: () => this.cancel(),
    };
    const work = does[e.key.length === 1 ? e.key.toLowerCase() : e.key];
    if (!work || e.ctrlKey || e.metaKey || e.altKey) return;
    e.preventDefault();
    e.stopPropagation();
    work();
  }
  cancel() {
    this.outline = null;
    this.heat.useBox(false);
    this.heat.point(null);
  }
}
