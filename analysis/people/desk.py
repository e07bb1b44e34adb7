"""Where everybody who reads or writes sits: one workspace's place."""

from __future__ import annotations

from pathlib import Path

from analysis.people.places import Place


class Desk:
    """What all parts of `People` share."""

    def __init__(self, path: Path) -> None:
        self.path, self.place = Path(path), Place(Path(path))
