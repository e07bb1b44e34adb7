"""How much one visitor, and all of them, may ask of the server: long addresses, bursts, crowds, foreign hosts.

Every limit costs a dictionary look-up. What is kept about visitors is bounded: an address that was quiet for a while
is forgotten, and of a crowd that is larger than can be remembered the longest quiet go first.
"""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from dataclasses import dataclass
from urllib.parse import urlsplit

from dashboard.hosting.answers import refuse

REMEMBERED = 10_000  # addresses; some 2 MB


@dataclass(frozen=True)
class Bounds:
    """`address` : bytes of a path with its query. `headers` : bytes of all of them. `body` : bytes of a request's body.
    `burst`, `each_second` : requests of one visitor at once, and how quickly that fills again. `sessions`,
    `sessions_each` : open pages in all, and of one visitor. `at_once` : requests that are being answered."""

    address: int = 16_384
    headers: int = 65_536
    body: int = 2 << 20
    burst: int = 600
    each_second: float = 60.0
    sessions: int = 200
    sessions_each: int = 60
    at_once: int = 400


class Bucket:
    """Requests that a visitor may still make: `burst`, filled again by `each_second`."""

    __slots__ = ("left", "when")

    def __init__(self, burst: int, now: float) -> None:
        self.left, self.when = float(burst), now

    def take(self, bounds: Bounds, now: float) -> bool:
        self.left = min(bounds.burst, self.left + (now - self.when) * bounds.each_second)
        self.when = now
        if self.left < 1:
            return False
        self.left -= 1
        return True


class Doorman:
    """ASGI middleware.

    Parameters
    ----------
    public_url : str
        The address that people type; requests for other hosts are refused with 421.
    proxies : sequence of str
        Networks whose X-Forwarded-For is believed: the reverse proxy's. The last address there that is not a proxy's
        own is the visitor.
    """

    def __init__(
        self, app, public_url: str, bounds: Bounds | None = None, proxies: tuple[str, ...] = (), clock=time.monotonic
    ) -> None:  # fmt: skip
        self.app, self.bounds, self.clock = app, bounds or Bounds(), clock
        self.hosts = hosts_of(public_url)
        self.proxies = tuple(ipaddress.ip_network(one, strict=False) for one in proxies)
        self.buckets: OrderedDict[str, Bucket] = OrderedDict()
        self.open: dict[str, int] = {}
        self.answering = 0

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        visitor = self.visitor(scope)
        if status := self.against(scope, visitor):
            await refuse(scope, receive, send, status)
            return
        counted = self._session(visitor) if scope["type"] == "websocket" else self._request()
        if counted is None:
            await refuse(scope, receive, send, 503)
            return
        try:
            port = (scope.get("client") or ("", 0))[1]
            await self.app({**scope, "client": (visitor, port)}, self._bounded(scope, receive), send)
        finally:
            counted()

    def against(self, scope, visitor: str) -> int:
        """The status with which a request is refused; 0 where nothing speaks against it."""
        if len(scope.get("raw_path") or b"") + len(scope.get("query_string") or b"") > self.bounds.address:
            return 414
        headers = scope.get("headers") or ()
        if sum(len(name) + len(value) for name, value in headers) > self.bounds.headers:
            return 431
        lengths = [value for name, value in headers if name == b"content-length"]
        if lengths and not (lengths[0].isdigit() and int(lengths[0]) <= self.bounds.body):
            return 400
        if not self._may_still(visitor):
            return 429
        named = [value.decode("latin-1").lower() for name, value in headers if name == b"host"]
        return 0 if len(named) == 1 and named[0] in self.hosts else 421

    def visitor(self, scope) -> str:
        """The address that the request came from, as far as proxies that are believed say."""
        peer = (scope.get("client") or ("",))[0]
        if not self._is_proxy(peer):
            return peer
        told = [v.decode("latin-1") for n, v in scope.get("headers") or () if n == b"x-forwarded-for"]
        hops = [hop.strip() for hop in ",".join(told).split(",") if hop.strip()]
        return next((hop[:64] for hop in reversed(hops) if not self._is_proxy(hop)), peer)

    def _is_proxy(self, address: str) -> bool:
        try:
            number = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(number in network for network in self.proxies)

    def _may_still(self, visitor: str) -> bool:
        now = self.clock()
        bucket = self.buckets.get(visitor)
        if bucket is None:
            bucket = self.buckets[visitor] = Bucket(self.bounds.burst, now)
            if len(self.buckets) > REMEMBERED:
                self.buckets.popitem(last=False)
        self.buckets.move_to_end(visitor)
        return bucket.take(self.bounds, now)

    def _request(self):
        if self.answering >= self.bounds.at_once:
            return None
        self.answering += 1

        def over() -> None:
            self.answering -= 1

        return over

    def _session(self, visitor: str):
        held = self.open.get(visitor, 0)
        if held >= self.bounds.sessions_each or sum(self.open.values()) >= self.bounds.sessions:
            return None
        self.open[visitor] = held + 1

        def over() -> None:
            self.open[visitor] -= 1
            if not self.open[visitor]:
                del self.open[visitor]

        return over

    def _bounded(self, scope, receive):
        """The body of a request without a length is counted while it comes; beyond the bound the visitor is gone."""
        if scope["type"] == "websocket":
            return receive
        taken = 0

        async def receiving():
            nonlocal taken
            message = await receive()
            taken += len(message.get("body") or b"")
            return message if taken <= self.bounds.body else {"type": "http.disconnect"}

        return receiving


def hosts_of(public_url: str) -> frozenset[str]:
    """What a Host header may say: the public host, with its port, and with the usual one where that is meant."""
    parts = urlsplit(public_url)
    usual = {"https": 443, "http": 80}[parts.scheme]
    name = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    port = parts.port or usual
    return frozenset({name, f"{name}:{port}"} if port == usual else {f"{name}:{port}"})
