"""Which rows belong to a group, as text: how a lasso or a named selection becomes a parameter of a method."""

from __future__ import annotations

import base64
import binascii
import json

import numpy as np

from analysis.errors import ParameterError


def pack(inside) -> str:
    """Membership (rows,) bool as text (numpy.packbits, base64), as the map sends it."""
    return base64.b64encode(np.packbits(np.asarray(inside, bool)).tobytes()).decode()


def unpack(text: str, n_rows: int) -> np.ndarray:
    """The inverse of `pack`. Raises ParameterError when the text is not of this many rows."""
    try:
        bits = np.frombuffer(base64.b64decode(text, validate=True), np.uint8)
    except (binascii.Error, ValueError):
        raise ParameterError("a membership that cannot be read", "base64 of packed bits") from None
    if len(bits) != (n_rows + 7) // 8:
        raise ParameterError(f"a membership of {8 * len(bits)} rows", f"one bit for each of {n_rows} rows")
    return np.unpackbits(bits, count=n_rows).astype(bool)


def pack_named(groups: dict[str, np.ndarray]) -> str:
    """Named memberships (each (rows,) bool) as one text, sorted by name: equal groups make equal text."""
    return json.dumps({name: pack(groups[name]) for name in sorted(groups)}, ensure_ascii=False)


def unpack_named(text: str, n_rows: int) -> dict[str, np.ndarray]:
    """The inverse of `pack_named`; nothing from an empty text. Raises ParameterError."""
    try:
        named = json.loads(text or "{}")
    except json.JSONDecodeError:
        named = None
    if not isinstance(named, dict) or not all(isinstance(v, str) for v in named.values()):
        raise ParameterError("selections that cannot be read", "a JSON object: name to packed membership")
    return {name: unpack(packed, n_rows) for name, packed in named.items()}
