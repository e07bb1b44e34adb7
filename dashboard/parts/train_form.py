"""Learning a dictionary: the kind, its settings, one set or several, the name, what it will take, and the button."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from analysis.features.asking import refuse_tap
from analysis.features.training_settings import Training
from analysis.installed import need
from analysis.spec import params_of
from dashboard import allowed, errors, forms, jobs, state
from dashboard.browse import training_kinds
from dashboard.browse.training_kinds import CLASSICAL, Kind
from dashboard.parts import training_asked, training_estimate

ONE, MANY = "one set", "several sparsities"
SETTINGS = "t."  # the training settings in the URL
FEW = 3
RESETS = ("p.", "values")


@dataclass(frozen=True)
class Form:
    """What the fields say: `kind`, `params` and `training` that differ from their defaults, `values` as typed."""

    kind: Kind
    reference: str
    params: dict
    training: dict
    seed: int
    name: str
    values: str | None = None
    keep: str = "none"


def draw(store_name: str, tap: str) -> None:
    """The whole form. Nothing starts before what was asked is sound."""
    store = state.workspace().store(store_name)
    rows, width = store.activations(tap).shape
    st.markdown(f"#### Learn features of {errors.escape(tap)}")
    st.caption(
        f"{rows:,} rows × {width:,} units of {errors.escape(store_name)}. Choose another tap in the sidebar."
    )
    refuse_tap(store, tap)
    kind = _kind()
    if kind.group != CLASSICAL:
        need("torch", "Training a dictionary of this kind")
    form = _fields(kind, store, tap)
    work = training_asked.work(form)
    if work is None:
        return
    if kind.group != CLASSICAL:
        training_estimate.draw(form, work, (rows, width))
    label = "Train" if form.values is None else f"Train {len(work['values'])} sets"
    label = "Make it" if kind.group == CLASSICAL else label
    if st.button(
        label,
        type="primary",
        icon=":material/play_arrow:",
        width="stretch",
        key="train",
        **allowed.to("editor"),
    ):
        kind_of_job = "sweep" if form.values is not None else kind.job
        state.set_params(job=jobs.start(kind_of_job, work, f"{label.split()[0]} {form.name}"), called=None)
        st.rerun()


def _kind() -> Kind:
    known = training_kinds.kinds()
    groups = list(dict.fromkeys(kind.group for kind in known.values()))
    if len(groups) > 1:
        asked = known.get(state.param("kind", ""))
        group = st.segmented_control(
            "How", groups, required=True, label_visibility="collapsed",
            **state.tied(
                "group", asked.group if asked else groups[0], lambda name: state.set_params(kind=_first(known, name))
            ),
        )  # fmt: skip
        known = {name: kind for name, kind in known.items() if kind.group == group}
    names = list(known)
    chosen = st.selectbox(
        "Kind of dictionary", names, format_func=lambda name: known[name].title,
        **state.bound("kind", names[0], names, resets=RESETS),
    )  # fmt: skip
    kind = known[chosen]
    st.markdown(errors.escape(kind.summary.rstrip(".") + "."))
    if kind.words:
        st.caption(errors.escape(kind.words.rstrip(".") + "."))
    with st.expander("Equation, and what is known of it"):
        st.code(kind.equation, language=None, wrap_lines=True)
        for paper in kind.papers:
            st.caption(errors.escape(paper))
    return kind


def _first(known: dict[str, Kind], group: str) -> str:
    return next(name for name, kind in known.items() if kind.group == group)


def _fields(kind: Kind, store, tap: str) -> Form:
    values, keep = None, "none"
    if kind.sparsity:
        how = st.segmented_control(
            "How many", [ONE, MANY], format_func=str.capitalize, required=True,
            help="Several: one set for each value, so that what sparsity costs can be seen.",
            **state.bound("many", ONE, [ONE, MANY], resets=("values",)),
        )  # fmt: skip
        if how == MANY:
            values, keep = _values(kind)
    without = [kind.beside] if kind.beside else []
    without += [kind.sparsity] if values is not None else []
    columns = sorted(store.activations(tap).samples)
    params = forms.draw(kind.params, columns, without=without)
    if kind.beside:
        params |= {kind.beside: _beside(kind, store, tap)}
    if kind.live:
        st.caption(
            "The network itself is run at every step, from the files that the store was recorded from."
        )
    training = {}
    if kind.group != CLASSICAL:
        st.markdown("**Training**")
        training = forms.draw(Training, few=FEW, prefix=SETTINGS)
    left, right = st.columns([2, 1])
    free = training_asked.free_name(f"{kind.name} {tap}")
    name = left.text_input("Name", max_chars=90, **state.bound("called", free)).strip()
    seed = right.number_input(
        "Seed", min_value=0, max_value=2**31 - 1, value="min", step=1,
        help="Of the first weights, the held-out samples and the order of the rows. Another seed shows what depends on "
        "chance.", **state.bound("seed", 0, state.between(0, 2**31 - 1, int)),
    )  # fmt: skip
    return Form(kind, f"{store.path.name}:{tap}", params, training, int(seed or 0), name, values, keep)


def _values(kind: Kind) -> tuple[str, str]:
    left, right = st.columns(2, vertical_alignment="bottom")
    word = {"k": "Values of k"}.get(kind.sparsity, f"Values of {kind.sparsity.replace('_', ' ')}")
    usual = "4, 8, 16, 32" if kind.sparsity == "k" else "0.01, 0.03, 0.1"
    typed = left.text_input(
        word, max_chars=300, help="Numbers with commas between them; one set is trained for each.",
        **state.bound("values", usual),
    )  # fmt: skip
    keeps = {"none": "choose afterwards", "front": "those none beats", "all": "all"}
    keep = right.selectbox(
        "Keep", list(keeps), format_func=keeps.get, **state.bound("keep", "none", list(keeps))
    )
    return typed, keep


def _beside(kind: Kind, store, tap: str) -> str:
    """The second tap that a kind reads: one with the same rows."""
    rows = store.activations(tap).shape[0]
    fitting = [name for name in store.recorded if name != tap and store.activations(name).shape[0] == rows]
    if not fitting:
        st.warning("No other tap of this store has the same rows.", icon=":material/warning:")
        return ""
    label = kind.beside.replace("_", " ").capitalize()
    asked = next(p for p in params_of(kind.params) if p.name == kind.beside)
    tie = state.bound(f"p.{kind.beside}", fitting[-1], fitting)
    return st.selectbox(label, fitting, help=f"{asked.help.rstrip('.')}.", **tie)
