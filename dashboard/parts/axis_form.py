"""Choosing the axis of a method: made of the attribute, or two samples, a unit, a component, a probe, a feature,
weights."""

from __future__ import annotations

import streamlit as st

from analysis.spec import Method
from dashboard import errors, state
from dashboard.browse import axis_choice as axes
from dashboard.forms import PREFIX
from dashboard.parts import tap_picker

INSTEAD = "The axis of the attribute is shown instead."
MOST_LISTED = 3000  # samples in a list; in a larger store their id is typed
HELP = (
    "Made of the attribute, the axis is fitted on samples. Given, it is taken as it is, and the attribute only judges "
    "it. Probes from elsewhere can be imported on the Workspace page as a store: one row for each direction, one "
    "column for each unit."
)
PICK = "Type to search. On the Map, click a sample and press “Start an axis here”, then click another one."


def draw(method: Method, reference: str) -> dict[str, str]:
    """The kind of axis and what it needs; the parameters of the axis that was chosen."""
    kinds = list(axes.KINDS)
    several = axes.adds_axes(method)
    named = axes.kind_of(state.params(PREFIX))
    kind = st.selectbox(
        "One more axis" if several else "The axis comes from", kinds,
        format_func=lambda k: "none" if several and not k else axes.KINDS[k], help=HELP,
        **state.tied("axis kind", named or state.param("axis", "", kinds), _choose),
    )  # fmt: skip
    if not kind:
        return {}
    return _DRAWN[kind](reference)


def _choose(kind: str) -> None:
    state.set_params(axis=kind or None, **{PREFIX + name: None for name in axes.PARAMETERS})


def _samples(reference: str) -> dict[str, str]:
    store = state.workspace().store(reference.partition(":")[0])
    begin = axes.first_two(store)
    left, right = st.columns(2)
    found = {}
    for cell, name, word, default in ((left, "low", "From", begin[0]), (right, "high", "To", begin[1])):
        with cell:
            found[name] = _sample(store, PREFIX + name, word, default)
    st.button("Swap", icon=":material/swap_horiz:", on_click=_swap, args=(found["low"], found["high"]))
    if found["low"] == found["high"]:
        st.caption(":orange[Both are the same sample: there is no way from it to itself.]")
    return found


def _swap(low: str, high: str) -> None:
    state.set_params(**{PREFIX + "low": high, PREFIX + "high": low})


def _sample(store, name: str, word: str, default: str) -> str:
    """A box with every sample, or a field for an id; the sample's picture or text below."""
    given = state.param(name, default)
    known = axes.place_of(store, given) is not None
    given = given if known else default
    tie = state.tied(f"axis {name}", given, lambda id: state.set_params(**{name: str(id).strip()}))
    if store.n_samples <= MOST_LISTED:
        words = {str(id): axes.sample_words(store, i) for i, id in enumerate(store.samples["id"])}
        given = st.selectbox(word, list(words), format_func=words.get, help=PICK, **tie)
    else:
        given = st.text_input(f"{word} (id of a sample)", max_chars=200, help=PICK, **tie)
    place = axes.place_of(store, given)
    if place is None:
        st.caption(f"No sample has the id {errors.escape(given)}.")
        return given
    _look(store, place)
    return given


def _look(store, place: int) -> None:
    """What the sample is: its picture, or the beginning of its text."""
    picture, tokens = store.thumbnail(place), store.tokens(place)
    if picture is not None:
        st.image(picture, width=72, alt="The sample")
    elif tokens:
        st.code("".join(tokens[:40]), language=None, wrap_lines=True)


def _unit(reference: str) -> dict[str, str]:
    names = state.workspace().activations(reference).unit_names
    given = state.param(PREFIX + "direction", "unit:0").partition(":")[2]
    chosen = int(given) if given.isdecimal() and int(given) < len(names) else 0
    number = st.number_input(
        "Unit", min_value=0, max_value=len(names) - 1, value="min", step=1, help="By its number, from 0.",
        **state.tied("axis unit", chosen, lambda v: _write(f"unit:{v or 0}")),
    )  # fmt: skip
    return {"direction": given_text("unit", given) or f"unit:{number}"}


def given_text(kind: str, rest: str) -> str:
    """What a link said where it is more than this form can show ("unit:12-40", a name)."""
    return f"{kind}:{rest}" if rest and not rest.isdecimal() else ""


def _component(reference: str) -> dict[str, str]:
    n, d = state.workspace().activations(reference).shape
    given = state.param(PREFIX + "direction", "pc:1").partition(":")[2]
    number = st.number_input(
        "Principal axis", min_value=1, max_value=max(1, min(n - 1, d)), value="min", step=1,
        help="Counted from 1, the one with the most variance.",
        **state.tied(
            "axis pc", int(given) if given.isdecimal() and 1 <= int(given) <= min(n - 1, d) else 1,
            lambda v: _write(f"pc:{v or 1}"),
        ),
    )  # fmt: skip
    return {"direction": f"pc:{number}"}


def _probe(reference: str) -> dict[str, str]:
    known = axes.probed(state.workspace().activations(reference))
    if not known:
        st.caption("No column of the samples is a number or has classes.")
        return {}
    given = state.param(PREFIX + "direction", "").partition(":")[2]
    chosen = given if given in known else known[0]
    text = st.selectbox(
        "What it reads", known, format_func=lambda t: t.replace("=", " = "),
        help="A linear probe (ridge) of a number, of two classes, or of one class against the others.",
        **state.tied("axis probe", chosen, lambda t: _write(f"probe:{t}")),
    )  # fmt: skip
    return {"direction": f"probe:{text}"}


def _weights(reference: str) -> dict[str, str]:
    found, why = axes.layers(state.workspace().activations(reference))
    if not found:
        st.caption(f"{errors.escape(why)} {INSTEAD}")
        return {}
    given = state.param(PREFIX + "direction", "")
    layer = next((one for one in found if given.startswith(one.text(0).partition(":0:")[0] + ":")
                  and given.endswith("asks" if one.asks else "adds")), found[0])  # fmt: skip
    layer = st.selectbox(
        "Layer", found, format_func=lambda one: one.words, index=None,
        **state.tied("axis layer", layer, lambda one: _write(one.text(0))),
    )  # fmt: skip
    parts = given.split(":")
    number = (
        int(parts[-2]) if len(parts) > 3 and parts[-2].isdecimal() and int(parts[-2]) < layer.count else 0
    )
    number = st.number_input(
        "Which of them", min_value=0, max_value=layer.count - 1, value="min", step=1,
        help="A class of the head, a latent of an autoencoder: by its number, from 0.",
        **state.tied("axis row of weights", number, lambda v: _write(layer.text(v or 0))),
    )  # fmt: skip
    return {"direction": layer.text(number)}


def _feature(reference: str) -> dict[str, str]:
    workspace = state.workspace()
    known = axes.fitting_sets(workspace, reference)
    if not known:
        d = workspace.activations(reference).shape[1]
        st.caption(
            f"No feature set has directions in {d:,} units; one is made or imported on Feature sets. {INSTEAD}"
        )
        return {}
    given = state.param(PREFIX + "direction", "").removeprefix("feature:")
    name, _, number = given.rpartition(":")
    name = st.selectbox(
        "Feature set", list(known), format_func=lambda n: f"{n} ({known[n]:,} features)",
        **state.tied("axis set", name if name in known else next(iter(known)), lambda n: _write(f"feature:{n}:0")),
    )  # fmt: skip
    number = st.number_input(
        "Feature", min_value=0, max_value=known[name] - 1, value="min", step=1, help="By its number, from 0.",
        **state.tied(
            "axis feature", int(number) if number.isdecimal() and int(number) < known[name] else 0,
            lambda v: _write(f"feature:{name}:{v or 0}"),
        ),
    )  # fmt: skip
    if words := axes.feature_words(workspace, reference, name, int(number)):
        st.caption(errors.escape(words))
    vector = axes.packed_feature(workspace, reference, name, int(number))
    return {"direction": f"feature:{name}:{number}", "vector": vector}


def _row(reference: str) -> dict[str, str]:
    workspace = state.workspace()
    known = axes.row_taps(workspace, reference, state.tap_references())
    if not known:
        d = workspace.activations(reference).shape[1]
        st.caption(f"No other store has {d:,} units. {HELP.split('. ')[-1]} {INSTEAD}")
        return {}
    given = state.param(PREFIX + "direction", "").removeprefix("row:")
    tap, _, number = given.rpartition(":")
    tap = st.selectbox(
        "Store and tap", known, format_func=tap_picker.shown,
        **state.tied("axis store", tap if tap in known else known[0], lambda r: _write(f"row:{r}:0")),
    )  # fmt: skip
    rows = workspace.activations(tap).shape[0]
    number = st.number_input(
        "Row", min_value=0, max_value=rows - 1, value="min", step=1, help="The latent, by its number, from 0.",
        **state.tied(
            "axis row", int(number) if number.isdecimal() and int(number) < rows else 0,
            lambda v: _write(f"row:{tap}:{v or 0}"),
        ),
    )  # fmt: skip
    return {"direction": f"row:{tap}:{number}", "vector": axes.packed_row(workspace, tap, int(number))}


def _write(text: str) -> None:
    state.set_params(**{PREFIX + "direction": text})


_DRAWN = {
    axes.SAMPLES: _samples, axes.UNIT: _unit, axes.COMPONENT: _component, axes.PROBE: _probe, axes.WEIGHTS: _weights,
    axes.FEATURE: _feature, axes.ROW: _row,
}  # fmt: skip
