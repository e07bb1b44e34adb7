/* The tools above the map, and the list of keys. Every tool is a real button or select, reachable by Tab, with its
 * name for who does not see the icon; what it does is shown beside it when the pointer or the focus is on it. */
const TOOLS = [
  ["pan", "Move", "Move: drag to move, wheel to zoom (P)"],
  ["lasso", "Lasso", "Lasso: draw around points to select them (L)"],
  ["box", "Box", "Box: drag a box to select (B)"],
];
const MODES = [["points", "Points"], ["density", "Density"], ["both", "Both"]];
const KEYS = [
  ["Arrows", "move (in 3-D: turn)"], ["+  −  0", "zoom in, zoom out, show everything"], ["P  L  B", "move, lasso, box"],
  ["Shift, Alt", "while drawing or clicking: add, subtract"], ["A  S", "next outlines add, subtract"], ["I", "invert the selection"],
  ["Esc", "select nothing"], ["Space, Enter", "card of the point nearest to the middle, look at it"], ["Shift + Enter", "add that point to the selection"], ["D", "points, density, both"], ["[  ]", "step back, forward"],
];

class Toolbar {
  constructor(map) {
    this.map = map;
    const tool = (picture, name, tip, work, more = {}) => // aria-description is also the text of the tooltip (map.css)
      make("button", { type: "button", class: "icon", "aria-label": name, "aria-description": tip, onclick: work, ...more }, icon(picture));
    const { selection } = map, group = (...parts) => make("span", { class: "group" }, ...parts);
    this.tools = TOOLS.map(([name, text, tip]) => tool(name, text, tip, () => map.use(name), { "data-tool": name }));
    this.mode = make("select", { title: "Points, density shading where they overlap, or both (D)", "aria-label": "How points are drawn",
      onchange: (e) => map.setMode(e.target.value) }, ...MODES.map(([value, text]) => make("option", { value }, text)));
    this.add = tool("add", "Add", "Add: the next outlines add to the selection (A; or hold Shift)", () => selection.combine("add"));
    this.remove = tool("remove", "Subtract", "Subtract: the next outlines are taken from the selection (S; or hold Alt)", () => selection.combine("remove"));
    this.chosen = group(this.add, this.remove,
      tool("invert", "Invert", "Invert: select what is not selected, among what is shown (I)", () => selection.invert()),
      tool("clear", "Clear selection", "Select nothing (Esc)", () => this.clear()));
    const layer = (name, tip) => make("button", { type: "button", "aria-description": tip, onclick: () => map.show(name) });
    this.edges = layer("edges", "Show or hide the lines between points");
    this.ellipses = layer("ellipses", "Show or hide the local distortion");
    this.legend = tool("legend", "Legend", "Show or fold the legend", () => map.legend.fold());
    this.help = tool("help", "Keys", "All keys (?)", () => this.showKeys(this.keys.hidden), { "aria-expanded": "false" });
    this.bar = make("div", { class: "tools", role: "toolbar", "aria-label": "Map tools" }, group(...this.tools),
      group(tool("nearer", "Zoom in", "Zoom in (+)", () => map.zoomBy(1.5)), tool("farther", "Zoom out", "Zoom out (-)", () => map.zoomBy(1 / 1.5)),
        tool("fit", "Fit", "Fit: show everything (0)", () => map.home())),
      this.mode, this.edges, this.ellipses, this.chosen,
      make("span", { class: "group end" }, tool("save", "PNG", "Save exactly this picture as PNG", () => savePicture(map)), this.help, this.legend));
    this.keys = make("dl", { class: "keys", hidden: "" }, ...KEYS.flatMap(([key, does]) => [make("dt", {}, key), make("dd", {}, does)]));
  }
  showKeys(open) {
    this.keys.hidden = !open;
    this.help.setAttribute("aria-expanded", String(open));
  }
  /* The button goes away with the selection; the focus must not be lost with it. */
  clear() {
    this.map.selection.clear();
    this.map.canvas.focus();
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
    this.chosen.hidden = !map.count;
    press(this.add, map.selection.how === "add");
    press(this.remove, map.selection.how === "remove");
    this.legend.hidden = !map.legend.wanted;
    this.legend.setAttribute("aria-expanded", String(!map.legend.folded));
  }
}
