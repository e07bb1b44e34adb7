"""The program's mark, drawn here so that no browser asks another server for it."""

from __future__ import annotations

LENS = (
    '<circle cx="13" cy="13" r="9" fill="none" stroke="{ink}" stroke-width="3"/>'
    '<line x1="20" y1="20" x2="28" y2="28" stroke="{ink}" stroke-width="4" stroke-linecap="round"/>'
    '<circle cx="10" cy="14.5" r="2" fill="#E69F00"/><circle cx="15.5" cy="10.5" r="2" fill="#009E73"/>'
    '<circle cx="15" cy="16" r="1.4" fill="#CC79A7"/>'
)
INK = {"light": "#0072B2", "dark": "#56B4E9"}
WIDE = 146  # of the name, whatever font the browser has
LETTERS = {"light": "#1b1f24", "dark": "#f0f2f6"}


def icon() -> str:
    """The lens alone, for the browser's tab."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">{LENS.format(ink=INK["light"])}</svg>'
    )


def wordmark(theme: str = "light") -> str:
    """Lens and name, for the top of the sidebar."""
    letters = (
        f'<text x="40" y="23" font-family="sans-serif" font-size="20" font-weight="600" textLength="{WIDE}" '
        f'lengthAdjust="spacingAndGlyphs" fill="{LETTERS[theme]}">'
        "Feature Loupe</text>"
    )
    lens = LENS.format(ink=INK[theme])
    return f'<svg xmlns="http://www.w3.org/2000/svg" width="190" height="32" viewBox="0 0 190 32">{lens}{letters}</svg>'
