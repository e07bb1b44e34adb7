"""Which projection the map shows: chosen in the URL, taken from the cache, computed now, or started as a job."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from analysis import pipeline, registry
from analysis.results import Scatter
from analysis.spec import Method, params_of
from dashboard import errors, jobs, state
from dashboard.words import duration

AT_ONCE = 3.0  # seconds of computing that a page waits for
DEFAULT = "pca"


def methods() -> dict[str, Method]:
    """The methods that make a map of one tap, the quick default first."""
    found = {m.id: m for m in registry.methods().values() if m.result is Scatter and m.inputs == 1}
    return dict(sorted(found.items(), key=lambda item: (item[0] != DEFAULT, item[0])))


@dataclass(frozen=True)
class Wanted:
    """The projection that the URL asks for: a method, and whether points are rows or units."""

    method: str
    of: str

    @property
    def params(self) -> dict:
        return {} if self.of == "rows" else {"of": self.of}


def wanted() -> Wanted:
    """Read the URL."""
    known = methods()
    id = state.param("by", DEFAULT, list(known))
    both = "of" in [p.name for p in params_of(known[id].params)]
    return Wanted(id, state.param("of", "rows", ["rows", "units"]) if both else "rows")


def controls(reference: str) -> None:
    """The two choices, side by side in whatever container they are drawn."""
    known = methods()
    st.segmented_control(
        "Projection",
        list(known),
        format_func=str.upper,
        help="\n\n".join(f"**{m.id.upper()}**: {m.summary}" for m in known.values()),
        required=True,
        **state.bound("by", DEFAULT, list(known), resets=("view",)),
    )
    if "of" not in [p.name for p in params_of(known[wanted().method].params)]:
        return
    pooled = state.workspace().activations(reference).layout.is_pooled
    words = {"rows": "Samples" if pooled else "Tokens", "units": "Units"}
    st.segmented_control(
        "Points are",
        list(words),
        format_func=words.get,
        required=True,
        help="Samples (or their tokens) near each other look alike to the network; units near each other "
        "respond to the same samples.",
        **state.bound("of", "rows", list(words), resets=("view", "hide", "focus", "colour")),
    )


def chosen(reference: str) -> Scatter | None:
    """The projection that the URL asks for; a substitute while a job computes it; None when there is none."""
    known, want = methods(), wanted()
    found = result_of(known[want.method], reference, want.params)
    if found is None and want.method != DEFAULT:
        found = result_of(known[DEFAULT], reference, want.params)
        if found is not None:
            st.caption(f"Meanwhile: {DEFAULT.upper()}.")
    return found


def result_of(method: Method, reference: str, params: dict) -> Scatter | None:
    """The kept result, or a new one where that is quick; otherwise a job, with its bar (None meanwhile)."""
    workspace = state.workspace()
    kept = workspace.cached(method.id, [reference], params)
    if kept is not None:
        return kept
    tap = workspace.activations(reference)
    pipeline.validate(method, [tap])
    seconds = pipeline.cost(method.id, [tap.shape], params).seconds
    if not method.worker and seconds < AT_ONCE:
        return workspace.run(method.id, [reference], params)
    return _by_job(method, reference, params, seconds)


def _by_job(method: Method, reference: str, params: dict, seconds: float) -> Scatter | None:
    arguments = {"method": method.id, "inputs": [reference], "params": params, "seed": 0}
    job = jobs.find("method", arguments)
    if job is None or job.state == "done":  # done, and yet not in the cache: it was cleared
        text = f"Compute {method.id.upper()} (about {duration(seconds)}, once; then it is kept)"
        if not st.button(text, icon=":material/play_arrow:", key=f"compute:{method.id}"):
            return None
        jobs.start("method", arguments, f"{method.id.upper()} of {reference}")
        st.rerun()
    with errors.shown():
        jobs.watch(job.id, key=f"map:{method.id}")
    return None
