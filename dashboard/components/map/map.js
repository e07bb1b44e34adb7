/* The map: points one can look at, colour, and select. Plain JavaScript, nothing loaded from elsewhere.
 *
 * In (`data`, small JSON; the columns come beside it through buffer.js, named by content key)
 *   n, label                 how many points; what the picture shows (aria-label)
 *   positions                key of float32 [x, y] * n (`dims`: 2; room for 3)
 *   members                  key of int32 [sample, token] * n, or null: point i is sample i (token -1: pooled)
 *   colour                   null, or {key, label, note} with
 *                              kind "category" (uint8 codes): names, counts, palette [hex], marks [0-5], or
 *                              kind "number" (float32): low, high, stops [hex]
 *   greys                    [plain, missing, dimmed] as hex
 *   mask                     {key} of the selected points (numpy.packbits) or null; set from Python
 *   stamp                    the `stamp` of the last lasso that Python has heard of
 *   cards                    key of a CardPack (card.js), or null: hovering asks Python
 *   card                     {row, title, lines, image, tokens, marked, box}: the answer to a hover
 *   focus                    row to ring (one sample looked at), or null
 *   view                     {box: [x0, y0, x1, y1], hidden: [code]} to start from, or null
 *   axes                     [horizontal, vertical] names, or null where the axes mean nothing
 *   compact, height          a small picture: no tools, Canvas 2-D; height in pixels
 * Out (triggers; never a list of points)
 *   select {mask, n, count, stamp}  lasso, box: base64 of the bits (count 0: cleared)
 *   hover  {row}             pointer rests on a point and no pack was sent; click {row}
 *   view   {box, hidden}     after panning, zooming, hiding: for the URL
 *
 * A second call with new `data` updates in place: positions are uploaded again only when their key changed.
 */
const HOVER_MS = 80, VIEW_MS = 500, PATIENCE_MS = 8000, REACH = 14;
const TOOLS = [
  ["pan", "Move", "Drag to move, wheel to zoom (P)"],
  ["lasso", "Lasso", "Draw around points to select them (L, or Shift-drag at any time)"],
  ["box", "Box", "Drag a box to select (B)"],
];
const PLAIN = "Drag to move, wheel to zoom, Shift-drag to select; click a point to look at it";

class SampleMap {
  constructor(root) {
    Object.assign(this, { root, view: new View(), hidden: new Set(), keys: {}, tool: "pan", hovered: -1 });
    Object.assign(this, { data: { n: 0 }, xy: new Float32Array(0), column: null, selected: null, timers: {} });
    this.stop = new AbortController(); // one signal takes every listener off again
    this.build();
    this.listen();
    this.wake = () => this.take();
    window.__loupeBuffers ??= { held: new Map(), users: new Map(), waiting: new Set() };
    window.__loupeBuffers.waiting.add(this.wake);
  }

  // ------------------------------------------------------------------ what is on the page
  build() {
    this.under = make("canvas", { "aria-hidden": "true" }); // the points
    this.canvas = make("canvas", { tabindex: 0, role: "application" }); // rings and lasso; takes the pointer
    this.legend = make("div", { class: "legend", role: "group", "aria-label": "Legend" });
    this.card = make("div", { class: "card", role: "status", hidden: "" });
    this.status = make("div", { class: "status", "aria-live": "polite" });
    this.tools = make("div", { class: "tools", role: "toolbar", "aria-label": "Map tools" });
    for (const [name, text, title] of TOOLS) {
      this.tools.append(make("button", { type: "button", "data-tool": name, title, onclick: () => this.use(name) }, text));
    }
    const act = (text, title, work) => this.tools.append(make("button", { type: "button", title, onclick: work }, text));
    act("+", "Zoom in (+)", () => this.zoomBy(1.5));
    act("−", "Zoom out (-)", () => this.zoomBy(1 / 1.5));
    act("Fit", "Show everything (0)", () => this.home());
    this.clearButton = make("button", { type: "button", title: "Select nothing (Esc)", hidden: "", onclick: () => this.select(null) }, "Clear selection");
    this.tools.append(this.clearButton);
    this.frame = make("div", { class: "map" }, this.under, this.canvas, this.tools, this.legend, this.card, this.status);
    this.root.append(this.frame);
  }

  update(data, send) {
    const first = !this.data.n;
    Object.assign(this, { data, send });
    this.frame.classList.toggle("compact", Boolean(data.compact));
    this.frame.style.height = `${data.height ?? 560}px`;
    this.canvas.setAttribute("aria-label", `${data.label}. ${data.compact ? "" : PLAIN + ". Keys: arrows, plus, minus, 0, L, B, P, Escape"}`);
    if (first && data.view?.hidden) this.hidden = new Set(data.view.hidden);
    if (data.card && data.card.row === this.hovered) this.showCard(data.card);
    this.take();
  }

  /* Take over whatever columns have arrived; called again when another one does. */
  take() {
    const { data, keys } = this, held = window.__loupeBuffers.held;
    if (!this.send) return;
    const arrived = (name, key) => (key && keys[name] !== key && held.has(key) ? ((keys[name] = key), held.get(key)) : null);
    const xy = arrived("positions", data.positions);
    if (xy) this.place(new Float32Array(xy.buffer));
    const members = arrived("members", data.members);
    if (members) this.members = new Int32Array(members.buffer);
    if (!data.members) [this.members, keys.members] = [null, null];
    const cards = arrived("cards", data.cards);
    if (cards) (this.pack?.forget(), (this.pack = new CardPack(cards)));
    const colour = arrived("colour", data.colour?.key);
    if (colour) this.column = columnOf(data.colour, colour);
    if (colour || !data.colour || data.colour.key === keys.colour) this.recolour(data.colour ?? null);
    if (!this.ahead()) this.takeMask(arrived("mask", data.mask?.key));
    const theme = (data.greys ?? []).join();
    if (theme !== keys.theme) [keys.theme, this.fresh] = [theme, false];
    if (!this.fresh && this.xy.length) this.repaint();
    else this.redraw();
  }

  recolour(colour) {
    const same = JSON.stringify(colour) === JSON.stringify(this.colour ?? null);
    if (same) return;
    if (this.colour && this.colour.label !== colour?.label) this.hidden = new Set();
    this.colour = colour;
    if (!colour) [this.column, this.keys.colour] = [null, null];
    this.fresh = false;
  }

  /* Whether this data was made before Python heard of the last lasso: its selection is older than ours. */
  ahead() {
    return (this.data.stamp ?? 0) < (this.stamp ?? 0) && Date.now() - this.stamp < PATIENCE_MS;
  }

  takeMask(bits) {
    if (bits) [this.selected, this.fresh] = [unpackBits(bits, this.data.n), false];
    else if (!this.data.mask && this.keys.mask) [this.selected, this.keys.mask, this.fresh] = [null, null, false];
  }

  place(xy) {
    const again = this.xy.length > 0;
    this.xy = xy;
    this.index = null; // built at the first hover
    this.view.home = boundsOf(xy);
    this.renderer ??= this.rendererFor();
    this.frame.dataset.renderer = this.renderer.constructor.name;
    this.renderer.set("positions", xy);
    this.renderer.set("order", shuffledOrder(xy.length / 2));
    [this.selected, this.fresh] = [this.keys.mask ? this.selected : null, false];
    this.resize();
    this.view.fit((!again && this.data.view?.box) || this.view.home, !again && this.data.view?.box ? 0 : 0.06);
  }

  rendererFor() {
    const gl = this.data.compact ? null : RendererGL.on(this.under);
    if (gl) return gl;
    const fresh = make("canvas", { "aria-hidden": "true" }); // a canvas once asked for WebGL gives no 2-D context
    this.under.replaceWith(fresh);
    this.under = fresh;
    this.view.width = -1; // so that resize() sizes it
    return new RendererCanvas(fresh);
  }

  // ------------------------------------------------------------------ drawing
  repaint() {
    const n = this.xy.length / 2, given = this.selected?.length === n ? this.selected : null;
    this.count = given ? given.reduce((sum, v) => sum + v, 0) : 0;
    const { rgba, flags } = paint(n, this.colour, this.column, this.count ? given : null, this.hidden, this.data.greys);
    this.renderer.set("colours", rgba);
    this.renderer.set("flags", flags);
    drawLegend(this.legend, this.data.compact ? null : this.colour, this.hidden, (hidden) => this.hide(hidden));
    this.clearButton.hidden = !this.count;
    this.say();
    this.fresh = true;
    this.redraw();
  }
  redraw() {
    this.timers.draw ??= requestAnimationFrame(() => {
      this.timers.draw = null;
      if (!this.renderer) return;
      const n = Math.max(this.xy.length / 2, 1), area = this.view.width * this.view.height;
      const size = Math.min(Math.max(Math.sqrt(area / n) * 0.45, 1.6), 8) * Math.min(this.view.zoom, 12) ** 0.35;
      this.size = Math.max(1.5, size);
      this.renderer.draw(this.view, this.size);
      this.drawSketch();
      this.frame.dataset.drawn = String(n);
    });
  }
  /* What lies over the points: the lasso being drawn, rings around the hovered and the focused point. */
  drawSketch() {
    const c = this.canvas.getContext("2d"), ratio = this.canvas.width / this.view.width;
    const style = getComputedStyle(this.frame);
    c.setTransform(ratio, 0, 0, ratio, 0, 0);
    c.clearRect(0, 0, this.view.width, this.view.height);
    c.strokeStyle = style.getPropertyValue("--st-text-color") || "#444";
    for (const [i, width] of [[this.hovered, 1.5], [this.data.focus ?? -1, 2.5]]) {
      if (i < 0 || i >= this.xy.length / 2) continue;
      const [x, y] = this.view.toScreen(this.xy[2 * i], this.xy[2 * i + 1]);
      c.lineWidth = width;
      c.beginPath();
      c.arc(x, y, this.size / 2 + 4, 0, 6.2832);
      c.stroke();
    }
    this.drawAxes(c, style);
    if (!this.outline?.length) return;
    c.lineWidth = 1.5;
    c.strokeStyle = style.getPropertyValue("--st-primary-color") || "#e44";
    c.fillStyle = "rgba(127,127,127,0.12)";
    c.beginPath();
    this.outline.forEach(([x, y], k) => (k ? c.lineTo(x, y) : c.moveTo(x, y)));
    c.closePath();
    c.fill();
    c.stroke();
  }
  /* Names of the axes along two edges, small: there are no ticks, since only the names are needed to read it. */
  drawAxes(c, style) {
    const [across, up] = this.data.axes ?? [];
    if (this.data.compact || !across) return;
    c.font = `12px ${style.fontFamily}`;
    c.fillStyle = style.getPropertyValue("--st-text-color") || "#444";
    c.globalAlpha = 0.75;
    c.textAlign = "right";
    c.fillText(`${across} →`, this.view.width - 12, this.view.height - 32);
    c.save();
    c.translate(20, 52);
    c.rotate(-Math.PI / 2);
    c.fillText(`${up} →`, 0, 0);
    c.restore();
    c.globalAlpha = 1;
  }
  resize() {
    const width = Math.max(this.frame.clientWidth, 1), height = Math.max(this.frame.clientHeight, 1);
    const ratio = Math.min(window.devicePixelRatio || 1, 2), before = this.view.zoom;
    if (width === this.view.width && height === this.view.height && this.canvas.width === Math.round(width * ratio)) return;
    Object.assign(this.view, { width, height });
    if (Number.isFinite(before) && this.xy.length) this.view.scale *= before / this.view.zoom;
    for (const canvas of [this.canvas, this.under]) {
      [canvas.width, canvas.height] = [Math.round(width * ratio), Math.round(height * ratio)];
    }
    this.redraw();
  }
  say() {
    const n = (this.xy.length / 2).toLocaleString("en"), what = this.data.of ?? "points";
    const chosen = this.count ? `${this.count.toLocaleString("en")} of ${n} ${what} selected` : `${n} ${what}`;
    this.status.textContent = `${chosen} · ${PLAIN}`;
  }

  // ------------------------------------------------------------------ what a person does
  use(tool) {
    this.tool = tool;
    for (const button of this.tools.children) {
      if (button.dataset.tool) button.setAttribute("aria-pressed", String(button.dataset.tool === tool));
    }
    this.canvas.style.cursor = tool === "pan" ? "grab" : "crosshair";
  }
  allowed = (i) => !(this.hidden.size && this.colour?.kind === "category" && this.hidden.has(this.column?.[i]));
  home() {
    this.view.fit(this.view.home);
    this.moved();
  }
  zoomBy(factor, x = this.view.width / 2, y = this.view.height / 2) {
    this.view.zoomAt(x, y, factor);
    this.moved();
  }
  moved() {
    this.redraw();
    this.later("view", VIEW_MS, () => this.tellView());
  }
  tellView() {
    const away = Math.abs(this.view.zoom - 0.88) > 0.02 || !this.atHome();
    const box = away ? this.view.box.map((v) => Number(v.toPrecision(5))) : null;
    this.send("view", { box, hidden: [...this.hidden] });
  }
  atHome() {
    const [x0, y0, x1, y1] = this.view.home, near = 4 / this.view.scale;
    return Math.abs(this.view.cx - (x0 + x1) / 2) < near && Math.abs(this.view.cy - (y0 + y1) / 2) < near;
  }
  hide(hidden) {
    this.hidden = hidden;
    this.repaint();
    this.later("view", VIEW_MS, () => this.tellView());
  }
  select(flags, how = "replace") {
    if (flags && how !== "replace" && this.selected) {
      flags = flags.map((v, i) => (how === "add" ? v | this.selected[i] : this.selected[i] & (1 - v)));
    }
    const count = flags ? flags.reduce((sum, v) => sum + v, 0) : 0;
    this.selected = count ? flags : null;
    this.keys.mask = count ? "own" : null; // the answer from Python has another key and replaces it
    this.repaint();
    this.stamp = Date.now();
    this.send("select", { mask: count ? packBits(flags) : "", n: this.xy.length / 2, count, stamp: this.stamp });
  }
  finishOutline(event) {
    const polygon = this.outline.map(([x, y]) => this.view.toData(x, y));
    this.outline = null;
    const how = event.altKey ? "remove" : event.ctrlKey || event.metaKey ? "add" : "replace";
    if (polygon.length > 2) this.select(insidePolygon(this.xy, polygon, this.allowed), how);
    this.redraw();
  }
  pointAt(x, y) {
    this.index ??= new GridIndex(this.xy);
    const [dx, dy] = this.view.toData(x, y);
    return this.index.nearest(dx, dy, REACH / this.view.scale, this.allowed);
  }
  hover(x, y) {
    if (!this.xy.length) return;
    const row = this.pointAt(x, y);
    if (row === this.hovered) return;
    this.hovered = row;
    this.card.hidden = true;
    clearTimeout(this.timers.hover);
    this.redraw();
    if (row < 0 || this.data.compact) return;
    if (this.pack) this.showCard(this.packedCard(row));
    else this.later("hover", HOVER_MS, () => this.send("hover", { row }));
  }
  packedCard(row) {
    const [sample, token] = this.members ? [this.members[2 * row], this.members[2 * row + 1]] : [row, -1];
    const card = this.pack.card(sample, token), colour = this.colour, value = this.column?.[row];
    const known = card.lines.some((line) => line.startsWith(`${colour?.label}: `));
    if (colour && value !== undefined && !known) {
      card.lines.push(`${colour.label}: ${colour.kind === "number" ? short(value) : colour.names[value] ?? "none"}`);
    }
    if (token >= 0) card.lines.push(this.tokenName(token));
    return card;
  }
  tokenName(token) {
    const { leading = 0, grid } = this.pack.header, k = token - leading;
    if (k < 0) return leading === 1 ? "class token" : `leading token ${token}`;
    return grid ? `patch (${Math.floor(k / grid[1]) + 1}, ${(k % grid[1]) + 1})` : `token ${k}`;
  }
  showCard(card) {
    const [x, y] = this.view.toScreen(this.xy[2 * this.hovered], this.xy[2 * this.hovered + 1]);
    drawCard(this.card, card);
    this.card.hidden = false;
    const w = this.card.offsetWidth, h = this.card.offsetHeight, gap = 14;
    const left = x + gap + w < this.view.width ? x + gap : x - gap - w;
    this.card.style.left = `${Math.max(4, left)}px`;
    this.card.style.top = `${Math.min(Math.max(4, y - h / 2), this.view.height - h - 4)}px`;
  }
  later(name, ms, work) {
    clearTimeout(this.timers[name]);
    this.timers[name] = setTimeout(work, ms);
  }

  // ------------------------------------------------------------------ listening
  listen() {
    const on = (target, kind, work, more = {}) => target.addEventListener(kind, work, { signal: this.stop.signal, ...more });
    const { canvas } = this;
    this.fingers = new Map();
    on(canvas, "pointerdown", (e) => this.press(e));
    on(canvas, "pointermove", (e) => this.drag(e));
    for (const kind of ["pointerup", "pointercancel"]) on(canvas, kind, (e) => this.lift(e));
    on(canvas, "pointerleave", () => !this.fingers.size && this.hover(-1e6, -1e6));
    on(canvas, "wheel", (e) => {
      if (this.data.compact) return;
      e.preventDefault();
      this.zoomBy(Math.exp(-e.deltaY * (e.deltaMode ? 0.05 : 0.0015)), e.offsetX, e.offsetY);
    }, { passive: false });
    on(canvas, "keydown", (e) => this.key(e));
    on(this.under, "webglcontextlost", (e) => e.preventDefault());
    on(this.under, "webglcontextrestored", () => (this.renderer.restore(), this.redraw()));
    this.watcher = new ResizeObserver(() => this.resize());
    this.watcher.observe(this.frame);
    this.use("pan");
  }
  press(e) {
    if (this.data.compact || e.button > 0) return;
    this.canvas.setPointerCapture(e.pointerId);
    this.fingers.set(e.pointerId, [e.offsetX, e.offsetY]);
    [this.began, this.strayed] = [[e.offsetX, e.offsetY], 0];
    const drawing = this.fingers.size === 1 && (e.shiftKey || this.tool !== "pan");
    this.outline = drawing ? [[e.offsetX, e.offsetY]] : null;
    this.boxed = drawing && this.tool === "box";
    if (drawing) this.card.hidden = true;
  }
  drag(e) {
    const before = this.fingers.get(e.pointerId), [x, y] = [e.offsetX, e.offsetY];
    if (!before) return this.hover(x, y);
    this.strayed = Math.max(this.strayed, Math.hypot(x - this.began[0], y - this.began[1]));
    if (this.outline) return this.extend(x, y);
    if (this.fingers.size === 2) {
      const other = [...this.fingers].find(([id]) => id !== e.pointerId)[1];
      const apart = (p) => Math.hypot(p[0] - other[0], p[1] - other[1]) || 1;
      this.view.zoomAt((x + other[0]) / 2, (y + other[1]) / 2, apart([x, y]) / apart(before));
    } else this.view.pan(x - before[0], y - before[1]);
    this.fingers.set(e.pointerId, [x, y]);
    this.card.hidden = true;
    this.moved();
  }
  extend(x, y) {
    const [x0, y0] = this.began, last = this.outline[this.outline.length - 1];
    if (this.boxed) this.outline = [[x0, y0], [x, y0], [x, y], [x0, y]];
    else if (Math.hypot(x - last[0], y - last[1]) > 3) this.outline.push([x, y]);
    this.redraw();
  }
  lift(e) {
    if (!this.fingers.delete(e.pointerId)) return;
    const still = this.strayed < 4; // not where it ended: a lasso ends where it began
    if (this.outline && !still && e.type === "pointerup") this.finishOutline(e);
    else if (still && e.type === "pointerup") this.click(e.offsetX, e.offsetY);
    this.outline = null;
    this.redraw();
  }
  click(x, y) {
    const row = this.pointAt(x, y);
    if (row >= 0) this.send("click", { row });
    else if (this.selected && this.tool !== "pan") this.select(null);
  }
  key(e) {
    if (this.data.compact || e.ctrlKey || e.metaKey || e.altKey) return;
    const step = 60;
    const does = {
      ArrowLeft: () => (this.view.pan(step, 0), this.moved()),
      ArrowRight: () => (this.view.pan(-step, 0), this.moved()),
      ArrowUp: () => (this.view.pan(0, step), this.moved()),
      ArrowDown: () => (this.view.pan(0, -step), this.moved()),
      "+": () => this.zoomBy(1.3),
      "=": () => this.zoomBy(1.3),
      "-": () => this.zoomBy(1 / 1.3),
      0: () => this.home(),
      l: () => this.use("lasso"),
      b: () => this.use("box"),
      p: () => this.use("pan"),
      Escape: () => (this.outline ? ((this.outline = null), this.redraw()) : this.selected && this.select(null)),
      " ": () => this.hover(this.view.width / 2, this.view.height / 2), // the card of the point in the middle
      Enter: () => this.click(this.view.width / 2, this.view.height / 2),
    }[e.key.length === 1 ? e.key.toLowerCase() : e.key];
    if (!does) return;
    e.preventDefault();
    e.stopPropagation();
    does();
  }

  destroy() {
    this.stop.abort();
    this.watcher.disconnect();
    window.__loupeBuffers.waiting.delete(this.wake);
    cancelAnimationFrame(this.timers.draw);
    Object.values(this.timers).forEach(clearTimeout);
    this.pack?.forget();
    this.renderer?.destroy();
    this.frame.remove();
  }
}

export default function (component) {
  const root = component.parentElement;
  root.__loupeMap ??= new SampleMap(root);
  root.__loupeMap.update(component.data, component.setTriggerValue);
  return () => {
    root.__loupeMap?.destroy();
    delete root.__loupeMap;
  };
}
