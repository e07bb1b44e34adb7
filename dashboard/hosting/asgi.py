"""The hosted server process: Streamlit's application with the host's own layers around it.

python -m dashboard.hosting.asgi        (started by `loupe serve --hosted`)
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from analysis import access
from dashboard.hosting import host
from dashboard.hosting.settings import Settings
from dashboard.server import OPTIONS, THEMES

APP = Path(__file__).resolve().parents[1] / "app.py"


def build(settings: Settings):
    """The application: the gate first, so that nothing behind it sees anybody who is not signed in."""
    import streamlit as st
    from starlette.middleware import Middleware

    from dashboard.hosting import sign_in
    from dashboard.hosting.gate import Gate

    sign_in.give_secrets(settings)
    return st.App(APP, middleware=[Middleware(Gate, settings=settings)])


def options(settings: Settings) -> dict[str, object]:
    """Streamlit's options: those of one's own machine, and what a host needs besides."""
    themes = {
        f"{section}.{name}": value for section, colours in THEMES.items() for name, value in colours.items()
    }
    own = {name: list(value) if isinstance(value, tuple) else value for name, value in OPTIONS.items()}
    return {**{name: _typed(value) for name, value in own.items()}, **themes, **_hosted(settings)}


def _hosted(settings: Settings) -> dict[str, object]:
    from urllib.parse import urlsplit

    return {
        "server.address": settings.listen,
        "server.port": settings.port,
        "server.baseUrlPath": settings.base_path,
        "server.allowedHosts": [urlsplit(settings.public_url).hostname],
        "server.corsAllowedOrigins": [settings.origin],
        "server.enableCORS": True,
        "server.enableXsrfProtection": True,
        "server.enableStaticServing": False,
        "server.enableAgentApi": False,
        "server.scriptHealthCheckEnabled": False,
        "server.trustedUserHeaders": "{}",  # a header must never say who somebody is
        "server.maxUploadSize": max(1, settings.uploads_mb),  # with 0 the gate refuses every upload
        "server.disconnectedSessionTTL": 120,
    }


def _typed(value):
    """A flag's text as the value it means."""
    return {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value


def main() -> None:
    """Read the environment, say who acts, and serve."""
    settings = host.begin()
    access.told_by(host.visitor)
    sys.argv = [str(APP)]  # where Streamlit looks for what belongs to the script
    build(settings).run(config=options(settings))


if __name__ == "__main__":
    os.umask(0o077)
    main()
