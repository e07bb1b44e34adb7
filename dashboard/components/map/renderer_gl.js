/* The picture with WebGL2. Buffers: each frame of positions (float32), the raw colour column, selection flags
 * (uint8), the drawing order (uint32) and the edges. Each is uploaded only when it changes. Drawing: counts for the
 * density shading, then its picture, edges, unselected points, selected points on top. */
const UNIT = { counts: 0, most: 1, ramp: 2, lookup: 3 };

class RendererGL {
  /* null when this browser has no WebGL2 to give. */
  static on(canvas) {
    const gl = canvas.getContext("webgl2", { antialias: false, premultipliedAlpha: true });
    return gl && new RendererGL(canvas, gl);
  }
  constructor(canvas, gl) {
    Object.assign(this, { canvas, gl, order: null, frames: [], edges: [], busySince: null });
    Object.assign(this, { look: lookupOf(null), ramp: rampOf(), flags: null });
    this.prepare();
  }
  prepare() {
    const gl = this.gl;
    this.points = new Program(gl, POINT_VERTEX, POINT_FRAGMENT);
    this.lines = new Program(gl, LINE_VERTEX, LINE_FRAGMENT);
    this.density = new DensityGL(gl);
    Object.assign(this, { buffers: new Map(), textures: { lookup: gl.createTexture(), ramp: gl.createTexture() } });
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
  }
  /* After a lost context everything is gone: made anew from what is held here. */
  restore() {
    this.busy = this.some = this.asked = null;
    this.prepare();
    this.fill("lookup", this.look.table);
    this.fill("ramp", this.ramp);
  }
  get lost() {
    return this.gl.isContextLost();
  }
  /* Whether this card would not take the programs. */
  get fails() {
    const { count, shade } = this.density.programs;
    return Boolean(this.points.fails || count.fails || shade.fails);
  }

  // ------------------------------------------------------------------ what is drawn
  setOrder(order) {
    this.forget(this.order);
    this.order = order;
  }
  setFrames(frames) {
    this.frames.filter((frame) => !frames.includes(frame)).forEach((frame) => this.forget(frame));
    this.frames = [...frames];
  }
  setColour(look) {
    if (look.column !== this.look.column) this.forget(this.look.column);
    this.look = look;
    this.fill("lookup", look.table);
  }
  setFlags(flags) {
    if (flags === this.flags) return;
    this.forget(this.flags);
    this.flags = flags;
  }
  setRamp(table) {
    this.ramp = table;
    this.fill("ramp", table);
  }
  /* [{pairs: Uint32Array, ink: [r, g, b, a]}]: lines between points, by colour. */
  setEdges(groups) {
    this.edges.forEach(({ pairs }) => this.forget(pairs));
    this.edges = groups;
  }
  fill(name, table) {
    const gl = this.gl, size = table.length / 4, wide = Math.min(size, 256), high = Math.ceil(size / 256);
    const whole = wide * high * 4 === table.length ? table : new Uint8Array(wide * high * 4);
    if (whole !== table) whole.set(table);
    gl.bindTexture(gl.TEXTURE_2D, this.textures[name]);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA8, wide, high, 0, gl.RGBA, gl.UNSIGNED_BYTE, whole);
    for (const side of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_2D, side, gl.NEAREST);
  }
  /* The buffer of an array, uploaded at its first use. */
  buffer(values, target = this.gl.ARRAY_BUFFER) {
    const gl = this.gl, known = this.buffers.get(values);
    if (known) return void gl.bindBuffer(target, known);
    const made = gl.createBuffer();
    this.buffers.set(values, made);
    gl.bindBuffer(target, made);
    gl.bufferData(target, values, gl.STATIC_DRAW);
  }
  forget(values) {
    const buffer = values && this.buffers.get(values);
    if (!buffer) return;
    this.gl.deleteBuffer(buffer);
    this.buffers.delete(values);
  }

  // ------------------------------------------------------------------ drawing
  /* Whether the card still works on the last picture; a new one would only queue up behind it. */
  working() {
    const gl = this.gl;
    if (!this.busy) return false;
    const done = gl.isContextLost() || gl.getSyncParameter(this.busy, gl.SYNC_STATUS) === gl.SIGNALED;
    if (!done && performance.now() - this.began < 4000) return true;
    gl.deleteSync(this.busy);
    this.busy = null;
    this.took = performance.now() - this.began;
    return false;
  }
  /* Whether the processor counts for the density shading; it needs the places on the plane then (scene.flat). */
  get countsByHand() {
    return this.density.byHand && this.density.format?.type === this.gl.FLOAT;
  }
  /* Whether a picture is nothing but cells counted by the processor. */
  onlyCells(scene) {
    return this.countsByHand && !scene.chosen && (scene.mode === "density" || isCrisp(scene));
  }
  /* How many points go into a picture of which only `share` is wanted. */
  part(share) {
    return Math.max(1, Math.round((this.order?.length ?? 0) * share));
  }
  draw(view, scene) {
    const gl = this.gl, n = this.part(scene.share), { from, to, part } = scene.between;
    if (this.lost || !this.order?.length || !this.frames[from]) return;
    this.began = performance.now();
    const some = scene.chosen > 0, context = some ? 0 : -1, each = this.order.length / n;
    const common = { ...this.camera(view, part), ...this.colours(scene) };
    this.bind(this.frames[from], this.frames[to] ?? this.frames[from], view.dims);
    const dense = scene.mode !== "points" && this.density.format, crowd = Math.min(1, (scene.size / scene.cell) ** 2);
    const crisp = isCrisp(scene);
    if (dense && this.countsByHand) this.density.countByHand(view, n, { view, scene, look: this.look, flags: this.flags, order: this.order });
    else if (dense) {
      this.density.count(view, scene.cell, (program) => {
        program.use({ ...common, pass: context, faint: some });
        if (each === 1) gl.drawArrays(gl.POINTS, 0, n); // a sum has no order, and in file order it is sooner done
        else gl.drawElements(gl.POINTS, n, gl.UNSIGNED_INT, 0);
      });
    }
    gl.viewport(0, 0, this.canvas.width, this.canvas.height);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    const shading = { each, crowd, crisp, ramped: scene.mode === "density" && !some };
    if (dense) this.density.shade(this.textures.ramp, shading, this.canvas.width, this.canvas.height);
    if (scene.edges) this.drawEdges(common);
    const instead = dense && (crisp || scene.mode === "density"); // cells, of the unselected points
    this.drawPoints(n, view, { ...scene, instead }, common, dense ? (each * crowd) / this.density.format.unit : 0);
    this.busy = gl.fenceSync(gl.SYNC_GPU_COMMANDS_COMPLETE, 0);
    gl.flush();
  }
  drawPoints(n, view, scene, common, thin) {
    const gl = this.gl, solid = view.dims === 3, some = scene.chosen > 0;
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, this.buffers.get(this.order));
    const shared = { ...common, solid, size: scene.size * (this.canvas.width / view.width), ground: scene.ground };
    if (scene.instead && !some) return;
    if (this.countsByHand) n = this.pick(n, view, scene, thin);
    if (solid) gl.enable(gl.DEPTH_TEST);
    if (thin) {
      gl.activeTexture(gl.TEXTURE0 + UNIT.counts);
      gl.bindTexture(gl.TEXTURE_2D, this.density.counts);
    }
    if (!scene.instead) {
      this.points.use({ ...shared, pass: some ? 0 : -1, faint: some, thin });
      gl.drawElements(gl.POINTS, n, gl.UNSIGNED_INT, 0);
    }
    if (some) {
      this.points.use({ ...shared, pass: 1, faint: false, thin: 0 });
      gl.drawElements(gl.POINTS, n, gl.UNSIGNED_INT, 0);
    }
    gl.disable(gl.DEPTH_TEST);
  }
  /* An imitated card takes long over each point: hand it only those that will be seen. Returns how many. */
  pick(n, view, scene, thin) {
    const gl = this.gl, { levels: [cells], sums } = this.density, [some, look] = [scene.chosen > 0, this.look];
    const counted = look.table.some((v, k) => k % 4 === 3 && v === 0) ? look : null; // hidden points count for nothing
    const asked = [n, thin, scene.flat, this.order, some && this.flags, counted, cells?.width, cells?.height, view.scale, ...view.box];
    if (this.some && this.asked?.every((v, k) => v === asked[k])) { // other colours alone: the same points
      gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, this.some);
      return this.pickedCount;
    }
    this.asked = asked;
    if (this.picked?.length !== this.order.length) this.picked = new Uint32Array(this.order.length);
    const shading = thin ? { sums, wide: cells.width, high: cells.height, thin } : null;
    const count = (this.pickedCount = pickSeen(this.picked, n, { view, scene, flags: this.flags, order: this.order }, shading));
    this.some ??= gl.createBuffer();
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, this.some);
    gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, this.picked.subarray(0, count), gl.STREAM_DRAW);
    return count;
  }
  drawEdges(common) {
    const gl = this.gl;
    for (const { pairs, ink } of this.edges) {
      this.buffer(pairs, gl.ELEMENT_ARRAY_BUFFER);
      this.lines.use({ ...common, ink });
      gl.drawElements(gl.LINES, pairs.length, gl.UNSIGNED_INT, 0);
    }
  }
  camera(view, part) {
    const span = [view.width / view.scale, view.height / view.scale];
    return { turn: view.turn, pivot: view.pivot, reach: view.reach, centre: [view.cx, view.cy], span, part };
  }
  colours(scene) {
    const { kind, steps, scale } = this.look;
    const { low = 0, per = 1, lost = Infinity } = scale ?? {}; // lost must be finite in a uniform
    const inks = { plain: scene.plain, missing: scene.missing, dimmed: scene.dimmed };
    return { kind, steps, low, per, lost: Math.min(lost, 3e38), ...inks, lookup: UNIT.lookup, counts: UNIT.counts };
  }
  bind(from, to, dims) {
    const gl = this.gl, { column } = this.look;
    const at = (place, values, length, type) => {
      if (!values) return gl.disableVertexAttribArray(place), gl.vertexAttrib1f(place, 0);
      this.buffer(values);
      gl.enableVertexAttribArray(place);
      return gl.vertexAttribPointer(place, length, type, false, 0, 0);
    };
    at(0, from, dims, gl.FLOAT);
    at(1, to, dims, gl.FLOAT);
    at(2, column, 1, { 1: gl.UNSIGNED_BYTE, 2: gl.UNSIGNED_SHORT, 4: gl.FLOAT }[column?.BYTES_PER_ELEMENT]);
    at(3, this.flags, 1, gl.UNSIGNED_BYTE);
    this.buffer(this.order, gl.ELEMENT_ARRAY_BUFFER);
    gl.activeTexture(gl.TEXTURE0 + UNIT.lookup);
    gl.bindTexture(gl.TEXTURE_2D, this.textures.lookup);
    gl.activeTexture(gl.TEXTURE0);
  }
  /* For the legend, at rest: the greatest count of a cell, and what a cell can count to on this card. */
  greatest() {
    return this.lost || !this.density.format ? null : { count: this.density.greatest(), most: this.density.format.most };
  }
  destroy() {
    const gl = this.gl;
    this.buffers.forEach((buffer) => gl.deleteBuffer(buffer));
    Object.values(this.textures).forEach((texture) => gl.deleteTexture(texture));
    if (this.some) gl.deleteBuffer(this.some);
    if (this.busy) gl.deleteSync(this.busy);
    for (const part of [this.points, this.lines, this.density]) part.destroy();
    Object.assign(this, { buffers: new Map(), frames: [], order: null, flags: null, busy: null });
    // Browsers allow about sixteen contexts a page: give this one back at once.
    gl.getExtension("WEBGL_lose_context")?.loseContext();
  }
}
