"""Names by a language model: who would be asked, what would be sent word for word, the button, and what came back."""

from __future__ import annotations

import json

import numpy as np
import streamlit as st

from analysis.naming.preview import REQUESTS, Preview, preview
from analysis.naming.proposals import Proposal, Proposals
from analysis.naming.settings import Settings, configured
from dashboard import allowed, errors, jobs, state
from dashboard.browse import naming
from dashboard.browse.feature_list import Tap
from dashboard.browse.kept import Kept
from dashboard.browse.unit import Unit
from dashboard.parts import outcome
from dashboard.words import count

TITLE, ICON = "Ask a language model for a name", ":material/forum:"
OFF = (
    "None is configured, and nothing is sent anywhere. To use one, set `LOUPE_NAMER_URL` and `LOUPE_NAMER_MODEL` "
    "before the start: *docs/language_model.md*."
)
MOST, AT_FIRST = 200, 20
_previews = Kept(32)


def of_feature(unit: Unit) -> None:
    """On a card: the name that a model proposed, and how to ask for one."""
    if unit.is_dead:
        return
    found = naming.proposed(state.workspace(), unit.reference).get(unit.number)
    if found is not None:
        _proposal(unit, found)
    box = st.expander("Ask again" if found else TITLE, icon=ICON, **state.bound("model", False))
    if not box.open:
        return
    with box, errors.shown():
        settings = configured()
        if settings is None:
            st.caption(OFF)
            return
        seen = _preview(unit.store, unit.reference, unit.number)
        _who(settings, f"{count(seen.requests, 'request')}", seen.told)
        _texts(settings, seen)
        if st.button(
            f"Send it to {errors.escape(settings.host)}",
            icon=":material/send:",
            key="ask model",
            **allowed.to("editor"),
        ):
            _start(settings, unit.reference, [unit.number], f"Name of {unit.word} {unit.name}")
        outcome.draw("name_features", lambda result: _answered(result, unit, found))


def of_list(tap: Tap, reference: str, units: np.ndarray) -> None:
    """Above a list: the same for the first of its features, as it is filtered and ordered."""
    box = st.expander("Ask a language model for names", icon=ICON, **state.bound("model", False))
    if not box.open:
        return
    with box, errors.shown():
        settings = configured()
        if settings is None:
            st.caption(OFF)
            return
        chosen = _chosen(tap, reference, units)
        if len(chosen):
            _ask_for(settings, reference, [int(j) for j in chosen], tap.word)
        outcome.draw("name_features", lambda result: _ended(result, reference, tap.word))


def _chosen(tap: Tap, reference: str, units: np.ndarray) -> np.ndarray:
    """The first of the list that are not dead, without those that have such a name already."""
    alive = units[~tap.kinds["dead"][units]]
    known = naming.proposed(state.workspace(), reference)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        most = min(MOST, max(len(alive), 1))
        bound = state.bound("many", min(AT_FIRST, most), state.between(1, most, int))
        many = st.number_input("How many, from the top of the list", 1, most, step=1, width=260, **bound)
        again = st.toggle(f"Also {tap.word}s that have such a name", **state.bound("again", False))
    if not again:
        alive = alive[[int(j) not in known for j in alive]] if len(alive) else alive
    if not len(alive):
        st.caption(f"Every {tap.word} of this list has such a name, or is dead.")
    return alive[: int(many)]


def _ask_for(settings: Settings, reference: str, chosen: list[int], word: str) -> None:
    store, _, tap = reference.partition(":")
    names = ", ".join(map(str, chosen[:12])) + (", …" if len(chosen) > 12 else "")
    one = st.selectbox(
        f"Show what is sent for {word}", chosen, key="model shown", width=260,
        help=f"Of each {word} its own examples are sent, with the same words around them.",
    )  # fmt: skip
    seen = _preview(state.workspace().store(store), reference, int(one))
    asked = f"{count(len(chosen), word)} ({names}), up to {count(REQUESTS * len(chosen), 'request')}"
    asked += "; each name is kept as it comes, so that you can cancel"
    _who(settings, asked, seen.told)
    _texts(settings, seen)
    label = f"Send it for {count(len(chosen), word)} to {errors.escape(settings.host)}"
    if st.button(label, icon=":material/send:", key="ask model for list", **allowed.to("editor")):
        _start(settings, reference, chosen, f"Names of {count(len(chosen), word)} of {tap}")


def _start(settings: Settings, reference: str, features: list[int], title: str) -> None:
    work = {"input": reference, "features": features, "shown": settings.where}
    state.set_params(job=jobs.start("name_features", work, title, patience=1.0))
    st.rerun()


def _who(settings: Settings, asked: str, told: str) -> None:
    """Where it goes, how much, and what of the data."""
    to = f"**{errors.escape(settings.host)}** (`{settings.where.replace('`', '%60')}`)"
    to = f"**{errors.escape(settings.where)}**" if settings.command else to
    way = f" by way of the proxy {settings.proxy_host}" if settings.proxy_host else ""
    st.markdown(
        f"Sends the texts below{' and your key' if settings.key else ''} to {to}{errors.escape(way)}, model "
        f"**{errors.escape(settings.model)}**: {errors.escape(asked)}. Of the data they hold {errors.escape(told)}. "
        "Nothing is sent before you press the button."
    )
    if settings.is_open:
        said = "The address begins with http: others on the way can read what is sent, the key as well."
        st.warning(said, icon=":material/lock_open:")


def _texts(settings: Settings, seen: Preview) -> None:
    """Word for word. As code, so that nothing in it is taken for layout."""
    told = {"model": settings.model} if settings.command else settings.fields
    fields = json.dumps(told, ensure_ascii=False)
    for title, messages in (("For a name", seen.name), ("To judge the name by examples held out", seen.fit)):
        st.caption(
            title
            if messages
            else f"{title}: not asked, {errors.escape(seen.few)}. The name will not be scored."
        )
        if messages:
            text = "\n\n".join(f"{role}:\n{said}" for role, said in messages)
            with st.container(height=300):  # the copy button inside what scrolls: keys scroll it too
                st.code(f"{fields}\n\n{text}", language=None, wrap_lines=True)


def _preview(store, reference: str, number: int) -> Preview:
    tap = reference.partition(":")[2]
    return _previews.get(
        (store.activations(tap).digest, reference, number), lambda: preview(store, tap, number)
    )


def _proposal(unit: Unit, found: Proposal) -> None:
    store, _, tap = unit.reference.partition(":")
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(errors.escape(naming.proposal_sentence(found)), width="content")
        said = f"Asked {found.asked} on {found.made[:10]}. A note of your own, below, is shown in its place."
        if st.button(
            "Forget",
            icon=":material/close:",
            key="forget name",
            type="tertiary",
            **allowed.to("editor", help=errors.escape(said)),
        ):
            Proposals(state.workspace().path).forget(store, tap, unit.number)
            st.rerun()


def _answered(result: dict, unit: Unit, found: Proposal | None) -> None:
    """Where the button is, as the sentence with the score may be out of sight; of this feature only."""
    if found is not None and (result.get("input"), result.get("named")) == (unit.reference, [unit.number]):
        st.success(
            f"“{errors.escape(found.name)}”, with its score at the top of the card.",
            icon=":material/check_circle:",
        )


def _ended(result: dict, reference: str, word: str) -> None:
    """How many names came, and which features have none."""
    if result.get("input") != reference:
        return
    named, scored, beyond = len(result["named"]), result["scored"], result["beyond"]
    st.success(
        f"{count(named, 'name')}: {beyond} beyond chance on held-out examples, {scored - beyond} not, "
        f"{named - scored} not scored. By chance 1 in 20 seems beyond it.", icon=":material/check_circle:",
    )  # fmt: skip
    for number, why in list(result["without"].items())[:5]:
        st.caption(errors.escape(f"{word.capitalize()} {number} has none: {why}"))
