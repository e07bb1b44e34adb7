"""A sample's tokens under a rule, and under another beside it: the film, what it costs, and the network's answer."""

from __future__ import annotations

import streamlit as st

from dashboard import errors, figures, jobs, state
from dashboard.browse import token_rules as browse
from dashboard.components.explained_sample import draw as sample_chosen
from dashboard.parts import figure_block, figure_cache

PATIENCE = 1.0  # seconds that a page waits before it shows a bar: the first question opens the network
SHOWS = {"tokens": "What is left", "score": "What the rule judged by"}


def draw() -> None:
    """The sample and the settings on the left, films on the right."""
    reference = ":".join(state.current_tap())
    left, right = st.columns([1, 2.4], gap="medium")
    with left, errors.shown():
        sample = sample_chosen()
    path = None
    with right, errors.shown():
        path = _dump(reference, sample)
    if path is None:
        return
    with left, errors.shown():
        names, share, show = _settings(path)
    with right, errors.shown():
        _films(reference, path, sample, names, share, show)


def _dump(reference: str, sample: int) -> str | None:
    """The file of what the network had for this sample; None while it is made."""
    from analysis.tokens.kept_dump import place_of

    workspace = state.workspace()
    path = place_of(workspace.path, workspace.activations(reference).digest, sample)
    if path.exists():
        return str(path)
    found = _asked(
        "token_dump", {"input": reference, "sample": sample}, "Tokens: the network is run", "token dump"
    )
    return None if found is None else str(path)


def _asked(kind: str, work: dict, title: str, key: str) -> dict | None:
    """What a job of the open network found; None while a bar is shown, or where it failed."""
    job = jobs.find(kind, work)
    if job is None or job.state == "interrupted":
        job = jobs.status(jobs.start(kind, work, title, patience=PATIENCE))
    if job.state != "done":
        jobs.watch(job.id, key=key)
        return None
    return job.result


def _settings(path: str) -> tuple[list[str], float, str]:
    """Ids of one rule or two, the share that is left, and what is drawn."""
    titles = browse.titles(path)
    usual = "tome" if "tome" in titles else next(iter(titles))
    first = st.selectbox(
        "Rule", list(titles), format_func=titles.get, **state.bound("rule", usual, list(titles))
    )
    if browse.left_out(path):
        st.caption(browse.left_out(path))
    percent = st.slider(
        "Tokens left in the end (%)", 2, 100, step=1,
        help="Of the tokens that may go; class tokens and the like stay. How the removal is spread over the layers is "
        "the rule's own.",
        **state.bound("left", 50, state.between(2, 100, int)),
    )  # fmt: skip
    others = {browse.NONE: "nothing", **{k: v for k, v in titles.items() if k != first}}
    second = st.selectbox(
        "Beside it", list(others), format_func=others.get, **state.bound("beside", browse.NONE, list(others))
    )
    show = st.segmented_control("Colours", list(SHOWS), format_func=SHOWS.get, required=True,
                                **state.bound("show", "tokens", list(SHOWS)))  # fmt: skip
    rule = browse.rule(first)
    st.caption(f"**{errors.escape(rule.title)}**: {errors.escape(rule.equation)}.")
    for said in (rule.trained, *rule.notes):
        if said:
            st.caption(errors.escape(said))
    return [first, *([second] if second != browse.NONE else [])], percent / 100, show


def _films(reference: str, path: str, sample: int, names: list[str], share: float, show: str) -> None:
    found = []
    note = browse.opened(path).note
    if note:
        st.caption(errors.escape(note))
    for name in names:
        with errors.shown():
            one = browse.shown(path, name, share, sample)
            found.append(one)
            st.markdown(browse.sentence(one))
            _film(one, name, show)
            for note in one.notes:
                st.caption(errors.escape(note))
            answer = _asked(
                "token_run", {"input": reference, "sample": sample, "rule": name, "share": share},
                "Tokens: the network answers", f"token run {name}",
            )  # fmt: skip
            if answer is not None:
                st.markdown(browse.answer_sentence(answer, one.rule.title))
    if found:
        _cost(found, path)
    st.caption(
        "Films are run on what the network had without any removal; the answer is the network's own with the tokens "
        "gone. Up to the first removal both decide alike. A film with its null, to be taken away: *Rules*."
    )


def _film(one, name: str, show: str) -> None:
    theme = state.theme()
    drawn = figure_cache.figure(
        "film", one.film, lambda: figures.on_screen(one.film, theme=theme, show=show, title=False), theme=theme,
        show=show,
    )  # fmt: skip
    st.plotly_chart(drawn, theme=None, key=f"film:{name}", alt=figures.alt_text(one.film),
                    config={"displayModeBar": False})  # fmt: skip


def _cost(found: list, path: str) -> None:
    theme, curve = state.theme(), browse.staircase(found, browse.opened(path))
    drawn = figures.on_screen(curve, theme=theme, height=240)
    st.plotly_chart(
        drawn, theme=None, key="staircase", alt=figures.alt_text(curve), config={"displayModeBar": False}
    )
    figure_block.files(curve, "staircase")
