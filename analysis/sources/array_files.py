"""Arrays as data: .npy by memory map, one array of an .npz or of a safetensors file, labels beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from analysis.errors import InputError, NotFound, ShapeError
from analysis.sources.data_source import DataSource, as_text, checked_range
from analysis.sources.digests import array_digest
from analysis.sources.file_magic import magic
from analysis.sources.labels import as_labels, read_label_file
from analysis.sources.numpy_files import array_headers, read_array
from analysis.sources.thumbnails import array_thumbnail, picture_axes

DATA_NAMES = ("images", "x", "X", "data", "features", "inputs", "arr_0", "values")
LABEL_NAMES = ("labels", "label", "y", "targets", "target")
CLASS_NAMES = ("label_names", "classes", "class_names", "target_names")


@dataclass
class ArrayData(DataSource):
    """Items are `values[i]` as they are. `values` (n, …), possibly a memory map."""

    values: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))

    def items(self, start: int, stop: int) -> list[np.ndarray]:
        checked_range(start, stop, len(self))
        return [np.asarray(v) for v in self.values[start:stop]]

    def thumbnails(self, start: int, stop: int) -> list[bytes] | None:
        if self.values.ndim < 3 or picture_axes(np.asarray(self.values[0])) is None:
            return None
        return [array_thumbnail(v) for v in self.items(start, stop)]

    def content(self) -> str:
        return array_digest(self.values)


def array_shapes(path: Path) -> dict[str, tuple[tuple[int, ...], str]]:
    """(shape, kind letter) of every array by name, from headers only; a .npy's only name is ""."""
    if magic(path) == "safetensors" or path.suffix == ".safetensors":
        from analysis.sources.safetensors_file import headers

        letters = {"F": "f", "B": "f", "I": "i", "U": "u"}
        return {
            n: (h.shape, "b" if h.dtype == "BOOL" else letters[h.dtype[0]]) for n, h in headers(path).items()
        }
    return {name: (h.shape, h.dtype.kind) for name, h in array_headers(path).items()}


def load_named(path: Path, name: str) -> np.ndarray:
    """One array by name; bfloat16 becomes float32."""
    if magic(path) == "safetensors" or path.suffix == ".safetensors":
        from analysis.sources.safetensors_file import headers, opened

        narrow = headers(path)[name].dtype.startswith(("BF", "F8"))
        with opened(path, "pt" if narrow else "numpy") as file:
            tensor = file.get_tensor(name)
            return tensor.float().numpy() if narrow else tensor
    return read_array(path, name)


def open_array(path: Path, *, array: str | None = None, label: str | None = None, labels=None) -> ArrayData:
    """Open an array file.

    Parameters
    ----------
    array : str, optional
        Which array of an .npz or safetensors file holds the samples.
    label : str, optional
        Which array of the same file holds the labels; one called labels, y, … is found. "none": no label.
    labels : path or str, optional
        A label file, or (like `label`) a name inside the file.

    Raises
    ------
    UnsafeFile
        An object array or a pickle.
    InputError, NotFound, ShapeError
        Several candidates, an unknown name, lengths that disagree.
    """
    shapes = array_shapes(path)
    notes: list[str] = []
    chosen = choose(shapes, array, path, notes)
    shape, letter = shapes[chosen]
    title = f"array '{chosen}' of {path}" if chosen else str(path)
    if letter not in "fiub":
        raise InputError(f"{title} holds no numbers (kind '{letter}')", "numbers")
    if len(shape) < 2:
        raise ShapeError(
            f"{title} has shape {shape}", "samples along the first axis: (n, …)", "Name another array"
        )
    if 0 in shape:
        raise InputError(f"{title} is empty (shape {shape})", "at least one sample")
    if labels is not None and str(labels) in shapes:
        label, labels = str(labels), None
    given = labels_of(path, shapes, shape[0], label, labels, notes)
    values = load_named(path, chosen)
    return ArrayData("array", path.stem, path, as_text(range(shape[0])), notes=notes, values=values, **given)


def choose(shapes: Mapping, array: str | None, path: Path, notes: list[str]) -> str:
    """The array that holds the samples."""
    if not shapes:
        raise InputError(f"{path} holds no array", "at least one")
    if array is not None:
        if array not in shapes:
            raise NotFound(f"{path} has no array '{array}'", "one of " + ", ".join(list(shapes)[:20]))
        return array
    if list(shapes) == [""]:
        return ""
    fits = [n for n, (shape, letter) in shapes.items() if len(shape) >= 2 and letter in "fiub"]
    named = [n for n in DATA_NAMES if n in fits]
    if len(fits) != 1 and not named:
        listed = ", ".join(f"{n} {shape}" for n, (shape, _) in list(shapes.items())[:12])
        raise InputError(f"{path} holds {listed}", "one array of samples", "Say which with array=")
    found = fits[0] if len(fits) == 1 else named[0]
    notes.append(f"Samples from array '{found}' (array= changes that)")
    return found


def labels_of(path: Path, shapes: Mapping, n: int, label: str | None, labels, notes: list[str]) -> dict:
    """`labels`, `classes` and `columns` from the same file or from a label file."""
    if labels is not None:
        values, classes, name = read_label_file(labels, n, "samples"), (), str(labels)
    else:
        name = label or next((k for k in LABEL_NAMES if k in shapes), None)
        if name in (None, "none"):
            return {}
        if name not in shapes:
            raise NotFound(
                f"{path} has no array '{name}' for the labels", "one of " + ", ".join(list(shapes)[:20])
            )
        values = load_named(path, name)
        if values.shape != (n,):
            raise ShapeError(
                f"array '{name}' of {path} has shape {values.shape} for {n} samples",
                f"({n},)",
                "Name another with label=",
            )
        if label is None:
            notes.append(f"Labels from array '{name}' (label= changes that)")
        classes = class_names(path, shapes, values)
    read = as_labels(values, classes, name)
    columns = {} if read.target is None else {"target": read.target}
    return {"labels": read.index, "classes": read.classes, "columns": columns}


def class_names(path: Path, shapes: Mapping, values: np.ndarray) -> tuple[str, ...]:
    """Names of the classes where the file has them and they fit whole-number labels."""
    if values.dtype.kind not in "iu":
        return ()
    for name in CLASS_NAMES:
        if name in shapes and shapes[name][1] in "US" and len(shapes[name][0]) == 1:
            names = [n.decode() if isinstance(n, bytes) else str(n) for n in load_named(path, name).tolist()]
            if len(names) > int(values.max(initial=0)):
                return tuple(names)
    return ()
