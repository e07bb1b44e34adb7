"""What rules leave of the answer and what they take in time, over the same shares of the network's work."""

from __future__ import annotations

import streamlit as st

from analysis.results import Curve
from analysis.tokens.over_samples import ALL
from dashboard import errors, forms, state, table_cells
from dashboard.browse import rule_curves
from dashboard.parts import figure_block, on_demand

HIGH, RULES = 400, forms.PREFIX + "rules"
ABOUT = (
    "Every rule may spend the same share of the network's multiply-adds. First what is left of the answer, beside as "
    "many tokens kept at random (dashed). Then the time that it takes with the tokens really removed, measured on this "
    "machine, beside the work that was spent (dashed): time would equal it if nothing but multiply-adds took any."
)
MORE = "Others are drawn with 'All rules', on the left."


def rules_box(_references, _params) -> None:
    """Which rules are asked: a handful or all; others are named among the settings."""
    own = state.param(RULES, "", None).strip()
    names = {"": "A handful", ALL: "All rules"} | ({} if own in ("", ALL) else {own: "Those in the settings"})
    st.segmented_control("Rules", list(names), format_func=names.get, required=True,
                         help="All take longer. The answer and the time are of the same rules.",
                         **state.bound(RULES, "", list(names), where="which"))  # fmt: skip


def draw(result: Curve, key: str) -> None:
    """The answer, the time of the same rules below it, the numbers of both in one table, and what is said of each."""
    count = len(result.series)
    st.caption(f"{ABOUT} Drawn: {count} rules. {'' if result.origin.params.get('rules') == ALL else MORE}")
    figure_block.picture(result, key, height=HIGH)
    time = None
    with errors.shown():
        time = _time(result)
    if time is not None:
        figure_block.picture(time, "latency", height=HIGH)
        _table(result, time)
    for part, name in ((result, key), (time, "latency")):
        if part is not None:
            st.subheader("The answer" if part is result else "The time")
            figure_block.files(part, name)
            figure_block.reading(part)
            figure_block.beside(part, name)


def _time(result: Curve) -> Curve | None:
    """The time of the same rules on the same tap; measured at a click."""
    origin = result.origin
    references = [str(given["name"]) for given in origin.inputs]
    rules = origin.params.get("rules", "")
    return on_demand.result(
        "latency", references, {"rules": rules} if rules else {}, ask="Measure the time of these rules",
        title="Time and work of rules", key="latency", patience=1.0,
    )  # fmt: skip


def _table(answer: Curve, time: Curve) -> None:
    with st.expander(
        "Answer, work and time as one table", icon=":material/table:", **state.bound("joined", False)
    ):
        st.dataframe(table_cells.safe(rule_curves.joined(answer, time)), hide_index=True)
