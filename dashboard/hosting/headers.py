"""What every answer says to the browser: what this site may load and do, and that nobody may frame it.

The policy is as tight as Streamlit's own pages run with (a test opens every page under it in a real browser and wants
no violation). What it needs, and why:

- hashes of the scripts that stand in Streamlit's own page, read from the installed file; no other inline script runs.
- 'unsafe-inline' for styles: Streamlit's components write them into the document.
- 'wasm-unsafe-eval' and blob: for workers and images: Plotly's and the map's own code, and pictures that they draw.
- data: for images and fonts: icons in style sheets.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import re
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

POLICY = {
    "default-src": "'none'",
    "script-src": "'self' blob: 'wasm-unsafe-eval'",
    "style-src": "'self' 'unsafe-inline'",
    "img-src": "'self' data: blob:",
    "font-src": "'self' data:",
    "connect-src": "'self' data: blob:",
    "worker-src": "'self' blob:",
    "media-src": "'self' data: blob:",
    "manifest-src": "'self'",
    "frame-src": "'self'",
    "object-src": "'none'",
    "base-uri": "'self'",
    "form-action": "'self'",
    "frame-ancestors": "'none'",
}
NOT_NEEDED = ("accelerometer", "browsing-topics", "camera", "display-capture", "encrypted-media", "geolocation",
              "gyroscope", "hid", "idle-detection", "magnetometer", "microphone", "midi", "payment",
              "publickey-credentials-get", "screen-wake-lock", "serial", "usb", "xr-spatial-tracking")  # fmt: skip
YEAR = 365 * 24 * 3600


def security_headers(secure: bool) -> list[tuple[bytes, bytes]]:
    """Names and values. `secure` : the public address begins with https."""
    found = {
        "content-security-policy": policy(secure),
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",  # for browsers that do not know frame-ancestors
        "referrer-policy": "same-origin",  # a link's parameters are nobody else's business
        "permissions-policy": ", ".join(f"{name}=()" for name in NOT_NEEDED),
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
        "x-permitted-cross-domain-policies": "none",
        "x-robots-tag": "noindex, nofollow",
    }
    if secure:
        found["strict-transport-security"] = f"max-age={YEAR}; includeSubDomains"
    return [(name.encode(), value.encode()) for name, value in found.items()]


def policy(secure: bool) -> str:
    """The Content-Security-Policy in one line."""
    scripts = " ".join([POLICY["script-src"], *inline_hashes()])
    parts = [f"{name} {value}" for name, value in {**POLICY, "script-src": scripts}.items()]
    return "; ".join([*parts, "upgrade-insecure-requests"] if secure else parts)


INLINE = re.compile(r"<script(?![^>]*\bsrc=)[^>]*>(.*?)</script>", re.DOTALL)


@functools.cache
def inline_hashes() -> tuple[str, ...]:
    """Of the scripts in Streamlit's page, as the policy wants them."""
    page = Path(find_spec("streamlit").origin).parent / "static" / "index.html"
    found = INLINE.findall(page.read_text(encoding="utf-8"))
    return tuple(f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'" for s in found)


def safe_cookie(value: bytes, secure: bool) -> bytes:
    """A Set-Cookie header with SameSite, with Secure behind TLS, and out of reach of scripts. Streamlit's own script
    reads one cookie, that of its protection against requests from other sites."""
    name, *attributes = (part.strip() for part in value.decode("latin-1").split(";"))
    have = {attribute.partition("=")[0].lower() for attribute in attributes}
    if "samesite" not in have:
        attributes.append("SameSite=Lax")
    if secure and "secure" not in have:
        attributes.append("Secure")
    if "httponly" not in have and not name.startswith(READ_BY_SCRIPTS):
        attributes.append("HttpOnly")
    return "; ".join([name, *attributes]).encode("latin-1")


READ_BY_SCRIPTS = ("_streamlit_xsrf=",)


class Headers:
    """ASGI middleware, the outermost: no answer leaves without them. What a page says of itself (the sign-in page has a
    tighter policy) stays."""

    def __init__(self, app, secure: bool) -> None:
        self.app, self.secure, self.own = app, secure, security_headers(secure)

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def sending(message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": self._with(message.get("headers", ()))}
            await send(message)

        await self.app(scope, receive, sending)

    def _with(self, given: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        kept = [
            (name, safe_cookie(value, self.secure) if name.lower() == b"set-cookie" else value)
            for name, value in given
        ]
        said = {name.lower() for name, _ in kept}
        return [*kept, *((name, value) for name, value in self.own if name not in said)]
