"""The cells of a picture that a search may see, painted on the picture itself (cells/cells.js)."""

from __future__ import annotations

import numpy as np
import streamlit as st

from analysis.compute.rows.number_lists import numbers_in
from analysis.errors import LoupeError
from analysis.spec import Method, params_of
from dashboard import state
from dashboard.browse.cards import picture_url, token_word
from dashboard.components.source import joined
from dashboard.forms import PREFIX

CELLS, QUERY, MOST = "cells", "query", 1024
_cells = st.components.v2.component(
    "loupe_cells", css=joined("cells", "cells.css"), js=joined("cells", "../dom.js", "cells.js")
)


def takes(method: Method) -> bool:
    """Whether cells of one sample are a setting of a method, and the samples of the tap at hand have some."""
    if not {p.name for p in params_of(method.params)} >= {CELLS, QUERY} or state.current_tap() is None:
        return False
    store, tap = state.current_tap()
    opened = state.workspace().store(store)
    spec, counts = opened.taps[tap], np.diff(opened.activations(tap).layout.offsets)
    if spec.grid is None or not len(counts):
        return False
    cells = spec.grid[0] * spec.grid[1]
    return cells <= MOST and bool((counts == spec.leading + cells).all())


def asked(method: Method) -> dict[str, str]:
    """The same for the sample that the link names, on a page whose form asks for it; {} for any other method."""
    if not takes(method):
        return {}
    most = state.workspace().activations(":".join(state.current_tap())).layout.n_samples - 1
    return draw(state.param(f"{PREFIX}{QUERY}", 0, state.between(0, most, int)))


def draw(sample: int) -> dict[str, str]:
    """The picture of a sample with its cells; the painted ones as the setting."""
    store, tap = state.current_tap()
    opened = state.workspace().store(store)
    spec = opened.taps[tap]
    cells = int(spec.grid[0] * spec.grid[1])
    chosen = _read(state.param(f"{PREFIX}{CELLS}", ""), cells)
    st.caption("Paint the parts that the search may see: click, or draw across them.")
    answer = _cells(
        key=f"cells:{store}:{tap}:{sample}",
        data={
            "image": picture_url(opened, sample), "grid": list(map(int, spec.grid)), "chosen": chosen,
            "names": [token_word(k, 0, spec.grid) for k in range(cells)],
            "said": {"none": "All parts are seen.", "some": f"# of {cells} seen"},
        },
        on_painted_change=lambda: None,
    )  # fmt: skip
    painted = answer.get("painted")
    if isinstance(painted, list):
        new = sorted({int(k) for k in painted if isinstance(k, (int, float)) and 0 <= k < cells})
        if new != chosen:
            state.set_params(**{f"{PREFIX}{CELLS}": written(new) or None})
            st.rerun()
    return {CELLS: written(chosen)}


def _read(text: str, cells: int) -> list[int]:
    if not text:
        return []
    try:
        return sorted(set(map(int, numbers_in(text, 0, cells - 1, CELLS))))
    except LoupeError:  # of another tap
        return []


def written(numbers: list[int]) -> str:
    """Numbers as a person would write them: 3, 7-9."""
    runs: list[list[int]] = []
    for k in numbers:
        if runs and k == runs[-1][1] + 1:
            runs[-1][1] = k
        else:
            runs.append([k, k])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)
