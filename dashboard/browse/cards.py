"""What hovering over a point shows: all cards of a small store in one pack, or one card at a time."""

from __future__ import annotations

import base64
import json

import numpy as np

from analysis.activations import Layout
from dashboard.browse import certificates
from dashboard.browse.colour_sources import HIDDEN, WORDS, right_or_wrong, sample_values
from dashboard.browse.kept import Kept
from dashboard.browse.picture import Column
from dashboard.browse.unit_words import word_of
from dashboard.figures.text import number, plain, shorten

MOST_SAMPLES, MOST_BYTES, MOST_TOKENS = 4000, 6 << 20, 120_000
FACTS = 6  # columns shown on a card
_packs = Kept(4)


def pack(store) -> Column | None:
    """The cards of all samples of a small store (layout: see map/card.js); None for a large one."""
    return _packs.get(store.digest, lambda: _made(store))


def _made(store) -> Column | None:
    n = store.n_samples
    if not 0 < n <= MOST_SAMPLES:
        return None
    texts = _texts(store)
    if texts is None:
        return None
    images, blobs, size = [], [], 0
    for i in range(n):
        png = store.thumbnail(i)
        images.append([size, size + len(png)] if png else None)
        if png:
            blobs.append(png)
            size += len(png)
        if size > MOST_BYTES:
            return None
    grids = [(t.grid, t.leading) for t in store.taps.values() if t.grid and t.tokens == "all"]
    grid, leading = grids[0] if grids else (None, 0)
    header = {
        "titles": [plain(i) for i in store.samples["id"]],
        "images": images if blobs else None,
        "texts": texts or None,
        "facts": [[name, values] for name, values in _facts(store).items()],
        "grid": grid,
        "leading": leading,
    }
    text = json.dumps(header, ensure_ascii=False).encode()
    return Column(len(text).to_bytes(4, "little") + text + b"".join(blobs))


def _texts(store) -> list | None:
    """Tokens of every sample; [] where the store has none, None when they are too many to send."""
    if store.tokens(0) is None:
        return []
    found, total = [], 0
    for i in range(store.n_samples):
        found.append([plain(t) if t.strip() else t for t in store.tokens(i) or []])
        total += len(found[-1])
        if total > MOST_TOKENS:
            return None
    return found


def _facts(store) -> dict[str, list[str]]:
    """The first few columns as text, per sample."""
    names = [c for c in store.samples if c not in HIDDEN]
    names.sort(key=lambda c: (list(WORDS).index(c) if c in WORDS else len(WORDS), c))
    return {WORDS.get(c, c): [_said(v) for v in sample_values(store, c)] for c in names[:FACTS]}


def facts(store, sample: int) -> list[tuple[str, str]]:
    """Name and value of the first few columns of one sample."""
    names = [c for c in store.samples if c not in HIDDEN]
    names.sort(key=lambda c: (list(WORDS).index(c) if c in WORDS else len(WORDS), c))
    return [(WORDS.get(c, c), _said(_one(store, c, sample))) for c in names[:FACTS]]


def _one(store, column: str, sample: int):
    value = np.asarray(store.samples[column])[sample]
    if column in ("label", "predicted") and np.asarray(value).dtype.kind in "iu" and store.classes:
        return store.classes[int(value)] if 0 <= int(value) < len(store.classes) else ""
    if column == "correct" and np.asarray(value).dtype.kind in "biuf":
        return right_or_wrong(np.array([value]))[0]
    return value


def _said(value) -> str:
    if isinstance(value, (float, np.floating)):
        return number(value)
    text = shorten(value, 60)
    return text if text.strip() else "␣" * min(len(text), 8)  # blank text must not look like none


def label_words(store, sample: int) -> str:
    """ "label 6", and what the network took it for when that is another class."""
    label, seen = (
        _said(_one(store, c, sample)) if c in store.samples else "" for c in ("label", "predicted")
    )
    if not label:
        return ""
    return f"label {label}" + (f", predicted {seen}" if seen and seen != label else "")


def token_word(token: int, leading: int, grid: tuple[int, int] | None = None) -> str:
    """ "class token" for a single leading token, "patch (row, column)" on an image, else "token 5"."""
    if token < leading:
        return "class token" if leading == 1 else f"leading token {token}"
    if grid is not None and token - leading < grid[0] * grid[1]:
        return f"patch ({(token - leading) // grid[1] + 1}, {(token - leading) % grid[1] + 1})"
    return f"token {token - leading}"


def patch_box(token: int, grid: tuple[int, int] | None, leading: int) -> list[float] | None:
    """Where a token sits on its image, as fractions [x, y, width, height]; None for leading tokens."""
    if grid is None:
        return None
    height, width = grid
    k = token - leading
    if not 0 <= k < height * width:
        return None
    return [k % width / width, k // width / height, 1 / width, 1 / height]


def picture_url(store, sample: int) -> str | None:
    """The thumbnail as a data URL; None where there is none."""
    png = store.thumbnail(sample)
    return None if png is None else "data:image/png;base64," + base64.b64encode(png).decode()


def card(store, tap: str, layout: Layout, point: int, row: int) -> dict:
    """The card of one point, for stores too large to send whole. `row` is its row at the tap."""
    spec = store.taps[tap]
    sample, token = int(layout.sample_of(row)), int(layout.token_of(row))
    if layout.is_pooled:
        token = -1
    lines = [f"{name}: {value}" for name, value in facts(store, sample)]
    if token >= 0:
        lines.append(token_word(token, spec.leading, spec.grid))
    return {
        "row": point,
        "title": plain(store.samples["id"][sample]),
        "lines": lines,
        "image": picture_url(store, sample),
        "tokens": store.tokens(sample),
        "marked": token,
        "box": patch_box(token, spec.grid, spec.leading) if token >= 0 else None,
    }


def unit_card(store, tap: str, point: int, unit: int) -> dict:
    """The card of a unit, where the points are units."""
    index = store.index(tap)
    table = index.table()
    rows, _ = index.top(unit)
    sample = int(store.activations(tap).layout.sample_of(rows[0])) if len(rows) and rows[0] >= 0 else None
    lines = [f"above 0 on {100 * table['fraction_positive'][unit]:.0f} % of rows"]
    certificate = certificates.of(store, tap)
    if certificate is not None:
        lines.append(certificates.short(certificate, unit))
    return {
        "row": point,
        "title": f"{word_of(store, tap)} {unit}",
        "lines": lines,
        "image": None if sample is None else picture_url(store, sample),
    }
