"""Text files to str, with the encoding said rather than guessed silently."""

from __future__ import annotations

import codecs
from pathlib import Path

from analysis.errors import InputError, ParameterError

MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
         (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))  # fmt: skip


def decode(data: bytes, name: str, encoding: str | None = None) -> str:
    """Text of `data`: by its byte order mark, else UTF-8, else the `encoding` given.

    Raises InputError naming the first byte that does not fit.
    """
    chosen = encoding or next((e for mark, e in MARKS if data.startswith(mark)), "utf-8")
    try:
        return data.decode(chosen)
    except UnicodeDecodeError as error:
        raise InputError(
            f"{name} is not {chosen} text (byte {error.object[error.start]:#04x} at position {error.start})",
            "UTF-8",
            "Give its encoding, e.g. encoding='latin-1', or convert it",
        ) from None
    except LookupError:
        raise ParameterError(f"encoding = {encoding!r}", "a name such as utf-8, latin-1 or cp1252") from None


def read_text(path: str | Path, encoding: str | None = None) -> str:
    """The whole file as text, see `decode`."""
    return decode(Path(path).read_bytes(), str(path), encoding)
