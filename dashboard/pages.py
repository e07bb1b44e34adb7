"""The pages, in the order of the sidebar, and where each one lives."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent


@dataclass(frozen=True)
class PageInfo:
    """`name` is the URL path; the default page answers at the root of the site."""

    name: str
    title: str
    icon: str
    default: bool = False

    @property
    def file(self) -> str:
        """Path of the script, relative to app.py (the form that Streamlit's page switch expects)."""
        return f"views/{self.name}.py"


_PLANNED = (
    PageInfo("workspace", "Workspace", ":material/folder_open:"),
    PageInfo("map", "Map", ":material/scatter_plot:", default=True),
    PageInfo("features", "Features", ":material/search:"),
    PageInfo("compare", "Compare", ":material/compare:"),
    PageInfo("subspaces", "Subspaces", ":material/view_in_ar:"),
    PageInfo("dictionaries", "Dictionaries", ":material/menu_book:"),
    PageInfo("attribution", "Attribution", ":material/balance:"),
    PageInfo("tokens", "Tokens", ":material/grid_on:"),
    PageInfo("tours", "Tours", ":material/slideshow:"),
    PageInfo("analyses", "Analyses", ":material/analytics:"),
    PageInfo("basket", "Basket", ":material/shopping_basket:"),
    PageInfo("activity", "Activity", ":material/forum:"),
)


def pages() -> tuple[PageInfo, ...]:
    """The pages whose script exists."""
    return tuple(p for p in _PLANNED if (HERE / p.file).exists())


def page(name: str) -> PageInfo:
    """One page by its name; KeyError for a name that no page has (a slip in our own code)."""
    return {p.name: p for p in _PLANNED}[name]
