/* Density shading with WebGL2: points are counted in a coarse texture, the greatest count is found, and the counts
 * are shown on a logarithmic scale. Nothing is read back except, at rest, that one greatest number. */

/* The side of a cell in CSS pixels: small enough to see structure, large enough to hold more than one point. */
const cellFor = (n) => (n > 500000 ? 2 : n > 50000 ? 4 : 8);
/* Points no larger than the smallest cells: the cells show them all, and in less time. */
const isCrisp = (scene) => scene.mode === "both" && scene.cell === 2 && scene.size <= scene.cell;

class DensityGL {
  constructor(gl) {
    this.gl = gl;
    this.programs = {
      count: new Program(gl, COUNT_VERTEX, COUNT_FRAGMENT),
      reduce: new Program(gl, SCREEN_VERTEX, REDUCE_FRAGMENT),
      shade: new Program(gl, SCREEN_VERTEX, SHADE_FRAGMENT),
    };
    this.levels = [];
    this.byHand = isImitated(gl);
    this.format = this.exactest();
  }
  /* The most exact way to add on this card; `most` is what a cell can count to. */
  exactest() {
    const gl = this.gl, float = gl.getExtension("EXT_color_buffer_float"), blends = gl.getExtension("EXT_float_blend");
    const half = float || gl.getExtension("EXT_color_buffer_half_float");
    for (const [there, inside, type, unit, most] of [
      [float && blends, gl.RGBA32F, gl.FLOAT, 1, 2 ** 24],
      [half, gl.RGBA16F, gl.HALF_FLOAT, 1, 2048],
      [true, gl.RGBA8, gl.UNSIGNED_BYTE, 1 / 255, 255],
    ]) {
      if (!there) continue;
      const level = this.level(1, 1, { inside, type });
      const whole = gl.checkFramebufferStatus(gl.FRAMEBUFFER) === gl.FRAMEBUFFER_COMPLETE;
      this.drop(level);
      if (whole) return { inside, type, unit, most };
    }
    return null; // then points are drawn as points
  }
  level(width, height, format = this.format) {
    const gl = this.gl, texture = gl.createTexture(), frame = gl.createFramebuffer();
    gl.bindTexture(gl.TEXTURE_2D, texture);
    gl.texImage2D(gl.TEXTURE_2D, 0, format.inside, width, height, 0, gl.RGBA, format.type, null);
    for (const name of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_2D, name, gl.NEAREST);
    gl.bindFramebuffer(gl.FRAMEBUFFER, frame);
    gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, texture, 0);
    return { texture, frame, width, height };
  }
  drop({ texture, frame }) {
    this.gl.deleteTexture(texture);
    this.gl.deleteFramebuffer(frame);
  }
  fitTo(view, cell) {
    let [width, height] = [Math.ceil(view.width / cell), Math.ceil(view.height / cell)];
    if (this.levels[0]?.width === width && this.levels[0].height === height) return;
    this.levels.forEach((level) => this.drop(level));
    this.levels = [this.level(width, height)];
    while (width * height > 1) {
      [width, height] = [Math.ceil(width / 16), Math.ceil(height / 16)];
      this.levels.push(this.level(width, height));
    }
  }
  get counts() {
    return this.levels[0].texture;
  }
  /* Count the points that `draw(program)` draws, then find the greatest count. */
  count(view, cell, draw) {
    const gl = this.gl, { count, reduce } = this.programs;
    this.fitTo(view, cell);
    this.onto(this.levels[0]);
    gl.blendFunc(gl.ONE, gl.ONE);
    count.use({ unit: this.format.unit });
    draw(count);
    gl.disable(gl.BLEND);
    reduce.use({ counts: 0 });
    for (let k = 1; k < this.levels.length; k++) {
      this.onto(this.levels[k]);
      gl.bindTexture(gl.TEXTURE_2D, this.levels[k - 1].texture);
      gl.drawArrays(gl.TRIANGLES, 0, 3);
    }
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
  }
  /* The same on the processor, and up with the sums. */
  countByHand(view, n, given) {
    this.fitTo(view, given.scene.cell);
    const gl = this.gl, [first, last] = [this.levels[0], this.levels.at(-1)], size = 4 * first.width * first.height;
    if (this.sums?.length !== size) this.sums = new Float32Array(size);
    const most = countCells(this.sums, first.width, first.height, n, given);
    for (const [level, values] of [[first, this.sums], [last, Float32Array.of(0, 0, 0, most)]]) {
      gl.bindTexture(gl.TEXTURE_2D, level.texture);
      gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, level.width, level.height, gl.RGBA, gl.FLOAT, values);
    }
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
  }
  onto({ frame, width, height }) {
    const gl = this.gl;
    gl.bindFramebuffer(gl.FRAMEBUFFER, frame);
    gl.viewport(0, 0, width, height);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT);
  }
  /* Show the counts. One counted point stands for `each` points; `crowd` of those in a cell cover a place in it;
   * `ramped`: as colours of the ramp, else as the points' mean colour; `crisp`: cells in the place of points. */
  shade(ramp, { each, crowd, ramped, crisp }, width, height) {
    const gl = this.gl;
    [this.counts, this.levels.at(-1).texture, ramp].forEach((texture, k) => {
      gl.activeTexture(gl.TEXTURE0 + k);
      gl.bindTexture(gl.TEXTURE_2D, texture);
    });
    gl.activeTexture(gl.TEXTURE0);
    this.programs.shade.use({ counts: 0, most: 1, ramp: 2, screen: [width, height], gain: each / this.format.unit, crowd, ramped, crisp });
    gl.drawArrays(gl.TRIANGLES, 0, 3);
  }
  /* The greatest number of points in a cell of the last picture: waits for the card, so ask at rest only. */
  greatest() {
    if (!this.levels.length) return 0;
    const gl = this.gl, bytes = this.format.type === gl.UNSIGNED_BYTE, pixel = bytes ? new Uint8Array(4) : new Float32Array(4);
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.levels.at(-1).frame);
    gl.readPixels(0, 0, 1, 1, gl.RGBA, bytes ? gl.UNSIGNED_BYTE : gl.FLOAT, pixel);
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
    return Math.round(pixel[3]);
  }
  destroy() {
    this.levels.forEach((level) => this.drop(level));
    Object.values(this.programs).forEach((program) => program.destroy());
  }
}
