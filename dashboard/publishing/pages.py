"""The pages of a bundle: one frame, a strict policy, and as much as possible as plain HTML."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from dashboard.publishing.parts import style_digests

NAMES = {
    "index": "Overview",
    "map": "Map",
    "features": "Features",
    "heatmaps": "Heat maps",
    "figures": "Figures",
    "notes": "Notes",
}
# file: is what a page that was opened by a double click loads from; over http it allows nothing more
_OURS = "'self' file:"


def policy() -> str:
    """Only files of the bundle; no script or sheet inside a page, no connection to anywhere."""
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {_OURS}",
            f"style-src-elem {_OURS} {' '.join(style_digests())}",
            "style-src-attr 'unsafe-inline'",
            f"img-src {_OURS} data: blob:",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


@dataclass(frozen=True)
class Frame:
    """What all pages share: the title, which pages there are, and what the last line says."""

    title: str
    pages: tuple[str, ...]
    foot: str

    def page(self, name: str, body: str, scripts: tuple[str, ...] = ()) -> bytes:
        """A whole page. `body` is HTML that was made here; every text from outside in it is escaped."""
        links = "".join(self._link(other, other == name) for other in self.pages)
        loads = "".join(f'<script src="{one}" defer></script>\n' for one in ("assets/site.js", *scripts))
        heading = self.title if name == "index" else f"{NAMES[name]} · {self.title}"
        return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy()}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<meta name="generator" content="Feature Loupe">
<title>{text(heading)}</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="assets/site.css">
{loads}</head>
<body data-page="{name}">
<a class="skip" href="#main">To the content</a>
<header><span class="site">{text(self.title)}</span>
<nav aria-label="Pages">{links}</nav>
<button type="button" id="theme" hidden>Dark</button></header>
<main id="main" tabindex="-1">
{body}
</main>
<footer>{self.foot}</footer>
</body>
</html>
""".encode("utf-8", "replace")

    @staticmethod
    def _link(name: str, here: bool) -> str:
        current = ' aria-current="page"' if here else ""
        return f'<a href="{name}.html"{current}>{NAMES[name]}</a>'


def text(value) -> str:
    """Text from outside as HTML."""
    return escape(str(value), quote=True)


def needs_script(what: str, instead: str) -> str:
    """What a page of a script shows without it."""
    return f'<noscript><p class="notice">{text(what)} {instead}</p></noscript>'


def facts(lines) -> str:
    """(what, words) as a list of terms."""
    return '<dl class="facts">' + "".join(f"<dt>{text(a)}</dt><dd>{text(b)}</dd>" for a, b in lines) + "</dl>"


def table(heads, rows, caption: str = "") -> str:
    """Rows of HTML cells that were made here."""
    top = "".join(f'<th scope="col">{text(head)}</th>' for head in heads)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    said = f"<caption>{text(caption)}</caption>" if caption else ""
    head = (
        f'<div class="wide" tabindex="0" role="region" aria-label="{text(caption or "Table")}"><table>{said}'
    )
    return f"{head}<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>"
