/* Where things are on the canvas: the cells in the middle, names left and below, trees right and above, the scale on top. */
const NAMED = 9.5, TITLE = 19, SCALE = 46, TREE = 62, GAP = 5; // pixels; a line of cells needs NAMED for its name
const NARROW = 520, LOWEST = 320, LONGEST_NAME = [64, 116]; // where there is little room or names show only after a zoom; elsewhere
const SHOWN_AT_ONCE = 60; // lines whose names are seen without a zoom

class Frame {
  constructor(heat) {
    Object.assign(this, { heat, width: 0, height: 0, ratio: 1, x: 0, y: 0, w: 1, h: 1, names: [0, 0], trees: [0, 0] });
  }
  /* Take the size that the page gives; true when it has changed. */
  resize() {
    const { heat, heat: { box, canvas, data } } = this, width = Math.max(box.clientWidth, 1);
    const room = Math.round(Math.min(data.height ?? 600, Math.max(LOWEST, width * 1.02 + SCALE))), ratio = Math.min(window.devicePixelRatio || 1, 3);
    const before = [this.width, this.height, this.ratio].join();
    Object.assign(this, { width, ratio, height: heat.layers.overview ? this.settle(width, room) : room });
    if ([width, this.height, ratio].join() === before) return false;
    [canvas.width, canvas.height] = [Math.round(width * ratio), Math.round(this.height * ratio)];
    canvas.style.height = `${this.height}px`;
    return true;
  }
  /* The margins that these names and trees need; the same for every view, so that nothing jumps while it is moved.
   * Returns the height that is used of `room`. */
  settle(width, room) {
    const { heat: { data, view, pen, rows, columns } } = this, narrow = width < NARROW;
    const most = (names) => LONGEST_NAME[narrow || names.length > SHOWN_AT_ONCE ? 0 : 1];
    pen.family = getComputedStyle(this.heat.box).fontFamily || pen.family;
    pen.font = NAME_FONT(pen.family);
    this.names = [rows, columns].map((names) => Math.ceil(Math.min(most(names), longest(pen, names))) + GAP);
    const tree = narrow ? TREE / 2 : TREE;
    this.trees = [data.trees?.rows ? tree : 0, data.trees?.columns ? tree : 0];
    const left = TITLE + this.names[0], top = SCALE + this.trees[1], right = this.trees[0] + 10, below = TITLE + this.names[1];
    const [wide, high] = [Math.max(width - left - right, 40), Math.max(room - top - below, 40)];
    let [w, h] = [wide, high];
    if (view.square) {
      const cell = Math.min(wide / view.q, high / view.p);
      [w, h] = [cell * view.q, cell * view.p];
    }
    Object.assign(this, { x: left, y: top, w: Math.floor(w), h: Math.floor(h) });
    return top + this.h + below;
  }
  /* Pixels a single cell, across and down. */
  get across() {
    return this.w / (this.heat.view.c1 - this.heat.view.c0);
  }
  get down() {
    return this.h / (this.heat.view.r1 - this.heat.view.r0);
  }
  /* Device pixels of the shorter side of a single cell. */
  get pixels() {
    return Math.min(this.across, this.down) * this.ratio;
  }
  /* How many cells a side are worth asking for. */
  get most() {
    return Math.min(512, Math.max(64, Math.ceil(Math.max(this.w, this.h) * this.ratio)));
  }
  left(column) {
    return this.x + (column - this.heat.view.c0) * this.across;
  }
  top(row) {
    return this.y + (row - this.heat.view.r0) * this.down;
  }
  inside(x, y) {
    return x >= this.x && x < this.x + this.w && y >= this.y && y < this.y + this.h;
  }
  /* Row and column (real numbers) under a pixel. */
  place(x, y) {
    return [this.heat.view.r0 + (y - this.y) / this.down, this.heat.view.c0 + (x - this.x) / this.across];
  }
}

const NAME_FONT = (family, line = 12) => `${Math.min(11, line)}px ${family}`;
const SAMPLED = 300; // names measured; more would take as long as drawing
const longest = (pen, names) => {
  const step = Math.max(1, Math.floor(names.length / SAMPLED));
  let width = 0;
  for (let i = 0; i < names.length; i += step) width = Math.max(width, pen.measureText(names[i]).width);
  return width;
};
