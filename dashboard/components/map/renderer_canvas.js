/* The same picture without WebGL, and for small maps beside text: Canvas 2-D. Same interface as RendererGL; density
 * is the number of points per cell on the same logarithmic scale. */
const FEW = 20000; // up to here points have their marks; above, they are squares written straight into the pixels

class RendererCanvas {
  constructor(canvas) {
    Object.assign(this, { canvas, context: canvas.getContext("2d"), look: lookupOf(null), ramp: rampOf() });
    Object.assign(this, { order: null, frames: [], flags: null, edges: [], took: 0, countsByHand: true, lost: false, fails: false });
  }
  restore() {}
  working() {
    return false;
  }
  setOrder(order) {
    this.order = order;
  }
  setFrames(frames) {
    this.frames = [...frames];
  }
  setColour(look) {
    this.look = look;
  }
  setFlags(flags) {
    this.flags = flags;
  }
  setRamp(table) {
    this.ramp = table;
  }
  setEdges(groups) {
    this.edges = groups;
  }
  greatest() {
    return { count: this.most ?? 0, most: Infinity };
  }
  draw(view, scene) {
    const c = this.context, ratio = this.canvas.width / view.width, began = performance.now();
    c.setTransform(ratio, 0, 0, ratio, 0, 0);
    c.clearRect(0, 0, view.width, view.height);
    if (!this.order || !scene.flat.length) return;
    const seen = this.seen(view, scene);
    if (scene.mode !== "points") this.shade(view, scene);
    if (scene.edges) this.lines(view, scene);
    const instead = scene.mode === "density" || isCrisp(scene); // the shading, instead of the unselected points
    const passes = scene.chosen ? (instead ? [1] : [0, 1]) : instead ? [] : [1];
    if (passes.length) this.points(scene, passes, seen, ratio);
    this.took = performance.now() - began;
  }
  /* Visible points in drawing order: which, where, and their colour as [r, g, b, alpha, mark]. */
  *visible(view, scene, above) {
    const { look, order, flags } = this, n = Math.max(1, Math.round(order.length * scene.share));
    for (let k = 0; k < n; k++) {
      const i = order[k], chosen = scene.chosen ? flags[i] : 1;
      if (chosen !== above) continue;
      const entry = look.kind ? entryOf(look, i) : -1, at = 4 * entry, tag = entry < 0 ? 1 : look.table[at + 3];
      if (!tag) continue;
      const [x, y] = view.planeToScreen(scene.flat[2 * i], scene.flat[2 * i + 1]);
      if (!(x > -9 && y > -9 && x < view.width + 9 && y < view.height + 9)) continue;
      let ink = look.kind && entry < 0 ? scene.missing : scene.plain, alpha = scene.plain[3];
      if (scene.chosen && !above) [ink, alpha] = [scene.dimmed, scene.dimmed[3]];
      const rgb = entry < 0 || (scene.chosen && !above) ? ink.slice(0, 3).map((v) => Math.round(255 * v)) : look.table.subarray(at, at + 3);
      yield { x, y, rgb, alpha, mark: tag - 1 };
    }
  }
  seen(view, scene) {
    return (above) => this.visible(view, scene, above);
  }
  /* Unselected points first, selected ones on top; without a selection all count as on top. */
  points(scene, passes, seen, ratio) {
    const small = this.order.length > FEW || scene.size < 2.5;
    if (small) return this.pixels(scene, passes, seen, ratio);
    for (const above of passes) {
      for (const { x, y, rgb, alpha, mark } of seen(above)) {
        this.context.fillStyle = `rgba(${rgb[0]},${rgb[1]},${rgb[2]},${alpha})`;
        drawMark(this.context, mark, x, y, (scene.size * (scene.chosen && above ? 1.25 : 1)) / 2);
      }
    }
  }
  pixels(scene, passes, seen, ratio) {
    const { width, height } = this.canvas, image = this.context.getImageData(0, 0, width, height), p = image.data;
    const side = Math.max(1, Math.round(scene.size * ratio));
    for (const above of passes) {
      for (const { x, y, rgb, alpha } of seen(above)) {
        const x0 = Math.round(x * ratio - side / 2), y0 = Math.round(y * ratio - side / 2);
        for (let py = Math.max(0, y0); py < Math.min(height, y0 + side); py++) {
          for (let px = Math.max(0, x0); px < Math.min(width, x0 + side); px++) {
            const k = 4 * (py * width + px), under = p[k + 3] / 255, sum = alpha + under * (1 - alpha);
            for (let c = 0; c < 3; c++) p[k + c] = (rgb[c] * alpha + p[k + c] * under * (1 - alpha)) / sum;
            p[k + 3] = 255 * sum;
          }
        }
      }
    }
    this.context.putImageData(image, 0, 0);
  }
  shade(view, scene) {
    const CELL = scene.cell, crisp = isCrisp(scene), crowd = Math.min(1, (scene.size / CELL) ** 2);
    const width = Math.ceil(view.width / CELL), height = Math.ceil(view.height / CELL), sums = new Float32Array(4 * width * height);
    const n = Math.max(1, Math.round(this.order.length * scene.share));
    this.most = countCells(sums, width, height, n, { view, scene, look: this.look, flags: this.flags, order: this.order });
    const image = new ImageData(width, height), top = Math.log1p(Math.max(2, this.most)), step = (a, b, v) => Math.min(1, Math.max(0, (v - a) / (b - a)));
    for (let k = 0; k < sums.length; k += 4) {
      const here = sums[k + 3], t = Math.log1p(here) / top, row = height - 1 - Math.floor(k / 4 / width), at = 4 * (row * width + ((k / 4) % width));
      if (!here) continue;
      if (scene.mode === "density" && !scene.chosen) image.data.set([...this.ramp.subarray(4 * Math.round(255 * t), 4 * Math.round(255 * t) + 3), 255], at);
      else {
        const mean = [0, 1, 2].map((c) => (255 * sums[k + c]) / here);
        image.data.set([...mean, 255 * (crisp ? 1 : step(2, 6, here * crowd)) * (0.35 + 0.65 * t)], at);
      }
    }
    const cells = new OffscreenCanvas(width, height);
    cells.getContext("2d").putImageData(image, 0, 0);
    this.context.imageSmoothingEnabled = !crisp;
    this.context.drawImage(cells, 0, 0, view.width, view.height);
  }
  lines(view, scene) {
    const c = this.context, place = (i) => view.planeToScreen(scene.flat[2 * i], scene.flat[2 * i + 1]);
    for (const { pairs, ink } of this.edges) {
      c.strokeStyle = `rgba(${ink.slice(0, 3).map((v) => Math.round(255 * v))},${ink[3]})`;
      c.beginPath();
      for (let k = 0; k < pairs.length; k += 2) {
        c.moveTo(...place(pairs[k]));
        c.lineTo(...place(pairs[k + 1]));
      }
      c.stroke();
    }
  }
  destroy() {
    Object.assign(this, { order: null, frames: [], flags: null, edges: [] });
  }
}

/* The mark of a category, as the shader draws it: disc, square, triangle, diamond, cross, ring. */
const drawMark = (c, mark, x, y, r) => {
  const corners = { 1: 4, 2: 3, 3: 4 }[mark];
  c.beginPath();
  if (mark === 4) c.rect(x - r, y - r / 3, 2 * r, r / 1.5), c.rect(x - r / 3, y - r, r / 1.5, 2 * r);
  else if (mark === 5) c.arc(x, y, r, 0, 6.2832), c.arc(x, y, r / 2, 0, 6.2832, true);
  else if (!corners) c.arc(x, y, r, 0, 6.2832);
  for (let k = 0; corners && k < corners; k++) {
    const turn = (k / corners) * 6.2832 + (mark === 1 ? 0.7854 : -1.5708);
    c.lineTo(x + r * 1.2 * Math.cos(turn), y + r * 1.2 * Math.sin(turn));
  }
  c.fill();
};
