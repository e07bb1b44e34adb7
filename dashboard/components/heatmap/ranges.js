/* The part of the matrix that is seen: rows r0 to r1 and columns c0 to c1 as real numbers, counted in single cells. */
const LEAST = 4; // cells a side at the deepest zoom
const MARGIN = 0.25; // of what is seen, asked for beside it, so that a small move needs nothing new

class Ranges {
  constructor() {
    this.settle(1, 1);
  }
  settle(p, q) {
    Object.assign(this, { p, q });
    this.home();
  }
  home() {
    Object.assign(this, { r0: 0, r1: this.p, c0: 0, c1: this.q });
  }
  get box() {
    return [this.r0, this.r1, this.c0, this.c1];
  }
  get atHome() {
    return this.r1 - this.r0 > this.p - 1e-6 && this.c1 - this.c0 > this.q - 1e-6;
  }
  /* Cells are about square where rows and columns are about as many; elsewhere they fill the picture. */
  get square() {
    return this.p < 2 * this.q && this.q < 2 * this.p;
  }
  /* Show these rows and columns, whole. */
  show([r0, r1, c0, c1]) {
    let [high, wide] = [(r1 - r0) / this.p, (c1 - c0) / this.q];
    if (this.square) high = wide = Math.max(high, wide);
    this.centre((r0 + r1) / 2, (c0 + c1) / 2, high * this.p, wide * this.q);
  }
  centre(row, column, rows, columns) {
    const span = (wanted, all) => Math.min(all, Math.max(wanted, Math.min(LEAST, all)));
    this.place(row - span(rows, this.p) / 2, span(rows, this.p), column - span(columns, this.q) / 2, span(columns, this.q));
  }
  /* From this row and column on, so many; never beyond the matrix. */
  place(row, rows, column, columns) {
    this.r0 = Math.min(Math.max(row, 0), this.p - rows);
    this.c0 = Math.min(Math.max(column, 0), this.q - columns);
    [this.r1, this.c1] = [this.r0 + rows, this.c0 + columns];
  }
  move(rows, columns) {
    this.place(this.r0 + rows, this.r1 - this.r0, this.c0 + columns, this.c1 - this.c0);
  }
  /* Nearer by `factor`; the place (row, column) stays where it is on the screen. */
  zoomAt(row, column, factor) {
    const span = (before, all) => Math.min(all, Math.max(before / factor, Math.min(LEAST, all)));
    const rows = span(this.r1 - this.r0, this.p), columns = span(this.c1 - this.c0, this.q);
    const up = (row - this.r0) / (this.r1 - this.r0), left = (column - this.c0) / (this.c1 - this.c0);
    this.place(row - up * rows, rows, column - left * columns, columns);
  }
  /* So that this cell is seen. */
  reach(row, column) {
    const step = (from, to, place) => (place < from ? place - from : place + 1 > to ? place + 1 - to : 0);
    this.move(step(this.r0, this.r1, row), step(this.c0, this.c1, column));
  }
}

/* The finest level at which a block has at most `most` gathered cells a side, and which cells of it: as Tiles.block. */
const levelFor = ([r0, r1, c0, c1], most) => {
  let level = 0, span = [r0, r1, c0, c1];
  while (Math.max(span[1] - span[0], span[3] - span[2]) > most) {
    level++;
    const side = 2 ** level;
    span = [Math.floor(r0 / side), Math.ceil(r1 / side), Math.floor(c0 / side), Math.ceil(c1 / side)];
  }
  return { level, span };
};

/* What is seen in whole cells, the level it can be shown at, and the block to ask for: with a margin where there is room. */
const wantedOf = (view, most) => {
  const seen = [Math.floor(view.r0 + 1e-9), Math.ceil(view.r1 - 1e-9), Math.floor(view.c0 + 1e-9), Math.ceil(view.c1 - 1e-9)];
  const { level, span: [i0, i1, j0, j1] } = levelFor(seen, most), side = 2 ** level;
  const spare = (n) => Math.max(0, Math.floor(Math.min(n * MARGIN, (most - n) / 2)));
  const [up, left] = [spare(i1 - i0), spare(j1 - j0)];
  const block = [Math.max(0, (i0 - up) * side), Math.min(view.p, (i1 + up) * side), Math.max(0, (j0 - left) * side), Math.min(view.q, (j1 + left) * side)];
  return { seen, level, block };
};
