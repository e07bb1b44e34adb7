""".npy and .npz without pickle: names and shapes from headers, arrays by memory map where the file allows it."""

from __future__ import annotations

import zipfile
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from analysis.errors import InputError, NotFound, TooLarge, UnsafeFile
from analysis.sources.file_magic import existing, magic, refuse_empty, refuse_pickle

BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError, RuntimeError)
LARGEST_IN_MEMORY = 8 << 30


@dataclass(frozen=True)
class ArrayHeader:
    """Shape, type and order of one array as its header tells."""

    shape: tuple[int, ...]
    dtype: np.dtype
    fortran: bool

    @property
    def nbytes(self) -> int:
        n = self.dtype.itemsize
        for length in self.shape:
            n *= length
        return n


def read_header(stream, name: str) -> ArrayHeader:
    """Header of a .npy stream, leaving it at the first value.

    Raises UnsafeFile for object arrays, which are pickles inside, and InputError for a broken header.
    """
    try:
        version = npy.read_magic(stream)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran, dtype = read(stream)
    except (ValueError, EOFError, OSError, SyntaxError) as error:
        raise InputError(
            f"{name} is not a whole .npy array ({error})", "an array saved by numpy.save"
        ) from None
    if dtype.hasobject:
        raise UnsafeFile(
            f"{name} is an object array (Python objects, a pickle inside) and could run code; it was not opened",
            "numbers or fixed-length texts",
            "Save it with a plain type, e.g. np.save(path, array.astype(float)) or .astype(str)",
        )
    if any(length < 0 for length in shape):
        raise InputError(
            f"{name} is not a whole .npy array (shape {shape})",
            "an array saved by numpy.save",
            "Copy it again",
        )
    return ArrayHeader(tuple(shape), dtype, fortran)


def refuse_short(header: ArrayHeader, there: int, name: str) -> None:
    """Raise InputError where fewer bytes follow the header than it promises."""
    if there < header.nbytes:
        raise InputError(
            f"{name} is truncated (shape {header.shape}, but {there:,} bytes of values)",
            f"{header.nbytes:,} bytes of values",
            "Copy it again",
        )


@contextmanager
def opened_npz(path: Path):
    """The zip file of an .npz, or a refusal in words."""
    path = existing(path, "file")
    refuse_empty(path)
    refuse_pickle(path, "an .npz archive of arrays")
    try:
        archive = zipfile.ZipFile(path)
    except BROKEN as error:
        raise InputError(
            f"{path} is not a whole .npz archive ({error})", "a file written by numpy.savez"
        ) from None
    with archive:
        yield archive


@contextmanager
def opened_member(path: Path, name: str):
    """Stream of one array of an .npz. Raises NotFound listing what there is."""
    with opened_npz(path) as archive:
        names = [n.removesuffix(".npy") for n in archive.namelist()]
        if name not in names:
            raise NotFound(f"{path} has no array '{name}'", "one of " + ", ".join(names[:20]))
        try:
            with archive.open(archive.namelist()[names.index(name)]) as stream:
                yield stream
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
            raise InputError(
                f"array '{name}' of {path} is damaged ({error})", "a whole archive", "Copy it again"
            ) from None


def member_names(path: Path) -> list[str]:
    """Names of the arrays of an .npz, in the file's order. Members count by content: numpy.load reads an array
    whose member has no .npy suffix too."""
    names = []
    with opened_npz(path) as archive:
        for entry in archive.infolist():
            if entry.is_dir():
                continue
            try:
                with archive.open(entry) as stream:
                    head = stream.read(len(npy.MAGIC_PREFIX))
            except BROKEN as error:
                raise InputError(
                    f"'{entry.filename}' in {path} is damaged ({error})", "a whole archive"
                ) from None
            if head == npy.MAGIC_PREFIX:
                names.append(entry.filename.removesuffix(".npy"))
            elif head[:1] == b"\x80" or entry.filename.endswith((".npy", ".pkl", ".pickle")):
                raise UnsafeFile(
                    f"'{entry.filename}' in {path} is no plain array (perhaps a pickle); it was not opened",
                    "an archive of plain arrays",
                    "Save the arrays again with numpy.savez",
                )
    return names


def member_sizes(path: Path) -> dict[str, int]:
    """Uncompressed bytes of each member of an .npz, as its directory tells."""
    with opened_npz(path) as archive:
        return {e.filename.removesuffix(".npy"): e.file_size for e in archive.infolist()}


def array_headers(path: Path) -> dict[str, ArrayHeader]:
    """Headers by name; the one array of a .npy is called ""."""
    if path.suffix == ".npz" or magic(path) == "zip":
        found = {}
        sizes = member_sizes(path)
        for name in member_names(path):
            with opened_member(path, name) as stream:
                found[name] = read_header(stream, f"array '{name}' of {path}")
                refuse_short(found[name], sizes[name] - stream.tell(), f"array '{name}' of {path}")
        return found
    refuse_empty(path)
    refuse_pickle(path, "an array saved by numpy.save")
    with open(path, "rb") as stream:
        header = read_header(stream, str(path))
        refuse_short(header, path.stat().st_size - stream.tell(), str(path))
    return {"": header}


def read_array(path: str | Path, name: str = "") -> np.ndarray:
    """A .npy by read-only memory map, or one array of an .npz in memory.

    Raises
    ------
    UnsafeFile
        A pickle, or an object array.
    InputError
        Truncated or damaged.
    TooLarge
        A compressed array of more than 8 GiB (uncompress it into .npy, which is mapped).
    """
    path = existing(path, "file")
    if not name:
        header = array_headers(path)[""]
        if header.nbytes == 0:
            return np.zeros(header.shape, header.dtype)
        try:
            return np.load(path, mmap_mode="r", allow_pickle=False)
        except (ValueError, OSError, EOFError) as error:
            raise InputError(
                f"{path} is truncated ({error})", f"{header.nbytes} bytes of values", "Copy it again"
            ) from None
    with opened_member(path, name) as stream:
        header = read_header(stream, f"array '{name}' of {path}")
    if header.nbytes > LARGEST_IN_MEMORY:
        raise TooLarge(
            f"array '{name}' of {path} has {header.nbytes / 2**30:.1f} GiB",
            f"at most {LARGEST_IN_MEMORY >> 30} GiB from a compressed archive",
            "Save it as .npy, which is read in place",
        )
    with opened_member(path, name) as stream:
        try:
            return npy.read_array(stream, allow_pickle=False)
        except (ValueError, EOFError, zlib.error) as error:
            raise InputError(
                f"array '{name}' of {path} is damaged ({error})", "a whole archive", "Copy it again"
            ) from None
