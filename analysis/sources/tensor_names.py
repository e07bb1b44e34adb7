"""Whether a file of weights has tensors of some names, from a few kilobytes of it: at once, whatever its size.

Of safetensors the header is read, of what torch.save wrote the bytes of its list of names; nothing is unpickled, no
tensor is read, no library is asked.
"""

from __future__ import annotations

import json
import re
import zipfile
from functools import lru_cache
from pathlib import Path

MOST_BYTES = 64 << 20


def has_tensor(path: Path, names: tuple[str, ...]) -> bool:
    """Whether a tensor of the file, of a described network's weights or of any file in a model's folder has one of
    these `names` as the last part of its own. False where that cannot be read."""
    try:
        return any(_has(str(f), f.stat().st_mtime, names) for f in _files(path))
    except (OSError, ValueError):
        return False


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(path.glob("*.safetensors"))
    if path.suffix == ".json":
        named = json.loads(path.read_bytes()).get("weights")
        return [path.parent / named] if isinstance(named, str) else []
    return [path]


@lru_cache(maxsize=256)
def _has(path: str, stamp: float, names: tuple[str, ...]) -> bool:
    """`stamp` forgets what was read as soon as the file changes."""
    ends = rb'(?:["\x00-\x1f\x80-\xff]|q[\x00-\xff]|$)'  # of JSON, or the pickle's next word
    found = rb"(?<![A-Za-z0-9_])(?:" + b"|".join(re.escape(n.encode()) for n in names) + rb")" + ends
    return re.search(found, _listing(Path(path))) is not None


def _listing(path: Path) -> bytes:
    """The bytes that names stand in; none where the file is of neither kind."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            inner = next((i for i in archive.infolist() if i.filename.endswith("data.pkl")), None)
            return archive.read(inner) if inner is not None and inner.file_size <= MOST_BYTES else b""
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        listing = file.read(length) if length <= MOST_BYTES else b""
    return listing if listing[:1] == b"{" else b""
