"""The log of a host: one JSON object a line on standard error, and tracebacks nowhere else.

    {"time", "level", "logger", "message", "error"?, "page"?, "person"?, "traceback"?}

A person is a pseudonym: the same one as long as the cookie secret stays, and nobody's name without it. Secrets of the
configuration, tokens and passwords in addresses are cut out of whatever is written.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import re
import sys
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from datetime import UTC, datetime

LONGEST = 16_384  # characters of one message or traceback
_about: ContextVar[dict] = ContextVar("about", default={})  # noqa: B039 - never changed, only replaced
ERROR_ID = re.compile(r"\berror ([0-9a-f]{8})\b")
TOKENS = (
    re.compile(r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"),  # a signed token
    re.compile(r"(?i)(?<=bearer )[\w.~+/=-]{8,}"),
    re.compile(r"(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"),  # a name and a password in an address
    re.compile(
        r"(?i)(?<=[?&;\s\"'])(?:code|state|token|id_token|access_token|client_secret|password)=[^&\s\"']+"
    ),
)
CUT = "[cut out]"


class Lines(logging.Formatter):
    """Formats a record as a JSON line. `secrets` : texts that must not be in it."""

    def __init__(self, secrets: Sequence[str] = ()) -> None:
        super().__init__()
        self.secrets = sorted((s for s in secrets if len(s) >= 6), key=len, reverse=True)

    def format(self, record: logging.LogRecord) -> str:
        message = self.clean(record.getMessage())
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": message,
        }
        if found := ERROR_ID.search(message):
            line["error"] = found[1]
        line |= {name: str(value)[:200] for name, value in _about.get().items() if value}
        line |= {name: self.clean(str(value)) for name, value in getattr(record, "fields", {}).items()}
        if record.exc_info:
            line["traceback"] = self.clean(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=False)

    def clean(self, text: str) -> str:
        """Without secrets, and not longer than LONGEST (the end of a traceback says most)."""
        for secret in self.secrets:
            text = text.replace(secret, CUT)
        for pattern in TOKENS:
            text = pattern.sub(CUT, text)
        return text if len(text) <= LONGEST else f"… {text[-LONGEST:]}"


def begin(secrets: Sequence[str] = (), level: int = logging.INFO) -> None:
    """From here on everything that is logged in this process is a JSON line; to be called before Streamlit is loaded,
    which gives each of its loggers a handler of its own."""
    lines = Lines(secrets)
    logging.setLoggerClass(type("Logger", (_Logger,), {"lines": lines}))
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(lines)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.lastResort = handler  # of loggers whose handlers somebody took away
    for name in ("httpx", "httpx2"):  # a line for each question to the provider
        logging.getLogger(name).setLevel(logging.WARNING)
    for logger in list(logging.root.manager.loggerDict.values()):  # those that are there already
        for one in getattr(logger, "handlers", ()):
            one.setFormatter(lines)
    sys.excepthook = lambda *raised: logging.getLogger("loupe").critical("the server ends", exc_info=raised)


class _Logger(logging.Logger):
    """Whatever handler it is given writes our lines."""

    lines: Lines

    def addHandler(self, handler: logging.Handler) -> None:
        if not isinstance(handler, logging.NullHandler):
            handler.setFormatter(self.lines)
        super().addHandler(handler)


@contextlib.contextmanager
def about(**said: str) -> Iterator[None]:
    """Within this block, every line of this thread says so (page, person)."""
    token = _about.set({**_about.get(), **said})
    try:
        yield
    finally:
        _about.reset(token)


def pseudonym(person: str, key: str) -> str:
    """What a person is called in the log: 12 characters that tell nobody who she is without the key."""
    if not person:
        return ""
    return hashlib.blake2b(
        person.encode(), key=hashlib.sha256(key.encode()).digest(), digest_size=6
    ).hexdigest()
