"""What a file is by its first bytes, whatever its name says. Reads at most 16 bytes."""

from __future__ import annotations

from pathlib import Path

from analysis.errors import InputError, NotFound, UnsafeFile

HEADER_LIMIT = 100_000_000  # the format's own limit on a safetensors header


def existing(path: str | Path, what: str = "file or folder") -> Path:
    """`path` as a Path that exists. Raises NotFound with the nearest existing folder."""
    path = Path(path).expanduser()
    if path.exists():
        return path
    parent = next((p for p in path.parents if p.exists()), Path("."))
    raise NotFound(f"there is no {what} {path}", f"a path that exists ({parent} does)", "Check the spelling")


def magic(path: Path) -> str:
    """One of: empty, zip, pickle, npy, parquet, hdf5, safetensors, tar, unknown."""
    with open(path, "rb") as file:
        head = file.read(16)
    if not head:
        return "empty"
    for start, kind in ((b"PK\x03\x04", "zip"), (b"PK\x05\x06", "zip"), (b"\x93NUMPY", "npy"), (b"PAR1", "parquet"),
                        (b"\x89HDF", "hdf5")):  # fmt: skip
        if head.startswith(start):
            return kind
    size = int.from_bytes(head[:8], "little")
    if len(head) > 8 and head[8:9] == b"{" and 2 <= size <= HEADER_LIMIT:
        return "safetensors"  # before pickle: a header of 0x..80 bytes may begin like one
    if head[:1] == b"\x80" and len(head) > 1 and 2 <= head[1] <= 5:
        return "pickle"
    return "unknown"


def refuse_empty(path: Path) -> None:
    """Raise InputError for a file of 0 bytes."""
    if path.is_file() and path.stat().st_size == 0:
        raise InputError(f"{path} is empty (0 bytes)", "a file with content", "Copy or download it again")


def refuse_pickle(path: Path, expected: str) -> None:
    """Raise UnsafeFile when the file is a pickle whatever its name says."""
    if magic(path) == "pickle":
        raise UnsafeFile(
            f"{path} is a Python pickle, which could run code when opened; it was not opened",
            expected,
            "Save the arrays or weights again in that format, on the machine that trusts the pickle",
        )
