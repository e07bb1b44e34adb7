"""The kinds of result. A method returns one of these; a figure draws the kind, whatever method made it.

All are frozen, carry their estimates and their origin, and go through `save`/`load` (one npz file without
pickle: arrays beside a JSON header) unchanged.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import os
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np

from analysis.errors import StoreDamaged

SCHEMA = 1


@dataclass(frozen=True)
class Estimate:
    """A number that says how far to believe it.

    value, [low, high] at `level` by `interval` (how it was made); `null`, what structureless data of the same
    shape gives (by `null_method`), with [null_low, null_high] where known; n samples, d units. A number that has no
    interval or no null by its nature says why: "none: " and the reason in the place of how it was made. Numbers up to
    `rounding` are what single precision leaves of 0.
    """

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    level: float = 0.95
    interval: str = ""
    null: float | None = None
    null_low: float | None = None
    null_high: float | None = None
    null_method: str = ""
    p_value: float | None = None
    n: int = 0
    d: int = 0
    estimator: str = ""
    unit: str = ""
    rounding: float = 0.0


@dataclass(frozen=True)
class Origin:
    """What made a result: enough to make it again (the recipe)."""

    method: str
    version: int
    params: dict
    inputs: tuple[
        dict, ...
    ]  # {"name": "store:tap", "digest": ...}, and "beside": [...] such of taps read with it
    seed: int
    versions: dict
    seconds: float = 0.0
    made: str = ""  # ISO time, UTC
    cost: dict = field(default_factory=dict)  # what was estimated beforehand

    def recipe(self) -> dict:
        """JSON-ready recipe: method, parameters, inputs with digests, seed, versions."""
        return {"recipe": SCHEMA, **{k: v for k, v in dataclasses.asdict(self).items() if k not in ("cost",)}}


def digests_of(inputs: Iterable[Mapping]) -> list[str]:
    """What each input of an `Origin` or a recipe held: its digest, with those of the taps that were read beside."""
    return [str(one.get("digest", "")) + _with(one.get("beside")) for one in inputs]


def _with(beside) -> str:
    """By tap, whatever the store is called; what a stranger's file says illegibly counts for nothing."""
    told = [one for one in beside if isinstance(one, Mapping)] if isinstance(beside, list | tuple) else []
    held = sorted((str(one.get("name")).partition(":")[2], str(one.get("digest"))) for one in told)
    return "" if not held else f" with {hashlib.sha256(json.dumps(held).encode()).hexdigest()[:32]}"


@dataclass(frozen=True, kw_only=True)
class Result:
    """Common part of every kind.

    title : what the picture shows. reading : plain sentences on what it means. caveats : what cannot be
    concluded. estimates : the numbers beside it. origin : filled in by `pipeline.run`.
    """

    kind: ClassVar[str] = ""
    title: str
    reading: str = ""
    caveats: tuple[str, ...] = ()
    estimates: tuple[Estimate, ...] = ()
    origin: Origin | None = None


@dataclass(frozen=True, kw_only=True)
class Scatter(Result):
    """Points: `positions` (n, 2 or 3); `rows` (n,) index the tap's rows, its units when `of` is "units", or things of
    which a store knows nothing, such as "atoms" or "taps".

    `columns`: per-point values (n,), numeric or text, that can colour the points (quality measures among them).
    `colour` names the default one. `axes` label the coordinates; `meaningful_axes` is False where only
    neighbourhoods mean something (UMAP and kin). `frames` (m, n, 2 or 3) are the places of the same points in a
    series (layers, checkpoints) named by `frame_names`; `positions` is then the last of them. A column that is named
    like a frame belongs to it: coloured by it, the points are drawn at its places. `edges` (m, 2) int32
    join points by their places in `positions`, with `edge_values` (m,) called `edge_name`. `ellipses` (m, 5) lie over
    the map: centre (2), half axes (2), angle of the first in radians. `ellipse_name` says what they are where it is not
    what the map makes of a small ball; `ellipse_columns` have a value for each (m,), those that are also in `columns`
    colour them like their points; `ellipse_dashed` (m,) bool sets some apart. `guides` (m, 2) by
    name are lines to read the points against, such as a unit circle or a level by chance; each is named at its last
    point. `levels` name heights of the second axis, which then has these names and no numbers. `corners` (2,) by name
    are places that points are mixtures of; the names stand outside. `names`: the column that names points, written
    beside them where they are few; a second axis without a label only sets them apart then. `pictures` (n, height,
    width[, 3]) uint8 are drawn at the points of a plane map.
    """

    kind: ClassVar[str] = "scatter"
    positions: np.ndarray
    rows: np.ndarray
    of: str = "rows"
    axes: tuple[str, ...] = ("", "")
    columns: dict[str, np.ndarray] = field(default_factory=dict)
    colour: str = ""
    meaningful_axes: bool = True
    frames: np.ndarray | None = None
    frame_names: tuple[str, ...] = ()
    edges: np.ndarray | None = None
    edge_values: np.ndarray | None = None
    edge_name: str = ""
    ellipses: np.ndarray | None = None
    guides: dict[str, np.ndarray] = field(default_factory=dict)
    ellipse_name: str = ""
    ellipse_columns: dict[str, np.ndarray] = field(default_factory=dict)
    ellipse_dashed: np.ndarray | None = None
    levels: dict[str, float] = field(default_factory=dict)
    corners: dict[str, np.ndarray] = field(default_factory=dict)
    names: str = ""
    stars: np.ndarray | None = None
    star_name: str = ""
    pictures: np.ndarray | None = None


@dataclass(frozen=True, kw_only=True)
class Matrix(Result):
    """`values` (p, q) with names; `row_order`/`column_order` the drawing order (e.g. of a clustering);
    `linkage` (p - 1, 4) SciPy's; `null_band` the [low, high] that structureless data gives to a cell;
    `significant` (p, q) bool after false-discovery control. `null` (p, q) is what structureless data gives to each
    cell on average, `low` and `high` (p, q) its interval, `few` (p, q) bool where samples are too few to say, or what
    `few_means` says of them instead: these cells are hatched. `path` (p,) is the place among the columns at which a
    line called `path_name` crosses each row, drawn where rows and columns stand in the order given. `outlines` (k, 4)
    int are blocks drawn around cells, each first row, row after the last, first column, column after the last;
    `outline_name` says what they are. `rounding` (p, q) is what the precision of the inputs leaves of a cell that is
    0."""

    kind: ClassVar[str] = "matrix"
    values: np.ndarray
    row_names: tuple[str, ...]
    column_names: tuple[str, ...]
    value_name: str = ""
    row_order: np.ndarray | None = None
    column_order: np.ndarray | None = None
    linkage: np.ndarray | None = None
    null_band: tuple[float, float] | None = None
    significant: np.ndarray | None = None
    limits: tuple[float, float] | None = None
    diverging: bool = False
    null: np.ndarray | None = None
    low: np.ndarray | None = None
    high: np.ndarray | None = None
    few: np.ndarray | None = None
    few_means: str = ""
    path: np.ndarray | None = None
    path_name: str = ""
    outlines: np.ndarray | None = None
    outline_name: str = ""
    rounding: np.ndarray | None = None


@dataclass(frozen=True, kw_only=True)
class Heatmap(Result):
    """A matrix that may be too large to hold. `overview` (<= 512, <= 512) float32 is the whole of `shape` (p, q) in
    its drawing order: each cell the entry of largest magnitude, with its sign, of `gathered` x `gathered` cells.

    `tiles` is the key of the folder in the result cache that holds every cell in the drawing order
    (`store.tiles.Tiles`), "" where `overview` has them all. The names `row_names` (p,) text and the unit numbers
    `row_units` (p,) int64 are in the tap's order, and `row_order` (p,) int64 is the drawing order: line i shows
    row_units[row_order[i]]; columns likewise. `of` says what the numbers count: "units", or "samples" (positions in
    the tap's samples).

    `linkage` (g - 1, 4) is SciPy's, of the rows, over g groups of neighbouring lines that are numbered in drawing
    order; group k is the lines row_groups[k]:row_groups[k + 1], single lines where p <= 512. `column_linkage` and
    `column_groups` likewise. `null_band` is the [low, high] that structureless data gives to a cell; a cell counts as
    significant from |value| >= `threshold` on (infinite: none does; NaN: no one threshold tells), the
    `share_significant` of all cells (of the pairs, where rows and columns are the same).
    """

    kind: ClassVar[str] = "heatmap"
    overview: np.ndarray
    shape: tuple[int, int]
    row_names: np.ndarray
    column_names: np.ndarray
    row_units: np.ndarray
    column_units: np.ndarray
    row_order: np.ndarray
    column_order: np.ndarray
    gathered: int = 1
    of: str = "units"
    linkage: np.ndarray | None = None
    row_groups: np.ndarray | None = None
    column_linkage: np.ndarray | None = None
    column_groups: np.ndarray | None = None
    null_band: tuple[float, float] | None = None
    limits: tuple[float, float] | None = None
    value_name: str = ""
    diverging: bool = False
    tiles: str = ""
    share_significant: float = 0.0
    threshold: float = float("nan")


@dataclass(frozen=True, kw_only=True)
class Spectrum(Result):
    """`values` (k,) in falling order, optional bands `low`/`high` (k,), `null` (k,), and `blocks` (k,) int:
    equal numbers mark values that the sample cannot tell apart."""

    kind: ClassVar[str] = "spectrum"
    values: np.ndarray
    value_name: str = "eigenvalue"
    low: np.ndarray | None = None
    high: np.ndarray | None = None
    null: np.ndarray | None = None
    blocks: np.ndarray | None = None
    log: bool = True


@dataclass(frozen=True, kw_only=True)
class Curve(Result):
    """`x` (m,) against named series (m,), each with optional `low`/`high` bands and `null` (m,) by name.

    `marks` by series: places of `x` that stand out on its line, called `mark_name`. `joined`: lines run on across
    places where a series has no value (series that were measured at different places). `x_labels` (m)
    names the places where these are taps or checkpoints, and the axis then shows names ("": a place between).
    `controls`: names of series that are there to be compared with. An estimate called "<what>, <series>" sums that
    series up; many lines are ranked by it. `bars`: names of series that are drawn as bars. `pictures`
    (m, height, width[, 3]) uint8: what there is at each place, drawn as a film strip below."""

    kind: ClassVar[str] = "curve"
    x: np.ndarray
    x_name: str
    y_name: str
    series: dict[str, np.ndarray]
    low: dict[str, np.ndarray] = field(default_factory=dict)
    high: dict[str, np.ndarray] = field(default_factory=dict)
    null: dict[str, np.ndarray] = field(default_factory=dict)
    log_x: bool = False
    marks: dict[str, np.ndarray] = field(default_factory=dict)
    mark_name: str = ""
    joined: bool = False
    x_labels: tuple[str, ...] = ()
    controls: tuple[str, ...] = ()
    bars: tuple[str, ...] = ()
    pictures: np.ndarray | None = None


@dataclass(frozen=True, kw_only=True)
class Distribution(Result):
    """Histogram: `edges` (b + 1,), `counts` by group name (b,); `markers` named vertical lines; `null` (b,)."""

    kind: ClassVar[str] = "distribution"
    edges: np.ndarray
    counts: dict[str, np.ndarray]
    value_name: str
    markers: dict[str, float] = field(default_factory=dict)
    null: np.ndarray | None = None
    log_y: bool = False


@dataclass(frozen=True, kw_only=True)
class Table(Result):
    """`columns` by name, all of one length; `index` names what a row is; `sort` the column drawn first
    (falling); `help` says what each column means."""

    kind: ClassVar[str] = "table"
    columns: dict[str, np.ndarray]
    index: str = "unit"
    sort: str = ""
    help: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Partition(Result):
    """Clusters of rows: `codes` (n,) int32, the cluster of each of `rows` (n,), -1 for none, and `strength` (n,) in
    [0, 1], how firmly a row belongs; k may be 0. `columns` have one entry per cluster, "name" and "size" among them.

    `levels` (l, k) int32 are groups of clusters, coarse to fine, the last being the clusters themselves;
    `level_names` (l, k) text names the group of each cluster at each level.
    """

    kind: ClassVar[str] = "partition"
    codes: np.ndarray
    rows: np.ndarray
    strength: np.ndarray
    columns: dict[str, np.ndarray]
    levels: np.ndarray
    level_names: np.ndarray
    help: dict[str, str] = field(default_factory=dict)

    @property
    def n_clusters(self) -> int:
        return self.levels.shape[1]

    def codes_at(self, level: int) -> np.ndarray:
        """(n,) group of each row at a level, 0 the coarsest, -1 for none."""
        return np.where(self.codes >= 0, np.append(self.levels[level], -1)[self.codes], -1).astype(np.int32)


@dataclass(frozen=True, kw_only=True)
class Gallery(Result):
    """Groups of rows to look at: `groups` name → row indices, `values` name → what each row has (same lengths), which
    `value_name` says what it is. `of`: "rows", or "samples" where a row stands for its whole sample."""

    kind: ClassVar[str] = "gallery"
    groups: dict[str, np.ndarray]
    values: dict[str, np.ndarray] = field(default_factory=dict)
    value_name: str = "activation"
    of: str = "rows"


@dataclass(frozen=True, kw_only=True)
class TokenMap(Result):
    """`values` (n, tokens) of one quantity over the tokens of the samples `samples` (n,), or over the places of other
    pictures, such as atoms of a dictionary, that `names` (n) name. What it lies over, one for all or one each:
    `pictures` (1 or n, height, width[, 3]) uint8 on a grid, or `words` (1 or n) of the tokens. `ends` of the colours,
    where they are not those of the values: the same whichever samples are shown. `colours` (n, tokens, 3) uint8 are
    drawn instead of a scale, where a token has a colour of its own. Where one token asks for all this, `asked` is its
    place among `tokens` (tokens,), the numbers by which the method's setting chooses another,
    called `token_names` (tokens)."""

    kind: ClassVar[str] = "token_map"
    samples: np.ndarray
    values: np.ndarray
    value_name: str
    grid: tuple[int, int] | None = None
    leading: int = 0
    names: tuple[str, ...] = ()
    pictures: np.ndarray | None = None
    words: tuple[tuple[str, ...], ...] = ()
    ends: tuple[float, float] | None = None
    colours: np.ndarray | None = None
    tokens: np.ndarray | None = None
    token_names: tuple[str, ...] = ()
    asked: int | None = None


@dataclass(frozen=True, kw_only=True)
class Ledger(Result):
    """A number as a sum of parts: `start` + Σ `values` (m,) + `residual` = `end`. `names` (m,) whose part each is,
    `low`, `high` (m,) its interval, `null_low`, `null_high` (m,) what chance gives it, or None. `value_name` says what
    is added up, `start_name` and `end_name` what the two ends are."""

    kind: ClassVar[str] = "ledger"
    names: tuple[str, ...]
    values: np.ndarray
    start: float
    end: float
    residual: float = 0.0
    low: np.ndarray | None = None
    high: np.ndarray | None = None
    null_low: np.ndarray | None = None
    null_high: np.ndarray | None = None
    value_name: str = "value"
    start_name: str = "start"
    end_name: str = "end"


@dataclass(frozen=True, kw_only=True)
class TokenFilm(Result):
    """What became of the T tokens of one sample in F steps with the names `names` (F): `owner` (F, T) int is the token
    under whose name each goes, its own where it stays, -1 where it is gone. `score` (F, T) is what the rule judged by
    where it `judged` (F, T) bool, 0 elsewhere. The tokens lie at `cell` (T,) of the `grid` over `picture` (height,
    width[, 3]) uint8, row-major, -1 for one that lies nowhere; or are `words` (T) of a text."""

    kind: ClassVar[str] = "token_film"
    names: tuple[str, ...]
    owner: np.ndarray
    score: np.ndarray | None = None
    judged: np.ndarray | None = None
    score_name: str = "score"
    grid: tuple[int, int] | None = None
    cell: np.ndarray | None = None
    picture: np.ndarray | None = None
    words: tuple[str, ...] = ()


KINDS: dict[str, type[Result]] = {
    c.kind: c
    for c in (
        Scatter,
        Matrix,
        Heatmap,
        Spectrum,
        Curve,
        Distribution,
        Table,
        Partition,
        Gallery,
        TokenMap,
        TokenFilm,
        Ledger,
    )
}


# ---------------------------------------------------------------------------- to disk and back
def to_parts(result: Result) -> tuple[dict, dict[str, np.ndarray]]:
    """Split into a JSON-ready header and named arrays (dicts of arrays as "field/key")."""
    header: dict = {"kind": result.kind, "schema": SCHEMA, "fields": {}, "keys": {}}
    arrays: dict[str, np.ndarray] = {}
    for f in dataclasses.fields(result):
        value = getattr(result, f.name)
        if isinstance(value, np.ndarray):
            arrays[f.name] = value
        elif isinstance(value, dict) and value and all(isinstance(v, np.ndarray) for v in value.values()):
            header["keys"][f.name] = list(value)
            arrays.update({f"{f.name}/{i}": v for i, v in enumerate(value.values())})
        elif f.name == "estimates":
            header["fields"][f.name] = [dataclasses.asdict(e) for e in value]
        elif f.name == "origin":
            header["fields"][f.name] = None if value is None else dataclasses.asdict(value)
        else:
            header["fields"][f.name] = value
    return header, arrays


def from_parts(header: dict, arrays: dict[str, np.ndarray]) -> Result:
    """The inverse of `to_parts`. Raises StoreDamaged when the kind or a field is unknown."""
    kind = KINDS.get(header.get("kind", ""))
    if kind is None:
        raise StoreDamaged(f"a result of unknown kind {header.get('kind')!r}", "one of " + ", ".join(KINDS))
    values: dict = {}
    for f in dataclasses.fields(kind):
        if f.name in header["keys"]:
            names = header["keys"][f.name]
            values[f.name] = {k: arrays[f"{f.name}/{i}"] for i, k in enumerate(names)}
        elif f.name in arrays:
            values[f.name] = arrays[f.name]
        elif f.name in header["fields"]:
            value = header["fields"][f.name]
            if f.name == "estimates":
                value = tuple(Estimate(**e) for e in value)
            elif f.name == "origin" and value is not None:
                value = Origin(**{**value, "inputs": tuple(value["inputs"])})
            elif isinstance(value, list):
                value = tuple(value)
            values[f.name] = value
    return kind(**values)


def packed(result: Result) -> bytes:
    """One npz file as bytes; the same result gives the same bytes."""
    header, arrays = to_parts(result)
    for name, array in arrays.items():
        if array.dtype.hasobject:
            raise TypeError(f"result field {name} holds Python objects; use a numeric or text array")
    buffer = io.BytesIO()
    text = json.dumps(header, default=_plain).encode()
    np.savez_compressed(buffer, __header__=np.frombuffer(text, np.uint8), **arrays)
    return buffer.getvalue()


def save(result: Result, path: str | os.PathLike) -> None:
    """Write one npz file: beside, synced, then renamed."""
    data = packed(result)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # a name of its own for every writer: two threads of one process may keep the same result at the same time
    beside = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}")
    try:
        with open(beside, "wb") as f:
            f.write(data)
            f.flush()
            os.fsync(f.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def plain_fields(path: str | os.PathLike) -> dict:
    """The fields that `save` wrote besides the arrays, the origin as plain values; no array is read. Raises
    StoreDamaged naming the file."""
    try:
        with np.load(path, allow_pickle=False) as data:
            return dict(json.loads(bytes(data["__header__"]))["fields"])
    except Exception as error:
        raise StoreDamaged(
            f"{path} cannot be read as a result ({error})", "", "Delete it and run again"
        ) from None


LARGEST = 4 << 30  # bytes in memory: a result from a stranger's pack may be made to fill it


def load(path: str | os.PathLike) -> Result:
    """Read what `save` wrote. Raises StoreDamaged naming the file."""
    return _read(path, str(path))


def unpacked(data: bytes, name: str) -> Result:
    """Read what `packed` made. Raises StoreDamaged with this name."""
    return _read(io.BytesIO(data), name)


def _read(file, name: str) -> Result:
    try:
        with np.load(file, allow_pickle=False) as data:
            if sum(entry.file_size for entry in data.zip.infolist()) > LARGEST:
                raise ValueError(f"it would become more than {LARGEST:,} bytes")
            header = json.loads(bytes(data["__header__"]))
            arrays = {k: data[k] for k in data.files if k != "__header__"}
        return from_parts(header, arrays)
    except StoreDamaged:
        raise
    except Exception as error:
        raise StoreDamaged(
            f"{name} cannot be read as a result ({error})", "", "Delete it and run again"
        ) from None


def load_origin(path: str | os.PathLike) -> Origin | None:
    """What made a kept result, by its header; None where that is not known or not readable."""
    try:
        with np.load(path, allow_pickle=False) as data:
            told = json.loads(bytes(data["__header__"]))["fields"]["origin"]
        return None if told is None else Origin(**{**told, "inputs": tuple(told["inputs"])})
    except Exception:
        return None


def _plain(value):
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} cannot go into a result header")
