/* Where points are: bounds, the view (pan and zoom), a grid to find the nearest one, and the lasso test. */

const boundsOf = (xy) => {
  let [x0, y0, x1, y1] = [Infinity, Infinity, -Infinity, -Infinity];
  for (let i = 0; i < xy.length; i += 2) {
    const x = xy[i], y = xy[i + 1];
    if (!Number.isFinite(x) || !Number.isFinite(y)) continue;
    if (x < x0) x0 = x;
    if (x > x1) x1 = x;
    if (y < y0) y0 = y;
    if (y > y1) y1 = y;
  }
  return x0 <= x1 ? [x0, y0, x1, y1] : [0, 0, 1, 1];
};

/* The view: data point (cx, cy) at the middle, `scale` pixels per data unit (one scale: distances are kept). */
class View {
  constructor() {
    Object.assign(this, { cx: 0, cy: 0, scale: 1, width: 1, height: 1, home: [0, 0, 1, 1] });
  }
  fit([x0, y0, x1, y1], margin = 0.06) {
    const w = Math.max(x1 - x0, 1e-9), h = Math.max(y1 - y0, 1e-9);
    this.cx = (x0 + x1) / 2;
    this.cy = (y0 + y1) / 2;
    this.scale = Math.min(this.width / w, this.height / h) * (1 - 2 * margin);
  }
  get zoom() {
    const [x0, y0, x1, y1] = this.home;
    const fitted = Math.min(this.width / Math.max(x1 - x0, 1e-9), this.height / Math.max(y1 - y0, 1e-9));
    return this.scale / Math.max(fitted, 1e-12);
  }
  get box() {
    const w = this.width / this.scale / 2, h = this.height / this.scale / 2;
    return [this.cx - w, this.cy - h, this.cx + w, this.cy + h];
  }
  toData(px, py) {
    return [this.cx + (px - this.width / 2) / this.scale, this.cy - (py - this.height / 2) / this.scale];
  }
  toScreen(x, y) {
    return [(x - this.cx) * this.scale + this.width / 2, this.height / 2 - (y - this.cy) * this.scale];
  }
  pan(dx, dy) {
    this.cx -= dx / this.scale;
    this.cy += dy / this.scale;
  }
  zoomAt(px, py, factor) {
    const [x, y] = this.toData(px, py);
    const limited = Math.min(Math.max(this.zoom * factor, 0.3), 2000) / this.zoom;
    this.scale *= limited;
    const [x2, y2] = this.toData(px, py);
    this.cx += x - x2;
    this.cy += y - y2;
  }
}

/* A uniform grid over the bounds; points sorted by cell, so that a query touches a few cells only. */
class GridIndex {
  constructor(xy) {
    const n = xy.length / 2;
    [this.x0, this.y0, this.x1, this.y1] = boundsOf(xy);
    this.xy = xy;
    this.side = Math.max(1, Math.min(1024, Math.ceil(Math.sqrt(n / 2))));
    const cell = new Uint32Array(n);
    this.start = new Uint32Array(this.side * this.side + 1);
    for (let i = 0; i < n; i++) {
      cell[i] = this.column(xy[2 * i]) + this.side * this.row(xy[2 * i + 1]);
      this.start[cell[i] + 1]++;
    }
    for (let c = 0; c < this.side * this.side; c++) this.start[c + 1] += this.start[c];
    const next = this.start.slice(0, -1);
    this.order = new Uint32Array(n);
    for (let i = 0; i < n; i++) this.order[next[cell[i]]++] = i;
  }
  column(x) {
    return this.clamp(((x - this.x0) / Math.max(this.x1 - this.x0, 1e-12)) * this.side);
  }
  row(y) {
    return this.clamp(((y - this.y0) / Math.max(this.y1 - this.y0, 1e-12)) * this.side);
  }
  clamp(cell) {
    return Math.min(this.side - 1, Math.max(0, Math.floor(cell) || 0));
  }
  /* The nearest point within `radius` (data units) for which `allowed(i)`; -1 when there is none. */
  nearest(x, y, radius, allowed) {
    let best = -1, reach = radius * radius;
    const c1 = this.column(x + radius), r1 = this.row(y + radius);
    for (let r = this.row(y - radius); r <= r1; r++) {
      for (let c = this.column(x - radius); c <= c1; c++) {
        const cell = c + this.side * r;
        for (let k = this.start[cell]; k < this.start[cell + 1]; k++) {
          const i = this.order[k], dx = this.xy[2 * i] - x, dy = this.xy[2 * i + 1] - y;
          const d = dx * dx + dy * dy;
          if (d <= reach && allowed(i)) [best, reach] = [i, d];
        }
      }
    }
    return best;
  }
}

/* 1 for every allowed point inside the polygon [[x, y], …] (even-odd rule), else 0. */
const insidePolygon = (xy, polygon, allowed) => {
  const n = xy.length / 2, inside = new Uint8Array(n);
  if (polygon.length < 3) return inside;
  const [x0, y0, x1, y1] = boundsOf(Float64Array.from(polygon.flat()));
  for (let i = 0; i < n; i++) {
    const x = xy[2 * i], y = xy[2 * i + 1];
    if (!(x >= x0 && x <= x1 && y >= y0 && y <= y1) || !allowed(i)) continue;
    let odd = 0;
    for (let a = 0, b = polygon.length - 1; a < polygon.length; b = a++) {
      const [ax, ay] = polygon[a], [bx, by] = polygon[b];
      if (ay > y !== by > y && x < ((bx - ax) * (y - ay)) / (by - ay) + ax) odd ^= 1;
    }
    inside[i] = odd;
  }
  return inside;
};

/* Bit masks as they travel: numpy.packbits order (first point in the highest bit), base64. */
const packBits = (flags) => {
  const bytes = new Uint8Array(Math.ceil(flags.length / 8));
  for (let i = 0; i < flags.length; i++) if (flags[i]) bytes[i >> 3] |= 128 >> (i & 7);
  let text = "";
  for (let i = 0; i < bytes.length; i += 8192) text += String.fromCharCode(...bytes.subarray(i, i + 8192));
  return btoa(text);
};
const unpackBits = (bytes, n) => {
  const flags = new Uint8Array(n);
  for (let i = 0; i < n; i++) flags[i] = (bytes[i >> 3] >> (7 - (i & 7))) & 1;
  return flags;
};

/* A fixed shuffled drawing order: in file order the last class would be painted over all others. */
const shuffledOrder = (n) => {
  const order = new Uint32Array(n);
  let seed = 12345;
  for (let i = 0; i < n; i++) order[i] = i;
  for (let i = n - 1; i > 0; i--) {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    const j = seed % (i + 1);
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
};
