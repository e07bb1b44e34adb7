/* The legend: what the colours mean, and isolating or hiding categories. */
const SEARCHED_FROM = 13, MOST_ENTRIES = 300, LEGEND_WIDE = 176; // pixels, with the gaps beside it
const NARROW = 460; // a map less wide than this starts with its legend folded

class Legend {
  constructor(map) {
    this.map = map;
    this.box = make("div", { class: "legend", role: "group", "aria-label": "Legend" });
    Object.assign(this, { sought: "", folds: null });
    this.search = make("input", { type: "search", class: "search", "aria-label": "Search the legend", oninput: () => this.seek() });
  }
  seek() {
    this.sought = this.search.value;
    this.fill(this.box.querySelector(".entries"), this.map.colour, this.map.hidden);
  }
  /* Whether there is something to say at all; it can be folded away, since it lies over the picture. */
  get wanted() {
    const { data, colour, mode } = this.map;
    return !data.compact && Boolean(colour || data.colour || data.edges || data.ellipses || mode !== "points");
  }
  get folded() {
    return this.folds ?? this.map.view.width < NARROW;
  }
  get open() {
    return this.wanted && !this.folded;
  }
  fold() {
    this.folds = !this.folded;
    this.map.drawParts();
  }
  draw() {
    const { box } = this, { colour, hidden } = this.map, held = box.getRootNode().activeElement, list = box.querySelector(".entries")?.scrollTop ?? 0;
    const parts = this.open ? [this.ofColour(colour, hidden), this.ofEdges(), this.ofEllipses(), this.ofDensity()] : [];
    const inside = box.contains(held);
    box.replaceChildren(...parts.flat().filter(Boolean));
    box.hidden = !box.children.length;
    box.querySelector(".entries")?.scrollTo(0, list);
    if (inside) this.focus(held); // what had the focus was taken away, or put back in its place
  }
  focus(held) {
    const again = held === this.search ? held : this.box.querySelector(held.dataset.code ? `[data-code="${held.dataset.code}"]` : ".entry");
    again?.focus();
  }
  ofColour(colour, hidden) {
    if (!colour) return [];
    const title = make("div", { class: "title" }, colour.label ?? ""), note = colour.note && make("div", { class: "more" }, colour.note);
    if (colour.kind === "number") return [title, ramp(colour.stops, short(colour.low), short(colour.high)), note];
    const list = make("div", { class: "entries" });
    const search = colour.names.length >= SEARCHED_FROM && this.search;
    this.search.placeholder = `Search ${colour.names.length.toLocaleString("en")}`;
    if (!search) this.sought = this.search.value = "";
    this.fill(list, colour, hidden);
    const all = hidden.size > 0 && make("button", { type: "button", class: "entry all", onclick: () => this.map.hide(new Set()) }, "Show all");
    return [title, search, list, all, note];
  }
  /* The entries that match what is sought; the rest are counted. */
  fill(list, colour, hidden) {
    const sought = this.sought.toLowerCase(), codes = [];
    let more = 0;
    colour.names.forEach((name, code) => {
      if (sought && !name.toLowerCase().includes(sought)) return;
      if (codes.length < MOST_ENTRIES) codes.push(code);
      else more++;
    });
    list.replaceChildren(...codes.map((code) => this.entry(colour, code, hidden)));
    if (more) list.append(make("div", { class: "more" }, `and ${more.toLocaleString("en")} more: search`));
  }
  /* Click a category: only it; click again: all; with Shift or Ctrl: hide or show. */
  entry(colour, code, hidden) {
    const choose = (e) => this.map.hide(chosenHidden(code, colour.names.length, this.map.hidden, e.shiftKey || e.ctrlKey || e.metaKey));
    const count = colour.counts ? make("span", { class: "count" }, colour.counts[code].toLocaleString("en")) : null;
    return make("button", { type: "button", class: "entry", "aria-pressed": String(!hidden.has(code)), "data-code": code, onclick: choose,
      title: `${colour.names[code]}\nClick or Enter: only this one. With Shift: hide or show.` },
    make("i", { class: `mark${colour.marks?.[code] ?? 0}`, style: `background:${colour.palette[code]}` }),
    make("span", { class: "name" }, colour.names[code]), count);
  }
  ofEdges() {
    const { edges } = this.map.data;
    if (!edges || !this.map.shows.edges) return [];
    const scale = edges.values ? ramp(edges.stops, short(edges.low), short(edges.high)) : null;
    return [make("div", { class: "title" }, edges.label ?? "Edges"), scale, edges.note && make("div", { class: "more" }, edges.note)];
  }
  ofEllipses() {
    const { ellipses } = this.map.data, drawn = this.map.overlay.ellipses;
    if (!ellipses || !this.map.shows.ellipses) return [];
    const said = drawn?.left ? `${drawn.n.toLocaleString("en")} of ${(drawn.n + drawn.left).toLocaleString("en")} here are drawn: zoom in` : ellipses.note;
    return [make("div", { class: "title" }, ellipses.label ?? "Ellipses"), said && make("div", { class: "more" }, said)];
  }
  ofDensity() {
    const { mode, densest, count, data } = this.map;
    if (mode === "points" || !densest?.count) return [];
    const said = densest.count >= densest.most ? `${densest.count.toLocaleString("en")} or more` : densest.count.toLocaleString("en");
    const side = cellFor(this.map.points.n), cell = `points per ${side} × ${side} pixels, logarithmic`;
    if (mode === "density" && !count) return [make("div", { class: "title" }, "Density"), ramp(data.density, "0", said), make("div", { class: "more" }, cell)];
    return [make("div", { class: "title" }, "Density"), make("div", { class: "more" }, `stronger where more overlap, up to ${said} ${cell}`)];
  }
}

const ramp = (stops, low, high) =>
  make("div", {},
    make("div", { class: "ramp", style: `background:linear-gradient(90deg,${(stops ?? ["#888888", "#888888"]).join(",")})` }),
    make("div", { class: "ends" }, make("span", {}, low), make("span", {}, high)));

const chosenHidden = (code, all, hidden, toggle) => {
  const next = new Set(hidden);
  if (toggle) next.has(code) ? next.delete(code) : next.add(code);
  else {
    const alone = hidden.size === all - 1 && !hidden.has(code);
    next.clear();
    if (!alone) for (let c = 0; c < all; c++) if (c !== code) next.add(c);
  }
  return next.size === all ? new Set() : next;
};
