/* The programs that run on the graphics card. PLACE is shared by all that draw points. */

/* Where a point is and what colour it has. `where` is outside the picture for points that are hidden, that have no
 * finite place, or that belong to the other pass (`pass`: -1 all, 0 unselected, 1 selected). */
const PLACE = `#version 300 es
precision highp float;
precision highp int;
precision highp sampler2D;
layout(location=0) in vec3 from;
layout(location=1) in vec3 to;
layout(location=2) in float value;
layout(location=3) in float chosen;
uniform mat3 turn;
uniform vec3 pivot;
uniform vec2 centre, span;
uniform float reach, part, pass, low, per, lost;
uniform int kind, steps;
uniform sampler2D lookup;
uniform vec4 plain, missing, dimmed;
const vec4 OUTSIDE = vec4(2.0, 2.0, 2.0, 1.0);
bool unreal(float v) { return (floatBitsToUint(v) & 0x7f800000u) == 0x7f800000u; }
vec4 place() {
  vec3 p = mix(from, to, part);
  if (unreal(p.x + p.y + p.z)) return OUTSIDE;
  vec3 q = turn * (p - pivot);
  return vec4((q.xy - centre) / span * 2.0, -0.99 * clamp(q.z / reach, -1.0, 1.0), 1.0);
}
/* rgb, and 1 + mark; the last is 0 for hidden points. */
vec4 look() {
  if (kind == 0) return vec4(plain.rgb, 1.0);
  if (unreal(value) || value >= lost) return vec4(missing.rgb, 1.0);
  int step = kind == 1 ? int(value + 0.5) : clamp(int((value - low) * per + 0.5), 0, 255);
  if (step >= steps) return vec4(missing.rgb, 1.0);
  vec4 entry = texelFetch(lookup, ivec2(step & 255, step >> 8), 0);
  return vec4(entry.rgb, floor(entry.a * 255.0 + 0.5));
}
bool mine() { return pass < 0.0 || (chosen > 0.5) == (pass > 0.5); }
`;

const POINT_VERTEX = `${PLACE}
uniform float size, thin;
uniform vec3 ground;
uniform bool solid, faint;
uniform sampler2D counts;
out vec4 paint;
flat out int mark;
flat out float wide;
void main() {
  vec4 entry = look();
  gl_Position = entry.a > 0.5 && mine() ? place() : OUTSIDE;
  mark = int(entry.a) - 1;
  paint = faint ? dimmed : vec4(entry.rgb, plain.a);
  wide = size * (pass > 0.5 ? 1.25 : 1.0);
  if (solid) { // seen from the side: nearer points are larger, farther ones fade into the ground
    float far = 0.5 + 0.5 * gl_Position.z;
    wide *= 1.25 - 0.5 * far;
    paint = vec4(mix(paint.rgb, ground, 0.6 * far), 1.0);
  }
  if (thin > 0.0) { // where many overlap the shading tells more than the points
    ivec2 cells = textureSize(counts, 0), at = ivec2((gl_Position.xy * 0.5 + 0.5) * vec2(cells)); // (thin: how many of a cell cover a place in it)
    float n = texelFetch(counts, clamp(at, ivec2(0), cells - 1), 0).a * thin;
    float left = 1.0 - smoothstep(2.0, 6.0, n);
    paint.a *= left;
    if (left < 0.02) gl_Position = OUTSIDE;
  }
  gl_PointSize = wide;
}`;

const POINT_FRAGMENT = `#version 300 es
precision highp float;
in vec4 paint;
flat in int mark;
flat in float wide;
uniform bool solid;
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
  float edge = wide < 3.0 ? 1.0 : smoothstep(0.5, 0.5 - 1.2 / wide, outside(gl_PointCoord - 0.5));
  if (solid && edge < 0.5) discard; // it must not hide what is behind it
  if (solid) edge = 1.0;
  pixel = vec4(paint.rgb, 1.0) * paint.a * edge;
}`;

/* Density: every point adds its colour and 1 to its cell. */
const COUNT_VERTEX = `${PLACE}
uniform bool faint;
out vec3 paint;
void main() {
  vec4 entry = look();
  gl_Position = entry.a > 0.5 && mine() ? place() : OUTSIDE;
  gl_PointSize = 1.0;
  paint = faint ? dimmed.rgb : entry.rgb;
}`;
const COUNT_FRAGMENT = `#version 300 es
precision highp float;
in vec3 paint;
uniform float unit; // 1, or 1/255 where counts are kept in bytes
out vec4 pixel;
void main() { pixel = vec4(paint, 1.0) * unit; }`;

const SCREEN_VERTEX = `#version 300 es
void main() { gl_Position = vec4(vec2(gl_VertexID == 1 ? 3.0 : -1.0, gl_VertexID == 2 ? 3.0 : -1.0), 0.0, 1.0); }`;

/* The greatest count of each 16 x 16 block. */
const REDUCE_FRAGMENT = `#version 300 es
precision highp float;
precision highp sampler2D;
uniform sampler2D counts;
out vec4 pixel;
void main() {
  ivec2 from = ivec2(gl_FragCoord.xy) * 16, end = min(from + 16, textureSize(counts, 0));
  float most = 0.0;
  for (int y = from.y; y < end.y; y++)
    for (int x = from.x; x < end.x; x++) most = max(most, texelFetch(counts, ivec2(x, y), 0).a);
  pixel = vec4(0.0, 0.0, 0.0, most);
}`;

/* Counts as colours on a logarithmic scale: along the ramp, or the mean colour of the cell's points. */
const SHADE_FRAGMENT = `#version 300 es
precision highp float;
precision highp sampler2D;
uniform sampler2D counts, most, ramp;
uniform vec2 screen;
uniform float gain; // points that one drawn point stands for, times what one unit of the texture stands for
uniform float crowd;
uniform bool ramped, crisp;
out vec4 pixel;
vec4 cell(ivec2 at) { return texelFetch(counts, clamp(at, ivec2(0), textureSize(counts, 0) - 1), 0); }
vec4 smoothed(vec2 at) { // between the four cells around it
  vec2 place = at - 0.5, f = fract(place);
  ivec2 c = ivec2(floor(place));
  return mix(mix(cell(c), cell(c + ivec2(1, 0)), f.x), mix(cell(c + ivec2(0, 1)), cell(c + ivec2(1, 1)), f.x), f.y);
}
void main() {
  vec2 at = gl_FragCoord.xy / screen * vec2(textureSize(counts, 0));
  vec4 sum = crisp ? cell(ivec2(at)) : smoothed(at);
  if (sum.a <= 0.0) { pixel = vec4(0.0); return; }
  float n = sum.a * gain, top = max(texelFetch(most, ivec2(0), 0).a * gain, 2.0);
  float t = clamp(log(1.0 + n) / log(1.0 + top), 0.0, 1.0);
  vec3 rgb = ramped ? texelFetch(ramp, ivec2(int(t * 255.0 + 0.5), 0), 0).rgb : sum.rgb / sum.a;
  float alpha = ramped ? smoothstep(0.0, 1.0, n) : mix(0.35, 1.0, t) * (crisp ? 1.0 : smoothstep(2.0, 6.0, n * crowd));
  pixel = vec4(rgb * alpha, alpha);
}`;

const LINE_VERTEX = `${PLACE}
void main() { gl_Position = place(); }`;
const LINE_FRAGMENT = `#version 300 es
precision highp float;
uniform vec4 ink;
out vec4 pixel;
void main() { pixel = vec4(ink.rgb * ink.a, ink.a); }`;
