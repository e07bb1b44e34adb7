/* The points themselves: one placing of them, or a series of placings ("frames") with a moment `t` between two. */
class Points {
  constructor() {
    Object.assign(this, { n: 0, dims: 2, frames: [], t: 0, extent: null, kept: {} });
  }
  /* Take over frame k; the others may still be on their way. */
  put(k, values, dims) {
    const n = values.length / dims;
    if (n !== this.n || dims !== this.dims) Object.assign(this, { n, dims, frames: [], extent: null });
    this.frames[k] = values;
    this.extent = joinedExtent(this.extent, extentOf(values, dims));
    this.kept = {};
  }
  /* A single placing instead of whatever was there. */
  set(values, dims) {
    [this.frames, this.extent, this.t] = [[], null, 0];
    this.put(0, values, dims);
  }
  /* The two frames around t and how far between them; a frame that is not there yet is stood in for. */
  get between() {
    const k = Math.min(Math.floor(this.t), Math.max(this.frames.length - 1, 0));
    const there = this.frames[k] ? k : Math.max(this.frames.findIndex(Boolean), 0);
    const next = there === k && this.frames[k + 1] ? k + 1 : there;
    return { from: there, to: next, part: next === there ? 0 : this.t - k };
  }
  /* The positions at this moment. */
  get now() {
    const { from, to, part } = this.between;
    if (!this.frames[from]) return new Float32Array(0);
    if (part === 0) return this.frames[from];
    const key = `${this.t}`;
    if (this.kept.moment !== key) {
      const [a, b] = [this.frames[from], this.frames[to]], mixed = new Float32Array(a.length);
      for (let i = 0; i < a.length; i++) mixed[i] = a[i] + part * (b[i] - a[i]);
      Object.assign(this.kept, { moment: key, mixed });
    }
    return this.kept.mixed;
  }
  of(i) {
    const p = this.now, d = this.dims;
    return [p[d * i], p[d * i + 1], d === 3 ? p[d * i + 2] : 0];
  }
  /* Their places [u, v] on the picture plane of a view. */
  flat(view) {
    if (this.dims === 2) return this.now;
    const key = `${this.t}:${view.turn}`;
    if (this.kept.side !== key) {
      const p = this.now, [a, b, c, d, e, f] = view.turn, [px, py, pz] = view.pivot, flat = new Float32Array(2 * this.n);
      for (let i = 0, k = 0; i < p.length; i += 3, k += 2) {
        const x = p[i] - px, y = p[i + 1] - py, z = p[i + 2] - pz;
        flat[k] = a * x + b * y + c * z;
        flat[k + 1] = d * x + e * y + f * z;
      }
      Object.assign(this.kept, { side: key, flat });
    }
    return this.kept.flat;
  }
}
