/* Two samples beside each other, lines between the parts that match, and the parts of the other one as heat where the
 * pointer is on a part of one.
 *
 * In (`data`): sides [{name, image (data URL) | null, grid [h, w] | null, leading, words [text] | null, parts [name]}] two of them
 *              lines [{from, to, share (-1 … 1, of the largest), text}], the strongest first
 *              cells {rows, columns, values base64 of int8 (share of the largest times 127, row by row)} | null
 *              up, down: hex colours.  said: what stands below while nothing is pointed at.
 */
const SVG = "http://www.w3.org/2000/svg";

const drawn = (tag, attributes) => {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
};

const sideOf = (side, point) => {
  const parts = [], box = make("div", { class: "side" }, make("div", { class: "name" }, side.name));
  const part = (k, more, ...inside) => {
    const node = make("span", { class: "cell", title: side.parts[k], ...more }, ...inside);
    node.onpointerenter = () => point(k);
    node.onpointerleave = () => point(null);
    parts[k] = node;
    return node;
  };
  if (side.words) {
    box.append(make("div", { class: "words" }, ...side.words.map((word, k) => part(k, {}, word.replace(/\n/g, "↵\n")))));
    return { box, parts };
  }
  const [h, w] = side.grid ?? [0, 0];
  if (side.grid) {
    const frame = make("div", { class: "frame" }, side.image ? make("img", { src: side.image, alt: side.name }) : null);
    if (!side.image) frame.style.aspectRatio = `${w} / ${h}`;
    for (let k = 0; k < h * w; k++) {
      const style = `left:${(100 * (k % w)) / w}%;top:${(100 * Math.floor(k / w)) / h}%;width:${100 / w}%;height:${100 / h}%`;
      frame.append(part(side.leading + k, { style }));
    }
    box.append(frame);
  }
  const beside = side.parts.map((_, k) => k).filter((k) => !parts[k]);
  if (beside.length) box.append(make("div", { class: "before" }, ...beside.map((k) => part(k, {}, side.parts[k]))));
  return { box, parts };
};

const tint = (share, up, down) =>
  share ? `color-mix(in srgb, ${share > 0 ? up : down} ${Math.round(78 * Math.abs(share))}%, transparent)` : "";

export default function ({ data, parentElement }) {
  const { lines, cells, up, down } = data, values = cells ? new Int8Array(bytesOf(cells.values).buffer) : null;
  const said = make("div", { class: "match-said", role: "status" }), svg = document.createElementNS(SVG, "svg");
  const share = (i, j) => values[i * cells.columns + j] / 127;
  let held = null; // [side, part]
  const sides = data.sides.map((side, s) => sideOf(side, (k) => { held = k === null ? null : [s, k]; paint(); }));
  const box = make("div", { class: "matches" }, ...sides.map((side) => side.box));
  box.append(svg);

  const centre = (node, origin) => {
    const r = node.getClientRects()[0] ?? node.getBoundingClientRect();
    return [r.left + r.width / 2 - origin.left, r.top + r.height / 2 - origin.top];
  };
  const paint = () => {
    const origin = box.getBoundingClientRect();
    svg.replaceChildren();
    const mine = held ? lines.filter((line) => [line.from, line.to][held[0]] === held[1]) : lines;
    for (const line of mine) {
      const from = sides[0].parts[line.from], to = sides[1].parts[line.to];
      if (!from || !to) continue;
      const [x1, y1] = centre(from, origin), [x2, y2] = centre(to, origin), size = Math.abs(line.share);
      const colour = line.share >= 0 ? up : down, opacity = held ? 0.95 : 0.2 + 0.65 * size;
      const bent = 0.16 * (x1 + x2 - box.clientWidth); // lines of one row would lie on each other
      const d = `M${x1},${y1} Q${(x1 + x2) / 2},${(y1 + y2) / 2 + bent} ${x2},${y2}`;
      svg.append(drawn("path", { d, fill: "none", stroke: colour, "stroke-linecap": "round", "stroke-width": 1 + 3 * size, "stroke-opacity": opacity }));
      for (const [cx, cy] of [[x1, y1], [x2, y2]]) svg.append(drawn("circle", { cx, cy, r: 3, fill: colour, "fill-opacity": opacity }));
    }
    sides.forEach((side, s) => side.parts.forEach((node, k) => {
      node.classList.toggle("held", held !== null && held[0] === s && held[1] === k);
      const seen = held && held[0] !== s && values ? (s ? share(held[1], k) : share(k, held[1])) : 0;
      node.style.background = tint(seen, up, down);
    }));
    const texts = held ? mine.slice(0, 3).map((line) => line.text) : [];
    said.textContent = held ? texts.join("; ") || `${data.sides[held[0]].parts[held[1]]}: no line among those drawn` : data.said;
  };
  const old = parentElement.querySelector(".match-box");
  const all = make("div", { class: "match-box" }, box, said);
  old ? old.replaceWith(all) : parentElement.append(all);
  const watch = new ResizeObserver(paint);
  watch.observe(box);
  paint();
  return () => { watch.disconnect(); all.remove(); };
}
