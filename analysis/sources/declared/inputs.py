"""How a described network wants its items: what "input" may say.

image   {"size": [28, 28], "channels": 1, "resample": "bilinear", "scale": 255, "range": "min-max", "mean": [0.5],
        "std": [0.5]}: pixels divided by `scale` (255 unless said), or each image brought to 0 … 1 by its own extremes
table   {"columns": ["age", {"name": "rooms/home", "ratio": ["rooms", "homes"]}], "mean": […], "scale": […]}: columns
        by their names, (x - mean) / scale
array   {"shape": [2, 1024], "scale": 1, "mean": […], "std": […]}: mean and std for each entry of the first axis
audio   {"sampling_rate": 16000, "samples": 16000, "channel_axis": true}: clips cut, or padded with zeros
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from analysis.errors import InputError
from analysis.sources.declared.arguments import each, flag, number, one_of, several, whole

RESAMPLE = {
    "nearest": 0,
    "lanczos": 1,
    "bilinear": 2,
    "bicubic": 3,
    "box": 4,
    "hamming": 5,
}  # Pillow's numbers
MODES = {1: "L", 3: "RGB", 4: "RGBA"}
MOST_SHAPE = 1 << 24  # numbers of one item
MODALITIES = ("image", "table", "array", "audio")


def _numbers(value):
    read = number(-1e12, 1e12)
    return [read(v) for v in value] if isinstance(value, list) else [read(value)]


RULES = {
    "image": {"size": each(2), "channels": whole(1, 4), "resample": one_of(*RESAMPLE), "scale": number(1e-6),
              "range": one_of("min-max"), "mean": _numbers, "std": _numbers},
    "table": {"columns": lambda v: v, "mean": _numbers, "scale": _numbers},
    "array": {"shape": several(4), "scale": number(1e-12, 1e12), "mean": _numbers, "std": _numbers},
    "audio": {"sampling_rate": whole(100, 1_000_000), "samples": whole(1, MOST_SHAPE), "channel_axis": flag},
}  # fmt: skip
NEEDED = {"image": ("size", "channels"), "table": ("columns",), "array": ("shape",),
          "audio": ("sampling_rate", "samples")}  # fmt: skip


def shown(value) -> str:
    """A value of a description in a refusal, cut where it is long."""
    told = repr(value)
    return told if len(told) <= 80 else told[:79] + "…"


@dataclass(frozen=True)
class Column:
    """`name` of an input of a table; `of`: the column it is, or the two whose ratio it is."""

    name: str
    of: tuple[str, ...]


@dataclass(frozen=True)
class InputRules:
    """`shape` of one prepared item; `columns` of a table; `given`: the other entries, as read."""

    modality: str
    shape: tuple[int, ...]
    columns: tuple[Column, ...] = ()
    given: dict = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """Of a table's inputs, in order."""
        return tuple(c.name for c in self.columns)


def read_input(modality, given, say: str) -> InputRules:
    """Raises InputError: what of "modality" and "input" is not as above."""
    if modality not in MODALITIES:
        raise InputError(f"{say}: modality {shown(modality)}", "one of " + ", ".join(MODALITIES))
    if not isinstance(given, Mapping):
        raise InputError(f"{say}: input is {shown(given)}", f"an object with {', '.join(NEEDED[modality])}")
    unknown = sorted(set(given) - set(RULES[modality]))
    if unknown:
        raise InputError(
            f"{say}: input of {modality} has '{unknown[0]}'", "only " + ", ".join(RULES[modality])
        )
    missing = [k for k in NEEDED[modality] if k not in given]
    if missing:
        raise InputError(f"{say}: input of {modality} lacks {', '.join(missing)}", "how items are prepared")
    found = {}
    for name, value in given.items():
        try:
            found[name] = RULES[modality][name](value)
        except ValueError as error:
            raise InputError(f"{say}: input has {name} = {shown(value)}", str(error)) from None
    columns = _columns(found["columns"], say) if modality == "table" else ()
    shape = _shape(modality, found, columns)
    if int(np.prod(shape, dtype=np.float64)) > MOST_SHAPE:
        raise InputError(
            f"{say}: an item of {' x '.join(map(str, shape))}", f"at most {MOST_SHAPE:,} numbers"
        )
    _refuse_lengths(modality, found, shape, say)
    return InputRules(modality, shape, columns, {k: v for k, v in found.items() if k != "columns"})


def _shape(modality: str, found: dict, columns) -> tuple[int, ...]:
    if modality == "image":
        size = found["size"]
        return (found["channels"], *(size if isinstance(size, tuple) else (size, size)))
    if modality == "table":
        return (len(columns),)
    if modality == "array":
        shape = found["shape"]
        return tuple(shape) if isinstance(shape, list) else (shape,)
    samples = (found["samples"],)
    return (1, *samples) if found.get("channel_axis", True) else samples


def _columns(value, say: str) -> tuple[Column, ...]:
    if not isinstance(value, list) or not 0 < len(value) <= 100_000:
        raise InputError(f"{say}: the columns of the table are {shown(value)}", "a list of names")
    found = []
    for v in value:
        if isinstance(v, str):
            found.append(Column(v, (v,)))
            continue
        ratio = v.get("ratio") if isinstance(v, Mapping) and set(v) <= {"name", "ratio"} else None
        if not isinstance(ratio, list) or len(ratio) != 2 or not all(isinstance(r, str) for r in ratio):
            raise InputError(
                f"{say}: a column {shown(v)}", 'a name, or {"name": …, "ratio": [column, column]}'
            )
        found.append(Column(str(v.get("name") or "/".join(ratio)), tuple(ratio)))
    names = [c.name for c in found]
    twice = next((n for n, many in Counter(names).items() if many > 1), None)
    if twice is not None:
        raise InputError(f"{say}: the input '{twice}' is there twice", "one name for each")
    return tuple(found)


def _refuse_lengths(modality: str, found: dict, shape, say: str) -> None:
    for name in ("mean", "std", "scale"):
        if isinstance(found.get(name), list) and len(found[name]) not in (1, shape[0]):
            raise InputError(f"{say}: input has {len(found[name])} numbers as {name}", f"1 or {shape[0]}")
    if any(v == 0 for name in ("std", "scale") for v in np.atleast_1d(found.get(name, 1))):
        raise InputError(f"{say}: input divides by zero", "std and scale without a zero")
    if modality == "image" and shape[0] not in MODES:
        raise InputError(f"{say}: images of {shape[0]} channels", "1, 3 or 4")
