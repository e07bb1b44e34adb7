/* A shader program whose uniforms are set by name. It is compiled at its first use: a software renderer takes its
 * time over each, and the first picture needs few of them. */
class Program {
  constructor(gl, vertex, fragment) {
    Object.assign(this, { gl, texts: [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]], program: null, at: {} });
  }
  compile() {
    const { gl } = this, program = (this.program = gl.createProgram());
    for (const [kind, text] of this.texts) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, text);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
      gl.deleteShader(shader);
    }
    gl.linkProgram(program);
    this.fails = !gl.getProgramParameter(program, gl.LINK_STATUS) && !gl.isContextLost();
    for (let k = 0; !this.fails && k < gl.getProgramParameter(program, gl.ACTIVE_UNIFORMS); k++) {
      const { name, type } = gl.getActiveUniform(program, k);
      this.at[name] = { type, place: gl.getUniformLocation(program, name) };
    }
  }
  /* Draw with it from now on, with these values. Names that the program does not have are left out. */
  use(values = {}) {
    const { gl } = this;
    if (!this.program) this.compile();
    gl.useProgram(this.program);
    for (const [name, value] of Object.entries(values)) {
      const { type, place } = this.at[name] ?? {};
      if (type === gl.FLOAT) gl.uniform1f(place, value);
      else if (type === gl.FLOAT_VEC2) gl.uniform2fv(place, value);
      else if (type === gl.FLOAT_VEC3) gl.uniform3fv(place, value);
      else if (type === gl.FLOAT_VEC4) gl.uniform4fv(place, value);
      else if (type === gl.FLOAT_MAT3) gl.uniformMatrix3fv(place, true, value); // rows first
      else if (type !== undefined) gl.uniform1i(place, Number(value));
    }
  }
  destroy() {
    if (this.program) this.gl.deleteProgram(this.program);
  }
}
