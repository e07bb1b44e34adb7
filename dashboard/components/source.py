"""The browser code of a component: its files, joined. Components v2 takes one string and one module."""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).parent


def joined(folder: str, *names: str) -> str:
    """The text of several files of a folder, one after the other (only the last one exports)."""
    return "\n".join((HERE / folder / name).read_text(encoding="utf-8") for name in names)
