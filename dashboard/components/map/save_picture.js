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
  const style = getComputedStyle(frame), ratio = canvas.width / view.width, place = frame.getBoundingClientRect();
  c.fillStyle = style.backgroundColor;
  c.fillRect(0, 0, whole.width, whole.height);
  map.renderer.draw(map.view, map.scene(1)); // WebGL forgets its picture once it was shown
  c.drawImage(map.under, 0, 0);
  c.drawImage(canvas, 0, 0);
  c.setTransform(ratio, 0, 0, ratio, 0, 0);
  const text = (node, weight = 400) => {
    const r = node.getBoundingClientRect();
    if (!r.width || !node.textContent || getComputedStyle(node).visibility === "hidden") return;
    Object.assign(c, { font: `${weight} 12.5px ${style.fontFamily}`, fillStyle: style.color, textBaseline: "middle" });
    c.fillText(node.textContent, r.left - place.left, r.top - place.top + r.height / 2, r.width + 8);
  };
  const patch = (node, fill) => {
    const r = node.getBoundingClientRect();
    c.fillStyle = fill;
    c.fillRect(r.left - place.left, r.top - place.top, r.width, r.height);
  };
  map.labels.box.childNodes.forEach((node) => text(node, 600));
  const legend = map.legend.box;
  if (legend.hidden) return whole;
  patch(legend, style.backgroundColor);
  legend.querySelectorAll("i").forEach((node) => patch(node, node.style.background));
  legend.querySelectorAll(".ramp").forEach((node) => {
    const r = node.getBoundingClientRect(), from = r.left - place.left, shade = c.createLinearGradient(from, 0, from + r.width, 0);
    const stops = node.style.background.match(/rgba?\([^)]*\)|#[0-9a-f]+/gi) ?? [];
    stops.forEach((stop, k) => shade.addColorStop(k / Math.max(1, stops.length - 1), stop));
    patch(node, shade);
  });
  legend.querySelectorAll(".title").forEach((node) => text(node, 600));
  legend.querySelectorAll(".name, .count, .ends span, .more").forEach((node) => text(node));
  return whole;
};
