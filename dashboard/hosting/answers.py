"""Answers that are given before Streamlit is asked: a status, a line of text, nothing that the request said."""

from __future__ import annotations

REASONS = {
    400: "Bad request.",
    404: "Not found.",
    405: "Only GET is answered here.",
    414: "This address is too long.",
    421: "Another host is asked for than this one.",
    429: "Too many requests. Wait a moment.",
    431: "The headers are too long.",
    503: "Too many people at once, or the server is stopping. Try again in a minute.",
}


async def answer(
    send, status: int, body: bytes | None = None, kind: str = "text/plain; charset=utf-8", more=()
) -> None:
    """Send a whole answer over HTTP."""
    body = REASONS.get(status, "").encode() if body is None else body
    headers = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode()), *more]
    if status in (429, 503):
        headers.append((b"retry-after", b"5"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def refuse(scope, receive, send, status: int) -> None:
    """The same to whatever was asked; a WebSocket is closed before it is opened (the client sees 403)."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1013 if status in (429, 503) else 1008})
        return
    await answer(send, status)
