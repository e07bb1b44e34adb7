/* The cells that are here: the overview of everything, and the blocks that were asked for. Each is a Layer.
 *
 * As bytes: 32 of header (int32 row, column, level, rows, columns; float32 scale), then int16 row by row. Cell (i, j)
 * stands for the entry of largest magnitude among side x side single cells (side = 2 ** level) from row + i * side and
 * column + j * side on; its value is int16 * scale, MISSING for none.
 */
const MISSING = -32768, FADED = 0.28, KEPT_LAYERS = 8, COARSEST_DRAWN = 0.4; // pixels a cell; smaller ones are left to the overview

class Layer {
  constructor(bytes) {
    const head = new DataView(bytes.buffer, bytes.byteOffset, 32), whole = (k) => head.getInt32(4 * k, true);
    [this.row, this.column, this.level, this.rows, this.columns] = [0, 1, 2, 3, 4].map(whole);
    this.scale = head.getFloat32(20, true);
    this.values = new Int16Array(bytes.buffer, bytes.byteOffset + 32, this.rows * this.columns);
    this.side = 2 ** this.level;
    [this.pictures, this.parts] = [new Map(), new Map()];
  }
  covers([r0, r1, c0, c1], p, q) {
    const down = Math.min(p, this.row + this.rows * this.side), right = Math.min(q, this.column + this.columns * this.side);
    return r0 >= this.row && c0 >= this.column && r1 <= down && c1 <= right;
  }
  /* How many cells a side go into one that is drawn, where there are fewer pixels than cells. */
  by(pixels) {
    return Math.max(1, Math.ceil(1 / Math.min(1, this.side * pixels) - 1e-6));
  }
  /* The strongest of by x by cells each, as {values, rows, columns}. */
  gathered(by) {
    if (by === 1) return this;
    if (!this.parts.has(by)) {
      if (this.parts.size > 2) this.parts.clear();
      this.parts.set(by, gathered(this, by));
    }
    return this.parts.get(by);
  }
  /* The drawn cell that a single cell lies in: {row, column, side, value}, null outside. */
  at(row, column, by) {
    const { values, rows, columns } = this.gathered(by), side = this.side * by;
    const i = Math.floor((row - this.row) / side), j = Math.floor((column - this.column) / side);
    if (i < 0 || j < 0 || i >= rows || j >= columns) return null;
    const stored = values[i * columns + j];
    return { row: this.row + i * side, column: this.column + j * side, side, value: stored === MISSING ? null : stored * this.scale };
  }
  /* The cells as a small picture, one pixel each. */
  picture(palette, by) {
    const name = `${palette.name} ${by}`;
    if (!this.pictures.has(name)) {
      if (this.pictures.size > 3) this.pictures.clear();
      this.pictures.set(name, pictureOf(this.gathered(by), palette.table(this.scale)));
    }
    return this.pictures.get(name);
  }
}

const pictureOf = ({ values, rows, columns }, table) => {
  const canvas = make("canvas", { width: columns, height: rows }), c = canvas.getContext("2d");
  const image = c.createImageData(columns, rows), pixels = new Uint32Array(image.data.buffer);
  for (let i = 0; i < values.length; i++) pixels[i] = table[values[i] + 32768];
  c.putImageData(image, 0, 0);
  return canvas;
};

const gathered = ({ values, rows, columns }, by) => {
  const high = Math.ceil(rows / by), wide = Math.ceil(columns / by), found = new Int16Array(high * wide).fill(MISSING);
  for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) {
    const at = Math.floor(i / by) * wide + Math.floor(j / by), a = values[i * columns + j], b = found[at];
    if (a !== MISSING && (b === MISSING || Math.abs(a) > Math.abs(b) || (a > 0 && a === -b))) found[at] = a;
  }
  return { values: found, rows: high, columns: wide };
};

/* Value to colour: `stops` from low to high; what is below the threshold lets the ground through when `fades`. */
class Palette {
  constructor({ stops, low, high, threshold }, fades, ground) {
    Object.assign(this, { stops: stops.map(rgbOf), low, high, ground, tables: new Map() });
    this.threshold = fades ? threshold : null;
    this.name = JSON.stringify([stops, low, high, this.threshold, ground]);
  }
  colour(value) {
    const at = Math.min(1, Math.max(0, (value - this.low) / (this.high - this.low))) * (this.stops.length - 1);
    const k = Math.min(Math.floor(at), this.stops.length - 2), [a, b] = [this.stops[k], this.stops[k + 1]];
    const bare = a.map((v, c) => v + (at - k) * (b[c] - v));
    if (this.threshold === null || Math.abs(value) >= this.threshold) return bare.map(Math.round);
    return bare.map((v, c) => Math.round(FADED * v + (1 - FADED) * this.ground[c]));
  }
  /* The colour of every int16, as pixels; 65,536 of them, made once for each scale. */
  table(scale) {
    if (!this.tables.has(scale)) {
      const pixels = new Uint8ClampedArray(4 * 65536);
      for (let v = -32767; v < 32768; v++) pixels.set([...this.colour(v * scale), 255], 4 * (v + 32768));
      this.tables.set(scale, new Uint32Array(pixels.buffer));
    }
    return this.tables.get(scale);
  }
}
const rgbOf = (hex) => [1, 3, 5].map((k) => parseInt(hex.slice(k, k + 2), 16));

/* All layers of one heat map. */
class Layers {
  constructor() {
    this.overview = null;
    this.blocks = [];
  }
  begin(bytes) {
    [this.overview, this.blocks] = [new Layer(bytes), []];
  }
  add(bytes) {
    this.blocks.push(new Layer(bytes));
    if (this.blocks.length > KEPT_LAYERS) this.blocks.shift();
  }
  get all() {
    return this.overview ? [this.overview, ...[...this.blocks].sort((a, b) => b.level - a.level)] : [];
  }
  /* Those worth drawing at so many pixels a single cell, coarse to fine. */
  drawn(pixels) {
    return this.all.filter((layer) => layer === this.overview || layer.side * pixels >= COARSEST_DRAWN);
  }
  /* Whether a part of the matrix is here at this level or finer. */
  has(box, level, view) {
    return this.all.some((layer) => layer.level <= level && layer.covers(box, view.p, view.q));
  }
  /* The finest drawn cell over a single cell. */
  at(row, column, pixels) {
    return this.drawn(pixels).reverse().map((layer) => layer.at(row, column, layer.by(pixels))).find((cell) => cell) ?? null;
  }
}
