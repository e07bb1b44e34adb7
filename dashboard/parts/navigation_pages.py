"""The pages as Streamlit lists them. Making them looks at every script on the disk, so that is done once; each run of a
page gets copies of its own, because Streamlit writes into the one that it runs."""

from __future__ import annotations

import copy
import functools

import streamlit as st

from dashboard import pages


def listed() -> dict[str, st.Page]:
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
            url_path=None if info.default else info.name,
        )
        for info in pages.pages()
    }
