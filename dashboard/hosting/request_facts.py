"""What a request says of itself, read the same way wherever it is asked."""

from __future__ import annotations

from http.cookies import CookieError, SimpleCookie


def plain_path(path: str, base: str) -> str:
    """The path without the base and without doubled or dotted parts, so that no spelling walks around a rule."""
    if base and (path == base or path.startswith(base + "/")):
        path = path[len(base) :]
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return "/" + "/".join(parts)


def header(scope, name: bytes) -> str:
    return next((v.decode("latin-1") for k, v in scope["headers"] if k.lower() == name), "")


def cookies(scope) -> dict[str, str]:
    """As Streamlit reads them, so that both see the same."""
    from starlette.requests import HTTPConnection

    return dict(HTTPConnection(scope).cookies)


def cookies_set(headers) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in headers:
        if name.lower() == b"set-cookie":
            try:
                found.update({k: m.value for k, m in SimpleCookie(value.decode("latin-1")).items()})
            except CookieError:
                continue
    return found


def address(scope) -> str:
    return str((scope.get("client") or ("",))[0])
