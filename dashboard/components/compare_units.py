"""Unit by unit: which unit of one network is which unit of another, and both of them side by side."""

from __future__ import annotations

import numpy as np
import streamlit as st

from analysis import registry
from analysis.results import Table
from dashboard import errors, state, table_cells
from dashboard.browse.unit import Unit
from dashboard.components.tiles import tiles
from dashboard.parts import doubts, figure_block, method_run, on_demand, pair_of_taps
from dashboard.words import count

METHOD = "unit_matching"
ALL = "all"
LISTED = ("name a", "name b", "r", "low", "high", "held-out r", "null", "q", "margin", "told by", "verdict")
ROWS, EXAMPLES = 2_000, 9


def draw() -> None:
    """The two taps and settings, the pairs as a table, and the chosen pair's examples."""
    method = registry.method(METHOD)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        a, b = pair_of_taps.draw()
        box = st.popover("Settings", icon=":material/tune:")
    pair_of_taps.say_unlike()
    asked = None
    with box, errors.shown():
        asked = method_run.form(method, [a, b])
    if asked is None:
        return
    params, seed = asked
    with errors.shown():
        result = on_demand.result(
            METHOD, [a, b], params, seed=seed, ask="Match the units", title=method.title, key="units", at_once=1.5,
            patience=1.0,
        )  # fmt: skip
        if result is not None:
            st.markdown(errors.escape(result.reading))
            _pairs(result, a, b)
            figure_block.caveats(result)
            figure_block.files(result, METHOD)
            figure_block.beside(result, METHOD)
    doubts.draw(method, "Check this matching")


def _pairs(result: Table, a: str, b: str) -> None:
    """The table, by verdict, and under it the pair of the chosen row."""
    verdict = result.columns["verdict"]
    counts = {ALL: len(verdict)} | {
        kind: int((verdict == kind).sum()) for kind in dict.fromkeys(verdict.tolist())
    }
    kinds = list(counts)
    shown = st.segmented_control(
        "Pairs", kinds, format_func=lambda kind: f"{kind} ({counts[kind]:,})",
        required=True, label_visibility="collapsed", **state.bound("verdict", ALL, kinds, resets=("pair",)),
    )  # fmt: skip
    st.caption(errors.escape(result.help["verdict"]))
    rows = np.arange(len(verdict)) if shown == ALL else np.flatnonzero(verdict == shown)
    st.caption(
        "Select a row to see both units side by side."
        + (
            f" The first {ROWS:,} of {len(rows):,} are listed; the export has all."
            if len(rows) > ROWS
            else ""
        )
    )
    listed = rows[:ROWS]
    answer = st.dataframe(
        table_cells.safe({name: result.columns[name][listed] for name in LISTED}),
        key=_identity(result, shown), hide_index=True,
        height=330,
        on_select="rerun", selection_mode="single-row", column_config=_columns(result),
        alt=f"{count(len(listed), 'pair')} of units with their correlation",
    )  # fmt: skip
    named = {name: k for k, name in enumerate(_names(result))}
    if answer.selection.rows and answer.selection.rows[0] < len(listed):
        state.set_params(pair=list(named)[listed[answer.selection.rows[0]]])
    chosen = state.param("pair", "", named)
    if chosen:
        _side_by_side(result, named[chosen], a, b)


def _identity(result: Table, shown: str) -> str:
    """A key that is another one for other taps, settings or lines: a chosen row must not outlive them."""
    made_of = result.origin
    return f"pairs {shown} {[i['digest'] for i in made_of.inputs]} {sorted(made_of.params.items())} {made_of.seed}"


def _names(result: Table) -> list[str]:
    """The numbers of both units, as the URL has them: "3_5", or "3_" for one without a partner."""
    sides = (result.columns[side] for side in ("unit a", "unit b"))
    return ["_".join(str(k) if k >= 0 else "" for k in pair) for pair in zip(*sides, strict=True)]


def _columns(result: Table) -> dict:
    found = {}
    for name in LISTED:
        number = result.columns[name].dtype.kind == "f"
        kind = st.column_config.NumberColumn if number else st.column_config.TextColumn
        found[name] = kind(help=result.help.get(name), **({"format": "%.3g"} if number else {}))
    return found


def _side_by_side(result: Table, at: int, a: str, b: str) -> None:
    """Both units of a line, each with its strongest examples; what stands where one has no partner is its best."""
    line = {name: column[at] for name, column in result.columns.items()}
    left, right = int(line["unit a"]), int(line["unit b"])
    best = int(line["best"])
    st.markdown(f"**{line['verdict'].capitalize()}**: {errors.escape(_in_words(line))}")
    sides = st.columns(2, gap="large")
    with sides[0]:
        _unit(a, left if left >= 0 else best, "most like it here" if left < 0 else "", "a")
    with sides[1]:
        parts = _parts(line, b) if line["verdict"] == "split" and left >= 0 else []
        for number in parts:
            _unit(b, number, "one of its parts", f"b{number}", EXAMPLES // 2)
        if not parts:
            opposite = float(line["r"] if right >= 0 and left >= 0 else line["best r"]) < 0
            _unit(
                b,
                right if right >= 0 else best,
                "most like it there" if right < 0 else "",
                "b",
                lowest=opposite,
            )


def _parts(line: dict, reference: str) -> list[int]:
    """The units that tell a split one together, by their names."""
    names = state.workspace().activations(reference).unit_names
    place = {name: k for k, name in enumerate(names)}
    return [place[name] for name in str(line["told by"]).split(" + ") if name in place]


def _in_words(line: dict) -> str:
    if line["unit a"] < 0 or line["unit b"] < 0:
        return f"no partner is left for it; the unit most like it has r = {line['best r']:.2f}."
    text = (
        f"r = {line['r']:.2f} ({line['low']:.2f} to {line['high']:.2f}), {line['held-out r']:.2f} on samples that had "
        f"no part in the matching{'' if line['same in both halves'] else ' (which gave it other partners)'}; a pair of "
        f"this rank of unrelated units has |r| = {line['null']:.2f}."
    )
    if line["r"] < 0:
        text += " They are opposite: one is strong where the other is weak."
    return text + (f" Told together by {line['told by']}." if line["verdict"] == "split" else "")


def _unit(
    reference: str, number: int, note: str, key: str, most: int = EXAMPLES, *, lowest: bool = False
) -> None:
    """Its name, which leads to its card, and its strongest examples; of a unit that is opposite to the one beside it
    the `lowest`, which are to be compared with the other's strongest."""
    store = state.workspace().store(reference.partition(":")[0])
    unit = Unit(store, reference, number)
    link = state.link("features", tap=reference, unit=number)
    st.markdown(
        f"[Unit {errors.escape(unit.name)}]({link}) of {errors.escape(reference)}"
        + (f", {note}" if note else "")
    )
    st.caption("Where it is lowest" if lowest else "Where it is strongest")
    found = unit.tiles(most, lowest=lowest)
    if unit.is_dead or not found:
        st.caption("It never varies, so no example is stronger than another.")
        return
    opened = tiles(found, key=f"side {key}")
    if opened is not None:
        state.go("map", tap=reference, focus=int(unit.activations.layout.offsets[opened]))
