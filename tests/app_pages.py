"""Opening a page of the dashboard in a test, as a browser with that URL would."""

from __future__ import annotations

import functools
import html
from pathlib import Path

from streamlit.components.v2 import manifest_scanner
from streamlit.testing.v1 import AppTest

# Every page that a test opens looks through all installed packages for components, which takes longer than the page:
# once a process is enough
manifest_scanner.scan_component_manifests = functools.cache(manifest_scanner.scan_component_manifests)

APP = Path(__file__).parents[1] / "dashboard" / "app.py"
DRAWN = ("loupe_bars", "loupe_histogram")  # components that say something in words
HOSTILE = (
    "<script>alert(1)</script>",
    "../../etc/passwd",
    "\x00",
    "nan",
    "-1",
    "1e999",
    "x" * 20_000,
    "😀",
    "[]",
    "",
)


def open_page(page: str, **params) -> AppTest:
    """The page called `page` ("map", "analyses", …) with these URL parameters, run once."""
    at = AppTest.from_file(str(APP), default_timeout=60)
    if page != "map":  # it lives at the root, and its own name only leads there
        at.switch_page(f"views/{page}.py")
    for name, value in params.items():
        at.query_params[name.replace("__", ".")] = value
    return at.run()


def texts(at: AppTest) -> str:
    """Everything that the page says, in one string. Charts set text as text (dom.js), so theirs is escaped here."""
    kinds = (
        "title",
        "header",
        "subheader",
        "markdown",
        "caption",
        "info",
        "warning",
        "error",
        "success",
        "code",
    )
    said = [str(element.value) for kind in kinds for element in getattr(at, kind)]
    drawn = [c.proto.json for c in at.get("bidi_component") if c.proto.component_name in DRAWN]
    return "\n".join([*said, *(html.escape(text, quote=False) for text in drawn)])


def button(at: AppTest, label: str):
    """The button with this label; None where there is none."""
    return next((b for b in at.button if b.label == label), None)


def is_whole(at: AppTest) -> bool:
    """No exception on the page, and nothing that looks like a traceback or a fault of ours."""
    said = texts(at)
    return not at.exception and "Traceback" not in said and "failed unexpectedly" not in said


def url(at: AppTest) -> dict[str, list[str]]:
    """The URL's parameters, each as a list."""
    return {
        name: [value] if isinstance(value, str) else list(value) for name, value in at.query_params.items()
    }
