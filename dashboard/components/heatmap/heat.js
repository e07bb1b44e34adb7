/* A heat map that can be zoomed from everything down to single cells. Plain JavaScript, nothing loaded from elsewhere.
 *
 * In (`data`, small JSON; columns come beside it through buffer.js, named by key)
 *   label, noun              what the picture shows (aria-label); what stands before a name ("unit")
 *   shape                    [p, q] rows and columns of single cells
 *   cells                    key of the overview of all of them, laid out as said in layers.js
 *   names                    [key, key] of the names of rows and columns in drawing order: UTF-8, one a line
 *   titles                   [rows, columns]: what they are
 *   trees                    {rows, columns}, each null or {key, height}: float32 branches (paint.js), the greatest height
 *   value, digits            what the value is called; decimals to be said of it
 *   low, high, stops         ends and colours [hex] of the scale
 *   nullBand, nullWords      [low, high] that structureless data gives to a cell, or null; what the legend says of it
 *   threshold, thresholdWords  |value| from which a cell is significant, or null
 *   view                     [r0, r1, c0, c1] to start from, or null for everything
 *   fades                    whether what is not significant starts faded
 *   marked                   [row, column] of the cell looked at, or null
 *   finest                   level of the finest cells that can be asked for (0 where it is left out)
 *   help                     what a click does, for the line below
 *   height                   of the picture in pixels, at most
 * Out (triggers)
 *   view {box, ask, block, most}  after moving. box: [r0, r1, c0, c1] in whole cells, null for everything. Where finer
 *                            cells are needed than are here, ask is the key under which Python is to publish the block
 *                            [r0, r1, c0, c1] with at most `most` gathered cells a side; otherwise null
 *   fade {on}                the button that fades was pressed
 *   open {rows, columns}     a cell was clicked: [from, to) each, one line where single cells are seen
 */
const VIEW_MS = 160, PATIENCE_MS = 10000, MOST_TRIES = 3;

class HeatMap {
  constructor(root) {
    Object.assign(this, { root, data: {}, view: new Ranges(), layers: new Layers(), cursor: null, boxing: false, fades: true, timers: {} });
    Object.assign(this, { rows: [], columns: [], trees: {}, keys: {}, cellsKey: "", asked: null });
    this.stop = new AbortController(); // one signal takes every listener off again
    const on = (target, kind, work, more = {}) => target.addEventListener(kind, work, { signal: this.stop.signal, ...more });
    this.canvas = make("canvas", { tabindex: 0, role: "img" });
    this.pen = this.canvas.getContext("2d");
    this.pen.family = "sans-serif";
    this.card = make("div", { class: "card", hidden: "" });
    this.status = make("div", { class: "status" });
    this.spoken = make("div", { class: "spoken", role: "status", "aria-live": "polite" });
    [this.tools, this.frame, this.paint] = [new Tools(this), new Frame(this), new Paint(this)];
    this.hands = new Hands(this, on);
    this.box = make("div", { class: "heat" }, this.tools.bar, this.tools.keys, this.tools.legend, make("div", { class: "picture" }, this.canvas, this.card), this.status, this.spoken);
    this.style = make("style", {}, typeof MAP_CSS === "string" ? MAP_CSS : "");
    root.append(this.style, this.box);
    this.shelf = window.__loupeBuffers ??= { held: new Map(), users: new Map(), waiting: new Set() };
    this.wake = () => this.take();
    this.shelf.waiting.add(this.wake);
    this.watcher = new ResizeObserver(() => this.frame.resize() && this.arrived());
    this.watcher.observe(this.box);
  }

  // ------------------------------------------------------------------ what comes in
  update(data, send) {
    const other = this.data.cells !== data.cells, first = !this.send;
    Object.assign(this, { data, send });
    if (first || other) [this.fades, this.asked, this.cursor] = [Boolean(data.fades), null, null];
    this.canvas.setAttribute("aria-label", `${data.label} Keys: arrows, plus, minus, 0, Enter; press ? for all.`);
    this.tools.draw();
    this.take();
    this.say();
    this.paint.soon();
  }
  /* Whatever has arrived by now. */
  take() {
    if (!this.send) return;
    this.text("rows", this.data.names[0]);
    this.text("columns", this.data.names[1]);
    for (const side of ["rows", "columns"]) this.branches(side, this.data.trees?.[side]);
    this.cells();
    const { asked, shelf } = this;
    if (!asked || !shelf.held.has(asked.key)) return;
    this.layers.add(shelf.held.get(asked.key));
    this.asked = null;
    this.arrived();
  }
  cells() {
    const { data, shelf, keys } = this, { cells, names } = data;
    if (this.cellsKey === cells || !shelf.held.has(cells) || keys.rows !== names[0] || keys.columns !== names[1]) return;
    this.layers.begin(shelf.held.get(cells));
    this.view.settle(...data.shape);
    this.cellsKey = cells;
    this.frame.resize();
    if (data.view) this.view.show(data.view);
    this.arrived();
  }
  text(side, key) {
    if (this.keys[side] === key || !this.shelf.held.has(key)) return;
    this.keys[side] = key;
    this[side] = new TextDecoder().decode(this.shelf.held.get(key)).split("\n");
  }
  branches(side, tree) {
    const key = tree?.key ?? null;
    if (this.keys[`tree ${side}`] === key || (key && !this.shelf.held.has(key))) return;
    this.keys[`tree ${side}`] = key;
    this.trees[side] = key && new Float32Array(this.shelf.held.get(key).buffer);
    this.paint.soon();
  }
  /* Cells, or another size of the picture: see whether finer ones are needed. */
  arrived() {
    if (this.layers.overview) this.later("view", VIEW_MS, () => this.ask());
    this.canvas.style.touchAction = this.view.atHome ? "pan-y" : "none"; // a finger scrolls the page past the whole
    this.say();
    this.paint.soon();
  }

  // ------------------------------------------------------------------ the view
  zoomAt(row, column, factor) {
    this.view.zoomAt(row, column, factor);
    this.moved();
  }
  move(rows, columns) {
    this.view.move(rows, columns);
    this.moved();
  }
  show(box) {
    this.view.show(box);
    this.useBox(false);
    this.moved();
  }
  home() {
    this.view.home();
    this.moved();
  }
  moved() {
    this.point(null);
    this.changed = true;
    this.tries = 0;
    this.arrived();
  }
  /* {seen, level, block}: see ranges.js. */
  wanted(most = this.frame.most) {
    const found = wantedOf(this.view, most);
    return { ...found, level: Math.max(found.level, this.data.finest ?? 0) };
  }
  /* Tell Python what is seen, and ask for a block where what is here is too coarse: once, and again when no answer came. */
  ask() {
    const { most } = this.frame, { seen, level, block } = this.wanted(), box = this.view.atHome ? null : seen;
    const needs = this.frame.width > 1 && !this.layers.has(seen, level, this.view), same = (a, b) => JSON.stringify(a) === JSON.stringify(b);
    const anew = needs && !same(this.asked?.block, block), moved = this.changed && !same(box, this.told);
    if (!needs) this.asked = null;
    if (anew) this.asked = { key: randomKey(), block };
    if (this.changed) [this.told, this.changed] = [box, false];
    if (!anew && !moved) return;
    this.send("view", { box, ask: anew ? this.asked.key : null, block: anew ? block : null, most });
    if (anew) this.later("patience", PATIENCE_MS, () => this.giveUp());
    this.say();
  }
  giveUp() {
    if (!this.asked) return;
    this.asked = null;
    this.tries = (this.tries ?? 0) + 1;
    if (this.tries < MOST_TRIES) this.ask();
    this.say();
  }

  // ------------------------------------------------------------------ what a person does
  /* A gathered or single cell is pointed at; null: none. */
  point(cell, at = null) {
    const same = cell?.row === this.cursor?.row && cell?.column === this.cursor?.column && cell?.side === this.cursor?.side;
    this.cursor = cell;
    if (cell && at) this.showCard(cell, at);
    else this.card.hidden = true;
    if (same) return;
    this.spoken.textContent = cell ? this.words(cell).join(". ") : "";
    this.paint.soon();
  }
  open(cell) {
    if (!cell) return;
    const { p, q } = this.view, { row, column, side } = cell;
    this.send("open", { rows: [row, Math.min(p, row + side)], columns: [column, Math.min(q, column + side)] });
  }
  fade(on) {
    if (this.data.threshold === null) return;
    this.fades = on;
    this.send("fade", { on });
    this.tools.draw();
    this.paint.soon();
  }
  useBox(on) {
    this.boxing = on;
    this.canvas.style.cursor = on ? "crosshair" : "";
    this.tools.draw();
  }

  // ------------------------------------------------------------------ words
  words({ row, column, side, value }) {
    const { rows, columns, data, view: { p, q } } = this;
    const noun = data.noun ? `${data.noun} ` : "";
    const named = (names, from, all) => noun + (side === 1 ? names[from] : `${names[from]} … ${names[Math.min(all, from + side) - 1]}`);
    const size = [Math.min(side, p - row), Math.min(side, q - column)];
    const said = [value === null ? "no value" : `${data.value} ${value.toFixed(data.digits ?? 3).replace("-", "−")}`];
    if (side > 1) said.push(`strongest of ${size[0]} × ${size[1]} cells`);
    if (value !== null && data.threshold !== null && Math.abs(value) < data.threshold) said.push(side > 1 ? "none significant" : "not significant");
    return [`${named(rows, row, p)}  ×  ${named(columns, column, q)}`, ...said];
  }
  showCard(cell, [x, y]) {
    const [pair, value, ...more] = this.words(cell), { card, frame } = this;
    card.replaceChildren(make("div", { class: "value" }, value), make("div", {}, pair), ...more.map((text) => make("div", { class: "more" }, text)));
    card.hidden = false;
    const { offsetWidth: w, offsetHeight: h } = card, gap = 16;
    card.style.left = `${Math.max(2, x + gap + w < frame.width ? x + gap : x - gap - w)}px`;
    card.style.top = `${Math.min(Math.max(2, y - h / 2), frame.height - h - 2)}px`;
  }
  say() {
    const { data, layers, view } = this;
    if (!layers.overview) return void (this.status.textContent = "Waiting for the cells …");
    const { seen, level } = this.wanted(), shown = layers.all.filter((l) => l.covers(seen, view.p, view.q)).at(-1);
    const finest = shown ?? layers.overview, side = finest.side * finest.by(this.frame.pixels), n = (v) => v.toLocaleString("en");
    const part = view.atHome ? `${n(view.p)} × ${n(view.q)}` : `${n(seen[1] - seen[0])} × ${n(seen[3] - seen[2])} of ${n(view.p)} × ${n(view.q)}`;
    const gathers = side > 1 ? `; each cell is the strongest of ${side} × ${side}` : "";
    const waits = this.asked && (shown?.level ?? Infinity) > level ? " · finer cells are on their way …" : "";
    this.status.textContent = `${part} cells${gathers}${waits} · ${data.help}`;
    return undefined;
  }
  later(name, ms, work) {
    clearTimeout(this.timers[name]);
    this.timers[name] = setTimeout(work, ms);
  }

  leave() {
    delete this.root.__loupeMap;
    this.stop.abort();
    this.watcher.disconnect();
    this.paint.stop();
    this.shelf.waiting.delete(this.wake);
    Object.values(this.timers).forEach(clearTimeout);
    clearTimeout(this.hands.clicks);
    this.box.remove();
    this.style.remove();
  }
}
const randomKey = () => [...crypto.getRandomValues(new Uint8Array(16))].map((v) => v.toString(16).padStart(2, "0")).join("");

const mountMap = ({ parentElement: root, data, setTriggerValue }) => { // under this name loader.js and code.js know it
  root.__loupeMap ??= new HeatMap(root);
  root.__loupeMap.update(data, setTriggerValue);
  return () => root.__loupeMap?.leave();
};
