"""A result where it is wanted: taken from the cache, computed now, or offered as a job with its bar."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st

from analysis import access, pipeline, registry
from analysis.results import Result
from analysis.spec import Cost, params_of
from dashboard import allowed, errors, jobs, state
from dashboard.browse.kept import OneByOne
from dashboard.words import about

AT_ONCE = 3.0  # seconds of computing that a page waits for
STARTS = 20.0  # seconds of work that a switch may start without asking again
_computing = OneByOne()


def kept(method: str, references: Sequence[str], params: Mapping, *, seed: int = 0) -> Result | None:
    """The result when somebody has computed it already."""
    return state.workspace().cached(method, list(references), dict(params), seed=seed)


def cost_of(method: str, references: Sequence[str], params: Mapping) -> Cost:
    """What a run would take on this machine. Raises LoupeError where the method cannot take these taps."""
    taps = [state.workspace().activations(reference) for reference in references]
    pipeline.validate(registry.method(method), taps)
    return state.workspace().cost(method, references, dict(params))


def _by_itself(method: str, references: Sequence[str], params: Mapping) -> float:
    """Seconds as the method tells them: a network that was quick last time is still opened by a worker, not here."""
    shapes = [state.workspace().activations(reference).shape for reference in references]
    return pipeline.cost(method, shapes, dict(params)).seconds


def understood(method: str, asked: Mapping) -> dict:
    """Those of the wanted parameters that a method has and that differ from its defaults."""
    known = {p.name: p for p in params_of(registry.method(method).params)}
    fits = {n: v for n, v in asked.items() if n in known and (not known[n].choices or v in known[n].choices)}
    return {name: value for name, value in fits.items() if value != known[name].default}


def result(
    method: str,
    references: Sequence[str],
    params: Mapping,
    *,
    ask: str,
    title: str,
    key: str,
    seed: int = 0,
    at_once: float = 0.0,
    patience: float = 0.0,
    starts: bool = False,
    starts_below: float = 0.0,
) -> Result | None:
    """The kept result, or one computed now where that takes less than `at_once` seconds; otherwise a button
    (`ask`, with the time it will take), then the job's bar (None meanwhile).

    `patience`: seconds that a click waits before it shows a bar. `starts`: the click has happened elsewhere;
    `starts_below`: it has, where the work takes less than this many seconds.
    Raises LoupeError where the method cannot take these taps.
    """
    references, params = list(references), dict(params)
    found = kept(method, references, params, seed=seed)
    if found is not None:
        return found
    seconds = cost_of(method, references, params).seconds
    if not registry.method(method).worker and max(seconds, _by_itself(method, references, params)) < at_once:
        workspace = state.workspace()
        with st.spinner("Computing"), _computing.turn(workspace.key(method, references, params, seed=seed)):
            return workspace.run(
                method, references, params, seed=seed
            )  # what another page computed meanwhile is found
    starts = (starts or seconds < starts_below) and access.may("editor")
    work = {"method": method, "inputs": references, "params": params, "seed": seed}
    job = jobs.find("method", work)
    if job is None or job.state == "done":  # done, and yet not in the cache: it was cleared
        text, help = (
            f"{ask} ({about(seconds)})",
            "Computed once and kept: whoever asks again is shown at once.",
        )
        if not (
            starts
            or st.button(
                text, icon=":material/play_arrow:", key=f"ask:{key}", **allowed.to("editor", help=help)
            )
        ):
            return None
        jobs.start("method", work, title, patience=patience)
        if not starts:
            st.rerun()
        return _after_start(work, key)
    with errors.shown():
        jobs.watch(job.id, key=key)
    return None


def _after_start(work: dict, key: str) -> Result | None:
    job = jobs.find("method", work)
    if job is not None and job.state != "done":
        jobs.watch(job.id, key=key)
        return None
    return kept(work["method"], work["inputs"], work["params"], seed=work["seed"])
