"""Fonts inside a PDF: cut down to the glyphs that are written, once for each set of them.

The drawing library cuts a font with all its tables of layout (ligatures, kerning, scripts). In a file whose glyphs
are chosen and placed already they say nothing, and following them takes most of the time that a small PDF takes.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache

LAYOUT = ["GSUB", "GPOS", "GDEF", "BASE", "JSTF", "MATH", "kern"]
OF_EDITORS = ["FFTM", "PfEd", "BDF", "meta"]  # dates and remarks


@dataclass(frozen=True)
class _Cut:
    """A font that is cut and saved, as the drawing library asks for it."""

    data: bytes

    def save(self, file, **_asked) -> None:
        file.write(self.data)


@contextmanager
def own_cut() -> Iterator[None]:
    """Within it PDF files take their fonts from here, where the drawing library can be told so (otherwise it cuts
    them itself). By one thread at a time: within `paper_style`."""
    from matplotlib.backends import _backend_pdf_ps as library

    before, found = getattr(library, "get_glyphs_subset", None), getattr(library, "SubsetResults", None)
    if before is None or getattr(found, "_fields", ()) != ("font", "glyph_index_map"):
        yield
        return

    @contextmanager
    def given(file, glyphs):
        data, places = _cut(str(file), getattr(file, "face_index", 0), tuple(sorted(set(glyphs))))
        yield found(_Cut(data), places)

    library.get_glyphs_subset = given
    try:
        yield
    finally:
        library.get_glyphs_subset = before


@lru_cache(maxsize=256)
def _cut(file: str, face: int, glyphs: tuple[int, ...]) -> tuple[bytes, dict[int, int]]:
    """The font with these glyphs (and what they are made of), and which number each has in it: some kilobytes."""
    from fontTools import subset

    asked = subset.Options(recommended_glyphs=True, hinting=False, notdef_outline=True)
    asked.drop_tables += [*LAYOUT, *OF_EDITORS]
    asked.font_number = face
    with subset.load_font(file, asked) as font:
        cutter = subset.Subsetter(options=asked)
        cutter.populate(gids=glyphs)
        cutter.subset(font)
        out = io.BytesIO()
        font.save(out, reorderTables=False)
    return out.getvalue(), dict(cutter.glyph_index_map)
