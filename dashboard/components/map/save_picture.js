/* Save exactly what is seen as a PNG: points, outlines, names and the legend. Made here; nothing is sent. */
const savePicture = (map) => {
  pictureOf(map).toBlob((blob) => {
    const url = URL.createObjectURL(blob), link = make("a", { href: url, download: `${(map.data.label ?? "map").replace(/[^\p{L}\p{N}]+/gu, "-").slice(0, 60)}.png` });
    link.click();
    setTimeout(() => URL.revokeObjectURL(url), 1000);
  });
};
const pictureOf = (map) => {
  const { view, canvas, frame } = map, whole = make("canvas", { width: canvas.width, height: canvas.height }), c = whole.getContext("2d");
  const ratio = canvas.width / view.width, place = canvas.getBoundingClientRect();
  c.fillStyle = getComputedStyle(frame).backgroundColor;
  c.fillRect(0, 0, whole.width, whole.height);
  map.renderer.draw(map.view, map.drawing.scene(1)); // WebGL forgets its picture once it was shown
  c.drawImage(map.under, 0, 0);
  c.drawImage(canvas, 0, 0);
  c.setTransform(ratio, 0, 0, ratio, -ratio * place.left, -ratio * place.top);
  map.labels.box.childNodes.forEach((node) => copyText(c, node, frame));
  if (!map.legend.box.hidden) copyLegend(c, map.legend.box, frame);
  return whole;
};

/* The parts of the legend as the browser has laid them out; `c` has the coordinates of the window. */
const copyLegend = (c, legend, frame) => {
  const { left, top, width, height } = legend.getBoundingClientRect(), style = getComputedStyle(legend);
  Object.assign(c, { fillStyle: style.backgroundColor, strokeStyle: style.borderColor, lineWidth: 1 });
  c.fillRect(left, top, width, height);
  c.strokeRect(left + 0.5, top + 0.5, width - 1, height - 1);
  legend.querySelectorAll("button > i").forEach((node) => within(c, node, frame, (r) => {
    c.fillStyle = node.style.background;
    drawMark(c, Number(node.className.slice(4)), r.left + r.width / 2, r.top + r.height / 2, r.width / 2);
  }));
  legend.querySelectorAll(".ramp").forEach((node) => within(c, node, frame, (r) => {
    const shade = c.createLinearGradient(r.left, 0, r.right, 0), stops = node.style.background.match(/rgba?\([^)]*\)|#[0-9a-f]+/gi) ?? [];
    stops.forEach((stop, k) => shade.addColorStop(k / Math.max(1, stops.length - 1), stop));
    c.fillStyle = shade;
    c.fillRect(r.left, r.top, r.width, r.height);
  }));
  legend.querySelectorAll(".title, .name, .count, .ends span, .more").forEach((node) => copyText(c, node, frame));
};
/* Draw with what the parts around it do to it: how much shows through, and what they cut off. */
const within = (c, node, frame, draw) => {
  const here = node.getBoundingClientRect();
  c.save();
  for (let part = node; part && part !== frame; part = part.parentElement) {
    const style = getComputedStyle(part), r = part.getBoundingClientRect();
    c.globalAlpha *= Number(style.opacity);
    if (style.overflow === "visible") continue;
    c.beginPath();
    c.rect(r.left, r.top, r.width, r.height);
    c.clip();
  }
  draw(here);
  c.restore();
};
/* The text of a node, line by line as the browser has broken it. */
const copyText = (c, node, frame) => {
  const style = getComputedStyle(node), text = node.firstChild, lines = new Map(), word = document.createRange();
  if (style.visibility === "hidden" || !text?.data) return;
  for (const { 0: letters, index } of text.data.matchAll(/\S+/g)) {
    word.setStart(text, index);
    word.setEnd(text, index + letters.length);
    const { left, top, bottom } = word.getBoundingClientRect(), line = lines.get(top);
    if (line) line.words += ` ${letters}`;
    else lines.set(top, { left, middle: (top + bottom) / 2, words: letters });
  }
  within(c, node, frame, () => {
    Object.assign(c, { font: `${style.fontWeight} ${style.fontSize} ${style.fontFamily}`, fillStyle: style.color, textBaseline: "middle" });
    lines.forEach(({ left, middle, words }) => c.fillText(words, left, middle));
  });
};
