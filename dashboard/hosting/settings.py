"""How a host is set up: what the environment says when the server starts, and nothing else.

    LOUPE_PUBLIC_URL          the address people type, such as https://loupe.example.org
    LOUPE_WORKSPACES          lab=/data/lab,thesis=/data/thesis (or LOUPE_WORKSPACE, one directory)
    LOUPE_OWNERS              e-mails of people who own every workspace here
    LOUPE_OIDC_ISSUER         the provider, such as https://accounts.google.com (or LOUPE_OIDC_METADATA_URL, whole)
    LOUPE_OIDC_CLIENT_ID      what the provider calls this host
    LOUPE_OIDC_CLIENT_SECRET  its secret there (or …_FILE)
    LOUPE_COOKIE_SECRET       at least 32 characters; signs the cookies (or …_FILE)
    LOUPE_ALLOWED_DOMAINS     whose e-mail ends so may sign in; LOUPE_ALLOWED_EMAILS: these may
    LOUPE_DEFAULT_ROLE        what a signed-in person may who is no member: none, viewer or editor; none
    LOUPE_TRUST_EMAILS        yes where the provider does not say whether an e-mail is verified; no
    LOUPE_SESSION_HOURS       after so many hours she signs in again; 12
    LOUPE_ROOTS               directories whose files may be read, separated by ":"; none
    LOUPE_UPLOADS_MB          how much one upload may hold; 0, no uploads
    LOUPE_AUDIT               directory of the audit log; audit/ in the first workspace
    LOUPE_LISTEN, LOUPE_PORT  where the server listens; 127.0.0.1, 8501

Secrets are in no message, no file and no other process: `read` takes them out of the environment, so that the workers
that are started later do not inherit them.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from analysis.errors import ParameterError
from dashboard.hosting import reading

SECRETS = ("LOUPE_OIDC_CLIENT_SECRET", "LOUPE_COOKIE_SECRET")
DEFAULT_ROLES = ("none", "viewer", "editor")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
EMAIL = re.compile(r"[^@\s\"<>\\,;]{1,64}@[^@\s\"<>\\,;]{1,190}")
WELL_KNOWN = "/.well-known/openid-configuration"


@dataclass(frozen=True)
class Settings:
    """`public_url` without a slash at its end. `workspaces`: name and directory, the first is opened where none is
    named. `roots`: resolved. `uploads_mb` 0: no uploads."""

    public_url: str
    workspaces: tuple[tuple[str, Path], ...]
    metadata_url: str
    client_id: str
    owners: tuple[str, ...]
    allowed_domains: tuple[str, ...] = ()
    allowed_emails: tuple[str, ...] = ()
    default_role: str = "none"
    trust_emails: bool = False
    session_hours: float = 12.0
    roots: tuple[Path, ...] = ()
    uploads_mb: int = 0
    audit: Path = Path("audit")
    listen: str = "127.0.0.1"
    port: int = 8501
    client_secret: str = field(default="", repr=False)
    cookie_secret: str = field(default="", repr=False)

    @property
    def origin(self) -> str:
        """Scheme, host and port of the public address."""
        parts = urlsplit(self.public_url)
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def base_path(self) -> str:
        """The path below which everything lies, without slashes around it ("" at the root)."""
        return urlsplit(self.public_url).path.strip("/")

    @property
    def redirect_uri(self) -> str:
        """Where the provider sends people back to; to be registered there."""
        return f"{self.public_url}/oauth2callback"

    def described(self) -> str:
        """All of it in lines, the secrets as their length; for the log and for `loupe serve --check`."""
        lines = [
            f"{name} = {_shown(value)}" for name, value in vars(self).items() if not name.endswith("_secret")
        ]
        kept = [
            f"{name} = {len(getattr(self, name))} characters" for name in ("client_secret", "cookie_secret")
        ]
        return "\n".join([*lines, f"redirect_uri = {self.redirect_uri}", *kept])


def read(env: Mapping[str, str] | None = None) -> Settings:
    """What the environment says; secrets are removed from it where it is the process's own or can be changed.

    Raises ParameterError, naming the variable.
    """
    env = os.environ if env is None else env
    issuer = reading.text(env, "LOUPE_OIDC_ISSUER")
    metadata = reading.text(env, "LOUPE_OIDC_METADATA_URL", issuer.rstrip("/") + WELL_KNOWN if issuer else "")
    workspaces = _workspaces(env)
    made = Settings(
        public_url=_web_address(reading.text(env, "LOUPE_PUBLIC_URL"), "LOUPE_PUBLIC_URL").rstrip("/"),
        workspaces=workspaces,
        metadata_url=_web_address(metadata, "LOUPE_OIDC_ISSUER"),
        client_id=reading.secret(env, "LOUPE_OIDC_CLIENT_ID"),
        client_secret=reading.secret(env, "LOUPE_OIDC_CLIENT_SECRET"),
        cookie_secret=reading.secret(env, "LOUPE_COOKIE_SECRET", at_least=32),
        owners=_emails(env, "LOUPE_OWNERS"),
        allowed_domains=tuple(d.lower().lstrip("@") for d in reading.words(env, "LOUPE_ALLOWED_DOMAINS")),
        allowed_emails=_emails(env, "LOUPE_ALLOWED_EMAILS"),
        default_role=reading.choice(env, "LOUPE_DEFAULT_ROLE", "none", DEFAULT_ROLES),
        trust_emails=reading.yes(env, "LOUPE_TRUST_EMAILS"),
        session_hours=reading.number(env, "LOUPE_SESSION_HOURS", 12.0, 0.01, 720.0),
        roots=reading.directories(env, "LOUPE_ROOTS"),
        uploads_mb=int(reading.number(env, "LOUPE_UPLOADS_MB", 0, 0, 2000)),
        audit=_audit(env, workspaces[0][1]),
        listen=_address(reading.text(env, "LOUPE_LISTEN", "127.0.0.1")),
        port=int(reading.number(env, "LOUPE_PORT", 8501, 1, 65535)),
    )
    _refuse_open_doors(made)
    if isinstance(env, MutableMapping):
        for name in SECRETS:
            env.pop(name, None)
    return made


def _refuse_open_doors(made: Settings) -> None:
    """What would let in more people than was meant."""
    if not made.owners:
        raise ParameterError(
            "LOUPE_OWNERS is not set", "the e-mail of at least one owner", "Others are added by her"
        )
    if made.default_role != "none" and not (made.allowed_domains or made.allowed_emails):
        raise ParameterError(
            f"LOUPE_DEFAULT_ROLE={made.default_role} with neither LOUPE_ALLOWED_DOMAINS nor LOUPE_ALLOWED_EMAILS",
            "a list of who may sign in",
            "Without one, everybody with an account at the provider would come in",
        )


def _workspaces(env: Mapping[str, str]) -> tuple[tuple[str, Path], ...]:
    named = reading.mapping(env, "LOUPE_WORKSPACES") if reading.text(env, "LOUPE_WORKSPACES") else {}
    if not named:
        one = reading.text(env, "LOUPE_WORKSPACE")
        if not one:
            raise ParameterError("LOUPE_WORKSPACES is not set", "NAME=DIRECTORY, such as lab=/data/lab")
        path = Path(one).expanduser().resolve()
        named = {re.sub(r"[^A-Za-z0-9_-]+", "-", path.name).strip("-_")[:40] or "workspace": str(path)}
    if bad := [name for name in named if not NAME.fullmatch(name)]:
        raise ParameterError(
            f"LOUPE_WORKSPACES has the name {bad[0][:60]!r}", "letters, digits, _ and -, at most 40"
        )
    found = tuple((name, reading.directory(path, "LOUPE_WORKSPACES")) for name, path in named.items())
    if len({path for _, path in found}) < len(found):
        raise ParameterError("LOUPE_WORKSPACES names one directory twice", "a directory for each name")
    return found


def _audit(env: Mapping[str, str], first: Path) -> Path:
    given = reading.text(env, "LOUPE_AUDIT")
    return reading.directory(given, "LOUPE_AUDIT") if given else first / "audit"


def _emails(env: Mapping[str, str], name: str) -> tuple[str, ...]:
    found = tuple(word.lower() for word in reading.words(env, name))
    if bad := [one for one in found if not EMAIL.fullmatch(one)]:
        raise ParameterError(f"{name} holds {bad[0][:80]!r}", "e-mail addresses, separated by commas")
    return found


def _web_address(given: str, name: str) -> str:
    """https, or http on this machine only: a token or cookie must not cross a network in the clear."""
    parts = urlsplit(given)
    clear = parts.scheme == "http" and is_loopback(parts.hostname or "")
    if (
        not parts.hostname
        or not (parts.scheme == "https" or clear)
        or parts.query
        or parts.fragment
        or parts.username
    ):
        raise ParameterError(
            f"{name}={given[:120]!r}", "an address that begins with https:// (http:// on this machine)"
        )
    return given


def _address(given: str) -> str:
    try:
        return str(ipaddress.ip_address(given))
    except ValueError:
        raise ParameterError(
            f"LOUPE_LISTEN={given[:40]!r}", "an address such as 127.0.0.1 or 0.0.0.0"
        ) from None


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine by its name or number."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _shown(value) -> str:
    if isinstance(value, tuple):
        return (
            ", ".join(_shown(one) if not isinstance(one, tuple) else "=".join(map(str, one)) for one in value)
            or "-"
        )
    return str(value)
