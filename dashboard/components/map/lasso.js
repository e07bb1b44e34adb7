/* Which points lie inside a drawn outline. */
const BANDS = 512;

/* The edges of a polygon by horizontal band, so that a point is tested against the few edges at its height. */
const bandsOf = (polygon, y0, y1) => {
  const bands = Array.from({ length: BANDS }, () => []), per = BANDS / Math.max(y1 - y0, 1e-30);
  polygon.forEach(([ax, ay], k) => {
    const [bx, by] = polygon[(k + 1) % polygon.length];
    const last = Math.min(BANDS - 1, Math.floor((Math.max(ay, by) - y0) * per));
    for (let b = Math.max(0, Math.floor((Math.min(ay, by) - y0) * per)); b <= last; b++) bands[b].push(ax, ay, bx, by);
  });
  return { bands: bands.map((edges) => Float64Array.from(edges)), per };
};

/* 1 for every allowed point inside the polygon [[x, y], …] (even-odd rule), else 0. */
const insidePolygon = (flat, polygon, allowed) => {
  const n = flat.length / 2, inside = new Uint8Array(n);
  if (polygon.length < 3) return inside;
  const { low: [x0, y0], high: [x1, y1] } = extentOf(Float64Array.from(polygon.flat()), 2);
  const { bands, per } = bandsOf(polygon, y0, y1);
  for (let i = 0; i < n; i++) {
    const x = flat[2 * i], y = flat[2 * i + 1];
    if (!(x >= x0 && x <= x1 && y >= y0 && y <= y1) || !allowed(i)) continue;
    const edges = bands[Math.min(BANDS - 1, Math.floor((y - y0) * per))];
    let odd = 0;
    for (let k = 0; k < edges.length; k += 4) {
      const ay = edges[k + 1], by = edges[k + 3];
      if (ay > y !== by > y && x < ((edges[k + 2] - edges[k]) * (y - ay)) / (by - ay) + edges[k]) odd ^= 1;
    }
    inside[i] = odd;
  }
  return inside;
};
