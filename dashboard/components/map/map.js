/* The map: points one can look at, colour, and select. Plain JavaScript, nothing loaded from elsewhere.
 *
 * In (`data`, small JSON; the columns come beside it through buffer.js, named by content key)
 *   n, label, of             how many points; what the picture shows (aria-label); what a point is ("samples")
 *   positions, dims          key of float32 [x, y] * n, or with dims 3 [x, y, z] * n (then the map can be turned)
 *   grid                     null, or [low…, high…]: positions are uint16 steps over this box, 65535 for no place
 *   members                  key of int32 [sample, token] * n, or null: point i is sample i (token -1: pooled)
 *   colour                   null, or {key, label, note, bits} with
 *                              kind "category" (uint8 codes; bits 16: uint16): names, counts, palette [hex],
 *                              marks [0-5]; a code above the palette is a missing value; or
 *                              kind "number" (float32, NaN missing; bits 8 or 16: steps from low to high, the highest
 *                              number missing): low, high, stops [hex]
 *   greys, density           [plain, missing, dimmed] as hex; the colours of the density shading [hex]
 *   mode                     "points", "density", "both", or null: both from 500,000 points on
 *   mask                     {key} of the selected points (numpy.packbits) or null; set from Python
 *   stamp                    the `stamp` of the last gesture that Python has heard of
 *   cards                    key of a CardPack (card.js), or null: hovering asks Python
 *   card                     {row, title, lines, image, tokens, marked, box}: the answer to a hover
 *   focus                    row to ring (one sample looked at), or null
 *   labels                   [{text, x, y, z, size, level}]: names at their place; level k shows from 2^k-fold zoom
 *   series                   null, or {keys, names, note, step}: placings of the same points, like `positions`
 *   edges                    null, or {key, values, low, high, stops, label, button, note}: int32 [i, j] pairs, float32
 *   ellipses                 null, or {key, label, button, note}: float32 [point, a, b, angle] each (2-D)
 *   link, linkView, rows     maps with one `link` share the pointer's ring, with `linkView` the view, and with equal
 *                            `rows` (what identifies the rows) the selection
 *   view                     {box, hidden, mode, camera, step} to start from, or null
 *   axes                     names of the axes, or null where the axes mean nothing
 *   compact, height          a small picture: no tools, Canvas 2-D; height in pixels
 * Out (triggers; never a list of points)
 *   select {mask, n, count, stamp}  lasso, box, Shift- or Alt-click, invert: base64 of the bits (count 0: cleared)
 *   hover  {row}             pointer rests on a point and no pack was sent; click {row}
 *   view   {box, hidden, mode, camera, step}  after moving, hiding, …: all that is needed to draw the same picture.
 *                            box: [x0, y0, x1, y1] of the picture plane, null for everything; camera: null or
 *                            {yaw, pitch} (3-D, see view.js); mode: null while it is the default; step: of the series
 *   step   {step}            the series rests at another step
 *
 * A second call with new `data` updates in place: a column is uploaded again only when its key changed.
 */
const VIEW_MS = 500, MANY = 500000, TILTED = [-0.5, 0.35];
const SELECTING = { lasso: "Draw around points to select them", box: "Drag a box around points to select them" };
const PLAIN = "Drag to move, wheel to zoom, Shift-drag to select; click a point to look at it";
const SOLID = "Drag to turn, right-drag or Shift-drag to move, wheel to zoom; Lasso to select; click a point to look at it";

class SampleMap {
  constructor(root) {
    Object.assign(this, { root, data: { n: 0 }, view: new View(), points: new Points(), hidden: new Set(), tool: "pan", mode: "points", help: "" });
    Object.assign(this, { colour: null, column: null, hovered: -1, echo: -1, size: 2, timers: {}, shows: { edges: true, ellipses: true } });
    this.stop = new AbortController(); // one signal takes every listener off again
    const on = (target, kind, work, more = {}) => target.addEventListener(kind, work, { signal: this.stop.signal, ...more });
    this.on = on;
    this.under = make("canvas", { "aria-hidden": "true" }); // the points
    this.canvas = make("canvas", { tabindex: 0, role: "application" }); // what lies over them; takes the pointer
    this.card = make("div", { class: "card", role: "status", hidden: "" });
    this.status = make("div", { class: "status", "aria-live": "polite" });
    for (const [name, Part] of Object.entries({ sizing: Sizing, columns: Columns, intake: Intake, selection: Selection, finder: Finder, drawing: Drawing, overlay: Overlay,
      labels: Labels, legend: Legend, toolbar: Toolbar, scrubber: Scrubber, links: Links })) this[name] = new Part(this);
    this.frame = make("div", { class: "map" }, this.under, this.labels.box, this.canvas, this.toolbar.bar, this.toolbar.keys,
      this.legend.box, this.scrubber.box, this.card, this.status);
    this.style = make("style", {}, typeof MAP_CSS === "string" ? MAP_CSS : "");
    root.append(this.style, this.frame);
    this.pointer = new Pointer(this, on);
    listenToKeys(this, on);
    this.watcher = new ResizeObserver(() => this.sizing.resize());
    this.watcher.observe(this.frame);
    this.use("pan");
  }

  // ------------------------------------------------------------------ what comes in
  update(data, send) {
    const first = !this.send;
    Object.assign(this, { data, send });
    this.frame.classList.toggle("compact", Boolean(data.compact));
    this.frame.style.height = `${data.height ?? 560}px`;
    this.help = (data.dims ?? 2) === 3 ? SOLID : PLAIN;
    this.canvas.setAttribute("aria-label", `${data.label}. ${data.compact ? "" : this.help + ". Press ? for all keys"}`);
    if (first) this.begin(data.view ?? {});
    if (data.card && data.card.row === this.hovered) showCard(this, data.card);
    this.labels.take(data.labels ?? []);
    this.scrubber.take(first);
    this.take();
    this.say();
  }
  begin({ hidden, mode, camera, step }) {
    if (hidden) this.hidden = new Set(hidden);
    this.mode = mode ?? this.usualMode;
    this.points.t = step ?? this.data.series?.step ?? 0;
    this.scrubber.told = this.points.t;
    [this.view.yaw, this.view.pitch] = camera ? [camera.yaw, camera.pitch] : TILTED;
  }
  get usualMode() {
    return this.data.compact ? "points" : this.data.mode ?? (this.data.n > MANY ? "both" : "points");
  }
  take() {
    if (this.send) this.intake.take();
  }

  // ------------------------------------------------------------------ drawing
  redraw() {
    this.drawing.soon();
  }
  /* Everything, and the parts around the picture. */
  drawParts() {
    this.legend.draw();
    this.toolbar.draw();
    this.scrubber.draw();
    this.sizing.make();
    this.say();
    this.redraw();
  }
  say() {
    const n = this.points.n.toLocaleString("en"), what = this.data.of ?? "points", { count } = this;
    const chosen = count ? `${count.toLocaleString("en")} of ${n} ${what} selected` : `${n} ${what}`;
    const share = this.drawing.moving ? this.drawing.part ?? 1 : 1, how = this.selection.how;
    const moving = share < 1 ? ` · while moving: 1 in ${Math.round(1 / share)} drawn` : "";
    if (!this.points.n && this.data.n) return void (this.status.textContent = `Waiting for ${this.data.n.toLocaleString("en")} ${what} …`);
    const drag = SELECTING[this.tool] ? `${SELECTING[this.tool]}; Shift adds, Alt subtracts` : this.help;
    const next = how === "replace" ? drag : how === "add" ? "The next outline adds (A)" : "The next outline subtracts (S)";
    this.status.textContent = `${chosen}${moving} · ${next}`;
  }

  // ------------------------------------------------------------------ what a person does
  /* How many points are selected; 0 while the selection is of points that are still on their way. */
  get count() {
    return this.selection.flags?.length === this.points.n ? this.selection.count : 0;
  }
  get xy() {
    return this.points.now;
  }
  allowed = (i) => !(this.hidden.size && this.colour?.kind === "category" && this.hidden.has(this.column?.[i]));
  use(tool) {
    this.tool = tool;
    this.canvas.style.cursor = tool === "pan" ? "grab" : "crosshair";
    this.toolbar.draw();
    this.say();
  }
  home() {
    if (this.view.dims === 3) this.view.orbit(...TILTED);
    this.view.goHome();
    this.moved();
  }
  zoomBy(factor, x = this.view.width / 2, y = this.view.height / 2) {
    this.view.zoomAt(x, y, factor);
    this.moved();
  }
  moved() {
    this.drawing.stir();
    this.links.moved();
    this.viewed();
  }
  viewed() {
    this.later("view", VIEW_MS, () => this.send("view", this.seen));
  }
  get seen() {
    const { view, data } = this, round = (v) => Number(v.toPrecision(5)), turned = view.dims === 3;
    const seen = { box: view.atHome ? null : view.box.map(round), hidden: [...this.hidden] };
    const camera = turned ? { yaw: round(view.yaw), pitch: round(view.pitch) } : null;
    return { ...seen, camera, mode: this.mode === this.usualMode ? null : this.mode, step: data.series ? Math.round(this.points.t) : null };
  }
  hide(hidden) {
    this.hidden = hidden;
    this.intake.recoloured();
    this.drawParts();
    this.viewed();
  }
  show(overlay) {
    this.shows[overlay] = !this.shows[overlay];
    this.drawParts();
  }
  setMode(mode) {
    this.mode = mode;
    this.densest = null;
    this.drawParts();
    this.viewed();
  }
  /* The selection has changed. */
  marked() {
    this.renderer?.setFlags(this.count ? this.selection.flags : null);
    this.drawParts();
  }
  /* The pointer is on this point (-1: on none). */
  point(row) {
    if (row === this.hovered) return;
    this.hovered = row;
    this.card.hidden = true;
    clearTimeout(this.timers.hover);
    this.overlay.draw();
    this.links.hovered(row);
    if (row < 0 || this.data.compact) return;
    if (this.pack) showCard(this, packedCard(this, row));
    else this.later("hover", HOVER_MS, () => this.send("hover", { row }));
  }
  hoverAgain() {
    if (this.pointer.at && !this.pointer.fingers.size) this.pointer.hover(this.pointer.at);
  }
  later(name, ms, work) {
    clearTimeout(this.timers[name]);
    this.timers[name] = setTimeout(work, ms);
  }

  destroy() {
    this.stop.abort();
    this.watcher.disconnect();
    for (const part of [this.columns, this.links]) part.leave();
    for (const part of [this.drawing, this.scrubber, this.finder]) part.stop();
    Object.values(this.timers).forEach(clearTimeout);
    this.pack?.forget();
    this.renderer?.destroy();
    this.frame.remove();
    this.style.remove();
  }
  leave() {
    delete this.root.__loupeMap;
    this.destroy();
  }
}

const mountMap = ({ parentElement: root, data, setTriggerValue }) => {
  root.__loupeMap ??= new SampleMap(root);
  root.__loupeMap.update(data, setTriggerValue);
  return () => root.__loupeMap?.leave();
};
