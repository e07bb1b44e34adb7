/* The tools above the picture, what its scale means, and the list of keys. */
const KEYS = [
  ["Arrows", "from cell to cell (Shift: ten cells)"], ["+  −  0", "zoom in, zoom out, show everything"], ["Enter", "open the pair of the cell"],
  ["B, Shift-drag", "draw a box to zoom into"], ["F", "fade what is not significant"], ["Esc", "point at nothing"],
];

class Tools {
  constructor(heat) {
    this.heat = heat;
    const tool = (picture, name, tip, work) =>
      make("button", { type: "button", class: "icon", "aria-label": name, title: tip, onclick: work }, icon(picture));
    this.boxing = tool("box", "Box", "Box: draw a box to zoom into (B, or drag with Shift)", () => heat.useBox(!heat.boxing));
    this.fade = make("button", { type: "button", onclick: () => heat.fade(!heat.fades) }, "Fade what is not significant");
    this.help = tool("help", "Keys", "All keys (?)", () => this.showKeys(this.keys.hidden));
    const middle = (factor) => heat.zoomAt(...heat.hands.middle, factor);
    this.bar = make("div", { class: "tools", role: "toolbar", "aria-label": "Heat map tools" },
      make("span", { class: "group" }, tool("nearer", "Zoom in", "Zoom in (+)", () => middle(2)),
        tool("farther", "Zoom out", "Zoom out (−)", () => middle(1 / 2)), tool("fit", "Fit", "Show everything (0, or double click)", () => heat.home()), this.boxing, this.help),
      this.fade);
    this.keys = make("dl", { class: "keys", hidden: "" }, ...KEYS.flatMap(([key, does]) => [make("dt", {}, key), make("dd", {}, does)]));
    this.legend = make("div", { class: "legend" });
  }
  showKeys(open) {
    this.keys.hidden = !open;
    this.help.setAttribute("aria-expanded", String(open));
  }
  draw() {
    const { data, fades, boxing } = this.heat, told = data.threshold !== null;
    this.boxing.setAttribute("aria-pressed", String(boxing));
    this.fade.hidden = !told;
    this.fade.setAttribute("aria-pressed", String(fades));
    const entry = (kind, text) => make("span", {}, make("i", { class: kind, "aria-hidden": "true" }), text);
    this.legend.replaceChildren(make("span", { class: "name" }, data.value),
      ...(data.nullBand ? [entry("null", data.nullWords)] : []), ...(told ? [entry("notch", data.thresholdWords)] : []));
  }
}
