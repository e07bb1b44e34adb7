"""/healthz, /readyz and /metrics, in front of the sign-in: for those who watch the server, with nothing about people.

/healthz   200 while the process answers at all
/readyz    200, or 503 with what is wrong; the words only for this machine (a stranger learns yes or no)
/metrics   for Prometheus: with the token where one is set (LOUPE_METRICS_TOKEN), else only from this machine
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable

from dashboard.hosting.answers import answer
from dashboard.hosting.readiness import Readiness
from dashboard.hosting.settings import is_loopback

PATHS = ("/healthz", "/readyz", "/metrics")


class Endpoints:
    """ASGI middleware. `exposition` : (content type, text) of the metrics. `token` : "" for none."""

    def __init__(
        self, app, readiness: Readiness, exposition: Callable[[], tuple[str, bytes]], token: str = ""
    ) -> None:
        self.app, self.readiness, self.exposition, self.token = app, readiness, exposition, token

    async def __call__(self, scope, receive, send) -> None:
        path = scope.get("path", "")
        if scope["type"] != "http" or path not in PATHS:
            await self.app(scope, receive, send)
        elif scope["method"] not in ("GET", "HEAD"):
            await answer(send, 405)
        else:
            await getattr(self, f"_{path[1:]}")(scope, send)

    async def _healthz(self, scope, send) -> None:
        await answer(send, 200, b"ok\n", more=NOT_KEPT)

    async def _readyz(self, scope, send) -> None:
        from anyio import to_thread

        wrong = await to_thread.run_sync(self.readiness.wrong)
        told = wrong if from_here(scope) else {}
        body = json.dumps({"ready": not wrong, **({"wrong": told} if told else {})}).encode()
        await answer(send, 503 if wrong else 200, body, "application/json", NOT_KEPT)

    async def _metrics(self, scope, send) -> None:
        from anyio import to_thread

        if not self._may_read(scope):
            await answer(send, 404)  # as if there were none
            return
        kind, text = await to_thread.run_sync(self.exposition)
        await answer(send, 200, text, kind, NOT_KEPT)

    def _may_read(self, scope) -> bool:
        if not self.token:
            return from_here(scope)
        given = dict(scope["headers"]).get(b"authorization", b"")
        return hmac.compare_digest(given, f"Bearer {self.token}".encode())


NOT_KEPT = ((b"cache-control", b"no-store"),)


def from_here(scope) -> bool:
    """Whether a request comes from this machine itself, and through no proxy."""
    peer = (scope.get("client") or ("",))[0]
    forwarded = {b"x-forwarded-for", b"forwarded", b"x-real-ip", b"via"} & {
        name for name, _ in scope["headers"]
    }
    return is_loopback(peer) and not forwarded
