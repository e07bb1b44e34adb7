"""The taps of a method that takes several, in their order: the URL's `with`, and boxes to change it."""

from __future__ import annotations

import streamlit as st

from analysis.spec import Method
from dashboard import errors, state
from dashboard.browse import comparable, first_taps, projections
from dashboard.browse.feature_sets import recorded_among, source_of
from dashboard.parts import tap_picker
from dashboard.words import count

MOST = 6  # taps of other networks to begin with
CAN_BE_CHOSEN = {
    "rows": "Only taps with the same rows of the same samples can be chosen.",
    "nothing": "Any tap.",
    "samples": "Taps of any network that was recorded on some of the same samples; these are matched by id.",
}


def inputs(method: Method, reference: str) -> list[str]:
    """The taps that a method is given: the sidebar's, or for several those in the URL."""
    if method.inputs == 1 and not method.more_inputs:
        return [reference]
    fitting = fitting_taps(method, reference)
    usual = _usual(method, reference, fitting)
    chosen = state.param("with", usual, fitting)
    most = method.most_inputs or (len(chosen) if method.more_inputs else method.inputs)
    return chosen if method.inputs <= len(chosen) <= most else usual


def draw(method: Method, reference: str, chosen: list[str], *, resets: tuple[str, ...] = ()) -> None:
    """The boxes: one to add and remove taps, and the usual choices with one click."""
    fitting = fitting_taps(method, reference)
    usual = _usual(method, reference, fitting)
    own = f"{reference.partition(':')[0]}:"
    alone = all(r.startswith(own) for r in chosen)
    change = {"usual": usual, "fewest": method.inputs, "resets": resets}
    st.multiselect(
        "Taps, in order",
        fitting,
        format_func=lambda r: r.removeprefix(own) if alone and r.startswith(own) else tap_picker.shown(r),
        placeholder="Add a tap",
        max_selections=method.most_inputs if method.more_inputs else method.inputs,
        help=_help(method),
        **state.tied("with", chosen, lambda picked: _choose(picked, **change)),
    )
    if method.roles:
        st.caption(f"In this order: {', '.join(map(errors.escape, method.roles))}.")
    elsewhere = projections.same_tap_elsewhere(reference, fitting)
    series = projections.same_tap_in_series(reference, fitting)
    st.caption(count(len(chosen), "tap") + f" of {len(fitting)} that can be chosen.")
    with st.container(horizontal=True):
        st.button(
            _begun(method, reference, usual), on_click=_choose, args=(usual,), kwargs=change, key="layers"
        )
        if max(2, method.inputs) <= len(series) < len(elsewhere):
            ends = " to ".join(r.partition(":")[0] for r in (series[0], series[-1]))
            st.button(
                f"This tap in its series of {len(series)}", on_click=_choose, args=(series,), kwargs=change,
                key="series", help=f"{errors.escape(ends)}: stores whose names differ in one number, in its order.",
            )  # fmt: skip
        if len(elsewhere) >= max(2, method.inputs):
            st.button(
                "This tap in other stores", on_click=_choose, args=(elsewhere,), kwargs=change, key="elsewhere",
                help="Other checkpoints or seeds that were recorded on the same samples.",
            )  # fmt: skip


def _begun(method: Method, reference: str, usual: list[str]) -> str:
    """What the usual choice is, in words."""
    if usual == [reference]:
        return "This tap alone"
    store, _, tap = reference.partition(":")
    if method.begins in (first_taps.TWO, first_taps.SAME) and usual[-1].partition(":")[0] != store:
        return "Layers of two networks"
    if method.begins == first_taps.OUTPUTS and projections.is_output(usual[-1]):
        return "Layers, then the answer"
    if method.others == "networks" and not all(r.startswith(f"{store}:") for r in usual):
        return "Other networks"
    alike = method.others in ("dictionaries", "networks") and usual[0] == reference
    if alike and tap not in state.workspace().store(store).recorded:
        return "Dictionaries of its tap"
    return "Layers of this store"


def _help(method: Method) -> str:
    few = f"At least {method.inputs}" + (f", at most {method.most_inputs}. " if method.most_inputs else ". ")
    return (
        few
        + CAN_BE_CHOSEN[method.matches]
        + (" As many units as the tap in the sidebar." * method.same_units)
    )


def fitting_taps(method: Method, reference: str) -> list[str]:
    """The taps that a method of several can take beside this one."""
    known = state.tap_references()
    if method.matches != "nothing":
        choose = projections.alike if method.matches == "rows" else comparable.comparable
        known = choose(state.workspace(), reference, known)
    return comparable.as_wide(state.workspace(), reference, known) if method.same_units else known


def too_few(method: Method, reference: str, chosen: list[str]) -> None:
    """Says what is missing, and offers a network that has it."""
    other = f" with {state.workspace().activations(reference).shape[1]:,} units" if method.same_units else ""
    fitting = fitting_taps(method, reference)
    if len(fitting) >= method.inputs > len(chosen):
        st.info(
            f"This question needs {method.inputs} taps or more{other}: add some on the left.",
            icon=":material/info:",
        )
        return
    st.info(
        f"This question needs {method.inputs} taps{other}, of the same samples; there "
        f"{'is' if len(fitting) == 1 else 'are'} {len(fitting)}.",
        icon=":material/info:",
    )
    better = comparable.with_enough(
        state.workspace(), state.tap_references(), method.inputs, method.same_units
    )
    if better:
        st.button(
            f"Ask it of {tap_picker.shown(better)}", icon=":material/arrow_forward:", key="ask elsewhere",
            on_click=lambda: state.set_params(tap=better),
        )  # fmt: skip


def too_few_checkpoints(method: Method, references: list[str], params: dict) -> bool:
    """Whether a question about several checkpoints is asked of fewer; if so it is said which it needs."""
    if not method.checkpoints or params.get("table") or len(_one_of_each(references)) >= method.inputs:
        return False
    needs = (
        "the weights before training and after it"
        if method.inputs == 2
        else (
            f"the weights that training began with, and {method.inputs - 1} or more networks trained on from them"
        )
    )
    st.info(
        f"This question needs {needs}: {method.inputs} checkpoints of one network, recorded on the same samples as "
        f"stores of their own. Chosen {'is' if len(_one_of_each(references)) == 1 else 'are'} "
        f"{count(len(_one_of_each(references)), 'checkpoint')}. "
        f"[Record another one]({state.link('workspace', show='record')}), or choose taps of other stores on the left.",
        icon=":material/info:",
    )  # fmt: skip
    return True


def _one_of_each(references: list[str]) -> list[str]:
    """The first tap of each checkpoint; stores that know none count as one each."""
    found = {}
    for reference in references:
        store = reference.partition(":")[0]
        known = (state.workspace().store(store).manifest.get("checkpoint") or {}).get("digest")
        found.setdefault(known or store, reference)
    return list(found.values())


def _usual(method: Method, reference: str, fitting: list[str]) -> list[str]:
    """Of a recorded tap the recorded layers; of an encoded one the tap that it came from, and itself, or itself and the
    others that the method asks for. Where it asks for other networks, of either the same tap there."""
    store, _, tap = reference.partition(":")
    if tap in state.workspace().store(store).recorded and (
        begun := first_taps.first_taps(state.workspace(), method.begins, reference, fitting)
    ):
        return begun
    series = _one_of_each(projections.same_tap_in_series(reference, fitting))
    if method.checkpoints and method.more_inputs and len(series) >= max(method.inputs, 2):
        return series[: method.most_inputs]
    elsewhere = _one_of_each(projections.same_tap_elsewhere(reference, fitting))
    if method.checkpoints and len(elsewhere) >= method.inputs:
        return elsewhere
    opened = state.workspace().store(store)
    if method.others == "networks" and (found := _networks(reference, fitting)):
        return [reference, *found]
    if tap in opened.recorded:
        kept = recorded_among(state.workspace(), fitting)
        return projections.usual_inputs(method, reference, kept if len(kept) >= method.inputs else fitting)
    others = _others(method, reference, fitting)
    if others or method.others == "nothing":
        return [reference, *others]
    both = [f"{store}:{source_of(opened, tap)}", reference]
    enough = method.inputs <= 2 and all(r in fitting for r in both)
    return both if enough else projections.usual_inputs(method, reference, fitting)


def _others(method: Method, reference: str, fitting: list[str]) -> list[str]:
    """Taps of the same store that go with an encoded one; layers up to the one that it came from."""
    store, _, tap = reference.partition(":")
    opened = state.workspace().store(store)
    source, own = source_of(opened, tap), [r.partition(":")[2] for r in fitting if r.startswith(f"{store}:")]
    if method.others in ("dictionaries", "networks"):
        alike = (t for t in own if t != tap and t not in opened.recorded and source_of(opened, t) == source)
        return [f"{store}:{t}" for t in alike]
    if method.others == "layers" and source in own:
        upto = [t for t in own[: own.index(source) + 1] if t in opened.recorded]
        return [f"{store}:{t}" for t in upto if not projections.is_output(f"{store}:{t}")]
    return []


def _networks(reference: str, fitting: list[str]) -> list[str]:
    """In other stores, but for those of the same checkpoint, the encoded taps of the one that it came from, else that
    tap."""
    workspace, (store, _, tap) = state.workspace(), reference.partition(":")
    own, found = workspace.store(store), {}
    source, network = source_of(own, tap), _network(own)
    for other, _, name in (r.partition(":") for r in fitting):
        opened = workspace.store(other)
        apart = other != store and (network is None or _network(opened) != network)
        if apart and source_of(opened, name) == source:
            found.setdefault(other, []).append(f"{other}:{name}")
    plain = {f"{other}:{source}" for other in found}
    return [r for taps in found.values() for r in ([t for t in taps if t not in plain] or taps)][:MOST]


def _network(store) -> str | None:
    return (store.manifest.get("checkpoint") or {}).get("digest")


def _choose(picked: list[str], *, usual: list[str], fewest: int, resets: tuple[str, ...]) -> None:
    for name in resets:
        state.clear_params(name)
    state.set_params(**{"with": None if picked == usual or len(picked) < fewest else picked})
