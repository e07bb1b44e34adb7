"""A workspace: stores, results, selections, notes and jobs under one directory.

workspace.json   schema and name
stores/<name>/   one store each
features/<name>/ one feature set each
training/<name>/ a training that runs or can be resumed: its curve and last checkpoint
cache/           results by key
jobs/            long work
people.db        what people write (analysis.people); in PostgreSQL instead where LOUPE_DATABASE_URL says so
"""

from __future__ import annotations

import functools
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from analysis import access, pipeline, registry
from analysis.activations import Activations
from analysis.errors import InputError, LoupeError, NewerSchema, NotFound, ParameterError, StoreDamaged
from analysis.features.shelf import FeatureShelf
from analysis.people import People
from analysis.results import Result, digests_of
from analysis.search import search_store
from analysis.selection import Selection, row_mask, sample_mask, selection_of_rows
from analysis.spec import Cost, Progress, make_params, no_progress
from analysis.store.cache import ResultCache
from analysis.store.encoded import encoded_at
from analysis.store.reader import Store

SCHEMA = 1
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._=+-]{0,99}")


@dataclass(frozen=True)
class StoreEntry:
    """One line of the workspace page: a store that opened, or the reason why it did not."""

    name: str
    path: Path
    store: Store | None = None
    problem: str = ""


class Workspace:
    """Open with `Workspace.open(path)` or make with `Workspace.create(path)`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.cache = ResultCache(path / "cache")
        self.people = People(path / "people.db")
        self._opened: dict[str, tuple[tuple[int, int], Store]] = {}
        self._paths: dict[str, Path] = {}
        self.features = FeatureShelf(path / "features")

    @classmethod
    def create(cls, path: str | os.PathLike) -> Workspace:
        """Make the directory (or adopt an empty one); an existing workspace is simply opened."""
        path = Path(path)
        if (path / "workspace.json").exists():
            return cls.open(path)
        if path.exists() and not path.is_dir():
            raise InputError(f"{path} is a file", "a directory for the workspace")
        (path / "stores").mkdir(parents=True, exist_ok=True)
        (path / "workspace.json").write_text(
            json.dumps({"schema": SCHEMA, "name": path.name}, indent=1) + "\n"
        )
        return cls(path)

    @classmethod
    def open(cls, path: str | os.PathLike) -> Workspace:
        """Open an existing workspace. Raises NotFound, NewerSchema, InputError."""
        path = Path(path)
        file = path / "workspace.json"
        if not file.exists():
            raise NotFound(
                f"{path} is not a workspace (no workspace.json)",
                "a workspace directory",
                "Record or import into it first",
            )
        try:
            schema = int(json.loads(file.read_text())["schema"])
        except (ValueError, KeyError, TypeError):
            raise InputError(f"{file} cannot be read", "a JSON object with a schema number") from None
        if schema > SCHEMA:
            raise NewerSchema(f"{path} has schema {schema}", f"at most {SCHEMA}", "Update Feature Loupe")
        return cls(path)

    # ------------------------------------------------------------------ stores
    def stores(self) -> list[StoreEntry]:
        """Every store by name; one that cannot be opened says why and hides no other."""
        folder = self.path / "stores"
        try:
            with os.scandir(folder) as there:
                names = sorted(e.name for e in there if not e.name.startswith(".") and e.is_dir())
        except FileNotFoundError:
            return []
        entries = []
        for name in names:
            try:
                entries.append(StoreEntry(name, folder / name, self.store(name)))
            except LoupeError as refusal:
                entries.append(StoreEntry(name, folder / name, problem=str(refusal)))
        return entries

    def store(self, name: str) -> Store:
        """One store by name, kept open until it or its encoded taps change. Raises NotFound, StoreDamaged,
        NewerSchema."""
        path = self._paths.get(name) or self._store_path(name)
        try:
            changed = (os.stat(f"{path}/manifest.json").st_mtime_ns, encoded_at(path))
        except (FileNotFoundError, NotADirectoryError):
            there = [
                p.name for p in sorted((self.path / "stores").glob("*")) if (p / "manifest.json").exists()
            ]
            raise NotFound(
                f"no store {name!r} in {self.path}", "one of " + (", ".join(there) or "none yet")
            ) from None
        kept = self._opened.get(name)
        if kept is None or kept[0] != changed:
            self._paths[name] = (
                path  # only of stores that are there: the names that strangers ask for have no end
            )
            self._opened[name] = kept = (changed, Store.open(path))
        return kept[1]

    def new_store_path(self, name: str, *, resume: bool = False) -> Path:
        """Where a new store goes. Raises ParameterError for a name that cannot be one, InputError when taken."""
        path = self._store_path(name)
        if (path / "manifest.json").exists() and not resume:
            raise InputError(
                f"there is already a store {name!r} in {self.path}",
                "a new name",
                "Choose another name, or resume it",
            )
        return path

    def activations(self, reference: str) -> Activations:
        """The activations named "store:tap". Raises NotFound, listing what there is."""
        name, separator, tap = reference.partition(":")
        if not separator:
            raise ParameterError(f"{reference!r} names no tap", "STORE:TAP, such as digits-vit:vit.layers.2")
        return self.store(name).activations(tap)

    def encode(self, reference: str, features: str, name: str = "", progress: Progress = no_progress) -> str:
        """Write what the feature set `features` does on the tap "store:tap" as a tap of that store; the new tap as
        "store:tap@set". As `analysis.features.encoding.encode_tap`."""
        access.require("editor", f"encode {reference}")
        from analysis.features.encoding import encode_tap

        tap = self.activations(reference).tap
        found = self.features.open(features)
        name = name or f"{tap}@{found.name}"
        encode_tap(self.store(reference.partition(":")[0]), tap, found, name, progress)
        return f"{reference.partition(':')[0]}:{name}"

    def _store_path(self, name: str) -> Path:
        if not NAME.fullmatch(name) or ".." in name:
            raise ParameterError(
                f"{name!r} cannot name a store",
                "letters, digits, space and . _ = + - (at most 100, a letter or digit first)",
            )
        return self.path / "stores" / name

    # ------------------------------------------------------------------ methods
    def run(
        self,
        method: str,
        references: Sequence[str],
        params: dict | None = None,
        *,
        seed: int = 0,
        progress: Progress = no_progress,
    ) -> Result:
        """Run a method on taps by name, or return what an earlier identical run left."""
        taps = [self.activations(r) for r in references]
        return pipeline.run(method, taps, params, seed=seed, cache=self.cache, progress=progress)

    def cost(self, method: str, references: Sequence[str], params: dict | None = None) -> Cost:
        """What such a run will take; where a network is run, by what runs on this machine took so far."""
        taps = [self.activations(r) for r in references]
        told = pipeline.cost_of(method, taps, params)
        passes = told.passes or pipeline.cost(method, [tap.shape for tap in taps], params).passes
        factor = self.cache.timings.factor(taps[0].name, method, passes) if taps else 1.0
        return replace(told, seconds=told.seconds * factor)

    def key(
        self, method: str, references: Sequence[str], params: dict | None = None, *, seed: int = 0
    ) -> str:
        """The cache key of such a run."""
        found = registry.method(method)
        digests = tuple(digests_of(pipeline.inputs_of(found, [self.activations(r) for r in references])))
        if not params:
            return _key_of_defaults(found.id, found.version, found.params, digests, seed)
        return pipeline.key(found, digests, make_params(found.params, dict(params)), seed)

    def cached(
        self, method: str, references: Sequence[str], params: dict | None = None, *, seed: int = 0
    ) -> Result | None:
        """The kept result of such a run, or None; never computes. The last few stay in memory."""
        key = self.key(method, references, params, seed=seed)
        if not self.cache.has(key):
            return None
        try:
            found = _kept(str(self.cache.path(key)))
        except StoreDamaged:
            if self.cache.path(key).exists():
                raise
            return None  # it went between the two looks
        tiles = getattr(found, "tiles", "")
        return found if not tiles or self.cache.has_folder(tiles) else None

    # ------------------------------------------------------------------ people
    def selections(self, store: str | None = None) -> list[Selection]:
        return self.people.selections(store)

    def selection(self, name: str) -> Selection:
        return self.people.selection(name)

    def save_selection(self, selection: Selection, version: int | None = None) -> Selection:
        return self.people.save_selection(selection, version)

    def combined(self, first: str | Selection, operation: str, second: str | Selection) -> Selection:
        """Two selections (by name or as they are) joined by "or", "and" or "minus"; unnamed, not saved.

        Where one holds samples and the other tokens, or the two hold tokens of different taps, the tokens
        stand for their samples, and `note` says so.

        Raises
        ------
        NotFound, ParameterError
            No such selection; two stores; units against samples.
        """
        a, b = (self.selection(s) if isinstance(s, str) else s for s in (first, second))
        kinds = {a.of, b.of}
        if kinds <= {"samples", "rows"} and (len(kinds) > 1 or (kinds == {"rows"} and a.tap != b.tap)):
            a, b = self.samples_of(a), self.samples_of(b)
        return a.combined(operation, b)

    def samples_of(self, selection: Selection) -> Selection:
        """The samples that a selection of tokens lies in; a selection of samples as it is."""
        if selection.of == "samples":
            return selection
        store = self.store(selection.store)
        mask = sample_mask(selection, store)
        if mask is None:
            raise ParameterError(f"{selection.described}", "samples, or tokens of a tap that is there")
        name = f"samples of {selection.name or 'some tokens'}"
        return Selection(name, "samples", selection.store, "", np.asarray(store.samples["id"])[mask])

    def rows(self, selection: str | Selection, reference: str) -> np.ndarray:
        """Row indices, rising, of the tap "store:tap" that a selection covers: `activations.take(rows)`.

        Raises NotFound, ParameterError when the selection says nothing about that tap.
        """
        chosen = self.selection(selection) if isinstance(selection, str) else selection
        name, _, tap = reference.partition(":")
        self.activations(reference)
        mask = row_mask(chosen, self.store(name), tap)
        if mask is None:
            raise ParameterError(f"{chosen.described}", f"a selection of samples or tokens of {name}")
        return np.flatnonzero(mask)

    def search(self, reference: str, query: str) -> Selection:
        """What a query such as "label = 4 and unit 12 > 3" finds at the tap "store:tap"; unnamed, not saved.

        The language is described in `analysis.search.query`; raises ParameterError, NotFound for one that cannot be
        read. `analysis.search.search` says how many rows each condition has by itself.
        """
        name, _, tap = reference.partition(":")
        self.activations(reference)
        store = self.store(name)
        return selection_of_rows(search_store(store, tap, query).mask, store, tap, f"search: {query}")

    def delete_selection(self, name: str) -> None:
        self.people.delete_selection(name)

    def stars(self, store: str, tap: str) -> tuple[int, ...]:
        return self.people.stars(store, tap)

    def star(self, store: str, tap: str, unit: int, on: bool = True) -> None:
        self.people.star(store, tap, unit, on)

    def notes(self, store: str, tap: str) -> dict[int, str]:
        return self.people.notes(store, tap)

    def note(self, store: str, tap: str, unit: int, text: str) -> None:
        self.people.note(store, tap, unit, text)


def open_workspace(path: str | os.PathLike) -> Workspace:
    """Open a workspace directory, as `Workspace.open` does; the notebook's first line."""
    return Workspace.open(path)


@functools.lru_cache(maxsize=512)
def _key_of_defaults(method: str, version: int, params: type, digests: tuple[str, ...], seed: int) -> str:
    """Pages ask for the same few again and again."""
    return pipeline.key(registry.method(method), digests, make_params(params, {}), seed)


@functools.lru_cache(maxsize=32)
def _kept(path: str) -> Result:
    """Results are frozen and their files never change under a key, so a few may be shared by all sessions."""
    from analysis import results

    return results.load(path)
