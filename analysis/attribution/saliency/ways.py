"""All ways by name. A new one is a file beside this one with its equation, and a line here."""

from __future__ import annotations

from analysis.attribution.saliency import controls, slopes
from analysis.attribution.saliency.way import Way

WAYS: dict[str, Way] = {way.name: way for way in (*slopes.WAYS, *controls.WAYS)}
EXPLAINING = tuple(name for name, way in WAYS.items() if not way.control)
CONTROLS = tuple(name for name, way in WAYS.items() if way.control)
