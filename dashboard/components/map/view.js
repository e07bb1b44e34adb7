/* The view: what part of the picture plane is seen, and in three dimensions from where.
 *
 * A point p lies on the plane at (u, v) = the first two rows of `turn` times (p - pivot); in two dimensions turn is
 * the identity and pivot 0, so the plane is the data's own. Plane point (cx, cy) is in the middle, with `scale`
 * pixels per unit (one scale for both: distances are kept; no perspective: parallel stays parallel). `room` is what
 * lies over the picture at its edges, in pixels [top, right, bottom, left]: showing everything keeps clear of it.
 */
const HOME = 0.94; // how much of the free space all points take

class View {
  constructor() {
    Object.assign(this, { cx: 0, cy: 0, scale: 1, width: 1, height: 1, home: [0, 0, 1, 1], dims: 2, room: [0, 0, 0, 0] });
    Object.assign(this, { yaw: 0, pitch: 0, pivot: [0, 0, 0], reach: 1, turn: [1, 0, 0, 0, 1, 0, 0, 0, 1] });
  }
  /* Say where all points lie; `home` is then the part of the plane that shows all of them. */
  settle({ low, high }, dims) {
    this.dims = dims;
    if (dims === 2) {
      [this.home, this.pivot, this.reach] = [[low[0], low[1], high[0], high[1]], [0, 0, 0], 1];
      return this.orbit();
    }
    this.pivot = low.map((v, c) => (v + high[c]) / 2);
    this.reach = Math.hypot(...low.map((v, c) => (high[c] - v) / 2)) || 1;
    this.home = [-this.reach, -this.reach, this.reach, this.reach];
    return this.orbit(this.yaw, this.pitch);
  }
  /* Look from this side: first turned by `yaw` around the upright axis, then tilted by `pitch` (radians). */
  orbit(yaw, pitch) {
    if (this.dims === 2) return void (this.turn = [1, 0, 0, 0, 1, 0, 0, 0, 1]); // yaw and pitch wait for a third axis
    pitch = Math.min(Math.max(pitch, -Math.PI / 2), Math.PI / 2);
    const [cy, sy, cp, sp] = [Math.cos(yaw), Math.sin(yaw), Math.cos(pitch), Math.sin(pitch)];
    Object.assign(this, { yaw, pitch, turn: [cy, 0, sy, sp * sy, cp, -sp * cy, -cp * sy, sp, cp * cy] });
  }
  /* Show everything. */
  goHome() {
    const [x0, y0, x1, y1] = this.home;
    this.scale = this.filled * HOME;
    this.middle = [(x0 + x1) / 2, (y0 + y1) / 2];
  }
  /* Show this box, edge to edge. */
  fit([x0, y0, x1, y1]) {
    [this.cx, this.cy] = [(x0 + x1) / 2, (y0 + y1) / 2];
    this.scale = Math.min(this.width / Math.max(x1 - x0, 1e-9), this.height / Math.max(y1 - y0, 1e-9));
  }
  /* The scale at which all points fill the free space, and the place on the plane in its middle. */
  get filled() {
    const [x0, y0, x1, y1] = this.home, [top, right, bottom, left] = this.room;
    const wide = Math.max(this.width - left - right, 40), high = Math.max(this.height - top - bottom, 40);
    return Math.max(Math.min(wide / Math.max(x1 - x0, 1e-9), high / Math.max(y1 - y0, 1e-9)), 1e-12);
  }
  get middle() {
    const [top, right, bottom, left] = this.room, half = 2 * this.scale;
    return [this.cx - (right - left) / half, this.cy - (top - bottom) / half];
  }
  set middle([x, y]) {
    const [top, right, bottom, left] = this.room, half = 2 * this.scale;
    [this.cx, this.cy] = [x + (right - left) / half, y + (top - bottom) / half];
  }
  get zoom() {
    return this.scale / this.filled;
  }
  get box() {
    const w = this.width / this.scale / 2, h = this.height / this.scale / 2;
    return [this.cx - w, this.cy - h, this.cx + w, this.cy + h];
  }
  get atHome() {
    const [x0, y0, x1, y1] = this.home, near = 4 / this.scale;
    const [x, y] = this.middle, there = Math.abs(x - (x0 + x1) / 2) < near && Math.abs(y - (y0 + y1) / 2) < near;
    return there && Math.abs(this.zoom - HOME) < 0.02;
  }
  /* The place on the plane under a pixel. */
  toData(px, py) {
    return [this.cx + (px - this.width / 2) / this.scale, this.cy - (py - this.height / 2) / this.scale];
  }
  toPlane(x, y, z = 0) {
    const [a, b, c, d, e, f] = this.turn, p = this.pivot;
    const [dx, dy, dz] = [x - p[0], y - p[1], z - p[2]];
    return [a * dx + b * dy + c * dz, d * dx + e * dy + f * dz];
  }
  planeToScreen(u, v) {
    return [(u - this.cx) * this.scale + this.width / 2, this.height / 2 - (v - this.cy) * this.scale];
  }
  toScreen(x, y, z = 0) {
    return this.planeToScreen(...this.toPlane(x, y, z));
  }
  pan(dx, dy) {
    this.cx -= dx / this.scale;
    this.cy += dy / this.scale;
  }
  zoomAt(px, py, factor) {
    const [x, y] = this.toData(px, py);
    this.scale *= Math.min(Math.max(this.zoom * factor, 0.3), 2000) / this.zoom;
    const [x2, y2] = this.toData(px, py);
    this.cx += x - x2;
    this.cy += y - y2;
  }
  /* What another view of other points should show when it follows this one: relative to what shows everything. */
  get relative() {
    const [x0, y0, x1, y1] = this.home, w = x1 - x0 || 1, h = y1 - y0 || 1, [x, y] = this.middle;
    return { x: (x - x0) / w, y: (y - y0) / h, zoom: this.zoom, yaw: this.yaw, pitch: this.pitch };
  }
  set relative({ x, y, zoom, yaw, pitch }) {
    const [x0, y0, x1, y1] = this.home;
    if (this.dims === 3) this.orbit(yaw, pitch);
    this.scale *= zoom / this.zoom;
    this.middle = [x0 + x * (x1 - x0), y0 + y * (y1 - y0)];
  }
}
