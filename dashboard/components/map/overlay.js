/* What lies over the points, on the canvas that takes the pointer: rings, the outline being drawn, names of the axes,
 * which way they point in three dimensions, and the ellipses of local distortion. */
const MOST_ELLIPSES = 3000;

class Overlay {
  constructor(map) {
    Object.assign(this, { map, ellipses: null });
  }
  draw() {
    const { map } = this, { view, canvas } = map, c = canvas.getContext("2d"), ratio = canvas.width / view.width;
    const style = getComputedStyle(map.frame), colour = (name, other) => style.getPropertyValue(name).trim() || other;
    Object.assign(this, { ink: colour("--st-text-color", "#444"), accent: colour("--st-primary-color", "#e44"), font: `12px ${style.fontFamily}` });
    c.setTransform(ratio, 0, 0, ratio, 0, 0);
    c.clearRect(0, 0, view.width, view.height);
    if (map.shows.ellipses && map.ellipses && map.points.dims === 2) this.drawEllipses(c);
    c.strokeStyle = this.ink;
    for (const [i, width] of [[map.hovered, 1.5], [map.echo, 1.5], [map.data.focus ?? -1, 2.5]]) this.ring(c, i, width);
    if (map.points.dims === 3) this.drawSides(c);
    else this.drawAxes(c);
    this.drawOutline(c, map.pointer.outline);
  }
  ring(c, i, width) {
    const { map } = this;
    if (!(i >= 0 && i < map.points.n)) return;
    c.lineWidth = width;
    c.beginPath();
    c.arc(...map.view.toScreen(...map.points.of(i)), map.size / 2 + 4, 0, 6.2832);
    c.stroke();
  }
  drawOutline(c, outline) {
    if (!outline?.length) return;
    c.lineWidth = 1.5;
    c.strokeStyle = this.accent;
    c.fillStyle = "rgba(127,127,127,0.12)";
    c.beginPath();
    outline.forEach(([x, y], k) => (k ? c.lineTo(x, y) : c.moveTo(x, y)));
    c.closePath();
    c.fill();
    c.stroke();
  }
  /* Names of the axes along two edges, small: there are no ticks, since only the names are needed to read it. */
  drawAxes(c) {
    const { data, view } = this.map, [across, up] = data.axes ?? [];
    if (data.compact || !across) return;
    const foot = this.map.scrubber.box.hidden ? 32 : 66;
    Object.assign(c, { font: this.font, fillStyle: this.ink, globalAlpha: 0.75, textAlign: "right" });
    c.fillText(`${across} →`, view.width - 12, view.height - foot);
    c.save();
    c.translate(20, view.height - foot - 8);
    c.rotate(-Math.PI / 2);
    c.textAlign = "left";
    c.fillText(`${up} →`, 0, 0);
    c.restore();
    c.globalAlpha = 1;
  }
  /* Three short arrows in the corner: where the axes point. */
  drawSides(c) {
    const { data, view } = this.map, [x, y] = [44, view.height - (this.map.scrubber.box.hidden ? 74 : 108)], t = view.turn;
    if (data.compact) return;
    Object.assign(c, { font: this.font, fillStyle: this.ink, strokeStyle: this.ink, lineWidth: 1.5, textAlign: "center" });
    [0, 1, 2].forEach((k) => {
      const [dx, dy] = [26 * t[k], -26 * t[3 + k]];
      c.globalAlpha = 0.55 + 0.4 * t[6 + k];
      c.beginPath();
      c.moveTo(x, y);
      c.lineTo(x + dx, y + dy);
      c.stroke();
      c.fillText(data.axes?.[k] ?? "xyz"[k], x + 1.35 * dx, y + 1.35 * dy + 4);
    });
    c.globalAlpha = 1;
  }
  /* [point, a, b, angle] each: half axes in data units, angle from the first axis. Only what is in the picture. */
  drawEllipses(c) {
    const { map } = this, { view, ellipses, points } = map, [x0, y0, x1, y1] = view.box, flat = points.now;
    const seen = { n: 0, left: 0 };
    Object.assign(c, { strokeStyle: this.ink, lineWidth: 1, globalAlpha: 0.6 });
    c.beginPath();
    for (let k = 0; k + 3 < ellipses.length; k += 4) {
      const i = ellipses[k], x = flat[2 * i], y = flat[2 * i + 1], [a, b, angle] = ellipses.subarray(k + 1, k + 4);
      if (!(x > x0 && x < x1 && y > y0 && y < y1 && a >= 0 && b >= 0) || !map.allowed(i)) continue;
      if (seen.n >= MOST_ELLIPSES) seen.left++;
      else {
        const [sx, sy] = view.planeToScreen(x, y), [ra, rb] = [a * view.scale, b * view.scale];
        c.moveTo(sx + ra * Math.cos(angle), sy - ra * Math.sin(angle));
        c.ellipse(sx, sy, ra, rb, -angle, 0, 6.2832);
        seen.n++;
      }
    }
    c.stroke();
    c.globalAlpha = 1;
    const changed = this.ellipses?.n !== seen.n || this.ellipses?.left !== seen.left;
    this.ellipses = seen;
    if (changed && !map.drawing.moving) map.legend.draw();
  }
}
