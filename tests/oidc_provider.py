"""An OpenID Connect provider as a process of its own, which can be told to lie.

    python tests/oidc_provider.py PORT

Discovery, authorize, token, keys and end of session, with authorization codes that are good once, PKCE (S256) and the
client's secret checked. `POST /control` with JSON sets what the next tokens say: {"claims": {...}} over what is usual,
{"fault": one of FAULTS}, {"skew": seconds that its clock is ahead}.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import sys
import time
from urllib.parse import quote, urlencode

import uvicorn
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse
from starlette.routing import Route

FAULTS = (
    "",
    "alg none",
    "forged",
    "public key as secret",
    "expired",
    "audience",
    "issuer",
    "nonce",
    "no id token",
)
CLIENT, SECRET = "loupe", "a secret of the client that nobody may read"
PEOPLE = {
    "ada": {"sub": "sub-ada", "email": "ada@example.org", "email_verified": True, "name": "Ada Lovelace"},
    "eva": {
        "sub": "sub-eva",
        "email": "eva@example.org",
        "email_verified": True,
        "name": "Eva <b>Editor</b>",
    },
    "vic": {"sub": "sub-vic", "email": "Vic@Example.org", "email_verified": True, "name": "Vic Viewer"},
    "sam": {"sub": "sub-sam", "email": "sam@example.org", "email_verified": True, "name": "Sam Stranger"},
    "una": {"sub": "sub-una", "email": "ada@example.org", "email_verified": False, "name": "Una Unverified"},
    "eve": {
        "sub": "sub-eve",
        "email": "eve@elsewhere.example",
        "email_verified": True,
        "name": "Eve Elsewhere",
    },
}
KEY, OTHER = RSAKey.generate_key(2048, {"kid": "one"}), RSAKey.generate_key(2048, {"kid": "one"})


class Provider:
    def __init__(self, issuer: str) -> None:
        self.issuer, self.codes = issuer, {}
        self.told = {"claims": {}, "fault": "", "skew": 0}

    async def discovery(self, request: Request):
        at = self.issuer
        return JSONResponse({
            "issuer": at, "authorization_endpoint": f"{at}/authorize", "token_endpoint": f"{at}/token",
            "jwks_uri": f"{at}/jwks", "end_session_endpoint": f"{at}/end", "response_types_supported": ["code"],
            "id_token_signing_alg_values_supported": ["RS256"], "code_challenge_methods_supported": ["S256"],
            "subject_types_supported": ["public"], "token_endpoint_auth_methods_supported": ["client_secret_basic"],
        })  # fmt: skip

    async def authorize(self, request: Request):
        asked = dict(request.query_params)
        if asked.get("client_id") != CLIENT or not asked.get("code_challenge") or not asked.get("state"):
            return JSONResponse({"error": "invalid_request"}, 400)
        if "as" not in asked:
            links = [f'<a href="?{request.url.query}&as={quote(name)}">{name}</a>' for name in PEOPLE]
            return HTMLResponse("<h1>Provider</h1>" + "<br>".join(links))
        code = secrets.token_urlsafe(24)
        self.codes[code] = asked
        back = {"code": code, "state": asked["state"]}
        return RedirectResponse(asked["redirect_uri"] + "?" + urlencode(back), 302)

    async def token(self, request: Request):
        form = dict(await request.form())
        asked = self.codes.pop(form.get("code", ""), None)
        given = request.headers.get("authorization", "")
        wanted = "Basic " + base64.b64encode(f"{quote(CLIENT)}:{quote(SECRET)}".encode()).decode()
        plain = "Basic " + base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
        if asked is None or given not in (wanted, plain):
            return JSONResponse({"error": "invalid_grant" if asked is None else "invalid_client"}, 400)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != asked["code_challenge"]:
            return JSONResponse({"error": "invalid_grant"}, 400)
        found = {"access_token": secrets.token_urlsafe(24), "token_type": "Bearer", "expires_in": 3600}
        if self.told["fault"] != "no id token":
            found["id_token"] = self._id_token(asked)
        return JSONResponse(found)

    def _id_token(self, asked: dict) -> str:
        fault, now = self.told["fault"], int(time.time()) + self.told["skew"]
        claims = {"iss": self.issuer, "aud": CLIENT, "iat": now, "exp": now + 3600, "nonce": asked.get("nonce", ""),
                  **PEOPLE[asked["as"]], **self.told["claims"]}  # fmt: skip
        claims = {k: v for k, v in claims.items() if v is not None}
        wrong = {"expired": {"exp": now - 3600, "iat": now - 7200}, "audience": {"aud": "somebody else"},
                 "issuer": {"iss": "http://elsewhere.example"}, "nonce": {"nonce": "another"}}  # fmt: skip
        claims.update(wrong.get(fault, {}))
        if fault == "alg none":
            return ".".join([_part({"alg": "none", "kid": "one"}), _part(claims), ""])
        if (
            fault == "public key as secret"
        ):  # whoever takes any algorithm takes the published key as an HMAC secret
            key = OctKey.import_key(KEY.as_pem(private=False))
            return jwt.encode({"alg": "HS256", "kid": "one"}, claims, key, algorithms=["HS256"])
        return jwt.encode({"alg": "RS256", "kid": "one"}, claims, OTHER if fault == "forged" else KEY)

    async def jwks(self, request: Request):
        return JSONResponse({"keys": [KEY.as_dict(private=False)]})

    async def end(self, request: Request):
        return RedirectResponse(request.query_params["post_logout_redirect_uri"], 302)

    async def control(self, request: Request):
        given = await request.json()
        assert given.get("fault", "") in FAULTS
        self.told = {"claims": {}, "fault": "", "skew": 0, **given}
        return JSONResponse(self.told)

    def app(self) -> Starlette:
        return Starlette(routes=[
            Route("/.well-known/openid-configuration", self.discovery), Route("/authorize", self.authorize),
            Route("/token", self.token, methods=["POST"]), Route("/jwks", self.jwks), Route("/end", self.end),
            Route("/control", self.control, methods=["POST"]),
        ])  # fmt: skip


def _part(value: dict) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


if __name__ == "__main__":
    at = int(sys.argv[1])
    uvicorn.run(Provider(f"http://127.0.0.1:{at}").app(), host="127.0.0.1", port=at, log_level="warning")
