/* Counting points into cells on the processor: some ten times sooner than a graphics card that is itself only
 * imitated by the processor (remote desktops, virtual machines), and what the plain canvas does. */
const IMITATED = /swiftshader|llvmpipe|softpipe|software|basic render/i;
const isImitated = (gl) => {
  const info = gl.getExtension("WEBGL_debug_renderer_info");
  return IMITATED.test(gl.getParameter(info ? info.UNMASKED_RENDERER_WEBGL : gl.RENDERER) ?? "");
};

/* Fill `sums` ([r, g, b, 1] of every point added to its cell; rows from below, as in a texture) with the first `n`
 * points of the drawing order, unselected ones where there is a selection. Returns the greatest count. */
const countCells = (sums, wide, high, n, { view, scene, look, flags, order }) => {
  const { flat } = scene, inks = inksOf(scene, look), { kind, column, steps } = look, { low = 0, per = 1, lost = Infinity } = look.scale ?? {};
  const kx = (view.scale / view.width) * wide, ky = (view.scale / view.height) * high, all = n === order.length;
  const x0 = wide / 2 - view.cx * kx, y0 = high / 2 - view.cy * ky;
  let most = 0;
  sums.fill(0);
  for (let k = 0; k < n; k++) {
    const i = all ? k : order[k]; // a sum has no order, and in file order it is sooner done
    const x = flat[2 * i] * kx + x0, y = flat[2 * i + 1] * ky + y0;
    if (!(x >= 0 && y >= 0 && x < wide && y < high) || (scene.chosen && flags[i])) continue;
    let entry = steps; // where missing values have their colour
    if (kind) {
      const value = column[i];
      if (kind === 1) entry = value < steps ? value : steps;
      else if (value < lost) entry = Math.min(RAMP - 1, Math.max(0, (value - low) * per + 0.5)) | 0;
    }
    if (inks[4 * entry + 3] === 0) continue; // hidden
    const cell = 4 * ((y | 0) * wide + (x | 0));
    sums[cell] += inks[4 * entry];
    sums[cell + 1] += inks[4 * entry + 1];
    sums[cell + 2] += inks[4 * entry + 2];
    const count = (sums[cell + 3] += 1);
    if (count > most) most = count;
  }
  return most;
};
/* [r, g, b, shown] of each table entry and, last, of missing values (without a column: of every point). */
const inksOf = (scene, look) => {
  const inks = new Float32Array(4 * (look.steps + 1));
  for (let e = 0; e < look.steps; e++) {
    const rgb = scene.chosen ? scene.dimmed : Array.from(look.table.subarray(4 * e, 4 * e + 3), (v) => v / 255);
    inks.set([rgb[0], rgb[1], rgb[2], look.table[4 * e + 3] ? 1 : 0], 4 * e);
  }
  const rest = scene.chosen ? scene.dimmed : look.kind ? scene.missing : scene.plain;
  inks.set([rest[0], rest[1], rest[2], 1], 4 * look.steps);
  return inks;
};

/* Which of the first `n` points of the drawing order are worth handing to an imitated card: those in the picture and,
 * with `shading` ({sums, wide, high, thin}), not where the shading takes their place. Into `picked`; returns how many. */
const pickSeen = (picked, n, { view, scene, flags, order }, shading) => {
  const { flat, chosen } = scene, edge = 12 / view.scale, [x0, y0, x1, y1] = view.box;
  const { sums, wide = 0, high = 0, thin = 0 } = shading ?? {}, kx = wide / (x1 - x0), ky = high / (y1 - y0);
  let count = 0;
  for (let k = 0; k < n; k++) {
    const i = order[k], x = flat[2 * i], y = flat[2 * i + 1];
    if (!(x > x0 - edge && y > y0 - edge && x < x1 + edge && y < y1 + edge)) continue;
    if (thin && !(chosen && flags[i])) {
      const cx = Math.min(wide - 1, Math.max(0, (x - x0) * kx)) | 0, cy = Math.min(high - 1, Math.max(0, (y - y0) * ky)) | 0;
      if (sums[4 * (cy * wide + cx) + 3] * thin >= 6) continue; // as the shader would
    }
    picked[count++] = i;
  }
  return count;
};
