"""Bounds of what visitors may ask for, and who may watch the server: what the environment says.

LOUPE_METRICS_TOKEN      whoever sends it may read /metrics from elsewhere; without it only this machine may
LOUPE_PROXIES            networks of reverse proxies whose X-Forwarded-For is believed, as 10.0.0.0/8,::1
LOUPE_SESSIONS           open pages at once; LOUPE_SESSIONS_EACH: of one address
LOUPE_REQUESTS_A_SECOND  of one address, on average; ten times as many in a burst
LOUPE_STOP_NOTICE        seconds in which /readyz says no before anything is stopped
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from dataclasses import dataclass, field

from dashboard.hosting import reading
from dashboard.hosting.doorman import Bounds


@dataclass(frozen=True)
class Watching:
    """As above; `token` is "" where none is asked for."""

    token: str = ""
    proxies: tuple[str, ...] = ()
    bounds: Bounds = field(default_factory=Bounds)
    notice: float = 0.0

    def described(self) -> list[str]:
        """All of it in lines, the token as its length."""
        token = f"{len(self.token)} characters" if self.token else "none: this machine only"
        return [
            f"metrics_token = {token}",
            f"proxies = {', '.join(self.proxies) or '-'}",
            f"bounds = {self.bounds}",
            f"stop_notice = {self.notice:g} s",
        ]


def read(env: MutableMapping[str, str] | None = None, uploads_mb: int = 0) -> Watching:
    """Of the environment; the token is taken out of it, so that no worker inherits it. Raises ParameterError."""
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
