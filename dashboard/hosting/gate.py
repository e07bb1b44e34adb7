"""In front of everything: whoever is not signed in gets the sign-in page and nothing else.

It stands before Streamlit, so that no session, no page, no component, no media file and no websocket is opened for a
stranger, whatever the script behind would have drawn. Each message of an open websocket is asked again: a sign-in that
has ended closes the connection.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from urllib.parse import quote, unquote

from dashboard.hosting import request_facts, sign_in
from dashboard.hosting.audit import AuditLog
from dashboard.hosting.roles import Members
from dashboard.hosting.settings import Settings
from dashboard.hosting.shown_files import ShownFiles
from dashboard.hosting.sign_in import Identity, NotLetIn
from dashboard.hosting.sign_in_page import page
from dashboard.hosting.sign_outs import SignOuts

HEALTH = "/_stcore/health"
LOGIN, LOGOUT, CALLBACK = "/auth/login", "/auth/logout", "/oauth2callback"
CLOSED = ("/_stcore/metrics", "/_stcore/script-health-check", "/_stcore/agent")  # for nobody
UPLOAD, MEDIA = "/_stcore/upload_file", "/media"
WANTED, LONGEST = "loupe_wanted", 3000  # a cookie: what was asked for before signing in
FAILED = "loupe_failed"  # a cookie: the provider's answer was not accepted a moment ago
POLICY_VIOLATION = 1008
POLICY = b"default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


class Gate:
    """ASGI middleware. `open_paths`: what anybody may ask for (a host's own health), whole, without the base."""

    def __init__(
        self, app, settings: Settings, audit: AuditLog, sign_outs: SignOuts, open_paths: Iterable[str] = ()
    ) -> None:
        self.app, self.settings, self.audit, self.sign_outs = app, settings, audit, sign_outs
        self.open, self.shown = {HEALTH, *open_paths}, ShownFiles()
        self.base = f"/{settings.base_path}" if settings.base_path else ""

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] == "http":
            await self._http(scope, receive, _with_safe_cookies(send, self.settings))
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    # ------------------------------------------------------------------ pages and files
    async def _http(self, scope, receive, send) -> None:
        path, cookies = request_facts.plain_path(scope["path"], self.base), request_facts.cookies(scope)
        if path in self.open:
            await self.app(scope, receive, send)
        elif path.startswith(CLOSED):
            await _answer(send, 404, "not here")
        elif path in (LOGIN, LOGOUT, CALLBACK):
            await self._signing(path, scope, receive, send, cookies)
        else:
            await self._behind(path, scope, receive, send, cookies)

    async def _behind(self, path: str, scope, receive, send, cookies) -> None:
        """What only those who are let in see."""
        try:
            person = self._who(cookies)
        except NotLetIn as refusal:
            self.audit.limited("refused", refusal.found, request_facts.address(scope))
            await _answer(send, 403, page("refused", self.settings, why=str(refusal)), html=True)
            return
        if person is None:
            await self._sign_in_page(path, scope, send)
        elif path.startswith(UPLOAD) and not self._may_upload(person):
            self.audit.limited("refused", "an upload", request_facts.address(scope), person.email)
            await _answer(send, 403, "no uploads here")
        elif path.startswith(MEDIA) and not self.shown.may(person.email, path):
            self.audit.limited(
                "refused", "a file that no page showed her", request_facts.address(scope), person.email
            )
            await _answer(send, 404, "not here")
        elif WANTED in cookies and path == "/" and scope["method"] == "GET":
            await _answer(send, 303, "", [(b"location", self._wanted(cookies[WANTED])), _forget()])
        else:
            await self.app(scope, receive, send)

    def _may_upload(self, person: Identity) -> bool:
        """Where uploads are on, whoever may start work in one of the workspaces."""
        given = self.settings
        roles = {Members(p, given.owners).role(person.email, given.default_role) for _, p in given.workspaces}
        return bool(given.uploads_mb and roles & {"editor", "owner"})

    async def _sign_in_page(self, path: str, scope, send) -> None:
        """The page for whoever looks at an address, a plain refusal for everything else."""
        accept = request_facts.header(scope, b"accept")
        if (
            scope["method"] not in ("GET", "HEAD")
            or "text/html" not in accept
            or path.startswith("/_stcore/")
        ):
            await _answer(send, 401, "sign in first")
            return
        asked = quote(path, safe="/") + (
            "?" + scope["query_string"].decode("latin-1") if scope["query_string"] else ""
        )
        headers = []
        if path != "/" or scope["query_string"]:
            value = quote(asked, safe="")
            if len(value) <= LONGEST:
                headers = [
                    (b"set-cookie", f"{WANTED}={value}; Path=/; Max-Age=900; HttpOnly; SameSite=Lax".encode())
                ]
        failed = FAILED in request_facts.cookies(scope)
        found = page("failed" if failed else "sign in", self.settings, link=sign_in.login_path(self.settings))
        if failed:
            headers.append((b"set-cookie", f"{FAILED}=; Path=/; Max-Age=0".encode()))
        await _answer(send, 401, found, headers, html=True)

    def _wanted(self, value: str) -> bytes:
        """A place on this host, never another one: a path that begins with exactly one slash."""
        place = unquote(value)
        plain = (
            place.startswith("/")
            and place[1:2] not in ("/", "\\")
            and place.isascii()
            and place.isprintable()
        )
        return (self.base + (place if plain and "\\" not in place else "/")).encode()

    # ------------------------------------------------------------------ signing in and out
    async def _signing(self, path: str, scope, receive, send, cookies) -> None:
        """Streamlit's own routes; what came of it is written down. A sign-out holds for every copy of the cookie."""
        if scope["method"] != "GET":
            await _answer(send, 405, "not so")
            return
        if path == LOGOUT:
            self._sign_out(scope, cookies)
        await self.app(scope, receive, self._heard(path, scope, send))

    def _heard(self, path: str, scope, send):
        """`send` that listens to how the provider's answer was taken."""
        if path != CALLBACK:
            return send

        async def heard(message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *self._called_back(scope, message)]}
            await send(message)

        return heard

    def _called_back(self, scope, message) -> list:
        claims = sign_in.of_cookies(request_facts.cookies_set(message["headers"]), self.settings)
        address = request_facts.address(scope)
        try:
            person = sign_in.who(claims, self.settings, self.sign_outs)
        except NotLetIn as refusal:
            self.audit.limited("refused", refusal.found, address)
            return []
        if person is None:
            if b"state=" not in scope["query_string"]:  # back from the provider's own sign-out
                return []
            self.audit.limited("sign-in failed", "the provider's answer was not accepted", address)
            return [(b"set-cookie", f"{FAILED}=1; Path=/; Max-Age=60; HttpOnly; SameSite=Lax".encode())]
        self.audit.write("signed in", person.email, address=address)
        return []

    def _sign_out(self, scope, cookies) -> None:
        try:
            person = self._who(cookies)
        except NotLetIn:
            return
        if person is not None:
            self.sign_outs.add(person.key, person.until)
            self.audit.write("signed out", person.email, address=request_facts.address(scope))

    # ------------------------------------------------------------------ the websocket
    async def _websocket(self, scope, receive, send) -> None:
        try:
            person = self._who(request_facts.cookies(scope))
        except NotLetIn:
            person = None
        if person is None or request_facts.header(scope, b"origin") != self.settings.origin:
            self.audit.limited(
                "refused", "a websocket", request_facts.address(scope), person.email if person else ""
            )
            await receive()
            await send({"type": "websocket.close", "code": POLICY_VIOLATION})
            return

        async def asked():
            message = await receive()
            if message["type"] == "websocket.receive" and not self._goes_on(person):
                await send({"type": "websocket.close", "code": POLICY_VIOLATION})
                return {"type": "websocket.disconnect", "code": POLICY_VIOLATION}
            return message

        async def told(message) -> None:
            self.shown.note(person.email, message.get("bytes") or b"")
            await send(message)

        await self.app(scope, asked, told)

    def _goes_on(self, person: Identity) -> bool:
        return time.time() < person.until and not self.sign_outs.has(person.key)

    def _who(self, cookies) -> Identity | None:
        return sign_in.who(sign_in.of_cookies(cookies, self.settings), self.settings, self.sign_outs)


def _with_safe_cookies(send, settings: Settings):
    """Over https a cookie never travels without it (Streamlit leaves that to whoever serves it)."""
    if not settings.public_url.startswith("https:"):
        return send

    async def safe(message) -> None:
        if message["type"] == "http.response.start":
            headers = [
                (k, v + b"; Secure" if k.lower() == b"set-cookie" and b"; secure" not in v.lower() else v)
                for k, v in message["headers"]
            ]
            message = {**message, "headers": headers}
        await send(message)

    return safe


async def _answer(send, status: int, body: str, headers=(), *, html: bool = False) -> None:
    kind = b"text/html; charset=utf-8" if html else b"text/plain; charset=utf-8"
    own = [(b"content-type", kind), (b"cache-control", b"no-store"), (b"content-security-policy", POLICY),
           (b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer")]  # fmt: skip
    await send({"type": "http.response.start", "status": status, "headers": [*own, *headers]})
    await send({"type": "http.response.body", "body": body.encode()})


def _forget() -> tuple[bytes, bytes]:
    return b"set-cookie", f"{WANTED}=; Path=/; Max-Age=0".encode()
