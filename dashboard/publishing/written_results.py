"""Kept results as files of a bundle: maps, heat maps, figures. What cannot be read or drawn is left out, with
reasons."""

from __future__ import annotations

from collections.abc import Callable

from analysis.errors import LoupeError
from analysis.results import Result
from analysis.store.tiles import Tiles
from dashboard.figures.text import plain
from dashboard.publishing import figure_files, heat_data, map_data, sample_data, written_data
from dashboard.publishing.plan import KeptPlan


def write_results(writer) -> None:
    """Into the bundle of `writer` (as of `bundle`), one after the other."""
    plan = writer.plan
    for part, ones, write in (
        ("maps", plan.maps, _map),
        ("maps", plan.heatmaps, _heat),
        ("figures", plan.figures, _figure),
    ):
        n = len(plan.figures) if part == "figures" else len(plan.maps) + len(plan.heatmaps)
        for one in tuple(ones):
            writer.step(part, 1 / n, one.title)
            if not _written(writer, one, write):
                ones[:] = [other for other in ones if other is not one]


def _written(writer, one: KeptPlan, write: Callable[..., None]) -> bool:
    try:
        write(writer, one, one.result(writer.workspace))
    except LoupeError as refusal:
        writer.plan.left_out.append((one.title, str(refusal)))
        return False
    return True


def _map(writer, one: KeptPlan, result: Result) -> None:
    store_name = one.reference.partition(":")[0]
    store, activations = writer.workspace.store(store_name), writer.workspace.activations(one.reference)
    drawn = map_data.drawn_map(result, store, activations, one.reference)
    points = map_data.samples_of(result, activations)
    pictured = len(points) <= sample_data.MOST_PICTURED
    writer.samples.show(store_name, points, pictured=pictured)
    if not pictured and writer.asked.pictures:
        why = f"its {len(points):,} samples are more than {sample_data.MOST_PICTURED:,}; those on cards have theirs"
        writer.plan.left_out.append((f"pictures of all points of {one.title}", why))
    writer.data(f"maps/{one.slug}", drawn)
    writer.shown["maps"].append(
        {"slug": one.slug, "reference": one.reference, "method": one.method, "title": plain(one.title),
         "name": map_data.name_of(one.method), "store": writer.stores[store_name], "n": drawn["n"],
         "of": drawn["of"]}
    )  # fmt: skip


def _heat(writer, one: KeptPlan, result: Result) -> None:
    tiles = Tiles.open(writer.workspace.cache.folder(result.tiles)) if result.tiles else None
    drawn = heat_data.drawn_heat(result, tiles)
    if drawn["finest"]:
        side = 2 ** drawn["finest"]
        why = f"each cell of the finest that is here is the strongest of {side} x {side}"
        writer.plan.left_out.append((f"single cells of {one.title}", why))
    writer.data(f"heat/{one.slug}/whole", drawn)
    for place, block in heat_data.blocks(result, tiles):
        writer.data(f"heat/{one.slug}/{place}", block)
    writer.shown["heatmaps"].append(
        {"slug": one.slug, "title": plain(one.title), "reference": one.reference, "shape": result.shape}
    )


def _figure(writer, one: KeptPlan, result: Result) -> None:
    files, size, without = {}, (0.0, 0.0), ""
    drawn = figure_files.drawn_figure(writer.workspace, one, result, pictures=writer.asked.pictures)
    made = dict(drawn)  # all or none: a figure without its numbers is not citable
    for format, data in made.items():
        if format == "csv" and len(data) > figure_files.LARGE:
            without = f" Its numbers ({len(data) / 1e6:.0f} MB) are not here: the recipe makes them."
            continue
        files[format] = f"figures/{one.slug}.{format}"
        writer.text(files[format], data)
        size = figure_files.size_of(data) if format == "svg" else size
    said = written_data.of_figure(writer.workspace, result, writer.asked.who)
    writer.shown["figures"].append(
        {**figure_files.words(one, result), "files": files, "size": size, "without": without, "written": said}
    )
