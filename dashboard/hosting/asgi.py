"""The hosted server process: Streamlit's application with the host's own layers around it.

python -m dashboard.hosting.asgi        (started by `loupe serve --hosted`)
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from pathlib import Path
from urllib.parse import unquote, urlsplit

from dashboard.hosting import host, logs, theme_message, tidying, watching
from dashboard.hosting.host import Host
from dashboard.hosting.layers import Layers
from dashboard.hosting.settings import Settings
from dashboard.server import OPTIONS, THEMES
from dashboard.serving import load

MESSAGE_MB = 64  # of a socket's messages, either way: columns of some ten million points go down
CLICK_MB = 4  # of what a page may send up: the mask of a selection among ten million points takes 1.7
APP = Path(__file__).resolve().parents[1] / "app.py"


def build(serving: Host, layers: Layers):
    """The application: the gate before Streamlit, so that nothing behind it sees anybody who is not signed in."""
    import streamlit as st
    from starlette.middleware import Middleware

    from dashboard.hosting import sign_in
    from dashboard.hosting.gate import Gate

    sign_in.give_secrets(serving.settings)
    gate = {"settings": serving.settings, "audit": serving.audit, "sign_outs": serving.sign_outs}
    return st.App(
        APP,
        middleware=layers.middleware(Middleware(Gate, **gate)),
        lifespan=layers.stop.lifespan,
        on_script_error=layers.fault,
    )


def options(settings: Settings) -> dict[str, object]:
    """Streamlit's options: those of one's own machine, and what a host needs besides."""
    themes = {
        f"{section}.{name}": value for section, colours in THEMES.items() for name, value in colours.items()
    }
    own = {name: list(value) if isinstance(value, tuple) else value for name, value in OPTIONS.items()}
    return {**{name: _typed(value) for name, value in own.items()}, **themes, **_hosted(settings)}


def _hosted(settings: Settings) -> dict[str, object]:
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
        "server.maxMessageSize": MESSAGE_MB,
        "server.maxWidgetStateSize": CLICK_MB,
    }


def _typed(value):
    """A flag's text as the value it means."""
    return {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value


def main() -> None:
    """Read the environment, say who acts, and serve until a signal says stop; then exit with 0."""
    env = dict(os.environ)
    serving = host.begin()
    settings = serving.settings
    given = watching.read(uploads_mb=settings.uploads_mb)
    secrets = [
        settings.client_secret,
        settings.cookie_secret,
        given.token,
        password_of(env.get("LOUPE_DATABASE_URL")),
        env.get("LOUPE_NAMER_KEY", ""),
    ]
    logs.begin(secrets)
    serving.audit.write("started", which=settings.public_url)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, leave)  # raised once more by the web server when it has ended
    sys.argv = [str(APP)]  # where Streamlit looks for what belongs to the script
    app = build(serving, Layers(settings, given))
    # only now: two threads that import pandas for the first time, one through Streamlit, find it half made
    threading.Thread(target=load, name="loading", daemon=True).start()
    tidying.begin(settings.workspaces)
    theme_message.begin()
    app.run(config=options(settings))


def leave(*_) -> None:
    """End now, with everything written: threads that still load something would keep the process for seconds."""
    logging.shutdown()
    sys.stdout.flush()
    os._exit(0)


def password_of(url: str | None) -> str:
    """The password in the address of a database; "" where there is none."""
    try:
        return unquote(urlsplit(url or "").password or "")
    except ValueError:
        return ""


if __name__ == "__main__":
    os.umask(0o077)
    main()
