"""Two taps: in which sense are they the same, with the evidence for each sense, and where to look further."""

from __future__ import annotations

import math

import streamlit as st

from analysis import registry
from analysis.compute.similarity.similarity_report import two_decimals
from analysis.results import Table
from analysis.spec import Method, params_of
from dashboard import errors, state
from dashboard.components.bars import Line, bars
from dashboard.parts import doubts, figure_block, method_run, on_demand, pair_of_taps

METHOD = "verdict"
LOWEST = -0.25  # where the scale ends for an R², which may lie as far below 0 as it likes


def draw() -> None:
    """The two taps, the verdict, what it rests on."""
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
    if a == b:
        st.info("A tap with itself is the same in every sense. Choose another one.", icon=":material/info:")
        return
    left, right = st.columns([1.9, 1], gap="large")
    with left, errors.shown():
        result = on_demand.result(
            METHOD,
            [a, b],
            params,
            seed=seed,
            ask="Compare",
            title=method.title,
            key="pair",
            at_once=1.5,
            patience=1.0,
        )
        if result is not None:
            said, _, numbers = result.reading.partition("\n\n")
            st.markdown(f"### {errors.escape(said)}")
            _senses(result, float(params.get("same", _usual(method, "same"))))
            st.markdown(errors.escape(numbers))
            figure_block.files(result, METHOD)
            figure_block.caveats(result)
            figure_block.table(result, METHOD)
            figure_block.beside(result, METHOD)
    with right:
        _further(a, b)
    doubts.draw(method, "Check this verdict")


def _usual(method: Method, name: str) -> float:
    return next(p.default for p in params_of(method.params) if p.name == name)


def _senses(result: Table, same: float) -> None:
    """The similarities on one scale, from strict to lax, each over its null; then how well each is predicted from the
    other, which tells whether one holds the other. `same`: from where on two count as the same."""
    found = [
        dict(zip(result.columns, line, strict=True)) for line in zip(*result.columns.values(), strict=True)
    ]
    bands = {e.name.partition(": ")[0]: (e.null_low, e.null_high) for e in result.estimates}
    lines = [
        Line(
            str(line["sense"]), float(line["value"]), *_known(line["low"], line["high"]),
            null=bands.get(str(line["sense"])), text=f"{two_decimals(line['value'])} {line['the same']}",
            title=f"{line['measure']}; ignores {line['ignores']}",
        )
        for line in found
    ]  # fmt: skip
    for e in result.estimates:
        what = e.name.partition(": ")[0]
        if "predicted linearly" in what:
            ends = _known(*(math.nan if v is None else max(v, LOWEST) for v in (e.low, e.high)))
            which = ("second from first", "first from second")[len(lines) - len(found)]
            lines.append(
                Line(
                    which,
                    max(e.value, LOWEST),
                    *ends,
                    text=f"{two_decimals(e.value)} R²",
                    title=f"{what}; {e.estimator}",
                )
            )
    bars(
        lines,
        key="senses",
        label="Similarity in each sense, 1 where the two are the same",
        null_word="unrelated",
        reach=1.0,
        mark=same,
        mark_word=f"counts as the same from {same:g} on",
    )


def _known(low: float, high: float) -> tuple[float | None, float | None]:
    return (float(low), float(high)) if low == low and high == high else (None, None)


def _further(a: str, b: str) -> None:
    """The other questions about the same two."""
    st.markdown("**Ask further**")
    link = {
        "Which unit is which": state.link("compare", view="units", tap=a, tap2=b),
        "How all their units correlate": state.link("compare", view="correlations", tap=a, tap2=b),
        "Which directions they share (canonical correlations)": _analysis("canonical_spectrum", a, b),
        "How many units of one tell a unit of the other": _analysis("sparse_prediction", a, b),
        "What is transported where": _analysis("unit_transport", a, b),
    }
    st.markdown("\n".join(f"- [{text}]({target})" for text, target in link.items() if target))


def _analysis(method: str, a: str, b: str) -> str:
    known = method in registry.methods()
    return state.link("analyses", method=method, tap=a, tap2=b) if known else ""
