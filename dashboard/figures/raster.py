"""What is too much for a vector file becomes an image inside it, at the dpi asked for; axes and text stay vector."""

from __future__ import annotations

from dashboard.figures.style import RASTER_ABOVE

LINES_ABOVE = 30_000  # corners of lines and outlines; a line costs less than a mark
BELOW_THE_AXES = 2.2  # lines stand at 2, ticks and frame at 2.5, text at 3


def rasterise(figure) -> None:
    """Make an image of whatever stands below the axes, in every panel that holds too much."""
    for axes in figure.axes:
        if axes.get_rasterization_zorder() is None and _too_much(axes):
            axes.set_axisbelow(
                False
            )  # ticks and their names stand at 1.5 otherwise, and would be in the image
            axes.set_rasterization_zorder(BELOW_THE_AXES)


def _too_much(axes) -> bool:
    marks, corners = 0, 0
    for line in axes.lines:
        n = len(line.get_xdata(orig=False))
        marks += n * (line.get_marker() not in ("", "None", None))
        corners += n * (line.get_linestyle() not in ("", "None"))
    for found in axes.collections:
        if hasattr(found, "get_sizes"):  # points
            marks += len(found.get_offsets())
        else:
            corners += sum(len(path.vertices) for path in found.get_paths())
    marks += len(axes.patches)
    return marks > RASTER_ABOVE or corners > LINES_ABOVE
