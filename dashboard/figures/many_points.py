"""Points on paper: some as vector marks; very many stamped, which an image of them takes a third of the time for.

Matplotlib draws a collection path by path. A mark that is drawn once and stamped many times is several times faster,
but has one colour; so the points, which come in a fixed random order, are stamped in rounds, and within a round colour
by colour in an order that changes from round to round. What is drawn last is what is seen where points are dense, so
the last rounds are the smallest: no colour lies over all others.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from dashboard.figures.style import RASTER_ABOVE

ON_TOP = 10  # points of each colour in the last round
STAMPED_ABOVE = 400  # points of few colours
GROWTH = {
    True: 1.15,
    False: 1.6,
}  # of the rounds below it, by whether colours are few; a stamping costs 0.1 ms
FEW = 32  # colours


def draw_points(
    axes, xy: np.ndarray, palette: np.ndarray, codes: np.ndarray, side: float, *, mark="o", zorder=1.0
):
    """Put points on `axes`: `xy` (n, 2), `palette` (k, 4) RGBA, `codes` (n,) which colour, `side` in points."""
    look = {"linewidths": 0, "zorder": zorder}
    if len(xy) <= (STAMPED_ABOVE if len(palette) <= FEW else RASTER_ABOVE):
        return axes.scatter(*xy.T, c=palette[codes], marker=mark, s=side**2, **look)
    found = _stamped()(xy, palette, codes, side, mark, axes, **look)
    axes.add_collection(found, autolim=False)
    axes.update_datalim(xy)  # as `autolim` would, which looks at every path
    axes.autoscale_view()
    return found


def rounds(codes: np.ndarray, colours: int):
    """(colour, points) in the order of drawing: every point once."""
    shuffled = np.random.default_rng(0)
    for part in np.split(np.arange(len(codes)), _ends(len(codes), colours)):
        by_colour = part[np.argsort(codes[part], kind="stable")]
        starts = np.searchsorted(codes[by_colour], np.arange(colours + 1))
        for k in shuffled.permutation(colours):
            if starts[k] < starts[k + 1]:
                yield k, by_colour[starts[k] : starts[k + 1]]


def _ends(n: int, colours: int) -> np.ndarray:
    """Where one round ends and the next begins, rising."""
    growth, sizes = GROWTH[colours <= FEW and n > RASTER_ABOVE], [min(ON_TOP * colours, 2_000)]
    while sum(sizes) < n:
        sizes.append(int(sizes[-1] * growth) + 1)
    ends = n - np.cumsum(sizes)[:-1]
    return ends[ends > 0][::-1]


@cache
def _stamped() -> type:
    """The artist, made when Matplotlib is first needed."""
    from matplotlib.artist import allow_rasterization
    from matplotlib.collections import PathCollection
    from matplotlib.markers import MarkerStyle
    from matplotlib.path import Path
    from matplotlib.transforms import Affine2D, IdentityTransform

    class Stamped(PathCollection):
        def __init__(self, xy, palette, codes, side, mark, axes, **look):
            self._stamp, self._side = MarkerStyle(mark), side
            self._palette, self._codes = palette, np.asarray(codes)
            path = self._stamp.get_path().transformed(self._stamp.get_transform())
            super().__init__([path], [side**2], offsets=xy, offset_transform=axes.transData, **look)

        @allow_rasterization
        def draw(self, renderer):
            at = self.get_offset_transform().transform(self.get_offsets())
            size = Affine2D().scale(renderer.points_to_pixels(self._side))
            shape = (self._stamp.get_transform() + size).frozen()
            gc = renderer.new_gc()
            self._set_gc_clip(gc)
            gc.set_linewidth(0)
            for k, points in rounds(self._codes, len(self._palette)):
                stamps = Path(at[points])
                renderer.draw_markers(
                    gc, self._stamp.get_path(), shape, stamps, IdentityTransform(), tuple(self._palette[k])
                )
            gc.restore()
            self.stale = False

    return Stamped
