"""A small HTTP server for what others watch: a table of paths, each answered by a function, GET and HEAD only."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from tcnat.errors import TcnatError
from tcnat.lean import without_entities
from tcnat.values import Address

with without_entities():
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PATIENCE = 10
"""Seconds that a client may take to send its request."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request gets."""

    status: int
    body: bytes
    content_type: str = "text/plain; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)


Route = Callable[[str], Answer]
"""Called with the request's Accept header, from the server's threads."""


class Server:
    """Serves ``routes`` at ``address`` from :meth:`start` to :meth:`stop`.

    The path ``*`` answers whatever no other does. ``purpose`` is what the server's flag is called after.
    """

    def __init__(self, address: Address, routes: Mapping[str, Route], *, purpose: str) -> None:
        self._purpose = purpose
        self._wanted = address
        self._handler = type("Handler", (_Handler,), {"routes": dict(routes)})
        self._server: ThreadingHTTPServer | None = None
        self._thread = threading.Thread(target=self._serve, name=purpose, daemon=True)
        self._stopping = False

    def start(self) -> Address:
        """Listen and serve from a thread; gives the real address (port 0 takes a free one). TcnatError if it cannot."""
        try:
            self._server = _bind(self._wanted, self._handler)
        except OSError as error:
            raise TcnatError(
                f"cannot listen at {self._wanted} for {self._purpose}: {error.strerror}; "
                f"choose another address with --{self._purpose}-bind-address"
            ) from None
        self._thread.start()
        host, port = self._server.socket.getsockname()[:2]
        return Address(host, port)

    def stop(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._stopping = True
            self._server.socket.shutdown(socket.SHUT_RDWR)  # wakes the thread, which waits without a time-out
            self._thread.join()
            self._server.server_close()
            self._server = None

    def _serve(self) -> None:
        while self._server is not None and not self._stopping:
            self._server.handle_request()


def _bind(address: Address, handler: Any) -> ThreadingHTTPServer:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    kind = type("_Server", (ThreadingHTTPServer,), {"address_family": family, "daemon_threads": True})
    server: ThreadingHTTPServer = kind(tuple(address), handler)
    return server


class _Handler(BaseHTTPRequestHandler):
    routes: Mapping[str, Route]
    timeout = PATIENCE
    server_version = "tcnat"
    sys_version = ""

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _answer(self, *, with_body: bool) -> None:
        route = self.routes.get(urlsplit(self.path).path) or self.routes.get("*")
        answer = route(self.headers.get("Accept", "")) if route else Answer(HTTPStatus.NOT_FOUND, b"not found\n")
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Content-Length", str(len(answer.body)))
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        if with_body:
            self.wfile.write(answer.body)

    def log_message(self, format: str, *args: object) -> None:
        """Requests are not logged."""
