"""Which units set a selection apart: from all other points, or from another selection."""

from __future__ import annotations

import streamlit as st

from analysis.selection import Selection
from dashboard import allowed, errors, jobs, state
from dashboard.browse import describe, selections
from dashboard.components import group_questions, separation
from dashboard.components.bars import Line, bars
from dashboard.components.map_panel import Shown
from dashboard.parts import export_menu

UNITS = 10


def against_all(at: Shown, mask) -> None:
    """The units that differ most from all other rows, each a link to its card."""
    found = _table(at, mask, selections.in_words(at.selection))
    if found is None:
        return
    st.markdown(f"**{at.word.capitalize()}s**, standard deviations higher (+) or lower (−) than outside")
    _bars(at, found, "units", ("inside", "outside"), "groups like this one, elsewhere")
    st.caption(describe.units_sentence(found, f"{at.word}s"))
    export_menu.draw(lambda: found, "contrast")
    group_questions.draw(at.reference, at.selection)


def two_groups(at: Shown, mask, other: Selection) -> None:
    """The present selection against another one."""
    a, b = selections.title(at.selection), selections.title(other)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{errors.escape(a)}** against **{errors.escape(b)}**", width="stretch")
        look = {
            "icon": ":material/close:",
            "key": "icons:end comparison",
            "help": "Compare with all others again",
        }
        st.button("End the comparison", on_click=state.set_params, kwargs={"vs": None}, **look)
    outside = selections.rows_of(other, at.store, at.tap)
    if outside is None or not outside.any():
        st.info(f"“{errors.escape(b)}” has no points at this tap.")
        return
    shared = int((mask & outside).sum())
    if shared:
        st.caption(f"{shared:,} rows are in both and count for neither.")
    with errors.shown():
        found = _table(at, mask, f"{a} from {b}", outside)
        if found is not None:
            st.markdown(
                f"**{at.word.capitalize()}s**, standard deviations higher (+) or lower (−) in the first"
            )
            _bars(
                at, found, "units of two", ("in the first", "in the second"), "random groups of these sizes"
            )
            _how_many(found, at.word)
            st.caption(describe.units_sentence(found, f"{at.word}s"))
            export_menu.draw(lambda: found, "contrast of two")
    with errors.shown():
        separation.draw(at, mask & ~outside, outside & ~mask, (a, b))
        group_questions.draw(at.reference, at.selection, other)


def _how_many(found, word: str) -> None:
    q = found.columns["q_value"]
    st.caption(
        f"{int((q <= 0.05).sum())} of {len(q)} {word}s at a false-discovery rate of 5 % (Welch's t, "
        "Benjamini-Hochberg): evidence only where both groups come from metadata, not from a picture of these "
        "activations."
    )


def _table(at: Shown, mask, name: str, outside=None):
    found = describe.units_at_once(at.activations, mask, at.result, name, outside)
    return _by_job(at, mask, outside) if found is None else found


def _bars(at: Shown, found, key: str, sides: tuple[str, str], null_word: str) -> None:
    c, chance = found.columns, found.estimates[0].null_high or 0.0
    names = at.activations.unit_names
    lines = [
        Line(
            f"{at.word} {names[int(c['unit'][i])]}", float(c["difference"][i]), float(c["low"][i]), float(c["high"][i]),
            (-chance, chance), f"{c['difference'][i]:+.2f}",
            f"Mean {c['mean_inside'][i]:.3g} {sides[0]}, {c['mean_outside'][i]:.3g} {sides[1]}; "
            f"q = {c['q_value'][i]:.2g}; open its card",
            str(int(c["unit"][i])),
        )
        for i in range(min(UNITS, len(c["unit"])))
    ]  # fmt: skip
    opened = bars(lines, key=key, label=f"{at.word.capitalize()}s that differ most", null_word=null_word)
    if opened is not None:
        state.go("features", tap=at.reference, unit=opened, sel=at.selection.name)


def _by_job(at: Shown, mask, outside):
    """Large taps: the comparison is a job; its result, or None while it runs."""
    work = describe.job_arguments(at.reference, mask, outside)
    asked = (work["method"], work["inputs"], work["params"])
    kept = state.workspace().cached(*asked)
    if kept is None:
        title = "What distinguishes the selection"
        if not allowed.starts(title):
            return None
        id = jobs.start("method", work, title, patience=0.3)
        if jobs.watch(id, key=f"contrast {outside is None}").state == "done":
            kept = state.workspace().cached(*asked)
    return kept
