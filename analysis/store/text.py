"""Text that any file can hold: file names that are not UTF-8 reach Python with lone surrogates in them, and NumPy
drops NULs at the end of a text."""

from __future__ import annotations

import os
from urllib.parse import quote, unquote_to_bytes

_BYTES = "bytes:"  # starts a path that is kept byte by byte


def readable(text: str) -> str:
    """`text` as valid Unicode without NUL: b"caf\\xe9" reads "caf\\udce9" with a backslash, and NUL "\\x00"."""
    if "\0" in text:
        text = text.replace("\0", "\\x00")
    if text.isascii():
        return text
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def path_to_text(path: str) -> str:
    """A path as valid Unicode from which `path_from_text` makes exactly this path again."""
    if readable(path) == path and not path.startswith(_BYTES):
        return path
    try:
        return _BYTES + quote(os.fsencode(path), safe="/")
    except UnicodeEncodeError:  # surrogates that no file name has
        return readable(path)


def path_from_text(text: str) -> str:
    """The path that `path_to_text` got."""
    return os.fsdecode(unquote_to_bytes(text.removeprefix(_BYTES))) if text.startswith(_BYTES) else text
