/* What came in becomes what is shown: positions, colours, selection, edges; and which renderer shows it. */
const AT_ONCE = 1500000;

class Intake {
  constructor(map) {
    this.map = map;
  }
  /* Take over whatever columns have arrived; called again when another one does. */
  take() {
    const { map } = this, { data, columns } = map, { keys } = columns;
    columns.awaits = false;
    this.places();
    map.members = columns.integers("members", data.members) ?? (data.members ? map.members : ((keys.members = null), null));
    const cards = columns.arrived("cards", data.cards);
    if (cards) (map.pack?.forget(), (map.pack = new CardPack(cards)));
    const colour = columns.arrived("colour", data.colour?.key);
    if (colour) map.column = columnOf(data.colour, colour);
    if (colour || !data.colour || data.colour.key === keys.colour) this.recolour(data.colour ?? null, Boolean(colour));
    map.selection.take();
    this.overlays();
    if (!map.renderer) return;
    const theme = JSON.stringify([data.greys, data.density]);
    if (theme !== keys.theme) (keys.theme = theme), map.renderer.setRamp(rampOf(data.density));
    map.drawParts();
  }
  places() {
    const { map } = this, { data, columns, points } = map, dims = data.dims ?? 2, { series } = data;
    const asked = JSON.stringify(series?.keys ?? null);
    if (asked !== this.asked) { // another series: nothing of the old one may be mixed in
      [this.asked, points.frames, points.extent, columns.keys.positions] = [asked, [], null, null];
      Object.keys(columns.keys).filter((name) => name.startsWith("series ")).forEach((name) => (columns.keys[name] = null));
    }
    const single = columns.positions("positions", data.positions);
    if (single && series) points.put(Math.max(0, series.keys.indexOf(data.positions)), single, dims);
    else if (single) points.set(single, dims);
    let changed = Boolean(single);
    series?.keys.forEach((key, k) => {
      if (key === data.positions && points.frames[k]) return;
      const frame = columns.positions(`series ${k}`, key);
      if (frame) (points.put(k, frame, dims), (changed = true));
    });
    if (changed) this.place(dims);
  }
  place(dims) {
    const { map } = this, { points, view } = map, first = !map.renderer, stay = !first && !view.atHome;
    map.renderer ??= this.renderer();
    map.frame.dataset.renderer = map.renderer.constructor.name;
    if (this.ordered !== points.n) map.renderer.setOrder(spreadOrder((this.ordered = points.n)));
    map.renderer.setFrames(points.frames);
    map.selection.fresh();
    this.recoloured();
    map.sizing.resize();
    map.sizing.make();
    view.settle(points.extent, dims);
    const shape = `${dims} ${points.n}`, box = first && map.data.view?.box;
    if (box) view.fit(box);
    else if (!stay || this.shape !== shape) view.goHome();
    this.shape = shape;
    if (points.n > AT_ONCE) map.drawing.stir(); // a part of them at once, all of them next
  }
  overlays() {
    const { map } = this, { data, columns, points } = map, { keys } = columns, { edges } = data;
    this.pairs = edges ? columns.integers("edges", edges.key) ?? this.pairs : null;
    this.values = edges?.values ? columns.floats("edge values", edges.values) ?? this.values : null;
    map.ellipses = data.ellipses ? columns.floats("ellipses", data.ellipses.key) ?? map.ellipses : null;
    if (!edges) keys.edges = null;
    if (!data.ellipses) keys.ellipses = null;
    const there = this.pairs && points.n && (!edges.values || this.values);
    const drawn = JSON.stringify([there && keys.edges, edges, keys.positions, data.greys]);
    if (!map.renderer || drawn === this.drawn) return;
    this.drawn = drawn;
    const finite = (i) => i >= 0 && i < points.n && points.of(i).every(Number.isFinite);
    const ink = [...hexToRgb(data.greys?.[1] ?? "#888888").map((v) => v / 255), 0.7];
    map.renderer.setEdges(there ? edgeGroups(edges, this.pairs, this.values, finite, ink) : []);
  }

  // ------------------------------------------------------------------ colours
  recolour(colour, fresh) {
    const { map } = this;
    if (!fresh && JSON.stringify(colour) === JSON.stringify(map.colour)) return;
    if (map.colour && map.colour.label !== colour?.label) map.hidden = new Set();
    map.colour = colour;
    if (!colour) [map.column, map.columns.keys.colour] = [null, null];
    this.recoloured();
  }
  /* The column or what is hidden has changed. */
  recoloured() {
    const { colour, column, hidden, points, renderer } = this.map, fits = colour && column?.length === points.n;
    if (!renderer) return;
    const look = lookupOf(fits ? colour : null, hidden);
    renderer.setColour({ ...look, column: fits ? column : null, scale: look.kind === 2 ? scaleOf(colour, column) : null });
  }

  // ------------------------------------------------------------------ renderers
  renderer() {
    const { map } = this, gl = map.data.compact ? null : RendererGL.on(map.under);
    if (!gl) return this.plain();
    map.on(map.under, "webglcontextlost", (e) => (e.preventDefault(), map.later("lost", 5000, () => this.change(this.plain()))));
    map.on(map.under, "webglcontextrestored", () => (clearTimeout(map.timers.lost), gl.restore(), map.redraw()));
    return gl;
  }
  /* A canvas once asked for WebGL gives no 2-D context, so there is a new one. */
  plain() {
    const { map } = this, fresh = make("canvas", { "aria-hidden": "true", width: map.under.width, height: map.under.height });
    map.under.replaceWith(fresh);
    map.under = fresh;
    map.view.width = -1; // so that resize() sizes it
    return new RendererCanvas(fresh);
  }
  /* WebGL went away and did not come back: go on without it. */
  change(renderer) {
    const { map } = this, old = map.renderer;
    map.renderer = renderer;
    old.destroy();
    this.drawn = map.columns.keys.theme = null;
    renderer.setOrder(spreadOrder(map.points.n));
    renderer.setFrames(map.points.frames);
    map.frame.dataset.renderer = renderer.constructor.name;
    map.marked();
    this.recoloured();
    map.sizing.resize();
    this.take();
  }
}
