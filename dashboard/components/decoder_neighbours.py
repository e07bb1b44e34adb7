"""On the card of a feature: the features of its dictionary whose directions lie next to its own."""

from __future__ import annotations

from dashboard import state
from dashboard.browse import card_charts
from dashboard.browse.unit import Unit
from dashboard.components import feature_card_links
from dashboard.components.bars import Sheet


def draw(unit: Unit, sheet: Sheet) -> None:
    """The largest cosines of its direction with those of the others; nothing for a unit."""
    feature_card_links.add(sheet, card_charts.nearest(state.workspace(), unit), unit)
