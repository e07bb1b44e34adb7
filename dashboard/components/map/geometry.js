/* Where points are: extents, drawing order, and bit masks as they travel. */

/* Least and greatest finite value of each coordinate, as {low, high} of three numbers (z is 0 in two dimensions). */
const extentOf = (points, dims) => {
  const low = [0, 0, 0], high = [0, 0, 0];
  for (let c = 0; c < dims; c++) {
    let a = Infinity, b = -Infinity;
    for (let i = c; i < points.length; i += dims) {
      const v = points[i];
      if (v < a && v > -Infinity) a = v;
      if (v > b && v < Infinity) b = v;
    }
    [low[c], high[c]] = a <= b ? [a, b] : [0, 1];
  }
  return { low, high };
};

const joinedExtent = (a, b) =>
  a ? { low: a.low.map((v, c) => Math.min(v, b.low[c])), high: a.high.map((v, c) => Math.max(v, b.high[c])) } : b;

/* A fixed drawing order that steps through the points by the golden ratio. In file order the last class would be
 * painted over all others; in this order every prefix is spread evenly over the file, so that a prefix also serves
 * as a smaller picture of the same points while the map moves. */
const spreadOrder = (n) => {
  const order = new Uint32Array(n), common = (a, b) => (b ? common(b, a % b) : a);
  let step = Math.max(1, Math.round(n * 0.6180339887498949));
  while (n > 1 && common(step, n) !== 1) step++;
  for (let k = 0, i = 0; k < n; k++) {
    order[k] = i;
    i += step;
    if (i >= n) i -= n;
  }
  return order;
};

/* Positions sent as uint16 steps over the box `grid` (low coordinates, then high ones); 65535 is no place. */
const fromGrid = (steps, grid, dims) => {
  const points = new Float32Array(steps.length);
  for (let c = 0; c < dims; c++) {
    const low = grid[c], step = (grid[dims + c] - low) / 65534;
    for (let i = c; i < steps.length; i += dims) points[i] = steps[i] === 65535 ? NaN : low + step * steps[i];
  }
  return points;
};

/* Bit masks as they travel: numpy.packbits order (first point in the highest bit), base64. */
const packBits = (flags) => {
  const n = flags.length, bytes = new Uint8Array(Math.ceil(n / 8)), whole = n >> 3;
  for (let b = 0, i = 0; b < whole; b++, i += 8) {
    bytes[b] = (flags[i] << 7) | (flags[i + 1] << 6) | (flags[i + 2] << 5) | (flags[i + 3] << 4)
      | (flags[i + 4] << 3) | (flags[i + 5] << 2) | (flags[i + 6] << 1) | flags[i + 7];
  }
  for (let i = whole * 8; i < n; i++) if (flags[i]) bytes[i >> 3] |= 128 >> (i & 7);
  let text = "";
  for (let i = 0; i < bytes.length; i += 8192) text += String.fromCharCode(...bytes.subarray(i, i + 8192));
  return btoa(text);
};
const unpackBits = (bytes, n) => {
  const flags = new Uint8Array(n);
  for (let i = 0; i < n; i++) flags[i] = (bytes[i >> 3] >> (7 - (i & 7))) & 1;
  return flags;
};
const countOf = (flags) => {
  let count = 0;
  for (let i = 0; i < flags.length; i++) count += flags[i];
  return count;
};
