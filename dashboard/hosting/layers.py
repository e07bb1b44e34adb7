"""What a host puts around Streamlit's application, and in which order.

    headers → counts → doorman → endpoints → (the gate, then Streamlit)

The endpoints stand before the doorman's host check too: a health check asks by address. Middleware, a lifespan and a
handler of faults are what Streamlit's application takes in public; nothing of it is patched.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, field

from analysis.errors import LoupeError
from dashboard.hosting import logs
from dashboard.hosting.doorman import Bounds, Doorman
from dashboard.hosting.endpoints import Endpoints
from dashboard.hosting.headers import Headers
from dashboard.hosting.metrics import Metrics, Watched
from dashboard.hosting.readiness import Readiness
from dashboard.hosting.stopping import Stop

log = logging.getLogger("loupe.hosting")


@dataclass(frozen=True)
class Watching:
    """What the environment says about bounds and watching.

    LOUPE_METRICS_TOKEN      whoever sends it may read /metrics from elsewhere; without it only this machine may
    LOUPE_PROXIES            networks of reverse proxies whose X-Forwarded-For is believed, as 10.0.0.0/8,::1
    LOUPE_SESSIONS           open pages at once; LOUPE_SESSIONS_EACH: of one address
    LOUPE_REQUESTS_A_SECOND  of one address, on average; ten times as many in a burst
    LOUPE_STOP_NOTICE        seconds in which /readyz says no before anything is stopped
    """

    token: str = ""
    proxies: tuple[str, ...] = ()
    bounds: Bounds = field(default_factory=Bounds)
    notice: float = 0.0


def watching(env=None, uploads_mb: int = 0) -> Watching:
    """Of the environment; the token is taken out of it, so that no worker inherits it. Raises ParameterError."""
    from dashboard.hosting import reading

    env = os.environ if env is None else env
    token = ""
    if reading.text(env, "LOUPE_METRICS_TOKEN") or reading.text(env, "LOUPE_METRICS_TOKEN_FILE"):
        token = reading.secret(env, "LOUPE_METRICS_TOKEN", at_least=16)
        env.pop("LOUPE_METRICS_TOKEN", None)
    rate = reading.number(env, "LOUPE_REQUESTS_A_SECOND", Bounds.each_second, 1, 100_000)
    bounds = Bounds(
        body=max(Bounds.body, (uploads_mb + 1) << 20),
        burst=int(10 * rate),
        each_second=rate,
        sessions=int(reading.number(env, "LOUPE_SESSIONS", Bounds.sessions, 1, 100_000)),
        sessions_each=int(reading.number(env, "LOUPE_SESSIONS_EACH", Bounds.sessions_each, 1, 100_000)),
    )
    notice = reading.number(env, "LOUPE_STOP_NOTICE", 0.0, 0, 600)
    return Watching(token, reading.networks(env, "LOUPE_PROXIES"), bounds, notice)


class Layers:
    """All of it for one server. `application` takes what stands between the endpoints and Streamlit.

    Parameters
    ----------
    settings
        With `public_url`, `base_path`, `workspaces`, `cookie_secret`.
    """

    def __init__(self, settings, given: Watching) -> None:
        from dashboard import observed
        from dashboard.pages import pages

        self.settings, self.given = settings, given
        self.readiness = Readiness(settings.workspaces)
        self.metrics = Metrics(settings.workspaces, [page.name for page in pages()])
        self.metrics.count_errors()
        self.stop = Stop(settings.workspaces, self.readiness, given.notice)
        observed.by(self.page)

    def middleware(self, *inner) -> list:
        """For Streamlit's application, the outermost first; `inner` come last."""
        from starlette.middleware import Middleware

        secure = self.settings.public_url.startswith("https://")
        given, metrics = self.given, self.metrics
        return [
            Middleware(Headers, secure=secure),
            Middleware(Watched, metrics=metrics, base_path=self.settings.base_path),
            Middleware(Endpoints, readiness=self.readiness, exposition=metrics.exposition, token=given.token),
            Middleware(
                Doorman, public_url=self.settings.public_url, bounds=given.bounds, proxies=given.proxies
            ),
            *inner,
        ]

    def page(self, name: str):
        """Around a run of a page: timed, and every line of the log says which page and, by a pseudonym, whose."""
        from contextlib import ExitStack

        from analysis import access

        stack = ExitStack()
        stack.enter_context(self.metrics.page(name))
        try:
            person = access.acting()
        except LoupeError:  # said on the page itself
            person = access.Person("", "none")
        whose = logs.pseudonym(person.id or person.name, self.settings.cookie_secret)
        stack.enter_context(logs.about(page=name, person=whose))
        return stack

    @staticmethod
    def fault(error: Exception) -> bool:
        """What no page caught: to the log, with an id; the page keeps what it shows."""
        import uuid

        log.error("error %s in a run of the application", uuid.uuid4().hex[:8], exc_info=error)
        return False
