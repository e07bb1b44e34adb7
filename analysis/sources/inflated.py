"""How large a file says that it becomes: asked before it is read, so that a small one cannot fill the memory.

Zip directories, headers and footers are told by whoever made the file; the libraries that read them stop at what is
told, so refusing by what is told is enough.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

from analysis.errors import TooLarge

LARGEST = 8 << 30  # bytes in memory
WRITTEN_PLAIN = 4  # times its size: torch and safetensors do not compress


def refuse_large_zip(path: Path) -> None:
    """Raise TooLarge where the members of an .npz hold more than LARGEST bytes; what is no zip is somebody else's."""
    total = _total(path)
    if total is not None and total > LARGEST:
        raise _refusal(path, total, LARGEST)


def refuse_swelling_zip(path: Path) -> None:
    """The same for a file that is written without compression: beyond a few times its own size it is none of these."""
    total = _total(path)
    most = max(WRITTEN_PLAIN * path.stat().st_size, 64 << 20)
    if total is not None and total > most:
        raise _refusal(path, total, most)


def refuse_large_table(path: Path, rows: int, columns: int) -> None:
    """Raise TooLarge where so many cells of 8 bytes are more than LARGEST: equal values take no space in the file."""
    if rows * columns * 8 > LARGEST:
        raise TooLarge(f"{path} holds {rows:,} rows of {columns:,} columns", f"at most {LARGEST / 2**30:.0f} GiB",
                       "Keep the rows or columns that you need")  # fmt: skip


def refuse_swollen(path: Path, tensors) -> None:
    """Raise TooLarge where tensors repeat few stored values until they are more than LARGEST together."""
    total = sum(t.numel() * max(t.element_size(), 4) for t in _each(tensors))
    if total > LARGEST and total > 8 * path.stat().st_size:
        raise _refusal(path, total, LARGEST)


def _each(found):
    if isinstance(found, dict):
        for value in found.values():
            yield from _each(value)
    elif isinstance(found, (list, tuple)):
        for value in found:
            yield from _each(value)
    elif hasattr(found, "numel"):
        yield found


def _total(path: Path) -> int | None:
    try:
        with zipfile.ZipFile(path) as archive:
            return sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):  # the last: of a newer kind of zip
        return None


def _refusal(path: Path, total: int, most: int) -> TooLarge:
    return TooLarge(f"{path} would become {total:,} bytes in memory, from {path.stat().st_size:,}",
                    f"at most {most:,} bytes", "It may be made to fill the memory; if not, split it")  # fmt: skip
