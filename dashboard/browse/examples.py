"""Examples of a unit as tiles: the sample, what in it makes the unit fire, and how strongly."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np

from analysis.activations import Layout
from dashboard.browse.cards import facts, label_words, patch_box, picture_url, token_word
from dashboard.figures.text import number, plain

SOUNDS = (".wav", ".flac", ".ogg", ".mp3")
AROUND = 40  # tokens shown either side of the strongest one
SHADE = "#E69F00"  # of the strongest activation
FIRST, OF_A_BAND = 15, 6  # tiles of the strongest rows at first, and of each weaker band


def tiles(store, tap: str, layout: Layout, rows, values, column: np.ndarray, limit: int = 16) -> list[dict]:
    """One tile per sample (its strongest row), at most `limit`, in the given order.

    `column` (rows,) is the unit over all rows: it shades the other tokens of each sample.
    """
    found, seen = [], set()
    for row, value in zip(np.asarray(rows), np.asarray(values), strict=True):
        sample = int(layout.sample_of(row)) if row >= 0 else -1
        if sample < 0 or sample in seen:
            continue
        seen.add(sample)
        found.append(_tile(store, tap, layout, int(row), sample, float(value), column))
        if len(found) == limit:
            break
    return found


def _tile(store, tap: str, layout: Layout, row: int, sample: int, value: float, column: np.ndarray) -> dict:
    spec = store.taps[tap]
    start, stop = int(layout.offsets[sample]), int(layout.offsets[sample + 1])
    token = -1 if layout.is_pooled else row - start
    tokens = store.tokens(sample)
    image = picture_url(store, sample)
    tile = {
        "sample": sample,
        "title": plain(store.samples["id"][sample]),
        "value": number(value),
        "where": "" if token < 0 else token_word(token, spec.leading, spec.grid),
        "facts": label_words(store, sample) or plain(store.samples["id"][sample]),
        "image": image,
        "box": patch_box(token, spec.grid, spec.leading) if token >= 0 and image else None,
        "heat": None,
    }
    if token >= 0 and spec.grid and image:
        own = column[start:stop]  # scaled to its strongest token, so that weak patches stay weak
        tile["heat"] = {"grid": list(spec.grid), "values": shades64(own, spec.leading)}
    if tokens is not None:
        tile |= text_of(tokens, None if token < 0 else column[start:stop], token)
    elif image is None:
        tile["table"] = [[name, text] for name, text in facts(store, sample)]
    return tile


def text_of(tokens: list[str], values: np.ndarray | None, marked: int) -> dict:
    """The tokens around the strongest one, each with its shade."""
    first = max(0, marked - AROUND) if marked >= 0 else 0
    shown = tokens[first : first + 2 * AROUND + 1]
    shades = None if values is None else _shades(values)[first : first + len(shown)]
    return {
        "tokens": [str(t) for t in shown],
        "shades": None if shades is None else _text64(shades),
        "marked": marked - first if marked >= 0 else -1,
        "cut": [first > 0, first + len(shown) < len(tokens)],
    }


def _shades(values: np.ndarray) -> np.ndarray:
    """Values above 0, scaled to the largest of them, as bytes 0 … 255."""
    values = np.nan_to_num(np.asarray(values, np.float64), nan=0.0, posinf=0.0, neginf=0.0).clip(min=0)
    return np.round(255 * values / (values.max(initial=0.0) or 1.0)).astype(np.uint8)


def shades64(values: np.ndarray, leading: int) -> str:
    """How strong each patch of a picture is, as a tile takes it."""
    return _text64(_shades(values)[leading:])


def _text64(shades: np.ndarray) -> str:
    return base64.b64encode(shades.tobytes()).decode()


def how_to_read(found: list[dict]) -> str:
    """What the frame and the colours of tiles mean; stands behind their heading."""
    if any(t.get("heat") for t in found):
        return ": the framed patch fires most, orange is where it fires (point at a picture to see it bare)"
    if any(t.get("shades") for t in found):
        return ": the framed token fires most, orange shows how strongly the others do"
    return ", one per sample"


def sounds(store, found: list[dict], limit: int = 3) -> list[tuple[str, str]]:
    """(title, path) of the sound files behind the first tiles that still exist."""
    if "media_path" not in store.samples:
        return []
    paths = [(tile["title"], Path(str(store.samples["media_path"][tile["sample"]]))) for tile in found]
    return [(t, str(p)) for t, p in paths if p.suffix.lower() in SOUNDS and p.is_file()][:limit]
