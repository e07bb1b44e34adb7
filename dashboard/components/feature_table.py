"""The list of all units of a tap: filters in the URL, a row opens its card."""

from __future__ import annotations

import streamlit as st

from dashboard import state, table_cells
from dashboard.browse import certificates, feature_list
from dashboard.browse.feature_list import KINDS, ORDERS, SHARES, STATISTICS, FeatureList, Tap
from dashboard.words import count

WORDS = {
    "": "All",
    "alive": "Alive",
    "dead": "Dead",
    "dense": "Dense",
    "selective": "Selective",
    "starred": "Starred",
}
SHOWN = 5000  # rows sent to the browser


def filters(tap: Tap) -> FeatureList:
    """Draw the filters and return what they leave."""
    counts = tap.counts
    help = "\n\n".join(f"**{WORDS[k]}**: {tap.help_of(k)}" for k in KINDS)
    st.segmented_control(
        "Show",
        list(WORDS),
        format_func=lambda k: f"{WORDS[k]} ({counts[k]:,})",
        required=True,
        help=help,
        **state.bound("kind", "", list(WORDS)),
    )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.text_input(
            "Search", placeholder="12, 40-60 or a name", width=220, max_chars=200, **state.bound("search", "")
        )
        if tap.classes:
            options = ["", *tap.classes]
            st.selectbox(
                "Strongest for class",
                options,
                format_func=lambda c: c or "any",
                width=180,
                **state.bound("class", "", options),
            )
        st.selectbox(
            "Order by",
            list(tap.orders),
            format_func=tap.orders.get,
            width=260,
            **state.bound("order", "unit", list(tap.orders)),
        )
        st.toggle("Smallest first", **state.bound("rising", False))
        if tap.certificate is not None:
            st.selectbox(
                "Certificate", list(certificates.FILTERS), format_func=certificates.FILTERS.get, width=260,
                help="Only features of which the certificate of this tap says so.",
                **state.bound("test", "", list(certificates.FILTERS)),
            )  # fmt: skip
        if tap.tags:
            st.selectbox(
                "Tag", ["", *_tags(tap)], format_func=lambda word: word or "any", width=160,
                **state.bound("tag", "", _tags(tap)),
            )  # fmt: skip
        named = _selections()
        if named:
            st.selectbox(
                "Only a selection", ["", *named], format_func=lambda name: name or f"all {tap.word}s", width=200,
                help=f"{tap.word.capitalize()}s that were selected on a map of them and named.",
                **state.bound("among", "", list(named)),
            )  # fmt: skip
    return asked(tap)


def asked(tap: Tap) -> FeatureList:
    """The list that the URL asks for (the card needs its order for previous and next)."""
    named = _selections()
    only = state.param("among", "", list(named))
    return feature_list.listed(
        tap,
        kind=state.param("kind", "", list(WORDS)),
        top_class=state.param("class", "", tap.classes),
        search=state.param("search", ""),
        order=state.param("order", "unit", list(ORDERS)),
        rising=state.param("rising", False),
        test=state.param("test", "", list(certificates.FILTERS)),
        among=named[only].ids if only else None,
        tag=state.param("tag", "", _tags(tap)),
    )


def _tags(tap: Tap) -> list[str]:
    return sorted({word for words in tap.tags.values() for word in words})


def _selections() -> dict:
    """Named selections of units of this tap."""
    store, tap = state.current_tap()
    return {s.name: s for s in state.workspace().selections(store) if s.of == "units" and s.tap == tap}


def draw(found: FeatureList) -> None:
    """The table; choosing a row opens its card."""
    if not len(found.units):
        st.info(
            f"No {found.word} passes these filters. Choose “All” and clear the search.",
            icon=":material/filter_alt_off:",
        )
        return
    st.caption(
        f"{count(len(found.units), found.word)} of {found.total:,}, starred first. Select a row to open its card."
        + (f" The first {SHOWN:,} are listed; the filters look at all." if len(found.units) > SHOWN else "")
    )
    answer = st.dataframe(
        table_cells.safe({name: column[:SHOWN] for name, column in found.columns.items()}),
        key="features",
        hide_index=True,
        height=560,
        on_select="rerun",
        selection_mode="single-row",
        column_config=_columns(found),
        alt=f"{count(len(found.units), found.word)} with their statistics",
    )
    rows = answer.selection.rows
    if rows and rows[0] < len(found.units):
        state.set_params(unit=int(found.units[rows[0]]))
        st.rerun()


def _columns(found: FeatureList) -> dict:
    number = {
        name: st.column_config.NumberColumn(text, help=feature_list.HELP.get(name), format="%.3g")
        for name, text in STATISTICS.items()
        if name not in SHARES
    }
    share = {
        name: st.column_config.ProgressColumn(
            STATISTICS[name], help=feature_list.HELP.get(name), min_value=0, max_value=100, format="%.0f %%"
        )
        for name in SHARES
    }
    fixed = {
        "star": st.column_config.TextColumn("★", width=40, help="Starred in this workspace"),
        "unit": st.column_config.NumberColumn(found.word.capitalize(), format="%d", width=60),
        "name": st.column_config.TextColumn("Name", width=200),
        "tags": st.column_config.TextColumn("Tags", width=140),
        "fits": st.column_config.NumberColumn(
            feature_list.FITS, help=feature_list.HELP["fits"], format="%.2f"
        ),
        "top_class": st.column_config.TextColumn(
            "Strongest for", help="The commonest class among the 64 strongest rows."
        ),
    }
    tests = {
        name: st.column_config.NumberColumn(text, help=certificates.HELP[name], format="%.3g")
        for name, text in certificates.COLUMNS.items()
    }
    tests["certificate"] = st.column_config.TextColumn("Tests passed", help=certificates.HELP["certificate"])
    known = {**fixed, **tests, **number, **share}
    return {name: spec for name, spec in known.items() if name in found.columns}
