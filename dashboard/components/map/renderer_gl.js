/* Points with WebGL2. Buffers: positions (float32), colours (rgba8), drawing order (uint32) and flags (uint8:
 * bit 0 selected, the bits above it the mark: circle, square, triangle, diamond, cross, ring).
 * Each is uploaded only when it changes; drawing is two calls (context points below, selected ones above). */

const VERTEX = `#version 300 es
layout(location=0) in vec2 position;
layout(location=1) in vec4 colour;
layout(location=2) in float flag;
uniform vec2 centre, span;
uniform float size, above;
out vec4 paint;
flat out int mark;
void main() {
  int bits = int(flag + 0.5);
  bool selected = (bits & 1) == 1;
  mark = bits >> 1;
  gl_Position = selected == (above > 0.5) && colour.a > 0.0
    ? vec4((position - centre) / span * 2.0, 0.0, 1.0) : vec4(2.0, 2.0, 2.0, 1.0);
  gl_PointSize = size * (selected ? 1.25 : 1.0);
  paint = colour;
}`;
const FRAGMENT = `#version 300 es
precision highp float;
in vec4 paint;
flat in int mark;
uniform float size;
out vec4 pixel;
float outside(vec2 p) { // 0.5 on the border of the mark
  vec2 a = abs(p);
  if (mark == 1) return max(a.x, a.y) * 1.13;
  if (mark == 2) return max(a.x * 0.95 - p.y * 0.5, p.y * 1.2) + 0.08;
  if (mark == 3) return (a.x + a.y) * 0.95;
  if (mark == 4) return max(min(a.x, a.y) * 3.0, max(a.x, a.y));
  if (mark == 5) return abs(length(p) - 0.36) * 3.4;
  return length(p);
}
void main() {
  float edge = size < 3.0 ? 1.0 : smoothstep(0.5, 0.5 - 1.2 / size, outside(gl_PointCoord - 0.5));
  pixel = vec4(paint.rgb, 1.0) * paint.a * edge;
}`;

class RendererGL {
  /* null when this browser has no WebGL2 to give. */
  static on(canvas) {
    const gl = canvas.getContext("webgl2", { antialias: false, premultipliedAlpha: true });
    const made = gl && new RendererGL(canvas, gl);
    return made && gl.getProgramParameter(made.program, gl.LINK_STATUS) ? made : null;
  }
  constructor(canvas, gl) {
    Object.assign(this, { canvas, gl, n: 0, last: {} });
    this.prepare();
  }
  prepare() {
    const gl = this.gl, program = (this.program = gl.createProgram());
    for (const [kind, text] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, text);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
      gl.deleteShader(shader);
    }
    gl.linkProgram(program);
    this.at = Object.fromEntries(
      ["centre", "span", "size", "above"].map((name) => [name, gl.getUniformLocation(program, name)]),
    );
    this.buffers = Object.fromEntries(
      ["positions", "colours", "flags", "order"].map((name) => [name, gl.createBuffer()]),
    );
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
  }
  set(name, values) {
    const gl = this.gl, target = name === "order" ? gl.ELEMENT_ARRAY_BUFFER : gl.ARRAY_BUFFER;
    this.last[name] = values; // to restore after a lost context
    gl.bindBuffer(target, this.buffers[name]);
    gl.bufferData(target, values, gl.STATIC_DRAW);
    if (name === "order") this.n = values.length;
  }
  restore() {
    this.prepare();
    for (const [name, values] of Object.entries(this.last)) this.set(name, values);
  }
  draw(view, size) {
    const gl = this.gl, ratio = this.canvas.width / view.width;
    gl.viewport(0, 0, this.canvas.width, this.canvas.height);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT);
    if (!this.n) return;
    gl.useProgram(this.program);
    const bind = (name, place, length, type, normal) => {
      gl.bindBuffer(gl.ARRAY_BUFFER, this.buffers[name]);
      gl.enableVertexAttribArray(place);
      gl.vertexAttribPointer(place, length, type, normal, 0, 0);
    };
    bind("positions", 0, 2, gl.FLOAT, false);
    bind("colours", 1, 4, gl.UNSIGNED_BYTE, true);
    bind("flags", 2, 1, gl.UNSIGNED_BYTE, false);
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, this.buffers.order);
    gl.uniform2f(this.at.centre, view.cx, view.cy);
    gl.uniform2f(this.at.span, view.width / view.scale, view.height / view.scale);
    gl.uniform1f(this.at.size, size * ratio);
    for (const above of [0, 1]) {
      gl.uniform1f(this.at.above, above);
      gl.drawElements(gl.POINTS, this.n, gl.UNSIGNED_INT, 0);
    }
  }
  destroy() {
    Object.values(this.buffers).forEach((buffer) => this.gl.deleteBuffer(buffer));
    this.gl.deleteProgram(this.program);
    this.last = {};
    // Browsers allow about sixteen contexts a page: give this one back at once.
    this.gl.getExtension("WEBGL_lose_context")?.loseContext();
  }
}
