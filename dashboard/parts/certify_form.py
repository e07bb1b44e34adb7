"""Which other dictionaries and networks a certificate is made with, what it will take, and the button."""

from __future__ import annotations

import streamlit as st

from analysis import certificates, pipeline
from analysis.certificates import questions
from dashboard import allowed, errors, jobs, state
from dashboard.browse.feature_sets import encoded_taps, source_of
from dashboard.parts import outcome, tap_picker
from dashboard.words import about

SEEDS_HELP = (
    "Dictionaries of the same activations, such as the same training from another seed: a feature that they have as "
    "well does not owe itself to the seed. Encode this tap with another set to have one."
)
NETWORKS_HELP = (
    "Taps of other networks that were recorded on the same samples, encoded or not: a feature that they have as well "
    "is no accident of this network."
)


def draw(reference: str) -> None:
    """Two choices, a line of cost, the button."""
    workspace = state.workspace()
    seeds, networks = _offered(reference)
    likely = certificates.likely_others(workspace, reference)
    chosen = st.multiselect(
        "Other seeds", seeds, format_func=tap_picker.shown, help=SEEDS_HELP, placeholder="none: not asked",
        **state.bound("seeds", [r for r in likely[0] if r in seeds], seeds),
    )  # fmt: skip
    elsewhere = st.multiselect(
        "Other networks", networks, format_func=tap_picker.shown, help=NETWORKS_HELP, placeholder="none: not asked",
        **state.bound("networks", [r for r in likely[1] if r in networks], networks),
    )  # fmt: skip
    takes = about(seconds(workspace, reference, chosen, elsewhere))
    st.caption(
        f"Five tests of each feature and what its card shows: {takes} in all. What was computed before is taken as "
        "it is."
    )
    if st.button(
        "Certify", type="primary", icon=":material/verified:", width="stretch", **allowed.to("editor")
    ):
        work = {"input": reference, "seeds": list(chosen), "networks": list(elsewhere)}
        state.set_params(job=jobs.start("certify", work, f"Certify {reference}", patience=1.0))
        st.rerun()


def _offered(reference: str) -> tuple[list[str], list[str]]:
    """Encoded taps of the same activations; all taps of other stores, encoded ones first."""
    name, _, tap = reference.partition(":")
    workspace = state.workspace()
    of = source_of(workspace.store(name), tap)
    encoded = encoded_taps(workspace)
    seeds = [e.reference for e in encoded if (e.store, e.of) == (name, of) and e.reference != reference]
    first = [e.reference for e in encoded if e.store != name]
    rest = [r for r in state.tap_references() if r.partition(":")[0] != name and r not in first]
    return seeds, first + [r for r in rest if not r.partition(":")[2].startswith("outputs.")]


def seconds(workspace, reference: str, seeds: list[str], networks: list[str]) -> float:
    """Of all that a certificate runs, what only the cards show among it."""
    name, _, tap = reference.partition(":")
    wanted = questions.asked(workspace.store(name), tap, reference, seeds, networks)
    return sum(
        pipeline.cost(q.method, [workspace.activations(r).shape for r in taps]).seconds
        for q, taps, reason in wanted
        if not reason
    )


def done(result: dict) -> None:
    """The certificate is there."""
    said = errors.escape(tap_picker.shown(str(result.get("tap", ""))))
    st.success(f"**{said}** is certified.", icon=":material/check_circle:")


def progress() -> None:
    """The bar of the work under way, why it failed, or that it is done."""
    outcome.draw("certify", done)
