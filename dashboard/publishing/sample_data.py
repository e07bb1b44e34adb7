"""The samples that a bundle shows: who they are, their pictures once each, and where each is a strong example."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from analysis.errors import LoupeError
from dashboard.browse import examples, sample_tile
from dashboard.browse.cards import label_words
from dashboard.browse.unit import Unit
from dashboard.figures.text import plain

PNG = b"\x89PNG\r\n\x1a\n"
PER_FILE = 200
MOST_TILES = examples.FIRST + 8 * examples.OF_A_BAND  # on a card
MOST_PICTURED = 5000  # samples of a map whose pictures all go
ROOM, LOOKED_AT, QUALITY = (
    40_000_000,
    200,
    85,
)  # bytes of a store's pictures as PNG; pictures looked at; of JPEG
MOST_FEATURES = 40  # of which it is said that a sample is a strong example
HIDDEN = ("image", "box", "heat", "tokens", "shades", "marked", "cut", "table")


@dataclass
class Samples:
    """Fills while cards and maps are made.

    shown : samples that are spoken of, by store. pictured : those whose pictures go too, of the `kinds` "png" or "jpg"
    by store. strong : of each, the features (tap's reference, unit) that it is a strong example of.
    """

    pictures: bool = True
    shown: dict[str, set[int]] = field(default_factory=dict)
    pictured: dict[str, set[int]] = field(default_factory=dict)
    strong: dict[tuple[str, int], list[tuple[str, int]]] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)

    def told(self, store, tiles: list[dict], unit: Unit | None = None) -> list[dict]:
        """Tiles as they travel: with the place of a picture instead of its bytes. `unit`: whose strongest they are."""
        name, found = store.path.name, []
        for tile in tiles:
            sample = tile["sample"]
            self.show(name, [sample], pictured=True)
            if unit is not None:
                self.strong.setdefault((name, sample), []).append((unit.reference, unit.number))
            if not self.pictures:
                tile = {**{k: v for k, v in tile.items() if k not in HIDDEN}, "image": None, "box": None,
                        "heat": None}  # fmt: skip
            elif tile["image"]:
                tile = {**tile, "image": self.place(name, sample)}
            found.append(tile)
        return found

    def place(self, store: str, sample: int) -> str:
        """Of its picture."""
        return picture_place(sample, self.kinds.get(store, "png"))

    def show(self, store: str, samples, *, pictured: bool) -> None:
        """These samples are spoken of."""
        known = [int(s) for s in samples]
        self.shown.setdefault(store, set()).update(known)
        if pictured and self.pictures:
            self.pictured.setdefault(store, set()).update(known)


def picture_place(sample: int, kind: str) -> str:
    """Of a sample's picture below the folder of its store."""
    return f"{sample // 1000}/{sample}.{kind}"


def most_pictures(cards: int) -> int:
    """How many pictures so many cards and a map may show."""
    return cards * MOST_TILES + MOST_PICTURED


def kind_of(store, most: int) -> str:
    """ "png" where up to `most` pictures of a store have room as they are, otherwise "jpg": of photographs a copy takes
    a sixth of the room. By the sizes of some pictures, so that cards know it before all are read."""
    n = store.n_samples
    sizes = [len(store.thumbnail(s) or b"") for s in range(0, n, max(1, n // LOOKED_AT))]
    return "png" if np.mean(sizes or [0]) * min(most, n) <= ROOM else "jpg"


def pictures(store, samples: set[int], kind: str) -> Iterator[tuple[str, bytes]]:
    """(place, file) of the samples that have a picture."""
    for sample in sorted(samples):
        png = store.thumbnail(sample)
        if png is not None and png.startswith(PNG):
            yield picture_place(sample, kind), png if kind == "png" else _jpeg(png)


def _jpeg(png: bytes) -> bytes:
    from PIL import Image

    from analysis.sources.pictures import refuse_large

    refuse_large(png, ("PNG",))
    out = io.BytesIO()
    with Image.open(io.BytesIO(png)) as picture:
        whole = picture.convert("RGBA")
        ground = Image.new("RGBA", whole.size, "white")
        Image.alpha_composite(ground, whole).convert("RGB").save(out, "JPEG", quality=QUALITY, optimize=True)
    return out.getvalue()


def files(samples: Samples, store, taps: dict[str, int]) -> Iterator[tuple[int, dict]]:
    """(number of the file, entries by sample): `PER_FILE` neighbours in a file, those that are shown."""
    name = store.path.name
    shown = np.array(sorted(samples.shown.get(name, ())), np.int64)
    for first in np.unique(shown // PER_FILE):
        mine = shown[shown // PER_FILE == first]
        yield int(first), {int(s): _entry(samples, store, int(s), taps) for s in mine}


def _entry(samples: Samples, store, sample: int, taps: dict[str, int]) -> dict:
    """What is said of one sample; its features as [number of the tap, unit]."""
    name = store.path.name
    strong = [[taps[r], u] for r, u in samples.strong.get((name, sample), ()) if r in taps]
    about = {"title": plain(store.samples["id"][sample]), "facts": label_words(store, sample)}
    about |= {"strong": strong[:MOST_FEATURES], "more": max(0, len(strong) - MOST_FEATURES)}
    if not samples.pictures:
        return about
    try:
        tile = sample_tile.tile(store, sample)
    except LoupeError as refusal:
        return {**about, "table": [["cannot be read", refusal.found]]}
    has = tile["image"] is not None and sample in samples.pictured.get(name, ())
    about |= {"image": samples.place(name, sample) if has else None, "table": tile["table"]}
    if "tokens" in tile:
        about |= {"tokens": tile["tokens"], "cut": tile["cut"]}
    return about
