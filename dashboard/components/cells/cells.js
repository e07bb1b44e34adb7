/* A picture whose cells are chosen by clicking or painting over them.
 *
 * In (`data`): image (data URL) | null, grid [h, w], chosen [cell number], names [one of each cell], said {none, some (with # for the count)}
 * Out (trigger): painted [cell number], in order, when the pointer is lifted or a key was pressed; [] puts all back.
 */
export default function ({ data, parentElement, setTriggerValue }) {
  const [h, w] = data.grid, chosen = new Set(data.chosen);
  const frame = make("div", { class: "frame" }, data.image ? make("img", { src: data.image, alt: "" }) : null);
  if (!data.image) frame.style.aspectRatio = `${w} / ${h}`;
  const text = make("span"), back = make("button", { type: "button", onclick: () => { chosen.clear(); show(); cells[0].focus(); send(); } }, "Show all");
  const box = make("div", { class: "cell-box" }, frame, make("div", { class: "below" }, text, back));
  const cells = data.names.map((name, k) => {
    const style = `left:${(100 * (k % w)) / w}%;top:${(100 * Math.floor(k / w)) / h}%;width:${100 / w}%;height:${100 / h}%`;
    const node = make("button", { type: "button", style, title: name, "aria-label": name });
    node.dataset.cell = k;
    frame.append(node);
    return node;
  });
  const show = () => {
    box.classList.toggle("open", chosen.size === 0);
    cells.forEach((node, k) => node.setAttribute("aria-pressed", chosen.has(k)));
    text.textContent = chosen.size ? data.said.some.replace("#", chosen.size) : data.said.none;
    back.style.visibility = chosen.size ? "visible" : "hidden";
  };
  const send = () => setTriggerValue("painted", [...chosen].sort((a, b) => a - b));
  const put = (k, on) => { on ? chosen.add(k) : chosen.delete(k); show(); };
  let adds = null; // while painting: whether cells are added or taken away
  frame.onpointerdown = (event) => {
    const k = event.target.dataset.cell;
    if (k === undefined) return;
    adds = !chosen.has(+k);
    frame.setPointerCapture(event.pointerId);
    put(+k, adds);
  };
  frame.onpointermove = (event) => {
    if (adds === null) return;
    const r = frame.getBoundingClientRect(), x = (event.clientX - r.left) / r.width, y = (event.clientY - r.top) / r.height;
    if (x < 0 || y < 0 || x >= 1 || y >= 1) return;
    put(Math.floor(y * h) * w + Math.floor(x * w), adds);
  };
  frame.onpointerup = frame.onpointercancel = () => { if (adds !== null) { adds = null; send(); } };
  frame.onkeydown = (event) => {
    const k = event.target.dataset.cell;
    if (k === undefined || (event.key !== " " && event.key !== "Enter")) return;
    event.preventDefault();
    put(+k, !chosen.has(+k));
    send();
  };
  const old = parentElement.querySelector(".cell-box"), held = old?.getRootNode().activeElement;
  const at = old?.contains(held) ? held.dataset.cell ?? "none" : null; // whoever paints by keys goes on where she was
  old ? old.replaceWith(box) : parentElement.append(box);
  show();
  if (at !== null) (cells[at] ?? cells[0])?.focus({ preventScroll: true });
  return () => box.remove();
}
