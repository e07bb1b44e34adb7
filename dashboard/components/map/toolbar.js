/* The tools above the map, and the list of keys. Every tool is a real button or select: reachable by Tab. */
const TOOLS = [
  ["pan", "Move", "Drag to move, wheel to zoom (P)"],
  ["lasso", "Lasso", "Draw around points to select them (L)"],
  ["box", "Box", "Drag a box to select (B)"],
];
const MODES = [["points", "Points"], ["density", "Density"], ["both", "Both"]];
const KEYS = [
  ["Arrows", "move (in 3-D: turn)"], ["+  −  0", "zoom in, zoom out, show everything"], ["P  L  B", "move, lasso, box"],
  ["Shift, Alt", "while drawing or clicking: add, subtract"], ["A  S", "next outlines add, subtract"], ["I", "invert the selection"],
  ["Esc", "select nothing"], ["Space, Enter", "card of the middle point, look at it"], ["D", "points, density, both"], ["[  ]", "step back, forward"],
];

class Toolbar {
  constructor(map) {
    this.map = map;
    const button = (text, title, work, more = {}) => make("button", { type: "button", title, onclick: work, ...more }, text);
    this.tools = TOOLS.map(([name, text, title]) => button(text, title, () => map.use(name), { "data-tool": name }));
    this.mode = make("select", { title: "Points, density shading where they overlap, or both (D)", "aria-label": "How points are drawn",
      onchange: (e) => map.setMode(e.target.value) }, ...MODES.map(([value, text]) => make("option", { value }, text)));
    this.add = button("Add", "The next outlines add to the selection (A; or hold Shift)", () => map.selection.combine("add"));
    this.remove = button("Subtract", "The next outlines are taken from the selection (S; or hold Alt)", () => map.selection.combine("remove"));
    this.invert = button("Invert", "Select what is not selected, among what is shown (I)", () => map.selection.invert());
    this.clear = button("Clear selection", "Select nothing (Esc)", () => map.selection.clear());
    this.edges = button("Edges", "Show or hide the lines between points", () => map.show("edges"));
    this.ellipses = button("Ellipses", "Show or hide the local distortion", () => map.show("ellipses"));
    this.png = button("PNG", "Save exactly this picture", () => savePicture(map));
    this.help = button("?", "Keys", () => this.showKeys(this.keys.hidden), { "aria-expanded": "false" });
    this.bar = make("div", { class: "tools", role: "toolbar", "aria-label": "Map tools" }, ...this.tools,
      button("+", "Zoom in (+)", () => map.zoomBy(1.5)), button("−", "Zoom out (-)", () => map.zoomBy(1 / 1.5)),
      button("Fit", "Show everything (0)", () => map.home()), this.mode, this.edges, this.ellipses,
      this.add, this.remove, this.invert, this.clear, this.png, this.help);
    this.keys = make("dl", { class: "keys", hidden: "" }, ...KEYS.flatMap(([key, does]) => [make("dt", {}, key), make("dd", {}, does)]));
  }
  showKeys(open) {
    this.keys.hidden = !open;
    this.help.setAttribute("aria-expanded", String(open));
  }
  draw() {
    const { map } = this, press = (button, on) => button.setAttribute("aria-pressed", String(on));
    this.tools.forEach((button) => press(button, button.dataset.tool === map.tool));
    this.mode.value = map.mode;
    for (const name of ["edges", "ellipses"]) {
      this[name].hidden = !map.data[name] || (name === "ellipses" && map.points.dims === 3);
      this[name].textContent = map.data[name]?.button ?? { edges: "Edges", ellipses: "Ellipses" }[name];
      press(this[name], map.shows[name]);
    }
    for (const button of [this.add, this.remove, this.invert, this.clear]) button.hidden = !map.count;
    press(this.add, map.selection.how === "add");
    press(this.remove, map.selection.how === "remove");
  }
}
