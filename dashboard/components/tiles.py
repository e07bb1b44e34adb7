"""Sample tiles: strongest examples with the patch or the token that fires (tiles/tiles.js)."""

from __future__ import annotations

import streamlit as st

from dashboard.browse.examples import SHADE
from dashboard.components.source import joined

_tiles = st.components.v2.component(
    "loupe_tiles", css=joined("tiles", "tiles.css"), js=joined("tiles", "../dom.js", "tiles.js")
)


def gallery(groups: list[dict], *, texts: bool, key: str) -> int | None:
    """Groups of tiles, each on lines of its own below its name; the row whose tile was clicked, or None."""
    found = [tile for group in groups for tile in group["tiles"]]
    data = {"tiles": [], "groups": groups, "wide": texts, "leads": True, "shade": SHADE}
    opened = _tiles(key=key, data=data, on_open_change=lambda: None).get("open")
    row = opened.get("row") if isinstance(opened, dict) else None
    return row if isinstance(row, int) and any(tile["row"] == row for tile in found) else None


def tiles(found: list[dict], *, key: str, leads: bool = True) -> int | None:
    """Draw tiles (as `browse.examples.tiles` makes them); the sample whose tile was clicked, or None.

    `leads`: whether a tile can be clicked; otherwise it is a picture with its facts beside it.
    """
    wide = not leads or any(tile.get("tokens") for tile in found)
    data = {"tiles": found, "wide": wide, "leads": leads, "shade": SHADE}
    answer = _tiles(key=key, data=data, on_open_change=lambda: None)
    opened = answer.get("open")
    sample = opened.get("sample") if isinstance(opened, dict) else None
    return sample if isinstance(sample, int) and any(t["sample"] == sample for t in found) else None
