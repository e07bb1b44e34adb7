"""Who somebody is: what the provider said of her, signed by this host, not too old, not signed out, and let in here.

Streamlit does the OpenID Connect part (authorization code, state, nonce, PKCE; signature, issuer, audience, nonce and
times of the token by authlib) and keeps what the token said in a cookie that is signed with LOUPE_COOKIE_SECRET. Here
is decided whether that is enough. Asked at the gate for every request and every message, and wherever something is
written, so that whoever signs out, is too old or is removed loses her rights at once, also in tabs that are open.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass

from analysis.errors import Forbidden
from dashboard.hosting.settings import EMAIL, Settings
from dashboard.hosting.sign_outs import SignOuts

SKEW = 120.0  # seconds that the provider's clock may be ahead, as authlib allows
PROVIDER = "default"


class NotLetIn(Forbidden):
    """Signed in at the provider, and yet not let in here."""


@dataclass(frozen=True)
class Identity:
    """`email` in lower case: how roles and others know her. `id`: what the provider calls her. `key`: this sign-in,
    as a digest. `until`: when it ends (seconds since 1970)."""

    email: str
    id: str
    key: str
    until: float


def identify(claims: Mapping, settings: Settings, now: float | None = None) -> Identity | None:
    """Who the claims of a sign-in speak of; None where there is none, or it has ended.

    Raises NotLetIn with the reason where somebody signed in who may not come in.
    """
    now = time.time() if now is None else now
    if claims.get("is_logged_in") is not True or claims.get("provider") != PROVIDER:
        return None
    since = claims.get("iat")
    if isinstance(since, bool) or not isinstance(since, (int, float)):
        return None
    until = since + settings.session_hours * 3600
    if since > now + SKEW or now >= until:
        return None
    id, email = claims.get("sub"), claims.get("email")
    if not isinstance(id, str) or not id:
        raise NotLetIn("the provider did not say who signed in", "a subject in its token")
    if not isinstance(email, str) or not EMAIL.fullmatch(email):
        raise NotLetIn(
            "the provider told no e-mail address", "one in its token", "Ask whoever runs this host"
        )
    email = email.lower()
    verified = claims.get("email_verified")
    if not (verified in (True, "true") or (verified is None and settings.trust_emails)):
        raise NotLetIn(f"the address {email} is not verified at the provider", "a verified address",
                       "Verify it there, then sign in again")  # fmt: skip
    if not is_let_in(email, settings):
        raise NotLetIn(f"{email} is not among those who may come in", "somebody of this team",
                       "Ask whoever runs this host")  # fmt: skip
    return Identity(email, id, _key(claims), until)


def is_let_in(email: str, settings: Settings) -> bool:
    """Whether the host's list of people and domains has her; without one everybody whom the provider knows."""
    if not settings.allowed_emails and not settings.allowed_domains:
        return True
    domain = email.rpartition("@")[2]
    return email in (*settings.owners, *settings.allowed_emails) or domain in settings.allowed_domains


def of_cookies(cookies: Mapping[str, str], settings: Settings) -> dict:
    """The claims in a request's cookies; {} where there are none or the signature is not this host's."""
    from streamlit.web.server.starlette import starlette_websocket as streamlit_cookies

    name = streamlit_cookies.USER_COOKIE_NAME
    if name not in cookies:
        return {}
    try:
        signed = streamlit_cookies._get_signed_cookie_with_chunks(dict(cookies), name)
        claims = json.loads(signed) if signed else {}
    except (ValueError, TypeError, RecursionError):
        return {}
    if not isinstance(claims, dict) or claims.get("origin") != settings.origin:
        return {}
    return claims


def who(claims: Mapping, settings: Settings, sign_outs: SignOuts) -> Identity | None:
    """As `identify`, less those who signed out."""
    found = identify(claims, settings)
    return None if found is None or sign_outs.has(found.key) else found


def give_secrets(settings: Settings) -> None:
    """Hand Streamlit what its sign-in needs, in memory (its own way for programs, `merge_programmatic_secrets`): no
    secrets.toml is written that somebody could read, and a section is not promoted to the environment."""
    from streamlit.runtime.secrets import secrets_singleton

    secrets_singleton.merge_programmatic_secrets({"auth": streamlit_secrets(settings)})


def streamlit_secrets(settings: Settings) -> dict:
    """The section `auth` of what Streamlit calls secrets."""
    return {
        "redirect_uri": settings.redirect_uri,
        "cookie_secret": settings.cookie_secret,
        "client_id": settings.client_id,
        "client_secret": settings.client_secret,
        "server_metadata_url": settings.metadata_url,
    }


def login_path(settings: Settings) -> str:
    """Where signing in begins: what `st.login()` sends a browser to, good for some minutes."""
    from urllib.parse import urlencode

    from streamlit.auth_util import encode_provider_token

    base = f"/{settings.base_path}" if settings.base_path else ""
    return f"{base}/auth/login?" + urlencode({"provider": encode_provider_token(PROVIDER)})


def _key(claims: Mapping) -> str:
    """One sign-in: the nonce is drawn anew for each."""
    parts = [str(claims.get(name, "")) for name in ("iss", "sub", "iat", "nonce")]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]
