/* The same picture without WebGL, and for small maps beside text: Canvas 2-D. Same interface as RendererGL. */

class RendererCanvas {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.data = {};
  }
  set(name, values) {
    this.data[name] = values;
  }
  restore() {}
  draw(view, size) {
    const { positions, colours, flags, order } = this.data, c = this.context;
    const ratio = this.canvas.width / view.width;
    c.setTransform(ratio, 0, 0, ratio, 0, 0);
    c.clearRect(0, 0, view.width, view.height);
    if (!order || !colours) return;
    const round = order.length <= 20000 && size > 2.5;
    for (const above of [0, 1]) {
      for (const i of order) {
        if ((flags[i] & 1) !== above || !colours[4 * i + 3]) continue;
        const [x, y] = view.toScreen(positions[2 * i], positions[2 * i + 1]);
        if (!(x > -9 && y > -9 && x < view.width + 9 && y < view.height + 9)) continue;
        const s = size * (above ? 1.25 : 1), k = 4 * i;
        c.fillStyle = `rgba(${colours[k]},${colours[k + 1]},${colours[k + 2]},${colours[k + 3] / 255})`;
        if (round) this.mark(flags[i] >> 1, x, y, s / 2);
        else c.fillRect(x - s / 2, y - s / 2, s, s);
      }
    }
  }
  mark(mark, x, y, r) {
    const c = this.context, corners = { 1: 4, 2: 3, 3: 4 }[mark];
    c.beginPath();
    if (mark === 4) c.rect(x - r, y - r / 3, 2 * r, r / 1.5), c.rect(x - r / 3, y - r, r / 1.5, 2 * r);
    else if (!corners) c.arc(x, y, r, 0, 6.2832);
    for (let k = 0; corners && k < corners; k++) {
      const turn = (k / corners) * 6.2832 + (mark === 1 ? 0.7854 : -1.5708);
      c.lineTo(x + r * 1.2 * Math.cos(turn), y + r * 1.2 * Math.sin(turn));
    }
    c.fill();
  }
  destroy() {
    this.data = {};
  }
}
