"""A workspace as a folder of plain files that any browser shows: by a double click, or from any web server.

    index.html map.html features.html heatmaps.html figures.html notes.html
    assets/           styles and scripts; the map and the other components are the dashboard's own
    data/site.js      what there is                         data/samples/<store>/N.js   the samples that are shown
    data/taps/<tap>/  list.js, cards-N.js, features.csv     data/maps/, data/heat/      places, colours, cells
    figures/          SVG, CSV and recipe of each figure    pictures/<store>/           each picture once
    manifest.json     what was asked for, and the checksum of every file

The same workspace and the same wishes give the same bytes. Memory: the cards of one file, the columns of one map, and
which samples are shown.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from analysis.errors import LoupeError, NotFound
from analysis.results import Result
from analysis.sharing.bundle_folder import BundleFolder, new_bundle
from analysis.spec import Progress, no_progress
from analysis.store.tiles import Tiles
from analysis.workspace import Workspace
from dashboard.figures.text import plain
from dashboard.publishing import (
    card_data,
    figure_files,
    heat_data,
    list_data,
    map_data,
    parts,
    sample_data,
    scripts,
    site_pages,
)
from dashboard.publishing.asked import Asked
from dashboard.publishing.plan import KeptPlan, Plan, TapPlan, planned
from dashboard.publishing.private import Private

HERE = Path(__file__).parent / "browser"
_WEIGHTS = {"cards": 0.8, "maps": 0.08, "figures": 0.1, "samples": 0.02}


@dataclass(frozen=True)
class Published:
    """What was written. `left_out` : (what, why)."""

    path: Path
    digest: str
    n_files: int
    n_bytes: int
    plan: Plan


def publish(
    workspace: Workspace,
    out: str | os.PathLike,
    asked: Asked | None = None,
    *,
    replace: bool = False,
    progress: Progress = no_progress,
) -> Published:
    """Write a bundle of `workspace` to the folder `out`: beside it, then renamed.

    Raises
    ------
    InputError
        `out` is something else than a bundle, or one and `replace` is off. ParameterError, NotFound: a wish that
        cannot be understood or met. DiskFull.
    """
    asked = asked or Asked()
    plan = planned(workspace, asked)
    with new_bundle(Path(out), workspace.path, replace=replace) as folder:
        digest = Writer(workspace, asked, plan, folder, progress).write()
        n_files, n_bytes = len(folder.files) + 1, folder.n_bytes
    return Published(Path(out), digest, n_files, n_bytes, plan)


class Writer:
    """Writes one bundle into `folder`, file by file."""

    def __init__(
        self, workspace: Workspace, asked: Asked, plan: Plan, folder: BundleFolder, progress: Progress
    ):
        self.workspace, self.asked, self.plan, self.folder = workspace, asked, plan, folder
        self.private = Private(workspace)
        self.samples = sample_data.Samples(asked.pictures)
        self._progress, self._done = progress, 0.0
        self.title = asked.title.strip() or f"Features of {workspace.path.name}"
        self.stores = {name: k for k, name in enumerate(plan.stores)}
        self.shown: dict[str, list[dict]] = {"taps": [], "maps": [], "heatmaps": [], "figures": []}

    def write(self) -> str:
        """Everything; returns the digest of the bundle."""
        self._assets()
        self._kinds_of_pictures()
        for tap in self.plan.taps:
            self._tap(tap)
        for one in self.plan.maps:
            self._each("maps", one, self._map)
        for one in self.plan.heatmaps:
            self._each("maps", one, self._heat)
        for one in self.plan.figures:
            self._each("figures", one, self._figure)
        self._samples()
        self.data("site", site_pages.site(self))
        for name, page in site_pages.pages(self):
            self.text(name, page)
        return self.folder.finish(self._about())

    # ------------------------------------------------------------------ files
    def data(self, name: str, value) -> None:
        """A script `data/<name>.js` that hands over `value`."""
        self.folder.add(f"data/{name}.js", scripts.script(name, self.private(scripts.as_json(value))))

    def text(self, name: str, data: bytes) -> None:
        """A file that is text, without the paths of this machine."""
        self.folder.add(name, self.private(data.decode("utf-8", "replace")).encode("utf-8"))

    def step(self, part: str, share: float, doing: str) -> None:
        self._done += _WEIGHTS[part] * share
        self._progress(min(self._done, 1.0), doing)

    def _assets(self) -> None:
        for path in sorted(HERE.iterdir()):
            if path.suffix in (".js", ".css"):
                self.folder.add(f"assets/{path.name}", path.read_bytes())
        for name, code in parts.scripts().items():
            self.folder.add(f"assets/{name}", code.encode())
        self.folder.add("LICENSE.txt", _licence())

    def _kinds_of_pictures(self) -> None:
        for name in self.stores:
            cards = sum(len(t.units) for t in self.plan.taps if t.reference.partition(":")[0] == name)
            most = sample_data.most_pictures(cards)
            kind = sample_data.kind_of(self.workspace.store(name), most) if self.asked.pictures else "png"
            self.samples.kinds[name] = kind
            if kind == "jpg":
                why = f"they would take more than {sample_data.ROOM / 1e6:.0f} MB: JPEG copies are here"
                self.plan.left_out.append((f"pictures of {name} as they are", why))

    # ------------------------------------------------------------------ features
    def _tap(self, tap: TapPlan) -> None:
        cards = card_data.TapCards.of(self.workspace, tap.reference, self.samples, self.asked.who)
        folder, units = f"taps/{tap.slug}", tap.units
        self.data(
            f"{folder}/list", {**list_data.listed(cards.list, cards.written, units), "lit": self._lit(cards)}
        )
        self.text(f"data/{folder}/features.csv", list_data.table(cards.list, cards.written, units))
        for k, first in enumerate(range(0, len(units), site_pages.CARDS)):
            made = []
            for unit in units[first : first + site_pages.CARDS].tolist():
                made.append(card_data.card(cards, unit))
                self.step("cards", 1 / self.plan.n_cards, f"{tap.reference}, {cards.list.word} {unit}")
            self.data(f"{folder}/cards-{k}", made)
        store = tap.reference.partition(":")[0]
        self.shown["taps"].append(
            {"reference": tap.reference, "slug": tap.slug, "store": self.stores[store], "word": cards.list.word,
             "n": len(units), "of": tap.n_units,
             "units": units if len(units) < tap.n_units else None, "said": tap.said,
             "rows": cards.unit(int(units[0])).row_word}
        )  # fmt: skip

    def _lit(self, cards: card_data.TapCards) -> dict | None:
        """The points of the small map on every card."""
        if cards.map is None:
            return None
        drawn = map_data.picture(cards.map, self.workspace.activations(cards.reference).layout)
        whole = self.workspace.cached("pca", [cards.reference])
        return {"n": drawn.n, "of_all": len(whole.rows), "positions": scripts.bytes64(drawn.positions.data)}

    # ------------------------------------------------------------------ maps, heat maps, figures
    def _each(self, part: str, one: KeptPlan, write: Callable[[KeptPlan, Result], None]) -> None:
        """One kept result; what cannot be read or drawn is left out, with its reason."""
        n = len(self.plan.figures) if part == "figures" else len(self.plan.maps) + len(self.plan.heatmaps)
        self.step(part, 1 / n, one.title)
        try:
            result = self.workspace.cache.get(one.key)
            if result is None:
                raise NotFound("it is no longer kept", "a kept result")
            write(one, result)
        except LoupeError as refusal:
            self.plan.left_out.append((one.title, str(refusal)))

    def _map(self, one: KeptPlan, result: Result) -> None:
        store_name = one.reference.partition(":")[0]
        store, activations = self.workspace.store(store_name), self.workspace.activations(one.reference)
        drawn = map_data.drawn_map(result, store, activations, one.reference)
        points = map_data.samples_of(result, activations)
        pictured = len(points) <= sample_data.MOST_PICTURED
        self.samples.show(store_name, points, pictured=pictured)
        if not pictured and self.asked.pictures:
            why = f"its {len(points):,} samples are more than {sample_data.MOST_PICTURED:,}; those on cards have theirs"
            self.plan.left_out.append((f"pictures of all points of {one.title}", why))
        self.data(f"maps/{one.slug}", drawn)
        self.shown["maps"].append(
            {"slug": one.slug, "reference": one.reference, "method": one.method, "title": plain(one.title),
             "name": map_data.name_of(one.method), "store": self.stores[store_name], "n": drawn["n"],
             "of": drawn["of"]}
        )  # fmt: skip

    def _heat(self, one: KeptPlan, result: Result) -> None:
        tiles = Tiles.open(self.workspace.cache.folder(result.tiles)) if result.tiles else None
        drawn = heat_data.drawn_heat(result, tiles)
        if drawn["finest"]:
            side = 2 ** drawn["finest"]
            why = f"each cell of the finest that is here is the strongest of {side} x {side}"
            self.plan.left_out.append((f"single cells of {one.title}", why))
        self.data(f"heat/{one.slug}/whole", drawn)
        for place, block in heat_data.blocks(result, tiles):
            self.data(f"heat/{one.slug}/{place}", block)
        self.shown["heatmaps"].append(
            {"slug": one.slug, "title": plain(one.title), "reference": one.reference, "shape": result.shape}
        )

    def _figure(self, one: KeptPlan, result: Result) -> None:
        files, size, without = {}, (0.0, 0.0), ""
        drawn = figure_files.drawn_figure(self.workspace, one, result, pictures=self.asked.pictures)
        made = dict(drawn)  # all or none: a figure without its numbers is not citable
        for format, data in made.items():
            if format == "csv" and len(data) > figure_files.LARGE:
                without = f" Its numbers ({len(data) / 1e6:.0f} MB) are not here: the recipe makes them."
                continue
            files[format] = f"figures/{one.slug}.{format}"
            self.text(files[format], data)
            size = figure_files.size_of(data) if format == "svg" else size
        self.shown["figures"].append(
            {**figure_files.words(one, result), "files": files, "size": size, "without": without}
        )

    # ------------------------------------------------------------------ samples and pages
    def _samples(self) -> None:
        taps = {tap.reference: k for k, tap in enumerate(self.plan.taps)}
        for name, k in self.stores.items():
            store = self.workspace.store(name)
            self.step("samples", 1 / len(self.stores), f"samples of {name}")
            shown = self.samples.pictured.get(name, set())
            for place, picture in sample_data.pictures(store, shown, self.samples.kinds[name]):
                self.folder.add(f"pictures/{k}/{place}", picture)
            for number, entries in sample_data.files(self.samples, store, taps):
                self.data(f"samples/{k}/{number}", entries)

    def _about(self) -> dict:
        """What the manifest says beside the files."""
        return {
            "title": plain(self.title),
            "recipe": self.asked.recipe(),
            "feature_loupe": site_pages.version(),
            "stores": {name: self.workspace.store(name).digest for name in self.stores},
            "taps": {tap.reference: len(tap.units) for tap in self.plan.taps},
            "results": sorted(one.key for one in (*self.plan.maps, *self.plan.heatmaps, *self.plan.figures)),
            "left_out": [[self.private(text) for text in pair] for pair in self.plan.left_out],
        }


def _licence() -> bytes:
    """The licence of the program, whose scripts are in every bundle."""
    for place in (Path(__file__).parents[2] / "LICENSE",):
        if place.is_file():
            return place.read_bytes()
    return b"MIT License\n\nCopyright (c) The Feature Loupe authors\n"
