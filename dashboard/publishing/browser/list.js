/* The list of features of a tap, or of all taps: filters in the address, and only the rows in sight in the page. */
"use strict";

const ROW = 34, SPARE = 12;
const KINDS = [["", "All"], ["alive", "Alive"], ["dead", "Dead"], ["dense", "Dense"], ["selective", "Selective"], ["starred", "Starred"]];
const KIND_BITS = { dead: 1, dense: 2, selective: 4, starred: 8 };

/* The columns of a tap, as rows can be asked for. */
class Listed {
  constructor(tap, data) {
    Object.assign(this, { tap, data, n: data.units.length });
    this.numbers = Object.fromEntries(Object.entries(data.numbers).map(([name, base64]) => [name, new Float32Array(loupe.bytes(base64).buffer)]));
    this.sought = data.units.map((unit, i) => {
      const texts = Object.values(data.texts).map((column) => column[i]);
      return [data.names[i], data.notes[unit] ?? "", ...(data.tags[unit] ?? []), ...texts].join("\n").toLowerCase();
    });
  }
  has(i, kind) {
    const bits = this.data.kinds[i];
    return kind === "alive" ? !(bits & KIND_BITS.dead) : kind === "" || Boolean(bits & KIND_BITS[kind]);
  }
  shown(i, name) {
    if (name in this.numbers) {
      const value = this.numbers[name][i];
      if (!Number.isFinite(value)) return "";
      return this.data.percent.includes(name) ? `${value.toFixed(1)} %` : loupe.number(value);
    }
    return this.data.texts[name]?.[i] ?? "";
  }
}

/* "12", "3-9", "1, 5" are numbers; anything else is looked for in names, notes and classes. Every word must be there. */
const matcher = (text) => {
  const parts = text.split(/[,;]/).map((part) => part.trim()).filter(Boolean);
  const ranges = parts.map((part) => /^(\d{1,9})(?:\s*-\s*(\d{1,9}))?$/.exec(part));
  const words = parts.filter((_, k) => !ranges[k]).map((part) => part.toLowerCase().split(/\s+/));
  return (unit, sought) => !parts.length
    || ranges.some((r) => r && unit >= Number(r[1]) && unit <= Number(r[2] ?? r[1]))
    || words.some((all) => all.every((w) => sought.includes(w)));
};

/* [which list, place in it] of what passes, in order: starred first, as in the dashboard. */
const ordered = (lists, asked) => {
  const passes = matcher(asked.search), found = [];
  lists.forEach((list, k) => {
    for (let i = 0; i < list.n; i++) {
      if (!list.has(i, asked.kind) || (asked.class && list.data.texts.top_class?.[i] !== asked.class)) continue;
      if (passes(list.data.units[i], list.sought[i])) found.push([k, i]);
    }
  });
  const { order, rising } = asked, falling = order !== "unit" && !rising;
  const value = ([k, i]) => {
    if (order === "unit") return lists.length > 1 ? 0 : lists[k].data.units[i]; // of several taps one after the other
    if (order === "name") return lists[k].data.names[i] || "\uffff";
    const v = lists[k].numbers[order]?.[i] ?? lists[k].data.texts[order]?.[i] ?? NaN;
    return typeof v === "string" ? v || "\uffff" : Number.isFinite(v) ? (falling ? -v : v) : Infinity;
  };
  const keys = new Map(found.map((at) => [at, value(at)])), star = ([k, i]) => (lists[k].has(i, "starred") ? 0 : 1);
  const compare = (a, b) => (typeof a === "string" || typeof b === "string" ? String(a).localeCompare(String(b), "en", { numeric: true }) : a - b);
  return found.sort((a, b) => star(a) - star(b) || compare(keys.get(a), keys.get(b)) || a[0] - b[0] || a[1] - b[1]);
};

class FeatureTable {
  constructor(lists, asked, change) {
    Object.assign(this, { lists, asked, change, found: ordered(lists, asked), drawn: "" });
    const first = lists[0], names = new Set(lists.flatMap((list) => Object.keys(list.data.heads)));
    this.columns = [["unit", lists.length > 1 ? "Number" : first.tap.word === "unit" ? "Unit" : "Feature", 5, true]];
    if (lists.length > 1) this.columns.push(["tap", "Tap", 17, false]);
    if (lists.some((list) => list.data.names.some(Boolean) || Object.keys(list.data.notes).length)) this.columns.push(["name", "Name and note", 16, false]);
    for (const name of names) {
      const about = lists.find((list) => name in list.data.heads), numeric = lists.some((list) => name in list.numbers);
      if (lists.length > 1 && !["top_class", "top_class_share", "fraction_positive", "maximum"].includes(name)) continue;
      this.columns.push([name, about.data.heads[name], numeric ? 6.5 : 8, numeric, about.data.help[name]]);
    }
    this.inside = make("div", { class: "inside", role: "rowgroup" });
    this.space = make("div", { class: "space", style: `height:${this.found.length * ROW}px`, role: "presentation" }, this.inside);
    this.box = make("div", { class: "list", role: "table", "aria-label": "Features", "aria-rowcount": this.found.length + 1, tabindex: 0 }, this.head(), this.space);
    this.box.style.setProperty("--columns", this.columns.map(([id, , width]) => (id === "name" ? `minmax(${width}rem, 1fr)` : `${width}rem`)).join(" "));
    this.box.style.setProperty("--least", `${this.columns.reduce((sum, [, , width]) => sum + width + 0.9, 0.7)}rem`);  // header and rows alike
    this.box.addEventListener("scroll", () => this.draw());
    this.box.addEventListener("keydown", (e) => this.key(e));
    new ResizeObserver(() => this.draw()).observe(this.box);
  }
  head() {
    const cell = ([id, name, , numeric, help]) => {
      const here = this.asked.order === "unit" && this.lists.length > 1 ? id === "tap" : this.asked.order === id, way = here ? (this.asked.rising || ["unit", "tap", "name"].includes(id) ? " ↑" : " ↓") : "";
      const sorts = make("button", { type: "button", title: help ?? null, "aria-pressed": String(here), onclick: () => this.sort(id === "tap" ? "unit" : id) }, name + way);
      const sorted = here ? (way === " ↑" ? "ascending" : "descending") : "none";
      return make("span", { class: numeric ? "cell number" : "cell", role: "columnheader", "aria-sort": sorted }, sorts);
    };
    return make("div", { class: "row head", role: "row", "aria-rowindex": 1 }, this.columns.map(cell));
  }
  sort(id) {
    const again = this.asked.order === id;
    this.change({ order: id, rising: again ? !this.asked.rising : false });
  }
  row(at) {
    const [k, i] = this.found[at], list = this.lists[k], unit = list.data.units[i];
    const text = (id) => {
      if (id === "unit") return `${list.has(i, "starred") ? "★ " : ""}${unit}`;
      if (id === "tap") return list.tap.reference;
      if (id === "name") return nameOf(list, i);
      return list.shown(i, id);
    };
    const href = loupe.feature(list.tap.reference, unit, asksOf(this.asked)); // the link of the first cell covers its row (site.css)
    const inner = (id) => (id === "unit" ? make("a", { href, "data-at": at, tabindex: -1 }, text(id)) : text(id));
    const cell = ([id, , , numeric]) => make("span", { class: numeric ? "cell number" : "cell", role: "cell", title: ["name", "tap"].includes(id) ? text(id) : null }, inner(id));
    return make("div", { class: "row", role: "row", "aria-rowindex": at + 2 }, this.columns.map(cell));
  }
  /* The rows in sight, and some above and below. */
  draw() {
    const top = Math.max(0, Math.floor(this.box.scrollTop / ROW) - SPARE), end = Math.min(this.found.length, top + Math.ceil(this.box.clientHeight / ROW) + 2 * SPARE);
    if (this.drawn === `${top} ${end}`) return;
    this.drawn = `${top} ${end}`;
    const held = this.box.contains(document.activeElement) ? document.activeElement.dataset?.at : null;
    this.inside.style.top = `${top * ROW}px`;
    this.inside.replaceChildren(...Array.from({ length: end - top }, (_, k) => this.row(top + k)));
    if (held !== null && held !== undefined) this.inside.querySelector(`[data-at="${held}"]`)?.focus({ preventScroll: true });
  }
  key(e) {
    const at = Number(document.activeElement?.dataset?.at ?? -1), page = Math.max(1, Math.floor(this.box.clientHeight / ROW) - 2);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, PageDown: at + page, PageUp: at - page, Home: 0, End: this.found.length - 1 }[e.key];
    if (to === undefined || !this.found.length) return;
    e.preventDefault();
    this.focus(Math.min(Math.max(to, 0), this.found.length - 1));
  }
  focus(at) {
    const room = this.box.clientHeight - this.box.firstChild.offsetHeight;
    if (at * ROW < this.box.scrollTop) this.box.scrollTop = at * ROW;
    if ((at + 1) * ROW > this.box.scrollTop + room) this.box.scrollTop = (at + 1) * ROW - room;
    this.draw();
    this.inside.querySelector(`[data-at="${at}"]`)?.focus({ preventScroll: true });
  }
}

/* A note begins with what the feature is called by it: once is enough. */
const nameOf = (list, i) => {
  const name = list.data.names[i], note = list.data.notes[list.data.units[i]]?.replace(/\s+/g, " ") ?? "";
  return !note || note.startsWith(name) ? note || name : `${name} · ${note}`;
};

/* What a person asks of the list, from the address and back. */
const askedFrom = (query) => ({
  search: (query.get("q") ?? "").slice(0, 500), kind: KINDS.some(([id]) => id === query.get("kind")) ? query.get("kind") : "", class: query.get("class") ?? "",
  order: query.get("sort") ?? "unit", rising: query.get("rising") === "1", from: query.get("from") ?? "",
});
const asksOf = (asked) => ({ q: asked.search, kind: asked.kind, class: asked.class, sort: asked.order === "unit" ? "" : asked.order, rising: asked.rising ? "1" : "", from: asked.from });
