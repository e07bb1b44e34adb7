"""A result as every page shows it: picture, what it means, what it does not, its nulls, numbers and files."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from analysis.people import figure_things
from analysis.results import Gallery, Matrix, Result, Scatter, Table
from dashboard import colouring, errors, figures, state, table_cells
from dashboard.browse import pictured, selections, table_rows
from dashboard.browse.colour_sources import OF_MAP
from dashboard.parts import export_menu, figure_cache, long_words, shown_results, written
from dashboard.parts.recipe_text import python_lines

SHOWN = {"value": "Value", "excess": "Excess over the null"}
LONG_WORD, WIDEST = 10, 320  # characters; pixels of a table's column
LONGEST_TABLE = 10_000  # rows of the table twin sent to the browser; the CSV has them all


def draw(
    result: Result,
    key: str,
    *,
    clicked: Callable[[int], None] | None = None,
    samples: Callable[[], None] | None = None,
    first: Callable[[], None] | None = None,
    **options: object,
) -> None:
    """Draw a result whole, after what `first` draws. `key` tells two results of one page apart; `options` go to the
    figure. `clicked` is told the place of a clicked point in its trace (of a cell: row-major, with the option
    `targets`). `samples` draws the samples that the result speaks of: instead of a gallery's dots, below anything
    else."""
    if first is not None:
        with errors.shown():
            first()
    with st.container(horizontal=True, vertical_alignment="bottom"):
        result = colour_box(result, key)
        lit = highlight_box(result, key)
        shown = null_switch(result, key)
        as_samples = sample_switch(result, key) if samples else False
    if as_samples:
        with errors.shown():
            samples()
        shown = {"pictures": pictured.looks(state.workspace(), result)}
    else:
        picture(
            pictured.with_pictures(state.workspace(), result), key, clicked=clicked, **options, **lit, **shown
        )
        if samples and not isinstance(result, Gallery):
            with errors.shown():
                samples()
    files(result, key, **shown)
    reading(result)
    beside(result, key)


def of_then(result: Result, key: str) -> None:
    """A result of data that are no longer there: what it holds itself, without today's samples, columns and cards."""
    picture(result, key)
    files(result, key)
    reading(result)
    beside(result, key)


def files(result: Result, key: str, **options: object) -> None:
    """What can be taken away."""
    shown_results.note(result)
    with st.container(horizontal=True, vertical_alignment="center"):
        export_menu.draw(lambda: result, key, **options)
        as_python(result)


def beside(result: Result, key: str) -> None:
    """The numbers with their nulls, the numbers as a table, what people wrote, and how they came about."""
    nulls(result)
    numbers(result, key)
    people_say(result, key)
    made_of(result)


def colour_box(result: Result, key: str) -> Result:
    """What points are coloured by, where a result has points; the result in these colours."""
    with errors.shown():
        known = {source.id: source.name for source in colouring.offered(result, state.workspace())}
        if len(known) < 2:
            return result
        default = next((id for id in _first_colours(result) if id in known), next(iter(known)))
        tie = state.bound("colour", default, list(known), where=key)
        id = st.selectbox("Colour by", list(known), format_func=known.get, width=260, **tie)
        return colouring.coloured(result, state.workspace(), id)
    return result


def _first_colours(result: Result) -> tuple[str, ...]:
    """What points are coloured by until somebody chooses, best first: groups that the method itself made are what its
    picture is about; its numbers stand behind the labels."""
    own = result.columns.get(result.colour) if isinstance(result, Scatter) else None
    groups = own is not None and own.dtype.kind == "U"
    return (result.colour, *[OF_MAP + result.colour] * groups, "label", "predicted", OF_MAP + result.colour)


def highlight_box(result: Result, key: str) -> dict:
    """A named selection that stays bright while other points are dimmed (the URL's `sel`); an option of the figure."""
    with errors.shown():
        if not isinstance(result, Scatter):
            return {}
        chosen = selections.find(state.workspace(), state.param("sel", ""))
        named = {s.name: s for s in state.workspace().selections()} | (
            {chosen.name: chosen} if chosen else {}
        )
        lit = {
            n: m
            for n, s in named.items()
            if (m := colouring.covered(result, state.workspace(), s)) is not None
        }
        if not lit:
            return {}
        word = chosen.name if chosen is not None and chosen.name in lit else ""
        st.selectbox(
            "Highlight", ["", *lit], format_func=lambda n: selections.title(named[n]) if n else "nothing", width=220,
            **state.tied(f"lit:{key}", word, lambda name: state.set_params(sel=name or None)),
        )  # fmt: skip
        return {"selected": lit[word]} if word else {}
    return {}


def null_switch(result: Result, key: str) -> dict:
    """Whether a heat map shows its values or what they are beyond the null of each cell; an option of the figure."""
    if not isinstance(result, Matrix) or result.null is None:
        return {}
    tie = state.bound("show", "value", list(SHOWN), where=key)
    show = st.segmented_control("Cells show", list(SHOWN), format_func=SHOWN.get, required=True, **tie)
    return {} if show == "value" else {"show": show}


def sample_switch(result: Result, key: str) -> bool:
    """Whether a gallery shows its samples or their values as dots; it decides for the files as well."""
    if not isinstance(result, Gallery):
        return False
    kinds = {"samples": "Samples", "values": "Values"}
    tie = state.bound("draw", "samples", list(kinds), where=key)
    shown = st.segmented_control(
        "Show", list(kinds), format_func=kinds.get, required=True, label_visibility="collapsed", **tie
    )
    return shown == "samples"


def as_python(result: Result) -> None:
    """The lines that make the result again, to be copied."""
    with st.popover("Copy as Python", icon=":material/code:"):
        st.caption("The same result in a notebook or script:")
        st.code(python_lines(result, str(state.workspace().path)), language="python", wrap_lines=True)


def picture(
    result: Result, key: str, *, clicked: Callable[[int], None] | None = None, **options: object
) -> None:
    """The chart alone, with its text alternative."""
    with errors.shown():
        if isinstance(result, Table):
            table(result, key)
            return
        look = {"theme": state.theme(), **options}
        figure = figure_cache.figure("screen", result, lambda: figures.on_screen(result, **look), **look)
        show = options.get("show", "value")
        alt = figure_cache.figure("alt", result, lambda: figures.alt_text(result, show=show), show=show)
        chart = {"theme": None, "key": f"figure:{key}", "alt": alt, "config": {"displaylogo": False}}
        if clicked is None:
            st.plotly_chart(figure, **chart)
            return
        points = st.plotly_chart(figure, **chart, on_select="rerun", selection_mode="points").selection.points
        if points:
            clicked(int(points[0]["point_index"]))


def table(result: Table, key: str) -> None:
    """A table is its own picture: sortable, searchable, with the meaning of every column."""
    opens = table_rows.card_of(result, state.workspace())
    more = ": choose a row to open its feature" if opens else ""
    st.markdown(f"**{errors.escape(result.title)}**{more}")
    columns = figures.table_twin(result)
    picks = {"on_select": "rerun", "selection_mode": "single-row"} if opens else {}
    look = {"help": result.help, "alt": figures.alt_text(result)}
    fits, long = long_words.parted(columns)
    answer = _frame(fits, f"figure:{key}", **look, **picks)
    if long:
        long_words.written_out(next(iter(columns.values())), long)
    chosen = answer.selection.rows if opens else []
    if chosen and (unit := opens(columns, chosen[0])) is not None:
        state.go("features", tap=result.origin.inputs[0]["name"], unit=unit)


def _frame(columns: dict, key: str, *, help: dict | None = None, alt: str | None = None, **picks: object):
    """Columns of arrays as a table; floats with four digits, whatever their size."""
    shown = {name: column[:LONGEST_TABLE] for name, column in columns.items()}
    length = max((len(column) for column in columns.values()), default=0)
    look = {}
    for name, column in shown.items():
        kind = st.column_config.NumberColumn if column.dtype.kind == "f" else st.column_config.Column
        format = {"format": "%.4g"} if column.dtype.kind == "f" else {"width": _width(column)}
        look[name] = kind(help=(help or {}).get(name), **format)
    height = min(420, 38 + 35 * max(1, length))
    answer = st.dataframe(
        table_cells.safe(shown), hide_index=True, key=key, column_config=look, height=height, alt=alt, **picks
    )
    if length > LONGEST_TABLE:
        st.caption(f"The first {LONGEST_TABLE:,} of {length:,} rows; the CSV export has all of them.")
    return answer


def _width(column) -> int | None:
    """Pixels of a column of long words, which the browser measures by its first rows; None leaves it to that."""
    longest = max((len(str(word)) for word in column), default=0) if column.dtype.kind == "U" else 0
    return min(WIDEST, 24 + 7 * longest) if longest > LONG_WORD else None


def reading(result: Result) -> None:
    """What the picture says, and what cannot be concluded from it."""
    if result.reading:
        st.markdown(errors.escape(result.reading))
    caveats(result)


def caveats(result: Result) -> None:
    """What cannot be concluded."""
    if result.caveats:
        lines = "\n".join(f"- {errors.escape(caveat)}" for caveat in result.caveats)
        with st.container(border=True):
            st.markdown(f"**Before you rely on it**\n\n{lines}")


def nulls(result: Result) -> None:
    """The numbers with their intervals against what structureless data of the same shape gives."""
    if not result.estimates:
        return
    with errors.shown():
        st.markdown("**Numbers, with the value that structureless data would give**")
        theme = state.theme()
        strip = figure_cache.figure("nulls", result, lambda: figures.null_strip(result, theme), theme=theme)
        st.html(strip)


def numbers(result: Result, key: str) -> None:
    """The table twin: the drawn values as text, read only when opened."""
    if isinstance(result, Table) and not result.estimates:
        return  # the picture says it all
    tie = state.bound("numbers", False, where=key)
    box = st.expander("All numbers as a table", icon=":material/table:", **tie)
    if not box.open:
        return
    with box, errors.shown():
        if result.estimates:
            st.caption("Numbers with interval and null")
            _frame(figures.estimates_table(result), f"estimates:{key}")
        if not isinstance(result, Table):  # which is there already
            st.caption("Plotted values")
            _frame(figures.table_twin(result), f"table:{key}")


def people_say(result: Result, key: str) -> None:
    """Notes, star, tags and thread of a figure that a method made."""
    thing = figure_things.of_result(result, state.here())
    if thing is not None:
        written.folded(thing, f"figure:{key}", "Notes on this figure")


def _seconds(seconds: float) -> str:
    """Two digits, and all of a hundred and more."""
    return f"{seconds:,.0f}" if seconds >= 99.5 else f"{seconds:.2g}"


def made_of(result: Result) -> None:
    """One line on how the result came about."""
    origin = result.origin
    if origin is None:
        return
    inputs = ", ".join(str(given.get("name", "")) for given in origin.inputs)
    parts = [f"{origin.method} version {origin.version} on {inputs}", f"seed {origin.seed}"]
    parts.append(
        f"computed in {_seconds(origin.seconds)} s" + (f" on {origin.made[:10]}" if origin.made else "")
    )
    st.caption(errors.escape(" · ".join(parts)))
