"""A drawn figure as bytes: PDF, SVG or PNG, with its fonts inside."""

from __future__ import annotations

import io
from contextlib import nullcontext

from dashboard.figures.pdf_fonts import own_cut
from dashboard.figures.svg_fonts import with_fonts


def saved(figure, format: str, dpi: float, about: dict) -> bytes:
    """The file, within `paper_style`; `about` is what it says of itself, as Matplotlib takes it for the format."""
    out = io.BytesIO()
    with own_cut() if format == "pdf" else nullcontext():
        figure.savefig(out, format=format, dpi=dpi, metadata=about)
    return with_fonts(out.getvalue()) if format == "svg" else out.getvalue()
