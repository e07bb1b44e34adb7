"""The browser code of the two large components, each with its styles: `MAP` and `HEAT`, which define `mountMap`."""

from __future__ import annotations

import json

from dashboard.components.source import joined

MAP_FILES = (
    "../dom.js", "geometry.js", "view.js", "points.js", "nearest.js", "lasso.js", "lookup.js",
    "shaders.js", "program_gl.js", "density_cpu.js", "density_gl.js", "renderer_gl.js", "renderer_canvas.js",
    "card.js", "hover_card.js", "columns.js", "intake.js", "selection.js", "links.js", "drawing.js",
    "pointer.js", "overlay.js", "labels.js", "sizing.js", "legend.js", "icons.js", "toolbar.js", "scrubber.js",
    "save_picture.js", "map.js",
)  # fmt: skip
HEAT_FILES = (
    "../dom.js", "../map/icons.js", "ranges.js", "layers.js", "frame.js", "paint.js", "hands.js", "tools.js", "heat.js",
)  # fmt: skip
MAP_CSS, HEAT_CSS = joined("map", "map.css"), joined("heatmap", "heat.css")
MAP = f"const MAP_CSS = {json.dumps(MAP_CSS)};\n{joined('map', *MAP_FILES)}"
HEAT = f"const MAP_CSS = {json.dumps(HEAT_CSS)};\n{joined('heatmap', *HEAT_FILES)}"
