"""A sample by itself as a tile: its picture or text, and what is known of it."""

from __future__ import annotations

from dashboard.browse.cards import facts, label_words, picture_url
from dashboard.figures.text import plain

MOST_TOKENS = 120


def name(store, sample: int) -> str:
    """Its id."""
    return plain(store.samples["id"][sample])


def tile(store, sample: int) -> dict:
    """As `components.tiles` draws it."""
    image, tokens = picture_url(store, sample), store.tokens(sample)
    made = {
        "sample": sample,
        "title": name(store, sample),
        "value": name(store, sample),
        "where": "",
        "facts": label_words(store, sample),
        "image": image,
        "box": None,
        "heat": None,
        "table": [[key, text] for key, text in facts(store, sample)],
    }
    if tokens is not None:
        shown = [str(t) for t in tokens[:MOST_TOKENS]]
        made |= {"tokens": shown, "shades": None, "marked": -1, "cut": [False, len(tokens) > len(shown)]}
    return made
