"""Values of the environment: read, checked, and refused in words that never show a secret."""

from __future__ import annotations

import ipaddress
import json
import os
from collections.abc import Mapping
from pathlib import Path

from analysis.errors import ParameterError

LONGEST_SECRET = 1 << 16  # bytes of a file with a secret


def text(env: Mapping[str, str], name: str, default: str = "") -> str:
    """A line of text without the blanks around it."""
    return (env.get(name) or "").strip() or default


def words(env: Mapping[str, str], name: str) -> tuple[str, ...]:
    """What commas separate."""
    return tuple(dict.fromkeys(word.strip() for word in text(env, name).split(",") if word.strip()))


def number(env: Mapping[str, str], name: str, default: float, low: float, high: float) -> float:
    """A number of [low, high]. Raises ParameterError."""
    given = text(env, name)
    try:
        value = float(given) if given else default
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        raise ParameterError(f"{name}={given[:40]!r}", f"a number from {low:g} to {high:g}")
    return value


def choice(env: Mapping[str, str], name: str, default: str, allowed: tuple[str, ...]) -> str:
    """One of `allowed`. Raises ParameterError."""
    given = text(env, name, default)
    if given not in allowed:
        raise ParameterError(f"{name}={given[:40]!r}", "one of " + ", ".join(allowed))
    return given


def yes(env: Mapping[str, str], name: str) -> bool:
    """yes or no (no unless said). Raises ParameterError."""
    return choice(env, name, "no", ("yes", "no")) == "yes"


def directories(env: Mapping[str, str], name: str) -> tuple[Path, ...]:
    """Directories that are there, separated as in PATH, without links. Raises ParameterError."""
    return tuple(directory(one, name) for one in text(env, name).split(os.pathsep) if one.strip())


def directory(given: str, name: str) -> Path:
    """One directory that is there, without links. Raises ParameterError."""
    path = Path(given.strip()).expanduser()
    if "\0" in given or not path.is_absolute() or not path.is_dir():
        raise ParameterError(f"{name} names {given[:200]!r}", "the full path of a directory that is there")
    return path.resolve()


def secret(env: Mapping[str, str], name: str, *, at_least: int = 1) -> str:
    """The secret `name`, or what is in the file that `name`_FILE names (as container secrets are handed over).

    Raises ParameterError when both or none are there, when the file cannot be read, when it is too short.
    """
    given, file = env.get(name) or "", text(env, f"{name}_FILE")
    if given and file:
        raise ParameterError(f"both {name} and {name}_FILE are set", "one of them")
    if file:
        try:
            with open(file, encoding="utf-8") as f:
                given = f.read(LONGEST_SECRET)
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or "it is not text"
            raise ParameterError(
                f"the file of {name}_FILE cannot be read ({why})", "a readable file"
            ) from None
    given = given.strip()
    if len(given) < at_least:
        said = f"{len(given)} characters" if given else "not set"
        raise ParameterError(
            f"{name} is {said}",
            f"a secret of at least {at_least} characters, in {name} or a file in {name}_FILE",
        )
    return given


def networks(env: Mapping[str, str], name: str) -> tuple[str, ...]:
    """Addresses or networks. Raises ParameterError."""
    found = words(env, name)
    for one in found:
        try:
            ipaddress.ip_network(one, strict=False)
        except ValueError:
            raise ParameterError(
                f"{name} holds {one[:60]!r}", "addresses or networks, as 10.0.0.0/8"
            ) from None
    return found


def mapping(env: Mapping[str, str], name: str) -> dict[str, str]:
    """NAME=VALUE pairs separated by commas, or a JSON object of texts. Raises ParameterError."""
    given = text(env, name)
    if given.startswith("{"):
        try:
            found = json.loads(given)
        except ValueError:
            found = None
    else:
        pairs = [one.partition("=") for one in given.split(",") if one.strip()]
        found = {key.strip(): value.strip() for key, sign, value in pairs if sign}
        found = found if len(found) == len(pairs) else None
    if not isinstance(found, dict) or not all(isinstance(v, str) and k and v for k, v in found.items()):
        raise ParameterError(
            f"{name}={given[:80]!r}", "NAME=DIRECTORY, separated by commas, or a JSON object"
        )
    return found
