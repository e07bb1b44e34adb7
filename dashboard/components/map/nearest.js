/* Which point is nearest to the pointer: a uniform grid over the plane, points sorted by cell, so that a question
 * touches a few cells only. It is built in slices while the browser is idle: the first picture does not wait. */
const SLICE = 65536, SLICE_MS = 8;

class GridIndex {
  constructor(flat) {
    const { low, high } = extentOf(flat, 2), n = flat.length / 2;
    Object.assign(this, { flat, n, ready: false });
    [this.x0, this.y0] = low;
    this.side = Math.max(1, Math.min(1024, Math.ceil(Math.sqrt(n / 2))));
    this.kx = this.side / Math.max(high[0] - low[0], 1e-12);
    this.ky = this.side / Math.max(high[1] - low[1], 1e-12);
    this.start = new Uint32Array(this.side * this.side + 1);
    this.order = new Uint32Array(n);
    this.steps = this.sort();
  }
  *sort() {
    const { flat, n, side, start, order } = this, cell = new Uint32Array(n);
    for (let from = 0; from < n; from += SLICE) {
      for (let i = from, end = Math.min(n, from + SLICE); i < end; i++) {
        cell[i] = this.column(flat[2 * i]) + side * this.row(flat[2 * i + 1]);
        start[cell[i] + 1]++;
      }
      yield;
    }
    for (let c = 0; c < side * side; c++) start[c + 1] += start[c];
    const next = start.slice(0, -1);
    for (let from = 0; from < n; from += SLICE) {
      for (let i = from, end = Math.min(n, from + SLICE); i < end; i++) order[next[cell[i]]++] = i;
      yield;
    }
    this.ready = true;
  }
  /* Go on for some milliseconds; true when nothing is left to do. */
  work(ms) {
    const until = performance.now() + ms;
    while (!this.steps.next().done) if (performance.now() > until) return false;
    return true;
  }
  column(x) {
    return this.clamp((x - this.x0) * this.kx);
  }
  row(y) {
    return this.clamp((y - this.y0) * this.ky);
  }
  clamp(cell) {
    return cell > 0 ? (cell < this.side ? Math.floor(cell) : this.side - 1) : 0; // NaN: 0
  }
  /* The nearest point within `radius` (plane units) for which `allowed(i)`; -1 when there is none. */
  nearest(x, y, radius, allowed) {
    let best = -1, reach = radius * radius;
    const c0 = this.column(x - radius), c1 = this.column(x + radius), r1 = this.row(y + radius);
    for (let r = this.row(y - radius); r <= r1; r++) {
      for (let k = this.start[c0 + this.side * r]; k < this.start[c1 + this.side * r + 1]; k++) {
        const i = this.order[k], dx = this.flat[2 * i] - x, dy = this.flat[2 * i + 1] - y;
        const d = dx * dx + dy * dy;
        if (d <= reach && allowed(i)) [best, reach] = [i, d];
      }
    }
    return best;
  }
}

/* The index of what is seen now; made anew, in idle time, when the points move or are seen from another side. */
class Finder {
  constructor(map) {
    Object.assign(this, { map, index: null, idle: null });
  }
  /* Whether answers are ready; otherwise `then` is called when they are. */
  prepare(then = null) {
    const flat = this.map.points.flat(this.map.view);
    if (this.index?.flat !== flat) this.index = new GridIndex(flat);
    if (this.index.ready) return true;
    this.then = then ?? this.then;
    this.idle ??= whenIdle(() => {
      this.idle = null;
      if (!this.index?.work(SLICE_MS)) return void this.prepare();
      this.then?.();
      this.then = null;
    });
    return false;
  }
  find(x, y, reach) {
    const { map } = this;
    if (!map.points.n) return -1;
    if (!this.prepare()) this.index.work(Infinity);
    return this.index.nearest(...map.view.toData(x, y), reach / map.view.scale, map.allowed);
  }
  stop() {
    if (this.idle !== null) cancelIdle(this.idle);
    Object.assign(this, { idle: null, index: null, then: null });
  }
}
const whenIdle = (work) => (window.requestIdleCallback ? requestIdleCallback(work, { timeout: 400 }) : setTimeout(work, 30));
const cancelIdle = (id) => (window.cancelIdleCallback ? cancelIdleCallback(id) : clearTimeout(id));
