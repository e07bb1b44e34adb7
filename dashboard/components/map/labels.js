/* Names of clusters at their place. Coarse names (level 0) are always there; finer ones come with the zoom, the larger
 * groups first, and none covers another. They are page elements and their text is set as text. */
const MOST_LABELS = 60, KNOWN = 20000; // shown at once, and looked through for each picture
const LEVEL_ZOOM = 2; // level k from 2^k-fold zoom on

class Labels {
  constructor(map) {
    Object.assign(this, { map, given: null, all: [] });
    this.box = make("div", { class: "labels" });
    this.pen = document.createElement("canvas").getContext("2d");
  }
  take(labels) {
    const given = JSON.stringify(labels);
    if (given === this.given) return;
    this.given = given;
    this.box.replaceChildren();
    this.all = labels.map((label) => ({ ...label, level: label.level ?? 0, size: label.size ?? 1 }));
    this.all.sort((a, b) => a.level - b.level || b.size - a.size).splice(KNOWN);
  }
  draw() {
    const { map } = this, { view } = map, finest = Math.max(0, Math.log2(Math.max(view.zoom / HOME, 1e-6)) / Math.log2(LEVEL_ZOOM) + 0.05);
    const placed = [], free = (r) => placed.every((q) => r[0] > q[2] || r[2] < q[0] || r[1] > q[3] || r[3] < q[1]);
    for (const label of this.all) {
      const [x, y] = view.toScreen(label.x, label.y, label.z ?? 0);
      const inside = x > 0 && y > 0 && x < view.width && y < view.height;
      let shown = inside && label.level <= finest && placed.length < MOST_LABELS;
      if (shown) {
        const { width, height } = this.measured(label), r = [x - width / 2 - 3, y - height / 2 - 1, x + width / 2 + 3, y + height / 2 + 1];
        if ((shown = free(r))) placed.push(r);
        if (shown) this.nodeOf(label).style.transform = `translate(${(x - width / 2).toFixed(1)}px,${(y - height / 2).toFixed(1)}px)`;
      }
      if (label.node) label.node.style.visibility = shown ? "visible" : "hidden";
    }
    this.placed = placed.length;
  }
  /* Its size on the screen, without an element: most labels of many are never shown. */
  measured(label) {
    if (!label.width) {
      const c = this.pen, fine = label.level > 0;
      c.font = `${fine ? "400 11.5px" : "600 12.5px"} ${getComputedStyle(this.map.frame).fontFamily}`; // as in map.css
      Object.assign(label, { width: Math.min(220, Math.ceil(c.measureText(label.text).width) + 2), height: 17 });
    }
    return label;
  }
  nodeOf(label) {
    if (!label.node) {
      label.node = make("span", { class: label.level > 0 ? "fine" : "" });
      label.node.textContent = label.text;
      this.box.append(label.node);
    }
    return label.node;
  }
}
