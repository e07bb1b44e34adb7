"""Choosing an analysis: a family, then one of its methods, with what each is for."""

from __future__ import annotations

import sys

import streamlit as st

from analysis import registry
from analysis.spec import Method
from dashboard import errors, state

RESETS = ("p.", "seed")  # what belongs to the method before


def draw() -> Method | None:
    """Two boxes and what the choice is for; returns the method in the URL (an unknown one becomes the first)."""
    families = registry.families()
    if not families:
        st.info("No analysis is installed: the folder analysis/methods has none.")
        return None
    methods = registry.methods()
    chosen = methods[state.param("method", _first(methods), list(methods))]
    family, analysis, summary = st.columns([1, 1.4, 3], vertical_alignment="bottom", gap="medium")
    family.selectbox(
        "Family",
        list(families),
        format_func=family_title,
        **state.tied("family", chosen.family, lambda name: _change(families[name][0].id)),
    )
    analysis.selectbox(
        "Analysis",
        [m.id for m in families[chosen.family]],
        format_func=lambda id: methods[id].title,
        **state.tied("method", chosen.id, _change),
    )
    summary.markdown(errors.escape(chosen.summary))
    return chosen


def _first(methods: dict[str, Method]) -> str:
    """What a newcomer sees: PCA where it is there, since it is quick and its axes mean something."""
    return "pca" if "pca" in methods else next(iter(methods))


def about(method: Method) -> None:
    """The method's own words: formula, source, when it misleads."""
    lines = [f"**Ignores**: {errors.escape(method.invariance)}"] if method.invariance else []
    lines += [f"**Paper**: {errors.escape(paper)}" for paper in method.papers]
    lines.append(f"**Needs** at least {method.minimum_rows:,} rows")
    st.markdown("  \n".join(lines))
    words = sys.modules[method.function.__module__].__doc__
    if words:
        st.code(words.strip(), language=None, wrap_lines=True)


def family_title(family: str) -> str:
    """ "Projection" from the folder's name."""
    return family.replace("_", " ").capitalize()


def _change(method: str) -> None:
    for prefix in RESETS:
        state.clear_params(prefix)
    state.set_params(method=method)
