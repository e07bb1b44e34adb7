/* The card of one feature: the same parts as in the dashboard, drawn by the same components. */
"use strict";

class Card {
  /* `around`: links to the list and to the features before and after. */
  constructor(site, tap, list, card, around) {
    Object.assign(this, { site, tap, list, card, around, themed: [] });
    this.box = make("div", {}, this.top(), this.words(), make("div", { class: "sides" }, this.left(), this.right()));
    this.retheme();
  }
  get colours() {
    return this.site.themes[loupe.theme()];
  }
  retheme() {
    for (const draw of this.themed) draw();
  }
  top() {
    const { card, around } = this, way = (name, link) => make("a", { class: "button", href: link ?? null, "aria-disabled": link ? null : "true", rel: name === "Previous" ? "prev" : name === "Next" ? "next" : null }, name);
    const badge = card.badge && make("details", {}, make("summary", { class: "badge" }, card.badge.word), card.badge.hover.split("\n\n").map((line) => make("p", { class: "said" }, line)));
    return make("div", { class: "card-top" }, way(`All ${this.tap.word}s`, around.list), make("h1", {}, card.title), card.star && make("span", { class: "badge" }, "★ starred"), badge, card.written.tags.map((tag) => make("span", { class: "badge" }, tag)),
      make("span", { class: "end" }, way("Previous", around.before), way("Next", around.after)));
  }
  words() {
    const { card, tap } = this;
    return make("div", {}, make("p", { class: "said" }, `${tap.reference}, in ${this.site.stores[tap.store]}`), card.sentences.length ? make("p", {}, card.sentences.join(" ")) : null,
      card.named.map((line) => make("p", {}, line)), card.problems.map((line) => make("p", { class: "notice" }, line)));
  }
  left() {
    const { card } = this, parts = [];
    const tiles = (found) => {
      const host = make("div");
      loupe.parts.tiles({ host, data: { tiles: this.placed(found), wide: found.some((t) => t.tokens), leads: true, shade: "#E69F00" }, tell: (_, { sample }) => samples.open(this.site, this.tap.store, sample) });
      return host;
    };
    if (card.written.note || card.written.replies.length) parts.push(make("section", {}, make("h2", {}, "Note"), this.note(card.written)));
    if (card.dead) parts.push(make("section", {}, make("h2", {}, "Strongest examples"), make("p", {}, "It never varies, so no example is stronger than another.")));
    if (card.strongest) parts.push(make("section", {}, make("h2", {}, "Strongest examples", make("span", {}, card.strongest.how)), tiles(card.strongest.tiles)));
    parts.push(make("section", {}, this.weaker(tiles)));
    return make("div", {}, parts);
  }
  note({ note, who, replies }) {
    const by = (name) => (name ? make("span", { class: "who" }, ` ${name}`) : "");
    return make("div", { class: "written card-note" }, note, by(who), replies.length ? make("ul", {}, replies.map(([text, name]) => make("li", {}, text, by(name)))) : "");
  }
  /* Pictures where they lie in this bundle. */
  placed(found) {
    return found.map((tile) => (tile.image ? { ...tile, image: `pictures/${this.tap.store}/${tile.image}` } : tile));
  }
  weaker(tiles) {
    const { weaker } = this.card, box = make("details", {}, make("summary", {}, "Weaker examples, from strong to none"));
    if (!weaker.length) box.append(make("p", { class: "said" }, "All rows are among the strongest examples already."));
    box.addEventListener("toggle", () => box.open && box.children.length === 1 && box.append(...weaker.map((band) => make("div", {}, make("p", { class: "said" }, band.said), band.tiles.length ? tiles(band.tiles) : ""))));
    return box;
  }
  right() {
    const { card } = this, side = make("div"), charts = card.charts.map((chart) => ({ ...chart, lines: chart.lines.map((line) => this.leads(line)) }));
    if (card.histogram) side.append(make("section", {}, this.histogram()));
    if (charts.length) {
      const host = make("section");
      loupe.parts.bars({ host, data: { charts }, tell: (_, { id }) => this.open(id) });
      side.append(host);
    }
    if (card.lit && this.list.data.lit) side.append(this.lit());
    return side;
  }
  histogram() {
    const host = make("div"), { histogram } = this.card;
    this.themed.push(() => {
      const { categories, accent } = this.colours, colours = histogram.groups.length > 1 ? categories : [accent];
      const groups = histogram.groups.map((group, k) => ({ ...group, colour: colours[k % colours.length], hatched: k >= colours.length }));
      loupe.parts.histogram({ host, data: { ...histogram, groups } });
    });
    return host;
  }
  /* A line leads to another card where that was published, and nowhere otherwise. */
  leads(line) {
    if (line.id === null || line.id === undefined) return line;
    return this.reference(line.id) ? line : { ...line, id: null, title: `${line.title.replace(/; open its card$/, "")}; its card is not in this bundle` };
  }
  reference(id) {
    const at = id.indexOf(":"), unit = Number(id.slice(0, at)), tap = id.slice(at + 1), store = this.tap.reference.split(":")[0];
    const known = this.site.taps.find((one) => one.reference === `${store}:${tap}`);
    return loupe.published(known, unit) ? [known.reference, unit] : null;
  }
  open(id) {
    const to = this.reference(id);
    if (to) location.href = loupe.feature(...to);
  }
  lit() {
    const { card, list } = this, { lit } = list.data, host = make("div"), root = host.attachShadow({ mode: "open" });
    const positions = loupe.column("lit places", loupe.bytes(lit.positions)), steps = loupe.column(`lit ${card.unit}`, loupe.bytes(card.lit.steps));
    this.themed.push(() => {
      const look = this.colours, stops = card.lit.diverging ? look.diverging : look.sequential;
      const colour = { kind: "number", bits: 8, key: steps, label: card.lit.label, note: card.lit.note, low: card.lit.low, high: card.lit.high, stops };
      loupe.parts.map({ parentElement: root, setTriggerValue: () => {}, data: { n: lit.n, label: `${card.title} on the map of its tap`, of: this.tap.rows, dims: 2, positions, members: null,
        colour, greys: look.greys, density: look.sequential, mode: "points", labels: [], compact: true, height: 220 } });
    });
    const map = this.site.maps.find((one) => one.reference === this.tap.reference);
    const part = lit.n < lit.of_all ? make("p", { class: "said" }, `A random ${lit.n.toLocaleString("en")} of ${lit.of_all.toLocaleString("en")} ${this.tap.rows}`) : "";
    return make("section", {}, make("h2", {}, "Where it lights up on the map"), host,
      make("p", { class: "said" }, `${card.lit.label}: dark to bright is ${loupe.number(card.lit.low)} to ${loupe.number(card.lit.high)} (PCA of its tap).`), part, map ? make("p", {}, make("a", { href: loupe.link("map.html", [map.reference, map.method]) }, "Open the map")) : "");
  }
}
