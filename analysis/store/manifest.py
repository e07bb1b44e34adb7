"""The manifest: what a store says about itself, in one JSON file.

`manifest.json` is written when recording starts (`complete: false`) and replaced when it finishes. It carries
a checksum of itself, so that a flipped byte in it is noticed as well.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import numpy as np

from analysis.errors import InputError, NewerSchema, NotFound, StoreDamaged
from analysis.store.durable import write_file
from analysis.store.places import portable, with_path
from analysis.store.text import readable

SCHEMA = 2  # 1: every tap kept the whole index; its stores are read as they are
FILE = "manifest.json"
DTYPES = ("float16", "float32")
# what of a tap its digest covers beside its rows and samples: two readings of the same rows are two inputs. Stores that
# were written before do not say so, and keep the digests under which their results are kept
DIGESTED = ("grid", "leading", "unit_names")
TOKENS = ("all", "mean", "cls", "last", "spatial-mean")


@dataclass(frozen=True)
class TapSpec:
    """One recorded tap.

    name : module name. n_units : coordinates. dtype : "float16" or "float32", as stored. tokens : which rows a
    sample gives ("all", or one row: "mean", "cls", "last", "spatial-mean"). module : class name of the module.
    grid, leading : where "all" tokens sit on an image. types : the token-type map that was said, as text
    (`analysis.sources.token_types`), whatever rows are kept. unit_names : empty for 0, 1, 2, …
    """

    name: str
    n_units: int
    dtype: str = "float16"
    tokens: str = "mean"
    module: str = ""
    grid: tuple[int, int] | None = None
    leading: int = 0
    unit_names: tuple[str, ...] = ()
    types: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "unit_names", tuple(str(u) for u in self.unit_names))
        object.__setattr__(self, "grid", None if self.grid is None else tuple(int(g) for g in self.grid))
        if readable(self.name) != self.name or not self.name:
            raise InputError(f"tap name {self.name!r}", "text without NUL and lone surrogates", "Rename it")
        if self.dtype not in DTYPES:
            raise InputError(f"tap '{self.name}' asks for dtype {self.dtype!r}", "float16 or float32")
        if self.tokens not in TOKENS:
            raise InputError(
                f"tap '{self.name}' asks for tokens {self.tokens!r}", "one of " + ", ".join(TOKENS)
            )
        if self.n_units < 1:
            raise InputError(f"tap '{self.name}' has {self.n_units} units", "at least one")
        if self.unit_names and len(self.unit_names) != self.n_units:
            raise InputError(f"tap '{self.name}' names {len(self.unit_names)} units", f"{self.n_units} names")

    @property
    def numpy_dtype(self) -> np.dtype:
        return np.dtype(self.dtype)


def slugs(taps: Sequence[TapSpec]) -> dict[str, str]:
    """A folder name for each tap name: readable, safe on any file system, unique in this store."""
    result: dict[str, str] = {}
    for tap in taps:
        base = re.sub(r"[^A-Za-z0-9._-]+", "-", tap.name).strip(".-")[:80] or "tap"
        slug, k = base, 2
        while slug.lower() in {s.lower() for s in result.values()}:
            slug, k = f"{base}~{k}", k + 1
        if tap.name in result:
            raise InputError(f"tap '{tap.name}' is listed twice", "different names")
        result[tap.name] = slug
    return result


def begun(
    directory: Path, *, name: str, taps: Sequence[TapSpec], checkpoint, data, settings, classes, n_expected
) -> dict:
    """The manifest of a store that is begun; the arguments are those of `StoreWriter.create`."""
    folders = slugs(taps)
    return {
        "schema": SCHEMA, "name": str(name), "complete": False,
        "made": datetime.now(UTC).isoformat(timespec="seconds"), "n_samples": 0, "n_expected": n_expected,
        "classes": [readable(str(c)) for c in classes],
        "checkpoint": with_path(checkpoint or {}, portable, directory),
        "data": with_path(data or {}, portable, directory), "settings": dict(settings or {}),
        "versions": versions(), "taps": [tap_entry(tap, folders[tap.name]) for tap in taps],
        "digested": list(DIGESTED),
    }  # fmt: skip


def tap_entry(tap: TapSpec, slug: str) -> dict:
    """The manifest's line for a tap, with its axes named."""
    return {**dataclasses.asdict(tap), "slug": slug, "axes": ["row", "unit"], "stored_as": ["unit", "row"]}


def tap_of(entry: dict) -> TapSpec:
    names = {f.name for f in dataclasses.fields(TapSpec)}
    return TapSpec(**{k: v for k, v in entry.items() if k in names})


def versions() -> dict[str, str]:
    """Versions of Python and of the numerical libraries that are installed (nothing is imported)."""
    found = {"python": platform.python_version()}
    for package in ("feature-loupe", "numpy", "torch", "transformers", "numba", "pyarrow"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _checksum(manifest: dict) -> str:
    body = {k: v for k, v in manifest.items() if k != "checksum"}
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:32]


def write(directory: Path, manifest: dict) -> None:
    """Write the manifest of the store at `directory`, its texts as valid Unicode. Raises OSError (disk full)."""
    plain = _valid(json.loads(json.dumps(manifest, default=_plain)))
    plain["checksum"] = _checksum(plain)
    write_file(Path(directory) / FILE, json.dumps(plain, indent=1).encode())


def read(directory: Path) -> dict:
    """Read and check the manifest of the store at `directory`.

    Raises
    ------
    NotFound
        No store there.
    NewerSchema
        Written by a newer version of this program.
    StoreDamaged
        Not readable, or changed after it was written.
    """
    path = Path(directory) / FILE
    try:
        text = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound(
            f"there is no store at {directory}", f"a directory with {FILE}", "Check the path or record one"
        ) from None
    try:
        manifest = json.loads(text)
        schema = int(manifest["schema"])
    except (ValueError, KeyError, TypeError):
        raise StoreDamaged(f"{path} is not a readable manifest", "", "Restore it or record again") from None
    if schema > SCHEMA:
        raise NewerSchema(
            f"the store at {directory} has schema {schema}",
            f"at most {SCHEMA}",
            "Update this program, or record the store again with this version",
        )
    if manifest.get("checksum") != _checksum(manifest):
        raise StoreDamaged(
            f"{path} does not match its own checksum",
            "the manifest as it was written",
            "Restore it from a copy; it must not be edited by hand",
        )
    return manifest


def _valid(value):
    """A JSON value with every text in it made valid Unicode, which pages and terminals need."""
    if isinstance(value, str):
        return readable(value)
    if isinstance(value, list):
        return [_valid(v) for v in value]
    return {readable(k): _valid(v) for k, v in value.items()} if isinstance(value, dict) else value


def _plain(value):
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, (set, frozenset, tuple)):
        return list(value)
    raise TypeError(f"{type(value).__name__} cannot go into a manifest")
