/* From a colour column to RGBA per point, with dimming, and the legend that explains it. */

const hexToRgb = (hex) => [1, 3, 5].map((k) => parseInt(hex.slice(k, k + 2), 16));

/* Colour at t in [0, 1] along evenly spaced hex stops. */
const along = (stops, t) => {
  const at = Math.min(Math.max(t, 0), 1) * (stops.length - 1), k = Math.min(Math.floor(at), stops.length - 2);
  return stops[k].map((v, c) => Math.round(v + (stops[k + 1][c] - v) * (at - k)));
};

const columnOf = (colour, bytes) => (colour.kind === "number" ? new Float32Array(bytes.buffer) : bytes);

/* RGBA (4n) and flags (n) of every point. A code above the palette is a missing value: grey. Unselected points
 * are dimmed, never removed; only categories hidden in the legend are invisible. */
const paint = (n, colour, column, selected, hidden, greys) => {
  const rgba = new Uint8Array(4 * n), flags = new Uint8Array(n);
  const strong = n > 200000 ? 140 : n > 20000 ? 190 : 235, dim = n > 20000 ? 70 : 190;
  const number = colour?.kind === "number", [plain, missing, dimmed] = greys.map(hexToRgb);
  const stops = (number ? colour.stops : colour?.palette ?? []).map(hexToRgb);
  const ramp = number ? Array.from({ length: 256 }, (_, k) => along(stops, k / 255)) : stops;
  const width = number ? Math.max(colour.high - colour.low, 1e-30) : 1;
  for (let i = 0; i < n; i++) {
    let rgb = plain, alpha = strong;
    if (column) {
      const step = number ? Math.round(((column[i] - colour.low) / width) * 255) : column[i];
      rgb = (number ? ramp[Number.isNaN(step) ? -1 : Math.min(255, Math.max(0, step))] : ramp[step]) ?? missing;
      if (!number) flags[i] = (colour.marks?.[step] ?? 0) << 1;
    }
    if (selected?.[i]) flags[i] |= 1;
    else if (selected) [rgb, alpha] = [dimmed, dim];
    if (!number && column && hidden.has(column[i])) alpha = 0;
    rgba.set(rgb, 4 * i);
    rgba[4 * i + 3] = alpha;
  }
  return { rgba, flags };
};

/* Three significant digits, without trailing zeros. */
const short = (v) => (Number.isFinite(v) ? String(Number(Number(v).toPrecision(3))) : "–");

/* Fill `box` with the legend. Click a category: only it; click again: all; with Shift or Ctrl: hide or show. */
const drawLegend = (box, colour, hidden, onHidden) => {
  box.replaceChildren();
  box.hidden = !colour;
  if (!colour) return;
  box.append(make("div", { class: "title" }, colour.label ?? ""));
  if (colour.kind === "number") return drawRamp(box, colour);
  const all = colour.names.length;
  colour.names.forEach((name, code) => {
    const choose = (event) => onHidden(chosenHidden(code, all, hidden, event.shiftKey || event.ctrlKey || event.metaKey));
    const count = colour.counts ? make("span", { class: "count" }, colour.counts[code].toLocaleString("en")) : null;
    box.append(
      make("button", { type: "button", class: "entry", "aria-pressed": String(!hidden.has(code)), onclick: choose,
        title: "Click: only this one. Shift-click: hide or show." },
      make("i", { class: `mark${colour.marks?.[code] ?? 0}`, style: `background:${colour.palette[code]}` }),
      make("span", { class: "name" }, name), count));
  });
  if (hidden.size) box.append(make("button", { type: "button", class: "entry all", onclick: () => onHidden(new Set()) }, "Show all"));
  if (colour.note) box.append(make("div", { class: "more" }, colour.note));
};

const drawRamp = (box, colour) => {
  box.append(
    make("div", { class: "ramp", style: `background:linear-gradient(90deg,${colour.stops.join(",")})` }),
    make("div", { class: "ends" },
      make("span", {}, short(colour.low)),
      make("span", {}, short(colour.high))));
  if (colour.note) box.append(make("div", { class: "more" }, colour.note));
};

const chosenHidden = (code, all, hidden, toggle) => {
  const next = new Set(hidden);
  if (toggle) next.has(code) ? next.delete(code) : next.add(code);
  else {
    const alone = hidden.size === all - 1 && !hidden.has(code);
    next.clear();
    if (!alone) for (let c = 0; c < all; c++) if (c !== code) next.add(c);
  }
  return next.size === all ? new Set() : next;
};
