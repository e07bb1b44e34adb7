"""A little server on this machine that answers as a language model would, or as it should not."""

from __future__ import annotations

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEY = "sk-a-key-that-nobody-may-read"


def reply(text) -> bytes:
    return json.dumps({"choices": [{"message": {"role": "assistant", "content": text}}]}).encode()


def examples_of(question: str) -> dict[int, str]:
    """The numbered examples of a question which of them fit."""
    return {int(i): json.loads(text) for i, text in re.findall(r"^(\d+)\. (\".*\")$", question, re.MULTILINE)}


class ModelServer:
    """`answers(question, is_fit) -> str`; or `raw = (status, headers, bytes)`, sent as it is. `wait`: an event that is
    waited for before every answer. `seen`: (path, headers, body) of each request."""

    def __init__(self) -> None:
        self.seen, self.raw, self.wait = [], None, None
        self.answers = lambda question, is_fit: "[]" if is_fit else "a name"
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.seen.append((self.path, dict(self.headers), body))
                if outer.wait is not None:
                    outer.wait.wait(60)
                status, headers, raw = outer._answer(body)
                self.send_response(status)
                for name, value in {"Content-Length": str(len(raw)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(raw)

            do_GET = do_POST

            def log_message(self, *_) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.host = f"127.0.0.1:{self.server.server_port}"
        self.url = f"http://{self.host}/v1"
        threading.Thread(
            target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        ).start()

    def _answer(self, body: dict) -> tuple[int, dict, bytes]:
        if callable(self.raw):
            return self.raw()
        if self.raw is not None:
            return self.raw
        question = body["messages"][-1]["content"]
        return 200, {}, reply(self.answers(question, "said to stand for" in question))

    def close(self) -> None:
        if self.wait is not None:
            self.wait.set()
        self.server.shutdown()
        self.server.server_close()
