/* From a colour column to colours: a small table that the graphics card looks every point up in. Recolouring sends
 * the raw column (1 to 4 bytes a point) and this table; hiding a category changes the table alone. */
const RAMP = 256;

const hexToRgb = (hex) => [1, 3, 5].map((k) => parseInt(hex.slice(k, k + 2), 16));

/* Colour at t in [0, 1] along evenly spaced colours. */
const along = (stops, t) => {
  const at = Math.min(Math.max(t, 0), 1) * (stops.length - 1), k = Math.max(0, Math.min(Math.floor(at), stops.length - 2));
  return stops[k].map((v, c) => Math.round(v + ((stops[k + 1] ?? stops[k])[c] - v) * (at - k)));
};
const rampOf = (stops) => {
  const ends = (stops?.length ? stops : ["#888888"]).map(hexToRgb), table = new Uint8Array(4 * RAMP);
  for (let k = 0; k < RAMP; k++) table.set([...along(ends, k / (RAMP - 1)), 1], 4 * k);
  return table;
};

/* The bytes of a column as they were meant. Whole-number columns of a quantity are steps from `low` to `high`, the
 * highest number standing for a missing value. */
const columnOf = (colour, bytes) => {
  const bits = colour.bits ?? (colour.kind === "number" ? 32 : 8);
  return bits === 32 ? new Float32Array(bytes.buffer) : bits === 16 ? new Uint16Array(bytes.buffer) : bytes;
};

/* Entry = [r, g, b, 1 + mark], the last 0 where hidden. `steps` entries count; whatever lies above is missing. */
const lookupOf = (colour, hidden) => {
  if (!colour) return { kind: 0, table: new Uint8Array(4), steps: 0 };
  if (colour.kind === "number") return { kind: 2, table: rampOf(colour.stops), steps: RAMP };
  const steps = colour.palette.length, table = new Uint8Array(4 * Math.max(steps, 1));
  colour.palette.forEach((hex, k) => table.set([...hexToRgb(hex), hidden.has(k) ? 0 : 1 + (colour.marks?.[k] ?? 0)], 4 * k));
  return { kind: 1, table, steps };
};

/* How a number column's raw values become ramp steps: step = (value - low) * per; at or above `lost`: missing. */
const scaleOf = (colour, column) => {
  if (column instanceof Float32Array) return { low: colour.low, per: (RAMP - 1) / Math.max(colour.high - colour.low, 1e-30), lost: Infinity };
  const lost = column instanceof Uint16Array ? 65535 : 255;
  return { low: 0, per: (RAMP - 1) / (lost - 1), lost };
};

/* The table entry of point i; -1 when its value is missing. What the shader does, for the plain canvas. */
const entryOf = (look, i) => {
  const value = look.column[i];
  if (look.kind === 1) return value < look.steps ? value : -1;
  if (Number.isNaN(value) || value >= look.scale.lost) return -1;
  return Math.min(RAMP - 1, Math.max(0, Math.round((value - look.scale.low) * look.scale.per)));
};

/* Three significant digits, without trailing zeros. */
const short = (v) => (Number.isFinite(v) ? String(Number(Number(v).toPrecision(3))) : "–");

/* What is known of point i's value here. Steps are coarser than the numbers, and what lies beyond the ends of the
 * ramp was cut: the words say so. */
const valueWords = (colour, column, i) => {
  const value = column[i];
  if (colour.kind !== "number") return colour.names[value] ?? "none";
  if (column instanceof Float32Array) return short(value);
  const { lost } = scaleOf(colour, column);
  if (value >= lost) return "none";
  if (value === 0) return `about ${short(colour.low)} or less`;
  if (value === lost - 1) return `about ${short(colour.high)} or more`;
  return `about ${short(colour.low + ((colour.high - colour.low) * value) / (lost - 1))}`;
};
