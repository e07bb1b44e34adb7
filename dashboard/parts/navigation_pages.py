"""The pages as Streamlit lists them. Making them looks at every script on the disk, so that is done once; each run of a
page gets copies of its own, because Streamlit writes into the one that it runs.

The default page lives at the root of the site. Its name in an address leads there too, by a page that no list shows."""

from __future__ import annotations

import copy
import functools

import streamlit as st

from dashboard import pages, state


def chosen() -> tuple[str, st.Page]:
    """Name and page that the address asks for; the sidebar lists all. Whoever came by the name of the default page goes
    on to the root, with all that the address says."""
    listed = _listed()
    default = next(info.name for info in pages.pages() if info.default)
    by_name = st.Page(lambda: None, title=default, url_path=default, visibility="hidden")
    found = st.navigation([*listed.values(), by_name])
    if found is by_name:
        state.go_on(default)
    return next((name, page) for name, page in listed.items() if page is found)


def _listed() -> dict[str, st.Page]:
    """{name: page}, for one run."""
    return {name: copy.copy(page) for name, page in _made().items()}


@functools.cache
def _made() -> dict[str, st.Page]:
    return {
        info.name: st.Page(
            info.file,
            title=info.title,
            icon=info.icon,
            default=info.default,
            url_path="" if info.default else info.name,
        )
        for info in pages.pages()
    }
