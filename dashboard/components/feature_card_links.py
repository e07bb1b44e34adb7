"""Charts on a feature card whose lines open the cards of other units."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from dashboard import state
from dashboard.browse.charts import Chart
from dashboard.browse.unit import Unit
from dashboard.components.bars import Sheet


def add(sheet: Sheet, chart: Chart | None, unit: Unit) -> None:
    """One more chart, if there is one; a click on a line (`card_charts.unit_id`) opens that unit's card."""
    if chart is None:
        return
    store = unit.reference.partition(":")[0]

    def opens(id: str) -> None:
        number, _, tap = id.partition(":")
        state.set_params(tap=f"{store}:{tap}", unit=int(number), bands=None)
        st.rerun()

    sheet.add(replace(chart, opens=opens))
