"""Running a method on taps: the cost, the button, the bar, and the result once it is there."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from analysis.results import Result
from analysis.spec import Method, params_of
from dashboard import allowed, errors, forms, jobs, state
from dashboard.browse import axis_choice
from dashboard.parts import axis_form, cost_line, membership_form, part_form, tap_list, tap_picker

SHORT = 1.0  # seconds that a click waits for the result, before a bar is shown instead


def inputs(method: Method) -> list[str]:
    """The taps it works on: the sidebar's, and a box for each further one; a list where there may be any number."""
    first = ":".join(state.current_tap())
    if method.more_inputs:
        chosen = tap_list.inputs(method, first)
        tap_list.draw(method, first, chosen)
        return chosen
    if method.inputs == 1:
        return [first]
    roles = [role[:1].upper() + role[1:] for role in method.roles]
    roles = roles or [f"Tap {k}" for k in range(1, method.inputs + 1)]
    st.markdown(f"**{roles[0]}**: {errors.escape(tap_picker.shown(first))} (change it in the sidebar)")
    fitting = tap_list.fitting_taps(method, first)
    if len(fitting) < 2:
        return [first]
    more = [
        tap_picker.extra_input(f"tap{k}", roles[k - 1], fitting, elsewhere=method.checkpoints)
        for k in range(2, method.inputs + 1)
    ]
    return [first, *more]


def form(method: Method, references: Sequence[str], *, without: Sequence[str] = ()) -> tuple[dict, int]:
    """The settings, but for those that the page asks for in another way; returns (what differs from the defaults,
    seed)."""
    columns = sorted(set.intersection(*(set(state.workspace().activations(r).samples) for r in references)))
    packed = [p.name for p in membership_form.packed(method)]
    axis = axis_choice.PARAMETERS if axis_choice.takes_axis(method) else ()
    given = axis_form.draw(method, references[0]) if axis else {}
    parts = part_form.PARAMETERS if part_form.takes_parts(method) else ()
    chosen = part_form.draw(references[0]) if parts else {}
    unused = ["axis"] if given and not axis_choice.adds_axes(method) else []
    named = any(p.layer for p in params_of(method.params))
    layers = axis_choice.network_layers(state.workspace().activations(references[-1])) if named else {}
    elsewhere = [*packed, *axis, *unused, *parts, *without]
    params = given | chosen | forms.draw(method.params, columns, without=elsewhere, layers=layers)
    if packed:
        params |= membership_form.draw(method, references[0], params)
    seed = st.number_input(
        "Seed of the random numbers",
        min_value=0,
        max_value=2**31 - 1,
        value="min",
        step=1,
        help="The same seed gives the same numbers. Another seed shows what depends on chance.",
        **state.bound("seed", 0, state.between(0, 2**31 - 1, int)),
    )
    return params, int(seed or 0)


def run(method: Method, references: Sequence[str], params: dict, seed: int) -> Result | None:
    """Cost and button; the result when it is kept already, whoever computed it."""
    work = {"method": method.id, "inputs": list(references), "params": params, "seed": seed}
    kept = _kept(work)
    if kept is not None:
        st.caption("Kept with these settings: whoever asks again is shown at once.")
        return kept
    cost_line.draw(method, references, params)
    if st.button(
        "Run",
        type="primary",
        icon=":material/play_arrow:",
        key="run",
        width="stretch",
        **allowed.to("editor"),
    ):
        jobs.start("method", work, method.title, patience=SHORT)
        st.rerun()
    return None


def progress(method: Method, references: Sequence[str], params: dict, seed: int) -> None:
    """The bar of the run under way, or why the last one failed; a hint where nothing was run yet."""
    work = {"method": method.id, "inputs": list(references), "params": params, "seed": seed}
    job = jobs.find("method", work)
    now = jobs.watch(job.id, key="method") if job else None
    if now is None or now.state == "done":
        st.info("Nothing computed with these settings yet. Press **Run**.", icon=":material/play_arrow:")


def _kept(work: dict) -> Result | None:
    return state.workspace().cached(work["method"], work["inputs"], work["params"], seed=work["seed"])
