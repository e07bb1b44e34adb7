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
from dataclasses import dataclass
from pathlib import Path

from analysis.sharing.bundle_folder import BundleFolder, new_bundle
from analysis.spec import Progress, no_progress
from analysis.workspace import Workspace
from dashboard.figures.text import plain
from dashboard.publishing import parts, sample_data, scripts, site_pages
from dashboard.publishing.asked import Asked
from dashboard.publishing.plan import Plan
from dashboard.publishing.planning import planned
from dashboard.publishing.private import Private
from dashboard.publishing.written_results import write_results
from dashboard.publishing.written_taps import write_tap

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
            write_tap(self, tap)
        write_results(self)
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
