"""The dashboard's own components as classic scripts: their code unchanged, each in a function of its own.

A component is an ES module with one default export; here it becomes `loupe.parts.<name>`, which is given the same
{data, parentElement, setTriggerValue}. Its styles stand in a shadow root, as in the dashboard; the page's policy names
them by their digest.
"""

from __future__ import annotations

import base64
import hashlib
import json

from dashboard.components.browser_code import HEAT, HEAT_CSS, MAP, MAP_CSS
from dashboard.components.source import joined

CARD = ("bars", "tiles", "histogram")  # each a folder with a script and a sheet of its own name
_EXPORT = "export default function ("


def scripts() -> dict[str, str]:
    """Name of the file to its text."""
    card = "".join(_part(name, joined(name, "../dom.js", f"{name}.js")) for name in CARD)
    return {
        "parts-card.js": card,
        "parts-map.js": f"loupe.parts.map = (() => {{\n{MAP}\nreturn mountMap;\n}})();\n",
        "parts-heat.js": f"loupe.parts.heat = (() => {{\n{HEAT}\nreturn mountMap;\n}})();\n",
    }


def _part(name: str, code: str) -> str:
    if code.count(_EXPORT) != 1:
        raise AssertionError(f"{name}.js has another form than one default export")
    styled = f"const CSS = {json.dumps(joined(name, f'{name}.css'))};\n"
    body = code.replace(_EXPORT, "const draw_ = function (")
    end = "return (given) => loupe.styled(given, CSS, draw_);"
    return f"loupe.parts.{name} = (() => {{\n{styled}{body}\n{end}\n}})();\n"


def style_digests() -> list[str]:
    """Of every sheet that a script writes into a shadow root, as a policy names them."""
    sheets = [MAP_CSS, HEAT_CSS, *(joined(name, f"{name}.css") for name in CARD)]
    return [f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'" for s in sheets]
