"""Which language model may be asked for names: what the environment of this program says, and nothing else.

    LOUPE_NAMER_URL      a server that speaks chat-completions JSON, such as http://localhost:11434/v1
    LOUPE_NAMER_MODEL    what the server calls the model
    LOUPE_NAMER_KEY      a bearer token, where the server wants one
    LOUPE_NAMER_COMMAND  in place of a server: a program and its arguments; JSON to its input, the answer on its output
    LOUPE_NAMER_TIMEOUT  seconds to wait for an answer; 120
    LOUPE_NAMER_OPTIONS  a JSON object, fields of a request beside model and messages; {"temperature": 0}

Never from a workspace: whoever opens one that a stranger made must not send texts to the stranger's server, nor run his
program. The key goes into one header of a request; no file, message or result holds it.
"""

from __future__ import annotations

import ipaddress
import json
import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit, urlunsplit
from urllib.request import getproxies, proxy_bypass

from analysis.errors import NotFound, ParameterError

PREFIX = "LOUPE_NAMER_"
HOW = (
    "Start with LOUPE_NAMER_URL (a server that speaks chat-completions JSON, such as http://localhost:11434/v1) and "
    "LOUPE_NAMER_MODEL in the environment, or with LOUPE_NAMER_COMMAND (a program of your own)"
)
ENDING = "/chat/completions"
TIMEOUT, LONGEST_WAIT = 120.0, 3600.0
OPTIONS = '{"temperature": 0}'
OWN_FIELDS = ("model", "messages", "stream")


@dataclass(frozen=True)
class Settings:
    """One of `url` (where a request goes, whole) and `command` is there. `proxy`: what requests go through."""

    model: str
    url: str = field(default="", repr=False)  # its query may hold a secret
    command: tuple[str, ...] = ()
    key: str = field(default="", repr=False)
    timeout: float = TIMEOUT
    options: Mapping = field(default_factory=dict)
    proxy: str = field(default="", repr=False)  # it may hold a password

    @property
    def where(self) -> str:
        """Who is asked, to be shown: scheme, host and path of a server without its query, or the program."""
        if self.command:
            return f"the program {os.path.basename(self.command[0])} on this machine"
        parts = urlsplit(self.url)
        return urlunsplit((parts.scheme, parts.netloc, parts.path, "", ""))

    @property
    def host(self) -> str:
        """Host and port of a server; "this machine" for a program."""
        return "this machine" if self.command else urlsplit(self.url).netloc

    @property
    def fields(self) -> dict:
        """What a request to a server holds beside the messages."""
        return {**self.options, "model": self.model, "stream": False}

    @property
    def proxy_host(self) -> str:
        """The machine that requests go through; "" for none."""
        return urlsplit(self.proxy if "//" in self.proxy else f"//{self.proxy}").hostname or ""

    @property
    def is_local(self) -> bool:
        return bool(self.command) or _is_loopback(urlsplit(self.url).hostname or "")

    @property
    def is_open(self) -> bool:
        """Do texts travel unencrypted to another machine?"""
        return not self.is_local and self.url.startswith("http:")

    def without_key(self, text: str) -> str:
        """A text of others, without the key should it repeat it."""
        return text.replace(self.key, "…") if self.key else text


def configured(environment: Mapping[str, str] | None = None) -> Settings | None:
    """What the environment says; None where it names no model. Opens nothing.

    Raises ParameterError for settings that cannot be used, without repeating what may be secret.
    """
    given = os.environ if environment is None else environment
    said = {
        n: given.get(PREFIX + n, "").strip() for n in ("URL", "MODEL", "KEY", "COMMAND", "TIMEOUT", "OPTIONS")
    }
    if not said["URL"] and not said["COMMAND"]:
        return None
    if said["URL"] and said["COMMAND"]:
        raise ParameterError("both LOUPE_NAMER_URL and LOUPE_NAMER_COMMAND are set", "one of them")
    common = {"timeout": _timeout(said["TIMEOUT"]), "options": _options(said["OPTIONS"])}
    if said["COMMAND"]:
        command = _command(said["COMMAND"])
        return Settings(said["MODEL"] or os.path.basename(command[0]), command=command, **common)
    if not said["MODEL"]:
        raise ParameterError("LOUPE_NAMER_MODEL is not set", "the name that the server has for the model")
    url = _url(said["URL"])
    return Settings(said["MODEL"], url, key=_key(said["KEY"]), proxy=_proxy(url), **common)


def needed() -> Settings:
    """The same; raises NotFound where there is none."""
    found = configured()
    if found is None:
        raise NotFound("no language model is configured: nothing was sent", "", HOW)
    return found


def _url(text: str) -> str:
    wrong = ParameterError(
        "LOUPE_NAMER_URL is no address that can be asked",
        "http:// or https://, a host, no user name or password, such as http://localhost:11434/v1",
    )
    try:
        parts = urlsplit(text)
        good = parts.scheme in ("http", "https") and parts.hostname and (parts.port or 1) > 0
    except ValueError:
        raise wrong from None
    if not good or "@" in parts.netloc or not text.isascii() or not text.isprintable() or " " in text:
        raise wrong
    path = parts.path.rstrip("/")
    return urlunsplit(
        (parts.scheme, parts.netloc, path if path.endswith(ENDING) else path + ENDING, parts.query, "")
    )


def _key(text: str) -> str:
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ParameterError(
            "LOUPE_NAMER_KEY has signs that no header can hold", "the key alone, on one line"
        )
    return text


def _command(text: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise ParameterError(
            f"LOUPE_NAMER_COMMAND cannot be read ({error})", "a program, arguments, closed quotes"
        ) from None


def _timeout(text: str) -> float:
    try:
        seconds = float(text or TIMEOUT)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds <= LONGEST_WAIT:
        raise ParameterError(f"LOUPE_NAMER_TIMEOUT = {text[:40]!r}", f"seconds, up to {LONGEST_WAIT:.0f}")
    return seconds


def _options(text: str) -> dict:
    try:
        found = json.loads(text or OPTIONS)
    except ValueError:
        found = None
    if not isinstance(found, dict) or set(found) & set(OWN_FIELDS):
        raise ParameterError(
            "LOUPE_NAMER_OPTIONS cannot be used",
            f"a JSON object such as {OPTIONS}, without {', '.join(OWN_FIELDS)}",
        )
    return found


def _proxy(url: str) -> str:
    """The proxy of the environment, which a server on this machine is never asked through."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if _is_loopback(host) or proxy_bypass(host):
        return ""
    return getproxies().get(parts.scheme, "")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
