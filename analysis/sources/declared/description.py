"""Reading a description of a network: every entry is known and in its bounds before anything is built or opened.

    {"format": "feature-loupe-network", "version": 1,
     "weights": "net.pth",
     "layers": [{"name": "0", "type": "Linear", "args": {"in_features": 8, "out_features": 1}}],
     "modality": "table", "input": {"columns": ["age", {"name": "rooms/home", "ratio": ["rooms", "homes"]}]},
     "classes": ["cat", "dog"] or their number, or "output": {"name": "price", "unit": "dollars"}}

Beside these may stand "state_key" (where a file keeps several state dicts), "prefixes" (beginnings of the network's
keys to those of the file, {"": "encoder."}), "left_out" (beginnings of keys of the file that are not used) and
"precision" ("float32" or "float64"; otherwise as the weights are).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from analysis.errors import InputError, NewerSchema, NotFound, UnsafeFile
from analysis.sources.declared.inputs import InputRules, read_input, shown
from analysis.sources.declared.layers import ARGUMENTS, HOLDERS, NEEDED, RESIDUAL, SHORTCUT, Layer

FORMAT, VERSION, NAME = "feature-loupe-network", 1, "network.json"
MOST_BYTES, MOST_LAYERS, DEEPEST, MOST_NAME = 4 << 20, 2000, 8, 100
KEYS = ("format", "version", "weights", "layers", "modality", "input", "classes", "output", "state_key", "prefixes",
        "left_out", "precision")  # fmt: skip
PRECISIONS = ("float32", "float64")


@dataclass(frozen=True)
class Description:
    """`weights`: the file, inside the folder of `path`. `n_classes`, with their names in `classes` where these are
    known, or `output` ({"name", "unit"}), or neither: the network then gives a vector."""

    path: Path
    weights: Path
    layers: tuple[Layer, ...]
    inputs: InputRules
    classes: tuple[str, ...] = ()
    output: dict[str, str] = field(default_factory=dict)
    state_key: str | None = None
    prefixes: dict[str, str] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    precision: str | None = None
    n_classes: int = 0

    def leaves(self) -> list[tuple[str, Layer]]:
        """Every layer under its whole name, holders before what they hold."""
        return list(_walk(self.layers, ""))


def _walk(layers, prefix: str):
    for layer in layers:
        name = f"{prefix}{layer.name}"
        yield name, layer
        yield from _walk(layer.layers, f"{name}.")
        yield from _walk(layer.shortcut, f"{name}.{SHORTCUT}.")


def description_at(path: Path) -> Path | None:
    """The description that a path means: any JSON file, or the network.json of a folder; None for something else."""
    if path.is_file():
        return path if path.suffix == ".json" else None
    found = path / NAME
    return found if found.is_file() and says_so(found) else None


def says_so(path: Path) -> bool:
    """Whether a file names the format."""
    return path.stat().st_size <= MOST_BYTES and FORMAT.encode() in path.read_bytes()


def read_description(path: Path) -> Description:
    """Raises InputError, NotFound, UnsafeFile, NewerSchema: what is wrong, and where."""
    path = Path(path).resolve()
    value, say = _parsed(path), str(path)
    unknown = sorted(set(value) - set(KEYS))
    if unknown:
        raise InputError(f"{say} has an entry '{unknown[0]}'", "only " + ", ".join(KEYS))
    if value.get("format") != FORMAT:
        raise InputError(f"{say} has the format {shown(value.get('format'))}", f'"{FORMAT}"')
    if value.get("version") != VERSION:
        newer = isinstance(value.get("version"), int) and value["version"] > VERSION
        raise (NewerSchema if newer else InputError)(
            f"{say} has version {shown(value.get('version'))}", str(VERSION)
        )
    n_classes, classes = _classes(value.get("classes") or [], say)
    output = value.get("output") or {}
    if n_classes and output:
        raise InputError(
            f"{say} has both classes and an output", "classes, or the name of a number, or neither"
        )
    precision = value.get("precision")
    if precision not in (None, *PRECISIONS):
        raise InputError(f"{say}: precision {shown(precision)}", " or ".join(PRECISIONS))
    return Description(
        path, _weights(path, value.get("weights")), _layers(value.get("layers"), say),
        read_input(value.get("modality"), value.get("input"), say), classes,
        _text_map(output, say, "output", ("name", "unit")), _text(value.get("state_key"), say, "state_key"),
        _text_map(value.get("prefixes") or {}, say, "prefixes"),
        tuple(_texts(value.get("left_out") or [], say, "left_out")), precision, n_classes,
    )  # fmt: skip


def _parsed(path: Path) -> dict:
    if path.stat().st_size > MOST_BYTES:
        raise InputError(f"{path} has {path.stat().st_size:,} bytes", f"at most {MOST_BYTES:,}")

    def refuse(word: str):
        raise ValueError(f"it holds {word}")

    try:
        value = json.loads(path.read_bytes(), parse_constant=refuse)
    except RecursionError:
        raise InputError(f"{path} is nested too deep", f"layers within {DEEPEST} others at most") from None
    except (ValueError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path} is not JSON of finite numbers ({error})", "a description of a network"
        ) from None
    if not isinstance(value, dict):
        raise InputError(f"{path} holds a {type(value).__name__}", f"an object with {', '.join(KEYS[:6])}")
    return value


def _weights(path: Path, name) -> Path:
    """The file of the weights, which may not lie outside the description's own folder."""
    if not isinstance(name, str) or not name.strip() or "\0" in name:
        raise InputError(f"{path} names the weights {shown(name)}", "a file beside it")
    try:
        found = (path.parent / name).resolve()
        found.exists()
    except (OSError, ValueError) as error:  # too long, or no text that a file system knows
        raise InputError(f"{path} names the weights {shown(name)} ({error})", "a file beside it") from None
    if Path(name).is_absolute() or not found.is_relative_to(path.parent):
        raise UnsafeFile(
            f"{path} names weights outside its folder ({name})", "a file beside it", "Copy the weights there"
        )
    if not found.is_file():
        raise NotFound(f"the weights {name} that {path} names are not there", f"a file in {path.parent}")
    return found


def _layers(value, say: str, prefix: str = "", depth: int = 0, residual: bool = False) -> tuple[Layer, ...]:
    of = f"layer '{prefix.rstrip('.')}' of {say}" if prefix else say
    if depth > DEEPEST:
        raise InputError(f"{of} is nested {depth} deep", f"at most {DEEPEST}")
    if not isinstance(value, list) or not 0 < len(value) <= MOST_LAYERS:
        raise InputError(f"{of} has no list of layers", f"1 to {MOST_LAYERS:,} layers")
    found = [_layer(v, say, prefix, depth) for v in value]
    names = [layer.name for layer in found]
    twice = next((n for n, many in Counter(names).items() if many > 1), None)
    if twice is not None:
        raise InputError(f"{say} has two layers named '{prefix}{twice}'", "one name for each")
    if residual and SHORTCUT in names:  # torch would take it for the side branch
        raise InputError(f"{of} holds a layer named '{SHORTCUT}'", "another name")
    return tuple(found)


def _layer(value, say: str, prefix: str, depth: int) -> Layer:
    name = value.get("name") if isinstance(value, Mapping) else None
    clean = isinstance(name, str) and 0 < len(name) <= MOST_NAME and name.replace("-", "_").isidentifier()
    if not clean and not (isinstance(name, str) and name.isdecimal() and len(name) <= MOST_NAME):
        raise InputError(
            f"{say} has a layer named {shown(name)}",
            "letters, digits and _, without dots (a Sequential holds the rest)",
        )
    whole, kind = f"layer '{prefix}{name}' of {say}", value.get("type")
    holds = isinstance(kind, str) and kind in HOLDERS
    if not isinstance(kind, str) or (not holds and kind not in ARGUMENTS):
        raise InputError(
            f"{whole} is of the type {shown(kind)}", "one of " + ", ".join((*ARGUMENTS, *HOLDERS)),
            "A network with others needs its own code: `loupe record --model`",
        )  # fmt: skip
    if holds and name in (SHORTCUT,):
        raise InputError(f"{whole} is named '{SHORTCUT}'", "another name")
    allowed = {
        "name",
        "type",
        *(("layers",) if holds else ("args",)),
        *((SHORTCUT,) if kind == RESIDUAL else ()),
    }
    unknown = sorted(set(value) - allowed)
    if unknown:
        raise InputError(
            f"{whole} ({kind}) has an entry '{unknown[0]}'", "only " + ", ".join(sorted(allowed))
        )
    if not holds:
        return Layer(name, kind, _arguments(kind, value.get("args") or {}, whole))
    inner, side = f"{prefix}{name}.", value.get(SHORTCUT)
    return Layer(
        name, kind, layers=_layers(value.get("layers"), say, inner, depth + 1, kind == RESIDUAL),
        shortcut=_layers(side, say, f"{inner}{SHORTCUT}.", depth + 1) if side is not None else (),
    )  # fmt: skip


def _arguments(kind: str, given, whole: str) -> dict:
    rules = ARGUMENTS[kind]
    if not isinstance(given, Mapping):
        raise InputError(f"{whole} ({kind}) has args {shown(given)}", "an object of names and values")
    unknown = sorted(set(given) - set(rules))
    if unknown:
        known = ", ".join(rules) or "no arguments"
        raise InputError(f"{whole} ({kind}) has the argument '{unknown[0]}'", f"only {known}")
    missing = [name for name in NEEDED.get(kind, ()) if name not in given]
    if missing:
        raise InputError(f"{whole} ({kind}) lacks {', '.join(missing)}", "all sizes of the layer")
    found = {}
    for name, value in given.items():
        try:
            found[name] = rules[name](value)
        except ValueError as error:
            raise InputError(f"{whole} ({kind}) has {name} = {shown(value)}", str(error)) from None
    return found


def _classes(value, say: str) -> tuple[int, tuple[str, ...]]:
    """Their number, and their names where these are given."""
    if isinstance(value, int) and not isinstance(value, bool) and 2 <= value <= MOST_LAYERS * 50:
        return value, ()
    names = tuple(_texts(value, say, "classes"))
    return len(names), names


def _text(value, say: str, key: str) -> str | None:
    if value is not None and not isinstance(value, str):
        raise InputError(f"{say}: {key} is {shown(value)}", "a text")
    return value


def _texts(value, say: str, key: str) -> list[str]:
    if (
        not isinstance(value, list)
        or not all(isinstance(v, str) for v in value)
        or len(value) > MOST_LAYERS * 50
    ):
        raise InputError(f"{say}: {key} is not a list of texts", 'such as ["cat", "dog"]')
    return value


def _text_map(value, say: str, key: str, names: tuple[str, ...] = ()) -> dict[str, str]:
    good = isinstance(value, Mapping) and all(isinstance(v, str) for v in value.values())
    if not good or (names and set(value) - set(names)):
        raise InputError(f"{say}: {key} is {shown(value)}", f"texts by {' and '.join(names) or 'text'}")
    return dict(value)
