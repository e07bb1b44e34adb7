"""A set that was just made: what it does on samples it never saw, what to mind, and the way to its features."""

from __future__ import annotations

import streamlit as st

from analysis.features.shelf import SetFacts
from dashboard import allowed, errors, jobs, state
from dashboard.components import training_curves
from dashboard.parts import tap_picker
from dashboard.words import count

THEN = "features after encoding"  # of this session: the encoding whose end opens them


def draw(name: str) -> None:
    """Numbers, caveats, the next step, and the course of the training."""
    facts = next((f for f in state.workspace().features.facts() if f.name == name), None)
    if facts is None:
        st.caption(f"{errors.escape(name)} is not in this workspace any more.")
        return
    about = facts.about
    st.success(f"**{errors.escape(name)}** is finished and kept.", icon=":material/check_circle:")
    _numbers(facts)
    for line in about.get("caveats") or ():
        st.markdown(f"- {errors.escape(str(line))}")
    _encode(facts)
    if about.get("curve"):
        training_curves.draw({"": about["curve"]}, key="done")


def _numbers(facts: SetFacts) -> None:
    held, dead, rows = (facts.about.get(part) or {} for part in ("held_out", "dead", "rows"))
    cells = st.columns(4)
    explained = held.get("explained_variance")
    cells[0].metric(
        "Explained variance", "unknown" if explained is None else "below 0" if explained < 0 else f"{explained:.1%}",
        help="Of the held-out samples, about their own mean. It says how well the activations are rebuilt, and not "
        "whether the features mean something.",
    )  # fmt: skip
    if "l0" in held:
        cells[1].metric(
            "L0", f"{held['l0']:.3g} ± {held.get('l0_deviation', 0):.2g}",
            help="Features that are active in a row: mean and standard deviation.",
        )  # fmt: skip
    cells[2].metric("Features", f"{facts.n_features:,}")
    if dead:
        cells[3].metric(
            "Dead", f"{dead.get('latents', 0):,}",
            help=f"Not active in the last {dead.get('rows_without', 0):,} rows of the training.",
        )  # fmt: skip
    if rows and held:
        st.caption(
            f"Judged on {count(held.get('rows', 0), 'row')} of {count(rows.get('held_out_samples', 0), 'sample')} that "
            f"training never saw; trained on {rows.get('trained_on', 0):,} rows."
        )


def _encode(facts: SetFacts) -> None:
    """Encode the tap it was made for, then open its features."""
    store_name, tap = str(facts.about.get("store", "")), str(facts.about.get("tap", ""))
    known = {r for r in state.tap_references() if r.partition(":")[2] == tap}
    current = state.current_tap()
    reference = f"{store_name}:{tap}"
    if reference not in known and current is not None and f"{current[0]}:{tap}" in known:
        reference = f"{current[0]}:{tap}"
    if reference not in known:
        return
    made = f"{reference}@{facts.name}"
    under_way = state.get(THEN)
    if under_way:
        with errors.shown():
            _follow(under_way)
        return
    if made in state.tap_references():
        if st.button("Open its features", type="primary", icon=":material/search:", key="open features"):
            state.go("features", tap=made)
        return
    work = {"input": reference, "features": facts.name, "name": f"{tap}@{facts.name}"}
    if st.button(
        f"Encode {tap_picker.shown(reference)} and open its features", type="primary",
        icon=":material/transform:", key="encode trained", **allowed.to("editor"),
    ):  # fmt: skip
        id = jobs.start("encode", work, f"Encode {tap} with {facts.name}", patience=1.0)
        state.put(THEN, id)
        _follow(id)


def _follow(id: str) -> None:
    """The bar of the encoding; its features when it is done."""
    now = jobs.watch(id, key="then")
    if now.state not in jobs.ACTIVE:
        state.put(THEN, None)
    if now.state == "done" and isinstance(now.result, dict):
        state.go("features", tap=str(now.result.get("tap", "")))
