"""Where the axes of a composed page lie: as in each panel alone, and then in line.

Axes in line: panels beside each other have the same top and bottom, panels below each other the same left side.

Only where a panel is one row (or one column) of axes: then making them smaller leaves all text its room, since names
and numbers stand outside of the axes and keep their size.
"""

from __future__ import annotations

from dataclasses import dataclass

from analysis.errors import ParameterError
from dashboard.figures.paper import find_places

NEAR = 1e-3  # of the page
LEAST_LINE = 0.3  # of a row's height


TEXTS = ("_suptitle", "_supxlabel", "_supylabel")


@dataclass(frozen=True)
class Laid:
    """Where axes, texts and inner figures lie in a panel that was drawn alone: `axes` have (box, anchor, box aspect),
    `texts` places by name, `inner` inner figures with the part of the panel that each takes."""

    axes: tuple[tuple, ...]
    texts: dict[str, tuple[float, float]]
    inner: tuple[tuple[object, Laid], ...]

    @classmethod
    def of(cls, model) -> Laid:
        """Of a figure that is laid out."""
        axes = tuple(
            (a.get_position(original=True).frozen(), a.get_anchor(), a.get_box_aspect())
            for a in model._localaxes
        )
        texts = {name: text.get_position() for name in TEXTS if (text := getattr(model, name)) is not None}
        return cls(axes, texts, tuple((part.bbox_relative.frozen(), cls.of(part)) for part in model.subfigs))


def laid_out(figure, name: str):
    """The figure of a panel that was drawn alone, with all its axes where they have room.

    Raises ParameterError where they have none."""
    import warnings

    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*constrained_layout not applied.*")
        try:
            find_places(figure)
        except UserWarning:
            wide, high = figure.get_size_inches()
            raise ParameterError(
                f"panel {name} has no room in {wide:.1f} × {high:.1f} in",
                "more than its names and its legend need",
                "Choose fewer columns, smaller letters or a wider sheet, or give its row more height",
            ) from None
    return figure


def upright(model) -> tuple[float, float] | None:
    """Where the axes of a panel that is laid out begin and end, as parts of its height; None where they have no common
    ends."""
    return _span(model, True)


def lost_to_others(spans: list[tuple[float, float] | None]) -> list[float]:
    """What part of its height each panel of a row loses when all have their axes in line; `spans` as of `upright`."""
    known = [span for span in spans if span is not None]
    if len(known) < 2:
        return [0.0] * len(spans)
    low, high = max(a for a, _ in known), min(b for _, b in known)
    if high - low < LEAST_LINE:
        return [0.0] * len(spans)
    return [0.0 if span is None else (span[1] - span[0]) - (high - low) for span in spans]


def placed_like(part, laid: Laid) -> None:
    """Axes, texts and inner figures of a panel to where they are in its drawing alone, which has the same size."""
    for mine, (box, anchor, aspect) in zip(part._localaxes, laid.axes, strict=True):
        mine._set_position(box, which="both")
        mine.set_anchor(anchor)
        mine.set_box_aspect(aspect)
    for name, place in laid.texts.items():
        getattr(part, name).set_position(place)
    for mine, (box, inner) in zip(part.subfigs, laid.inner, strict=True):
        mine._redo_transform_rel_fig(bbox=box)
        placed_like(mine, inner)


def in_line(panels: list[tuple[int, int, int, object]]) -> None:
    """`panels`: row, first column, columns and SubFigure of each; their axes have their places already."""
    for row in dict.fromkeys(row for row, *_ in panels):
        _shared([p for r, _, _, p in panels if r == row], vertical=True)
    for column in dict.fromkeys((c, s) for _, c, s, _ in panels):
        _shared([p for _, c, s, p in panels if (c, s) == column], vertical=False)
    for *_, part in panels:
        _bars_like_pictures(part)


def _shared(parts: list, *, vertical: bool) -> None:
    """Move the axes of these panels to their common span."""
    found = [(part, span) for part in parts if (span := _span(part, vertical)) is not None]
    if len(found) < 2:
        return
    low = max(_page(part, span[0], vertical) for part, span in found)
    high = min(_page(part, span[1], vertical) for part, span in found) if vertical else None
    if high is not None and high - low < LEAST_LINE * found[0][0].bbox.height:
        return  # one panel needs so much room for names that the others would be nothing but a line
    for part, (start, end) in found:
        to = _within(part, low, vertical), end if high is None else _within(part, high, vertical)
        if to[1] - to[0] > 0.2 * (end - start):
            _moved(part, (start, end), to, vertical)


def _axes(part) -> list:
    return [axes for axes in part.axes if axes.get_visible()]


def _main(part) -> list:
    return [axes for axes in _axes(part) if axes.get_label() != "<colorbar>"]


def _span(part, vertical: bool) -> tuple[float, float] | None:
    """Where the axes of a panel begin and end along one direction; None where they do not all begin and end there, or
    none has a frame."""
    main = _main(part)
    if part.subfigs or not any(axes.axison for axes in main):
        return None
    boxes = [axes.get_position(original=True) for axes in main]
    ends = [(b.y0, b.y1) if vertical else (b.x0, b.x1) for b in boxes]
    same = all(abs(low - ends[0][0]) < NEAR and abs(high - ends[0][1]) < NEAR for low, high in ends)
    return ends[0] if same else None


def _page(part, at: float, vertical: bool) -> float:
    """A place within a panel as a place on the page, in dots."""
    return part.bbox.y0 + at * part.bbox.height if vertical else part.bbox.x0 + at * part.bbox.width


def _within(part, dots: float, vertical: bool) -> float:
    return (dots - part.bbox.y0) / part.bbox.height if vertical else (dots - part.bbox.x0) / part.bbox.width


def _moved(part, before: tuple[float, float], after: tuple[float, float], vertical: bool) -> None:
    """All axes of a panel, colour bars too, from one span to another along one direction."""
    factor = (after[1] - after[0]) / (before[1] - before[0])

    def to(v: float) -> float:
        return after[0] + (v - before[0]) * factor

    for axes in _axes(part):
        box = axes.get_position(original=True)
        if vertical:
            axes.set_position([box.x0, to(box.y0), box.width, box.height * factor])
        elif axes.get_label() != "<colorbar>":
            axes.set_position([to(box.x0), box.y0, box.width * factor, box.height])


def _bars_like_pictures(part) -> None:
    """A colour bar as high as the pictures that it is of: square cells do not fill a high panel."""
    for bar in part.axes:
        parents = getattr(bar, "_colorbar_info", {}).get("parents", ())
        if not parents or any(axes.get_aspect() == "auto" for axes in parents):
            continue
        for axes in parents:
            axes.apply_aspect()
        boxes, at = [axes.get_position() for axes in parents], bar.get_position(original=True)
        low, high = min(box.y0 for box in boxes), max(box.y1 for box in boxes)
        bar.set_position([at.x0, low, at.width, high - low])
