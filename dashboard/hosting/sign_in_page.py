"""What somebody sees before she is let in: plain HTML without a script, and nothing about what is behind it."""

from __future__ import annotations

import html

from dashboard.hosting.settings import Settings

STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0; min-height: 100vh; display: grid; place-items: center;
  background: light-dark(#f3f5f8, #0f1319); color: light-dark(#1b1f24, #e6eaf0); }
main { width: min(26rem, 86vw); padding: 2.2rem; border-radius: 10px; border: 1px solid light-dark(#d5dae1, #333c49);
  background: light-dark(#ffffff, #191f28); }
h1 { font-size: 1.6rem; margin: 0 0 .6rem; }
p { margin: 0 0 1.2rem; }
a { display: inline-block; padding: .55rem 1.1rem; border-radius: 6px; background: #1f6feb; color: #fff;
  text-decoration: none; font-weight: 600; }
a.plain { background: none; color: inherit; text-decoration: underline; padding: .55rem 0; margin-left: 1rem; }
a:focus-visible { outline: 3px solid light-dark(#1b1f24, #fff); outline-offset: 2px; }
.why { border-left: 3px solid #c93c37; padding-left: .8rem; }
"""


def page(kind: str, settings: Settings, *, link: str = "", why: str = "") -> str:
    """`kind`: "sign in", "failed" (the provider's answer was not accepted) or "refused" (signed in, not let in)."""
    base = f"/{settings.base_path}" if settings.base_path else ""
    if kind == "refused":
        body = f'<p class="why">{html.escape(why)}</p><a href="{base}/auth/logout">Sign out</a>'
    else:
        failed = (
            "<p class='why'>The sign-in was not completed. Please try again.</p>" if kind == "failed" else ""
        )
        body = (
            f"{failed}<p>See what a neural network has learned. Sign in to open the workspaces of your team.</p>"
            f'<a href="{html.escape(link)}">Sign in</a>'
        )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Feature Loupe</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="robots" content="noindex">'
        f"<style>{STYLE}</style></head><body><main><h1>Feature Loupe</h1>{body}</main></body></html>"
    )
