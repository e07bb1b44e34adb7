/* A histogram with the share of each class in every bin.
 *
 * In (`data`): edges [b + 1], groups [{name, colour, hatched, counts [b]}] (stacked in order), value_name, row_name,
 *              log (logarithmic counts; one group only), zero (mark 0), label (for people who cannot see it),
 *              about (behind the heading)
 */
const SVG = "http://www.w3.org/2000/svg";
const draw = (tag, attributes = {}, text = null) => {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (text !== null) node.textContent = text;
  return node;
};
const W = 420, H = 200, LEFT = 44, BOTTOM = 34, TOP = 8;
const short = (v) => (v === 0 ? "0" : Math.abs(v) >= 1000 ? Math.round(v).toLocaleString("en") : String(Number(v.toPrecision(2))));

/* Round steps (1, 2, 5 times a power of ten), about `wanted` of them. */
const ticks = (low, high, wanted) => {
  const raw = (high - low) / wanted, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((k) => k * power).find((s) => s >= raw) ?? raw;
  const found = [];
  for (let k = Math.ceil(low / step); k * step <= high * (1 + 1e-9); k++) found.push(k * step);
  return found;
};

/* A colour used for the second time is hatched, so that two classes never look alike. */
const hatch = (colour, id) => {
  const pattern = draw("pattern", { id, width: 4, height: 4, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" });
  pattern.append(draw("rect", { width: 4, height: 4, fill: colour }), draw("rect", { width: 1.6, height: 4, class: "stripe" }));
  return pattern;
};

const picture = (data) => {
  const { edges, groups } = data, bins = edges.length - 1;
  const totals = edges.slice(1).map((_, i) => groups.reduce((sum, g) => sum + g.counts[i], 0));
  const most = Math.max(1, ...totals), low = edges[0], high = edges[bins];
  const x = (v) => LEFT + ((v - low) / (high - low)) * (W - LEFT - 8);
  const up = (n) => (data.log ? Math.log10(Math.max(n, 0.5) / 0.5) / Math.log10(most / 0.5) : n / most);
  const y = (n) => H - BOTTOM - up(n) * (H - BOTTOM - TOP);
  const svg = draw("svg", { viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": data.label });
  const fills = groups.map((g, k) => (g.hatched ? `url(#hatch${k})` : g.colour));
  const patterns = draw("defs");
  groups.forEach((g, k) => g.hatched && patterns.append(hatch(g.colour, `hatch${k}`)));
  svg.append(patterns);
  const levels = data.log ? [1, 10, 100, 1e3, 1e4, 1e5, 1e6].filter((n) => n <= most) : ticks(0, most, 3);
  for (const n of levels) {
    svg.append(draw("line", { x1: LEFT, x2: W - 8, y1: y(n), y2: y(n), class: "grid" }));
    svg.append(draw("text", { x: LEFT - 6, y: y(n) + 4, class: "tick end" }, n.toLocaleString("en")));
  }
  for (let i = 0; i < bins; i++) {
    let base = 0;
    const column = draw("g");
    for (const [k, g] of groups.entries()) {
      if (!g.counts[i]) continue;
      const top = base + g.counts[i];
      const box = { x: x(edges[i]), y: y(top), width: Math.max(x(edges[i + 1]) - x(edges[i]) - 0.4, 0.5), height: y(base) - y(top) };
      column.append(draw("rect", { ...box, fill: fills[k] }));
      base = top;
    }
    const parts = groups.length > 1 ? groups.filter((g) => g.counts[i]).map((g) => `${g.name}: ${g.counts[i]}`).join(", ") : "";
    column.append(draw("title", {}, `${short(edges[i])} to ${short(edges[i + 1])}: ${totals[i].toLocaleString("en")} ${data.row_name}${parts ? ` (${parts})` : ""}`));
    svg.append(column);
  }
  svg.append(draw("line", { x1: LEFT, x2: W - 8, y1: H - BOTTOM, y2: H - BOTTOM, class: "axis" }));
  for (const v of ticks(low, high, 5)) svg.append(draw("text", { x: x(v), y: H - BOTTOM + 14, class: "tick" }, short(v)));
  if (data.zero) svg.append(draw("line", { x1: x(0), x2: x(0), y1: TOP, y2: H - BOTTOM, class: "zero" }));
  svg.append(draw("text", { x: (LEFT + W) / 2, y: H - 4, class: "tick" }, data.value_name));
  return svg;
};

export default function ({ data, parentElement }) {
  const heading = make("p", { class: "heading" }, make("strong", {}, "How often each value occurs"), data.about);
  const box = make("div", { class: "histogram" }, heading, picture(data));
  if (data.groups.length > 1) {
    box.append(make("div", { class: "legend" }, ...data.groups.map((g) =>
      make("span", {}, make("i", { class: g.hatched ? "hatched" : null, style: `background-color:${g.colour}` }), g.name))));
  }
  parentElement.querySelector(".histogram")?.remove();
  parentElement.append(box);
  return () => box.remove();
}
