"""What a host puts around Streamlit's application, and in which order.

    headers → counts → doorman → endpoints → (the gate, then Streamlit)

The endpoints stand before the doorman's host check too: a health check asks by address. Middleware, a lifespan and a
handler of faults are what Streamlit's application takes in public; nothing of it is patched here (`theme_message` puts
one function of it aside, for speed alone).
"""

from __future__ import annotations

import logging

from analysis.errors import LoupeError
from dashboard.hosting import logs
from dashboard.hosting.clicks import page_names
from dashboard.hosting.doorman import Doorman
from dashboard.hosting.endpoints import Endpoints
from dashboard.hosting.headers import Headers
from dashboard.hosting.metrics import Metrics, Watched
from dashboard.hosting.readiness import Readiness
from dashboard.hosting.stopping import Stop
from dashboard.hosting.watching import Watching

log = logging.getLogger("loupe.hosting")


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

        self.settings, self.given, self.names = settings, given, page_names(pages())
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
            Middleware(Watched, metrics=metrics, base_path=self.settings.base_path, names=self.names),
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
