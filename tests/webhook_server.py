"""A webhook that remembers what it was told, and refuses when asked to."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "B0SECRET/s3cr3tT0ken"
HANG = 0  # instead of a status: take the request, and never answer


@dataclass(frozen=True)
class Answer:
    """What it says to one request."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: str = "ok"


@dataclass
class WebhookServer:
    """A running server.

    Attributes:
        port: of 127.0.0.1.
        answers: to the next requests; after them it says 200.
        requests: method, path and body of each request.
    """

    port: int
    answers: list[Answer] = field(default_factory=list)
    requests: list[tuple[str, str, str]] = field(default_factory=list)

    @property
    def url(self) -> str:
        """With a secret, as Slack's URLs have."""
        return f"http://127.0.0.1:{self.port}/services/T0/{TOKEN}"

    @property
    def told(self) -> list[dict[str, Any]]:
        """The bodies."""
        return [json.loads(body) for _, _, body in self.requests]


@contextmanager
def webhook_server() -> Iterator[WebhookServer]:
    """A webhook that runs until the context ends."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            running.requests.append((self.command, self.path, body))
            answer = running.answers.pop(0) if running.answers else Answer(200)
            if answer.status == HANG:
                time.sleep(1)
                return
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.end_headers()
            # As many servers do, it repeats the path in what it says of an error.
            self.wfile.write((answer.body or f"cannot {self.command} {self.path}").encode())

        def do_GET(self) -> None:  # after a redirect
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running = WebhookServer(server.server_port)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield running
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
