"""The three pages that map_speed.py compares, and what watches their pictures in the browser."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

OURS, PLOTLY, REGL = "this map", "plotly scattergl", "regl-scatterplot"

DATA = """
import os, sys, time
sys.path.insert(0, {root!r})
import numpy as np, streamlit as st
N = int(os.environ["BENCH_POINTS"])
st.set_page_config(layout="wide")
@st.cache_resource
def data():
    rng = np.random.default_rng(0)
    group = (np.arange(N) * 20 // N).astype(np.uint8)
    xy = rng.standard_normal((N, 2)) * 0.5 + np.stack([group % 5 * 3, group // 5 * 3], axis=1)
    return xy.astype(np.float32), group
xy, group = data()
"""
PAGES = {
    OURS: """
from analysis.results import Scatter
from dashboard.browse.picture import picture
from dashboard.browse.selections import unpacked
from dashboard.components.sample_map import sample_map
@st.cache_resource
def made(colour):
    values = {"group": group, "height": xy[:, 1], "width": xy[:, 0]}[colour]
    found = Scatter(title="Groups", positions=xy, rows=np.arange(N))
    return picture(found, None, values=values, name=colour, categorical=colour == "group")
for colour in ("group", "height", "width"):
    made(colour)
@st.fragment
def whole():
    colour = st.radio("Colour", ["group", "height", "width"], horizontal=True)
    stamp = st.session_state.get("stamp", 0)
    shown = made(colour).with_state(mask=st.session_state.get("mask"), extra={"stamp": stamp})
    event = sample_map(shown, key="map", height=500)
    if event.selected:
        mask = unpacked(event.selected, N)
        st.session_state.update(mask=mask, stamp=event.stamp)
        st.text(f"Python has {mask.sum()}")
whole()
""",
    PLOTLY: """
import plotly.graph_objects as go
palette = ["#0072B2", "#D55E00", "#009E73", "#CC79A7"] * 5
scale = [[k / 19, c] for k, c in enumerate(palette)]
figure = go.Figure(go.Scattergl(x=xy[:, 0], y=xy[:, 1], mode="markers",
                                marker=dict(color=group, colorscale=scale, size=2, opacity=0.5)))
figure.update_layout(height=500, dragmode=os.environ.get("BENCH_DRAG", "pan"), margin=dict(l=0, r=0, t=0, b=0))
if os.environ.get("BENCH_DRAG") == "lasso":
    found = st.plotly_chart(figure, key="plot", on_select="rerun", selection_mode="lasso")
    if found.selection.point_indices:
        st.text(f"Python has {len(found.selection.point_indices)}")
else:
    st.plotly_chart(figure, key="plot", config={"scrollZoom": True})
""",
    REGL: """
plot = st.components.v2.component("bench_regl", js=open(os.environ["BENCH_BUNDLE"]).read())
low, high = xy.min(axis=0), xy.max(axis=0)
unit = ((xy - low) / (high - low) * 2 - 1).astype(np.float32)
plot(key="plot", data=unit[:, 0].tobytes() + unit[:, 1].tobytes() + group.tobytes(), height=500)
""",
}
REGL_ENTRY = """
import createScatterplot from "regl-scatterplot";
const PALETTE = ["#0072B2", "#D55E00", "#009E73", "#CC79A7"];
const colours = Array.from({ length: 20 }, (_, k) => PALETTE[k % 4]);
export default function ({ data, parentElement }) {
  if (!data || parentElement.plot) return;
  const canvas = document.createElement("canvas"), bytes = data.slice(), n = bytes.length / 9;
  canvas.style = "width: 100%; height: 500px; display: block";
  parentElement.append(canvas);
  const { width, height } = canvas.getBoundingClientRect();
  const x = new Float32Array(bytes.buffer, 0, n), y = new Float32Array(bytes.buffer, 4 * n, n);
  const z = bytes.subarray(8 * n);
  const plot = (parentElement.plot = createScatterplot({ canvas, width, height, pointSize: 1.6, opacity: 0.5,
    backgroundColor: "#ffffff", pointColor: colours, colorBy: "valueA" }));
  plot.draw({ x, y, z: Array.from(z) }, { zDataType: "categorical" });
}
"""

# After the last command of a frame one pixel is read back: then the frame is really done. Our map says what share of
# its points a frame holds (it may count them on the processor); of the others the largest draw call is taken.
WATCH = """
window.pictures = [];
const most = (gl) => {
  const map = [...(window.__loupeMaps ?? [])].find((m) => m.renderer?.gl === gl);
  return map ? [map.points.n * Number(map.frame.dataset.share ?? 0), map.colour?.label] : [gl.most ?? 0, null];
};
for (const kind of [WebGLRenderingContext, WebGL2RenderingContext]) {
  for (const name of ["drawArrays", "drawElements"]) {
    const real = kind.prototype[name];
    kind.prototype[name] = function (...a) {
      if (a[0] === this.POINTS) this.most = Math.max(this.most ?? 0, name === "drawArrays" ? a[2] : a[1]);
      if (!this.asked) {
        this.asked = true;
        Promise.resolve().then(() => {
          const type = this.getParameter(this.IMPLEMENTATION_COLOR_READ_TYPE);
          const pixel = type === this.FLOAT ? new Float32Array(4) : new Uint8Array(4);
          this.readPixels(0, 0, 1, 1, this.RGBA, type, pixel);
          const [points, colour] = most(this);
          if (points) pictures.push({ at: performance.now(), points, colour });
          this.asked = this.most = 0;
        });
      }
      return real.apply(this, a);
    };
  }
}
addEventListener("pointerup", () => (window.lifted = performance.now()), true);
"""


def regl_bundle(folder: Path) -> str:
    """Put regl-scatterplot into one module; returns its version, or what is missing as ''."""
    if not shutil.which("npm"):
        print("regl-scatterplot is left out: there is no npm here (apt-get install npm)")
        return ""
    (folder / "entry.js").write_text(REGL_ENTRY)
    install = ["npm", "install", "--no-audit", "--no-fund", "--silent", "regl-scatterplot", "esbuild"]
    bundle = ["npx", "esbuild", "entry.js", "--bundle", "--format=esm", "--minify", "--outfile=regl.js"]
    try:
        for command in (install, bundle):
            subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=180)
    except (subprocess.SubprocessError, OSError) as error:
        print(f"regl-scatterplot is left out: {error}")
        return ""
    return json.loads((folder / "node_modules/regl-scatterplot/package.json").read_text())["version"]
