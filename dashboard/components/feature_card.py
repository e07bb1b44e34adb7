"""The card of one unit: what it responds to, how strongly, for which classes, and what is like it."""

from __future__ import annotations

import streamlit as st

from analysis.people import Thing
from dashboard import allowed, errors, state
from dashboard.browse import card_charts, examples, feature_list, map_state, naming, selections
from dashboard.browse.colour_sources import UNIT, Source
from dashboard.browse.feature_list import FeatureList
from dashboard.browse.unit import Unit
from dashboard.components import (
    card_selection,
    certificate_line,
    decoder_neighbours,
    feature_card_links,
    feature_family,
    feature_kin,
    live_test,
    model_names,
)
from dashboard.components.bars import Sheet
from dashboard.components.histogram import histogram
from dashboard.components.sample_map import sample_map
from dashboard.components.tiles import tiles
from dashboard.parts import export_menu, written

FIRST, MORE = examples.FIRST, 64
KIN = (decoder_neighbours.draw, feature_kin.outputs)  # of encoded taps
ASKED_FOR = (
    feature_kin.together,
    feature_kin.energy,
)  # may wait for a click: last, so that the others stay together
MORE_OF_FEATURES = (feature_kin.pursuit, feature_family.draw, live_test.draw)


def draw(unit: Unit, listed: FeatureList, starred: bool) -> None:
    """The whole card."""
    _top(unit, listed, starred)
    if said := _sentences(unit):
        st.markdown("\n\n".join(said))
    with errors.shown():
        model_names.of_feature(unit)
    left, right = st.columns([6, 4], gap="large")
    with left:
        for part in (_strongest, card_selection.draw, _bands, *MORE_OF_FEATURES, _written):
            with errors.shown():
                part(unit)
    with right:
        _right(unit)


def _right(unit: Unit) -> None:
    """The pictures: charts below each other are one component."""
    sheet = Sheet("charts")
    for part in (
        feature_kin.prototype,
        _histogram,
        feature_kin.density,
        _classes,
        *KIN,
        _correlated,
        *ASKED_FOR,
    ):
        with sheet.part():
            part(unit, sheet)
    with errors.shown():
        sheet.flush()
        _map(unit)


def _sentences(unit: Unit) -> list[str]:
    with errors.shown():
        kept = None if unit.is_dead else naming.kept(state.workspace(), unit.reference)
        named = naming.sentence(kept, unit.number)
        said = [" ".join(unit.sentences()), named]
        return [errors.escape(text) for text in said if text]
    return []


def _top(unit: Unit, listed: FeatureList, starred: bool) -> None:
    """Name, star, and the ways to other units."""
    before, after = feature_list.neighbours(listed.units, unit.number)
    with st.container(horizontal=True, vertical_alignment="center"):
        back = {"icon": ":material/arrow_back:", "key": "back", "help": "Back to the list"}
        st.button(f"All {unit.word}s", **back, on_click=_to, args=(None,))
        st.markdown(f"### {errors.escape(unit.title)}", width="content")
        _star(unit, starred)
        certificate_line.badge(unit)
        st.space("stretch")
        for label, icon, target in (
            ("Previous", "chevron_left", before),
            ("Next", "chevron_right", after),
            ("Random", "casino", feature_list.another(listed.units, unit.number)),
        ):
            icon, off = f":material/{icon}:", target is None
            said = f"{label} in the list as filtered"
            st.button(label, icon=icon, key=label, disabled=off, help=said, on_click=_to, args=(target,))


def _to(number: int | None) -> None:
    """As a callback, before the page is drawn: one run, not two."""
    state.set_params(unit=number, bands=None)


def _star(unit: Unit, starred: bool) -> None:
    label, icon = ("Starred", ":material/star:") if starred else ("Star", ":material/star_outline:")
    kind = "primary" if starred else "secondary"
    said = f"Starred {unit.word}s stand first in the list, for everybody"
    st.button(label, icon=icon, key="star", type=kind, on_click=state.put, args=("star", (unit.number, not starred)),
              **allowed.to("editor", help=said))  # fmt: skip  # what she saw decides, not what is there by now
    number, on = state.get("star") or (None, False)
    state.put("star", None)
    if number == unit.number:
        state.workspace().people.set_star(_thing(unit), on)
        st.rerun()


def _strongest(unit: Unit) -> None:
    if unit.is_dead:
        st.markdown("**Strongest examples**\n\nIt never varies, so no example is stronger than another.")
        return
    many = state.param("more", False)
    found = unit.tiles(MORE if many else FIRST)
    st.markdown("**Strongest examples**" + examples.how_to_read(found))
    if not found:
        return
    _tiles(unit, found, "strongest")
    if len(found) >= FIRST:
        st.toggle(
            "Show all",
            **state.bound("more", False),
            help="One tile per sample; at most its 64 strongest rows",
        )


def _tiles(unit: Unit, found: list[dict], key: str) -> None:
    opened = tiles(found, key=key)
    for title, path in examples.sounds(unit.store, found):
        st.caption(errors.escape(title))
        st.audio(path)
    if opened is not None:
        row = int(unit.activations.layout.offsets[opened])
        state.go("map", tap=unit.reference, focus=row, colour=UNIT, unit=unit.number)


def _bands(unit: Unit) -> None:
    """Weaker examples, read only when asked for."""
    box = st.expander(
        "Weaker examples, from strong to none", icon=":material/stairs:", **state.bound("bands", False)
    )
    if not box.open:
        return
    with box:
        found = unit.index.bands(unit.number)
        if not found:
            st.caption("All rows are among the strongest examples already.")
        for i, band in enumerate(found):
            st.caption(unit.band_words(band))
            if len(band.rows):
                _tiles(unit, unit.tiles_of(band.rows, band.values, examples.OF_A_BAND), f"band{i}")


def _histogram(unit: Unit, sheet: Sheet) -> None:
    if unit.is_dead:
        return
    found = unit.histogram()
    about = f" ({unit.rows_shown})"
    histogram(found, key="histogram", theme=state.theme(), row_name=unit.row_word, about=about)
    export_menu.draw(lambda: found, "histogram")


def _classes(unit: Unit, sheet: Sheet) -> None:
    if (chart := card_charts.classes(unit)) is not None:
        sheet.add(chart)


def _correlated(unit: Unit, sheet: Sheet) -> None:
    feature_card_links.add(sheet, card_charts.correlated(unit), unit)


def _map(unit: Unit) -> None:
    """Where it lights up: the kept projection of this tap, coloured by the unit."""
    st.markdown("**Where it lights up on the map**")
    result = state.workspace().cached("pca", [unit.reference])
    if result is None:
        st.caption("The map of this tap has not been drawn yet: the button below draws it.")
    else:
        source, all_points = Source(UNIT, "", "unit"), len(result.rows)
        result = map_state.thinned(result)
        picture = map_state.picture_of(
            result,
            unit.store,
            unit.activations,
            unit.tap,
            look=map_state.Look(source, unit.number, state.theme()),
            selection=selections.find(state.workspace(), state.param("sel", "")),
        )
        sample_map(picture, key="little map", height=220, compact=True)
        if len(result.rows) < all_points:
            st.caption(f"A random {len(result.rows):,} of {all_points:,} {unit.row_word}")
    if st.button("Open the map with these colours", icon=":material/scatter_plot:", key="to map"):
        state.go("map", tap=unit.reference, colour=UNIT, unit=unit.number, sel=state.param("sel", "") or None)


def _written(unit: Unit) -> None:
    """What people wrote: it stays with the unit, for everybody who opens the workspace. The star is at the top."""
    hint = "What you think it responds to, and what speaks against it"
    written.draw(_thing(unit), "feature", starred=False, hint=hint)


def _thing(unit: Unit) -> Thing:
    store, _, tap = unit.reference.partition(":")
    return Thing.feature(store, tap, unit.number)
