"""What can be laid over the points: distortion, the spanning tree, clusters with their names."""

from __future__ import annotations

from dashboard.components.map_panel import Shown


def controls(at: Shown) -> dict:
    """Draw the box; the fields of the picture that the chosen layers give."""
    return {}
