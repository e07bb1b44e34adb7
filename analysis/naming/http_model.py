"""One request to a server that speaks chat-completions JSON.

    POST URL  {"model": …, "messages": [{"role": …, "content": …}], "stream": false, …}
    ←         {"choices": [{"message": {"content": the answer}}]}

No redirect is followed: texts and key go to the configured address or nowhere.
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Sequence
from urllib.parse import urljoin, urlsplit

from analysis.errors import InputError, LoupeError
from analysis.naming.settings import Settings

MOST_BYTES = 1 << 20  # of an answer
SHOWN = 200  # characters of what a server says of an error
REMEDIES = {
    401: "Look at LOUPE_NAMER_KEY",
    403: "Look at LOUPE_NAMER_KEY and at what it may use",
    404: "Look at LOUPE_NAMER_URL and LOUPE_NAMER_MODEL",
    429: "Wait, or ask for fewer",
}


class TooSoon(InputError):
    """The server wants a pause of `seconds` first."""

    def __init__(self, found: str, expected: str = "", remedy: str = "", seconds: float = 0.0) -> None:
        super().__init__(found, expected, remedy)
        self.seconds = seconds


class _Refused(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req, fp, code, msg, headers, newurl):
        host = urlsplit(urljoin(req.full_url, newurl)).netloc
        raise InputError(
            f"{urlsplit(req.full_url).netloc} sends on to {host[:100]!r}; nothing was sent there", "an answer",
            "Put that address into LOUPE_NAMER_URL if you trust it",
        )  # fmt: skip


def answer(settings: Settings, messages: Sequence[dict]) -> str:
    """The answer's text. Raises InputError in words for whatever goes wrong, TooSoon where a pause is asked for."""
    headers = {
        "Content-Type": "application/json",
        "Accept": "application/json",
        "User-Agent": "feature-loupe",
    }
    if settings.key:
        headers["Authorization"] = f"Bearer {settings.key}"
    body = json.dumps({**settings.fields, "messages": list(messages)}).encode()
    request = urllib.request.Request(settings.url, body, headers, method="POST")
    proxies = {urlsplit(settings.url).scheme: settings.proxy} if settings.proxy else {}
    opener = urllib.request.build_opener(urllib.request.ProxyHandler(proxies), _Refused)
    try:
        with opener.open(request, timeout=settings.timeout) as reply:
            raw = reply.read(MOST_BYTES + 1)
    except LoupeError:
        raise
    except urllib.error.HTTPError as error:
        raise _status(settings, error) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _broken(settings, error) from None
    return _content(settings, raw)


def _status(settings: Settings, error: urllib.error.HTTPError) -> LoupeError:
    try:
        said = error.read(MOST_BYTES).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException):
        said = ""
    found = f"{settings.host} answers with HTTP {error.code}: {_shown(settings, said)}"
    remedy = REMEDIES.get(error.code, "Look at the server, or at LOUPE_NAMER_OPTIONS if it names a field")
    wait = error.headers.get("Retry-After", "") if error.headers else ""
    if error.code == 429 and wait.isdecimal():
        return TooSoon(found, "an answer", remedy, float(wait[:6]))
    return InputError(found, "an answer", remedy)


def _broken(settings: Settings, error: Exception) -> InputError:
    reason = getattr(error, "reason", error)
    start = "Start the server, or correct LOUPE_NAMER_URL"
    if isinstance(reason, TimeoutError):
        return InputError(
            f"{settings.host} did not answer within {settings.timeout:g} s", "an answer",
            "Try again, or set LOUPE_NAMER_TIMEOUT to more seconds",
        )  # fmt: skip
    if isinstance(reason, socket.gaierror):
        return InputError(f"no machine is called {settings.host}", "a host that can be reached", start)
    if isinstance(reason, ssl.SSLError):
        return InputError(
            f"{settings.host} cannot be trusted: {_shown(settings, str(reason))}",
            "a valid certificate",
            start,
        )
    if isinstance(reason, ConnectionRefusedError):
        return InputError(f"nothing answers at {settings.host}", "a server that runs", start)
    return InputError(f"the connection to {settings.host} failed: {_shown(settings, str(reason))}", "", start)


def _content(settings: Settings, raw: bytes) -> str:
    expected = "JSON with choices[0].message.content"
    if len(raw) > MOST_BYTES:
        raise InputError(f"{settings.host} answers with more than {MOST_BYTES >> 20} MB", "a short answer")
    try:
        found = json.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError):
        said = _shown(settings, raw[: 4 * SHOWN].decode("utf-8", "replace"))
        raise InputError(
            f"{settings.host} answers with what is no JSON: {said}", expected, "Look at LOUPE_NAMER_URL"
        ) from None
    try:
        content = found["choices"][0]["message"]["content"]
    except (KeyError, IndexError, TypeError):
        said = _shown(settings, raw[: 4 * SHOWN].decode("utf-8", "replace"))
        raise InputError(f"{settings.host} answers without choices: {said}", expected) from None
    if isinstance(content, list):  # in parts
        content = "".join(str(p.get("text", "")) for p in content if isinstance(p, dict))
    return content if isinstance(content, str) else ""


def _shown(settings: Settings, said: str) -> str:
    """Some of what others say, on one line, without the key."""
    flat = " ".join("".join(c if c.isprintable() else " " for c in said).split())
    flat = settings.without_key(flat)
    return repr(flat[:SHOWN] + ("…" if len(flat) > SHOWN else "")) if flat else "nothing"
