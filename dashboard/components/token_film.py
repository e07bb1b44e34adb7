"""A sample's tokens under a rule, and under another beside it: the film, what it costs, and the network's answer."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from analysis.spec import params_of
from dashboard import allowed, errors, figures, forms, jobs, state
from dashboard.browse import token_marks
from dashboard.browse import token_rules as browse
from dashboard.components import film_answer, film_cost, film_text, token_choices
from dashboard.components.explained_sample import draw as sample_chosen
from dashboard.parts import export_menu

PATIENCE = 1.0  # seconds that a page waits before it shows a bar: the first question opens the network
SHOWS = {"tokens": "What is left", "score": "What the rule judged by"}


@dataclass(frozen=True)
class Asked:
    """Rules with their settings, the share that is left, what colours show, and what is opened and marked."""

    rules: tuple[tuple[str, browse.Settings], ...]
    share: float
    show: str
    opened: str
    boxes: str


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
        asked = _settings(path)
    with right, errors.shown():
        _films(reference, path, sample, asked)


def _dump(reference: str, sample: int) -> str | None:
    """The file of what the network had for this sample; None while it is made."""
    from analysis.tokens.kept_dump import place_of

    path = place_of(state.workspace().path, _read(reference), sample)
    if path.exists():
        return str(path)
    found = _asked(
        "token_dump", {"input": reference, "sample": sample}, "Tokens: the network is run", "token dump"
    )
    return None if found is None else str(path)


def _read(reference: str) -> str:
    """Digest of all taps that rules read with this one."""
    from analysis.tokens.recorded_dump import digest_of

    return digest_of(state.workspace().activations(reference))


def _asked(kind: str, work: dict, title: str, key: str) -> dict | None:
    """What a job of the open network found; None while a bar is shown, or where it failed."""
    work = {**work, "digest": _read(work["input"])}  # what was asked of other activations answers nothing
    job = jobs.find(kind, work)
    if job is None or job.state == "interrupted":
        if not allowed.starts(title):
            return None
        job = jobs.status(jobs.start(kind, work, title, patience=PATIENCE))
    if job.state != "done":
        jobs.watch(job.id, key=key)
        return None
    return job.result


def _settings(path: str) -> Asked:
    titles = browse.titles(path)
    usual = "tome" if "tome" in titles else next(iter(titles))
    first = st.selectbox(
        "Rule", list(titles), format_func=titles.get,
        **state.bound("rule", usual, list(titles), resets=("s.",)),
    )  # fmt: skip
    if browse.left_out(path):
        st.caption(browse.left_out(path))
    chosen = [(first, _own(first, "s."))]
    rule = browse.rule(first)
    st.caption(f"**{errors.escape(rule.title)}**: {errors.escape(rule.equation)}.")
    for said in (rule.trained, *rule.notes):
        if said:
            st.caption(errors.escape(said))
    percent = st.slider(
        "Tokens left in the end (%)", 2, 100, step=1,
        help="Of the tokens that may go; class tokens and the like stay. How the removal is spread over the layers is "
        "the rule's own.",
        **state.bound("left", 50, state.between(2, 100, int)),
    )  # fmt: skip
    others = {browse.NONE: "nothing", **titles}
    second = st.selectbox(
        "Beside it", list(others), format_func=others.get,
        help="Another rule on the same sample, or the same with other settings.",
        **state.bound("beside", browse.NONE, list(others), resets=("b.",)),
    )  # fmt: skip
    if second != browse.NONE:
        chosen.append((second, _own(second, "b.")))
    show = st.segmented_control("Colours", list(SHOWS), format_func=SHOWS.get, required=True,
                                **state.bound("show", "tokens", list(SHOWS)))  # fmt: skip
    boxes = token_choices.boxes_typed(not browse.pictured(path))
    return Asked(tuple(chosen), percent / 100, show, token_choices.opened(), boxes)


def _own(name: str, prefix: str) -> browse.Settings:
    """The rule's own settings that are not its defaults."""
    rule = browse.rule(name)
    if not params_of(rule.settings):
        return ()
    with st.expander(f"Settings of {rule.title}", icon=":material/tune:"):
        return tuple(sorted(forms.draw(rule.settings, across=1, prefix=prefix).items()))


def _films(reference: str, path: str, sample: int, asked: Asked) -> None:
    """One film below the other, so that layers stand over layers; what is said of each, side by side."""
    found, hand = [], ""
    kept = browse.opened(path)
    if kept.note:
        st.caption(errors.escape(f"{kept.note} {browse.NEEDS_NETWORK}"))
        token_choices.other_taps(reference)
    marked = ""  # boxes that cannot be are said once, and films are drawn without them
    for name, settings in asked.rules:
        with errors.shown():
            one = browse.shown(path, name, asked.share, sample, settings)
            if not found:
                with errors.shown():
                    token_marks.boxed(one.film, asked.boxes)
                    marked = asked.boxes
            st.markdown(browse.sentence(one))
            hand = hand or token_choices.hand(not browse.pictured(path))
            _film(one.film, f"{len(found)}", asked, marked, hand)
            found.append((one, name, settings))
    if not found:
        return
    film_text.chosen(found[0][0].film)
    slots = [_said(one, f"{k}", asked, marked, place)
             for k, ((one, *_), place) in enumerate(zip(found, st.columns(len(found)), strict=True))]  # fmt: skip
    film_cost.draw([one for one, *_ in found], path)
    st.caption(browse.ABOUT_ROWS if kept.note else browse.ABOUT_RUNS)
    for slot, (one, name, settings) in zip(
        slots, found, strict=True
    ):  # nobody waits at the slider for the network
        with slot, errors.shown():
            film_answer.draw(_asked, reference, sample, name, settings, asked.share, one)


def _film(film, key: str, asked: Asked, boxes: str, hand: str) -> None:
    drawn = figures.on_screen(film, theme=state.theme(), title=False, **_look(asked, boxes))
    drawn.layout.dragmode = "select" if hand == "box" else False
    drawn.layout.selectdirection = (
        "h" if film.grid is None else "d"
    )  # else a flat drag takes all rows of all panels
    place = (
        f"film:{key}:{hand}:{asked.opened}:{boxes}"  # picked is in the URL: another chart has nothing picked
    )
    told = state.picked(place, lambda event: token_choices.take(film, boxes, event))
    st.plotly_chart(drawn, theme=None, alt=figures.alt_text(film), config={"displayModeBar": False},
                    selection_mode=token_choices.MODES[hand], **told)  # fmt: skip


def _look(asked: Asked, boxes: str) -> dict:
    return {"show": asked.show, "opened": asked.opened, "boxes": boxes}


def _said(one: browse.Shown, key: str, asked: Asked, boxes: str, place):
    """Words, marks and files of one film; where its answer will stand."""
    with place:
        export_menu.draw(lambda: one.film, f"film:{key}", **_look(asked, boxes))
        if len(asked.rules) > 1:
            st.markdown(f"**{errors.escape(one.rule.title)}**")
        film_text.draw(one.film)
        if boxes:
            st.markdown(token_marks.recall_words(one.film, boxes))
        token_choices.opened_token(one.film, asked.opened, key)
        return st.container()
