/* Charts of numbers with their intervals, one line each, against what chance gives.
 *
 * In (`data.charts`, each): lines [{name, value, low, high, null [low, high] | null, text, title, id | null}], label,
 *   low, high, zero; null_word: what the grey band is; mark, mark_word: where a dashed line is, and what it is;
 *   heading, about: above it; note, points: below it.
 * Out (trigger): open {chart, id} when a line with an id is clicked.
 */
const track = (line, data) => {
  const at = (v) => `${(100 * (Math.min(Math.max(v, data.low), data.high) - data.low)) / Math.max(data.high - data.low, 1e-30)}%`;
  const span = (a, b) => `left:${at(a)};width:calc(${at(b)} - ${at(a)})`;
  const box = make("div", { class: "track" });
  if (line.null) box.append(make("i", { class: "null", style: span(line.null[0], line.null[1]) }));
  if (data.zero !== null) box.append(make("i", { class: "zero", style: `left:${at(data.zero)}` }));
  if (Number.isFinite(data.mark)) box.append(make("i", { class: "mark", style: `left:${at(data.mark)}` }));
  if (Number.isFinite(line.low) && line.low !== null) box.append(make("i", { class: "interval", style: span(line.low, line.high) }));
  box.append(make("i", { class: "dot", style: `left:${at(line.value)}` }));
  return box;
};

const drawn = (data, open) => {
  const box = make("div", { class: "bars", role: "group", "aria-label": data.label });
  box.style.setProperty("--words", `${Math.max(...data.lines.map((line) => line.text.length), 0)}ch`);  // one scale for all lines
  if (data.heading) box.append(make("p", { class: "heading" }, make("strong", {}, data.heading), data.about));
  for (const line of data.lines) {
    const clickable = line.id !== null && line.id !== undefined;
    box.append(make(clickable ? "button" : "div",
      { class: "line", role: clickable ? null : "img", "aria-label": `${line.name}: ${line.text}`, title: line.title, type: clickable ? "button" : null,
        onclick: clickable ? () => open(line.id) : null },
      make("span", { class: "name" }, line.name),
      track(line, data),
      make("span", { class: "text" }, line.text)));
  }
  const interval = data.lines.some((line) => Number.isFinite(line.low)) ? ", 95 % interval" : "";
  if (data.null_word && data.lines.length) box.append(make("div", { class: "key" },
    make("span", {}, make("i", { class: "dot sample" }), ` value${interval}`),
    make("span", {}, make("i", { class: "null sample" }), ` ${data.null_word}`),
    ...(data.mark_word ? [make("span", {}, make("i", { class: "mark sample" }), ` ${data.mark_word}`)] : [])));
  if (data.note) box.append(make("p", { class: "note" }, data.note));
  if (data.points.length) box.append(make("ul", { class: "note" }, ...data.points.map((point) => make("li", {}, point))));
  return box;
};

export default function ({ data, parentElement, setTriggerValue }) {
  const box = make("div", { class: "charts" },
    ...data.charts.map((chart) => drawn(chart, (id) => setTriggerValue("open", { chart: chart.label, id }))));
  parentElement.querySelector(".charts")?.remove();
  parentElement.append(box);
  return () => box.remove();
}
