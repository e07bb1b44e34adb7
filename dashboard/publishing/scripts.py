"""Data as classic scripts: a page that was opened by a double click may load nothing else (neither fetch nor modules).

loupe.put("name", …)     JSON
loupe.unzip("name", "…") JSON, deflated, as base64: what is large
"""

from __future__ import annotations

import base64
import json
import math
import zlib

import numpy as np

ZIPPED_FROM = 16_384  # characters
_ESCAPED = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def plain(value):
    """As JSON can hold it: arrays as lists, what is not finite as null."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def as_json(value) -> str:
    """JSON that may stand in a script: nothing in it ends the script, begins markup or ends a line."""
    text = json.dumps(plain(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for mark, escaped in _ESCAPED.items():
        text = text.replace(mark, escaped)
    return text


def script(name: str, text: str) -> bytes:
    """The file that hands `text` (of `as_json`) to whoever waits for `name`."""
    if len(text) < ZIPPED_FROM:
        return f"loupe.put({as_json(name)},{text});\n".encode("utf-8", "replace")
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = packer.compress(text.encode("utf-8", "replace")) + packer.flush()
    return f'loupe.unzip({as_json(name)},"{base64.b64encode(data).decode("ascii")}");\n'.encode()


def bytes64(data: bytes) -> str:
    """Bytes inside JSON."""
    return base64.b64encode(data).decode("ascii")
