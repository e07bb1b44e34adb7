"""What if a feature were stronger? Dials for the features that one sample's answer hangs on, and the answer."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from dashboard import allowed, errors, jobs, state
from dashboard.browse import moved_features as browse
from dashboard.components.bars import Chart, Line, charts
from dashboard.components.explained_sample import draw as sample_chosen
from dashboard.figures.text import number
from dashboard.parts import figure_block, on_demand

PATIENCE = 1.0  # seconds that a page waits before it shows a bar: the first question opens the network
STARTS = 20.0  # seconds of work that a choice may start without asking again
MOVED, SHOWN, RANGE, CURVE = "move", "dial", "range", "response_curve"


def draw() -> None:
    """The sample and its dials on the left, the answer on the right."""
    reference = ":".join(state.current_tap())
    left, right = st.columns([1, 1.6], gap="medium")
    with left, errors.shown():
        sample = sample_chosen()
    moved = browse.read(state.param(MOVED, []))
    answer = None
    with right, errors.shown():
        answer = _asked(reference, sample, moved)
    if answer is None:
        return
    with left, errors.shown():
        _dials(reference, answer, moved)
    with right, errors.shown():
        _answer(reference, answer, moved)
        _curve(reference, answer, moved)


def _curve(reference: str, answer: dict, moved: Mapping[int, float]) -> None:
    """The answer over the whole range of one of the dials, to be taken away."""
    numbers = [dial["number"] for dial in answer["dials"] if dial["low"] < dial["high"]]
    if not numbers:
        return
    called = dict(zip(numbers, browse.names(state.workspace(), reference, numbers), strict=True))
    first = next((n for n in moved if n in called), numbers[0])
    chosen = st.selectbox(
        "Over the whole range of", numbers, format_func=called.get, **state.bound(RANGE, first, numbers)
    )
    result = on_demand.result(
        CURVE, [reference], {"sample": answer["sample"], "feature": chosen}, ask="Show", key="range",
        title="What if: the whole range", patience=PATIENCE, starts_below=STARTS,
    )  # fmt: skip
    if result is not None:
        figure_block.draw(result, key=CURVE)


def _asked(reference: str, sample: int, moved: Mapping[int, float]) -> dict | None:
    shown = sorted({*state.param(SHOWN, [], None)})[: browse.MOST]
    work = {
        "input": reference, "digest": state.workspace().activations(reference).digest, "sample": sample,
        "moved": sorted(map(list, moved.items())), "shown": [int(s) for s in shown if str(s).isdecimal()],
    }  # fmt: skip
    job = jobs.find("what_if", work)
    if job is None or job.state == "interrupted":
        title = "What if: the network is asked"
        if not allowed.starts(title):
            return None
        job = jobs.status(jobs.start("what_if", work, title, patience=PATIENCE))
    if job.state != "done":
        jobs.watch(job.id, key="what if")
        return None
    return job.result


def _dials(reference: str, answer: dict, moved: Mapping[int, float]) -> None:
    names = browse.names(state.workspace(), reference, [dial["number"] for dial in answer["dials"]])
    for dial, name in zip(answer["dials"], names, strict=True):
        low, high = browse.reach(dial, moved)
        if low == high:
            st.caption(f"{errors.escape(name)} is {number(low)} in every sample.")
            continue
        at = moved.get(dial["number"], dial["value"])
        st.slider(
            f"{errors.escape(name)} :gray[(samples: {number(dial['low'])} to {number(dial['high'])})]", low, high,
            step=(high - low) / 100,
            help=f"In this sample {number(dial['value'])}. The dial reaches beyond what samples of the store have. The "
            f"answer changes by {number(dial['slope'])} for 1 of it, to begin with.",
            **state.tied(f"dial:{dial['number']}", float(at), _mover(dial, moved)),
        )  # fmt: skip
    if moved and st.button("Put all back", icon=":material/undo:"):
        state.set_params(**{MOVED: []})
        st.rerun()


def _mover(dial: dict, moved: Mapping[int, float]):
    def write(value: float) -> None:
        state.set_params(**{MOVED: browse.written({**moved, dial["number"]: value})})

    return write


def _answer(reference: str, answer: dict, moved: Mapping[int, float]) -> None:
    st.markdown(errors.escape(browse.sentence(answer, moved)))
    if answer["outside"]:
        said = browse.outside_words(browse.names(state.workspace(), reference, answer["outside"]))
        st.warning(errors.escape(said), icon=":material/warning:")
    lines = [
        Line(name, after, null=(before, before), text=browse.change_words(before, after),
             title=f"{100 * before:.1f} % before, {100 * after:.1f} % now")
        for name, before, after in answer["answers"]
    ]  # fmt: skip
    note = f"Asked is {answer['what']}."
    if lines:
        chart = Chart(
            "answers", lines, reach=1.0, null_word="before", heading="What it answers",
            about=": probability of the likeliest answers.", note=note,
        )  # fmt: skip
        charts([chart], key="what if answers")
    else:
        st.caption(errors.escape(note))
    for said in answer["notes"]:
        st.caption(errors.escape(said))
