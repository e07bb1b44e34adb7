/* The picture: cells, names, trees, the scale with the null band in it, and what is pointed at. */
const HATCH = 4; // pixels between the lines of the null band

class Paint {
  constructor(heat) {
    Object.assign(this, { heat, frame: null });
  }
  soon() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      this.now();
    });
  }
  stop() {
    cancelAnimationFrame(this.frame);
  }
  now() {
    const { heat } = this, { pen: c, frame, box } = heat;
    if (!heat.layers.overview || frame.width < 2) return;
    const style = getComputedStyle(box);
    Object.assign(this, { ink: style.color, ground: numbersOf(style.backgroundColor), accent: style.getPropertyValue("--st-primary-color") || "#1f6feb" });
    c.setTransform(frame.ratio, 0, 0, frame.ratio, 0, 0);
    c.clearRect(0, 0, frame.width, frame.height);
    heat.palette = this.palette();
    this.cells(c, frame);
    this.names(c, frame);
    for (const side of ["rows", "columns"]) if (heat.data.trees?.[side]) this.tree(c, frame, side);
    this.scale(c, frame);
    this.marks(c, frame);
    box.dataset.drawn = heat.cellsKey;
  }
  palette() {
    const made = new Palette(this.heat.data, this.heat.fades, this.ground);
    return made.name === this.heat.palette?.name ? this.heat.palette : made;
  }

  // ------------------------------------------------------------------ cells
  cells(c, frame) {
    const { heat } = this;
    c.save();
    c.beginPath();
    c.rect(frame.x, frame.y, frame.w, frame.h);
    c.clip();
    c.imageSmoothingEnabled = false;
    for (const layer of heat.layers.drawn(frame.pixels)) this.layer(c, frame, layer);
    c.restore();
    c.strokeStyle = this.ink;
    c.globalAlpha = 0.35;
    c.lineWidth = 1;
    c.strokeRect(frame.x - 0.5, frame.y - 0.5, frame.w + 1, frame.h + 1);
    c.globalAlpha = 1;
  }
  /* Only the part that is seen: a browser does not draw pictures of a hundred thousand pixels a side. */
  layer(c, frame, layer) {
    const { heat: { view, palette } } = this;
    const by = layer.by(frame.pixels), side = layer.side * by;
    const shown = layer.picture(palette, by);
    const j0 = Math.max(0, Math.floor((view.c0 - layer.column) / side)), j1 = Math.min(shown.width, Math.ceil((view.c1 - layer.column) / side));
    const i0 = Math.max(0, Math.floor((view.r0 - layer.row) / side)), i1 = Math.min(shown.height, Math.ceil((view.r1 - layer.row) / side));
    if (j1 <= j0 || i1 <= i0) return;
    const x = frame.left(layer.column + j0 * side), y = frame.top(layer.row + i0 * side);
    c.drawImage(shown, j0, i0, j1 - j0, i1 - i0, x, y, (j1 - j0) * side * frame.across, (i1 - i0) * side * frame.down);
  }

  // ------------------------------------------------------------------ names
  names(c, frame) {
    const { heat, heat: { view, data } } = this;
    c.fillStyle = this.ink;
    const fits = [frame.down >= NAMED, frame.across >= NAMED];
    if (fits[0]) this.rowNames(c, frame);
    if (fits[1]) this.columnNames(c, frame);
    c.font = NAME_FONT(c.family);
    const words = (what, named, from, to, all) => (named ? what : `${what}, ${rangeOf(from, to, all)}`);
    c.globalAlpha = 0.8;
    c.textAlign = "center";
    c.textBaseline = "middle";
    const below = frame.y + frame.h + (fits[1] ? this.namesBelow + GAP : 2) + TITLE / 2;
    fitted(c, words(data.titles[1], fits[1], view.c0, view.c1, view.q), frame.x + frame.w / 2, below, frame.w + frame.x);
    c.save();
    c.translate(frame.x - (fits[0] ? frame.names[0] : 2) - TITLE / 2, frame.y + frame.h / 2);
    c.rotate(-Math.PI / 2);
    fitted(c, words(data.titles[0], fits[0], view.r0, view.r1, view.p), 0, 0, frame.h);
    c.restore();
    c.globalAlpha = 1;
    heat.box.dataset.named = fits.map(Number).join("");
  }
  rowNames(c, frame) {
    const { heat: { view, rows } } = this;
    c.textAlign = "right";
    c.textBaseline = "middle";
    c.font = NAME_FONT(c.family, frame.down);
    for (let i = Math.ceil(view.r0 - 0.5); i + 0.5 <= view.r1 && i < view.p; i++)
      c.fillText(cut(c, rows[i], frame.names[0] - GAP), frame.x - GAP, frame.top(i + 0.5));
  }
  /* Upright where each fits into its column, otherwise turned. */
  columnNames(c, frame) {
    const { heat: { view, columns } } = this, from = Math.ceil(view.c0 - 0.5), to = Math.min(view.q, Math.floor(view.c1 - 0.5) + 1);
    const seen = Array.from({ length: Math.max(0, to - from) }, (_, k) => columns[from + k]), y = frame.y + frame.h + GAP;
    c.font = NAME_FONT(c.family, frame.across);
    const turned = seen.some((name) => c.measureText(name).width > frame.across - 4);
    this.namesBelow = turned ? frame.names[1] - GAP : 11;
    c.textAlign = turned ? "right" : "center";
    c.textBaseline = turned ? "middle" : "top";
    seen.forEach((name, k) => {
      const x = frame.left(from + k + 0.5);
      if (!turned) return c.fillText(name, x, y);
      c.save();
      c.translate(x, y);
      c.rotate(-Math.PI / 2);
      c.fillText(cut(c, name, frame.names[1] - GAP), 0, 0);
      return c.restore();
    });
  }

  // ------------------------------------------------------------------ trees
  /* Branches as (height, place, height, place, height): from one group up to the merge and down to the other. */
  tree(c, frame, side) {
    const { heat, heat: { data } } = this, lines = heat.trees[side], down = side === "rows";
    if (!lines) return;
    const room = (down ? frame.trees[0] : frame.trees[1]) - 8, tall = data.trees[side].height || 1;
    const at = (height, place) => {
      const h = (Math.max(0, height) / tall) * room;
      return down ? [frame.x + frame.w + 3 + h, frame.top(place)] : [frame.left(place), frame.y - 3 - h];
    };
    c.save();
    c.beginPath();
    if (down) c.rect(frame.x + frame.w, frame.y - 1, frame.trees[0], frame.h + 2);
    else c.rect(frame.x - 1, frame.y - frame.trees[1], frame.w + 2, frame.trees[1]);
    c.clip();
    c.beginPath();
    for (let k = 0; k < lines.length; k += 5) {
      const [h0, p0, h1, p1, h2] = lines.subarray(k, k + 5);
      [[h0, p0], [h1, p0], [h1, p1], [h2, p1]].forEach((point, i) => (i ? c.lineTo(...at(...point)) : c.moveTo(...at(...point))));
    }
    Object.assign(c, { strokeStyle: this.ink, lineWidth: 1, globalAlpha: 0.55 });
    c.stroke();
    c.restore();
  }

  // ------------------------------------------------------------------ the scale
  /* Colours as the cells have them; over what structureless data gives, hatched; ticks where cells become significant. */
  scale(c, frame) {
    const { heat: { data, palette } } = this, w = Math.min(300, frame.width - frame.x - 24), x = frame.x, y = 6, tall = 12;
    const place = (value) => x + ((Math.min(Math.max(value, data.low), data.high) - data.low) / (data.high - data.low)) * w;
    for (let k = 0; k < w; k++) {
      c.fillStyle = `rgb(${palette.colour(data.low + ((k + 0.5) / w) * (data.high - data.low))})`;
      c.fillRect(x + k, y, 1.5, tall);
    }
    if (data.nullBand) hatched(c, place(data.nullBand[0]), y, place(data.nullBand[1]), y + tall, this.ink);
    c.strokeStyle = c.fillStyle = this.ink;
    c.globalAlpha = 0.5;
    c.strokeRect(x - 0.5, y - 0.5, w + 1, tall + 1);
    c.globalAlpha = 1;
    if (data.threshold !== null && data.threshold <= data.high) for (const end of data.low < 0 ? [-1, 1] : [1]) notch(c, place(end * data.threshold), y + tall + 1);
    c.font = NAME_FONT(c.family);
    c.textBaseline = "top";
    for (const [value, side] of [[data.low, "left"], [(data.low + data.high) / 2, "center"], [data.high, "right"]]) {
      c.textAlign = side;
      c.fillText(brief(value), place(value), y + tall + 7);
    }
  }

  // ------------------------------------------------------------------ what is pointed at
  marks(c, frame) {
    const { heat: { data, cursor, hands } } = this;
    c.save();
    c.beginPath();
    c.rect(frame.x - 2, frame.y - 2, frame.w + 4, frame.h + 4);
    c.clip();
    if (data.marked) this.outline(c, frame, { row: data.marked[0], column: data.marked[1], side: 1 }, this.accent, 3);
    if (cursor) this.outline(c, frame, cursor, this.ink, 1.5);
    if (hands.outline) {
      const [x0, y0, x1, y1] = hands.outline;
      Object.assign(c, { strokeStyle: this.accent, lineWidth: 1.5, fillStyle: this.accent, globalAlpha: 0.15 });
      c.fillRect(x0, y0, x1 - x0, y1 - y0);
      c.globalAlpha = 1;
      c.strokeRect(x0, y0, x1 - x0, y1 - y0);
    }
    c.restore();
  }
  /* A frame around a cell, never smaller than can be seen. */
  outline(c, frame, { row, column, side }, colour, width) {
    const [x, y] = [frame.left(column), frame.top(row)], least = 7;
    const w = Math.max(least, side * frame.across), h = Math.max(least, side * frame.down);
    const dx = (side * frame.across - w) / 2, dy = (side * frame.down - h) / 2;
    Object.assign(c, { strokeStyle: `rgb(${this.ground})`, lineWidth: width + 2 });
    c.strokeRect(x + dx, y + dy, w, h);
    Object.assign(c, { strokeStyle: colour, lineWidth: width });
    c.strokeRect(x + dx, y + dy, w, h);
  }
}

const numbersOf = (colour) => (colour.match(/[\d.]+/g) ?? [255, 255, 255]).slice(0, 3).map(Number);
const brief = (value) => String(Number(value.toPrecision(3))).replace("-", "−");
const rangeOf = (from, to, all) => {
  const [first, last] = [Math.floor(from + 1e-9) + 1, Math.ceil(to - 1e-9)].map((v) => v.toLocaleString("en"));
  return `${first} to ${last} of ${all.toLocaleString("en")} in drawing order`;
};
/* Text cut at its end so that it fits. */
const cut = (c, text, room) => {
  if (c.measureText(text).width <= room) return text;
  let n = text.length;
  while (n > 1 && c.measureText(`${text.slice(0, n)}…`).width > room) n--;
  return `${text.slice(0, n)}…`;
};
const fitted = (c, text, x, y, room) => c.fillText(cut(c, text, room), x, y);
const hatched = (c, x0, y0, x1, y1, ink) => {
  c.save();
  c.beginPath();
  c.rect(x0, y0, Math.max(x1 - x0, 2), y1 - y0);
  c.clip();
  Object.assign(c, { strokeStyle: ink, lineWidth: 1.2 });
  c.beginPath();
  for (let x = x0 - (y1 - y0); x < Math.max(x1, x0 + 2); x += HATCH) {
    c.moveTo(x, y1);
    c.lineTo(x + (y1 - y0), y0);
  }
  c.stroke();
  c.restore();
};
const notch = (c, x, y) => {
  c.beginPath();
  c.moveTo(x, y);
  c.lineTo(x - 4, y + 6);
  c.lineTo(x + 4, y + 6);
  c.fill();
};
