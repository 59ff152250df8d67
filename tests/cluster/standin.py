"""A small HTTPS API server for what a real one will not do on demand: both slice versions, 410 at any moment, watches
that hang or end in mid-line, garbage, refusals.

It speaks the list and watch protocol of the API server for whole collections: resource versions, ``limit`` and
``continue``, bookmarks, label selectors of the two forms that tcnat uses.
"""

from __future__ import annotations

import json
import ssl
import subprocess
import threading
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import yaml

SLICES_V1 = "/apis/discovery.k8s.io/v1/endpointslices"
SLICES_V1BETA1 = "/apis/discovery.k8s.io/v1beta1/endpointslices"
SERVICES = "/api/v1/services"
ENDPOINTS = "/api/v1/endpoints"
NODES = "/api/v1/nodes"
TOKEN = "secret"


@dataclass
class Faults:
    """What goes wrong at present."""

    gone: bool = False
    """Watches from any version: 410."""
    gone_in_stream: bool = False
    """Watches begin well and then send an ERROR event with 410."""
    garbage: bool = False
    """Watches send a line that is no JSON."""
    cut: bool = False
    """Watches end in the middle of a line."""
    hang: bool = False
    """Watches send nothing, not even a bookmark."""
    status: dict[str, int] = field(default_factory=dict)
    """Path -> the status of every answer."""


class Told(NamedTuple):
    """What watches tell of a change."""

    version: int
    type: str
    object: dict[str, Any]


class StandIn:
    """The server's state. Objects are kept by collection path and (namespace, name)."""

    def __init__(self) -> None:
        self.version = 100
        self.oldest = 0
        self.token = TOKEN
        self.faults = Faults()
        self.slice_versions = ["v1", "v1beta1"]
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.changed = threading.Condition()
        self._objects: dict[str, dict[tuple[str, str], dict[str, Any]]] = {}
        self._events: dict[str, list[Told]] = defaultdict(list)
        self._listed: dict[tuple[str, str], list[dict[str, Any]]] = {}  # by path and selector, until something changes
        self.closed = False
        self.epoch = 0
        """Goes up to end all watches that are open."""

    def put(self, path: str, *objects: dict[str, Any]) -> None:
        """Create or change objects of a collection."""
        with self.changed:
            for each in objects:
                self.version += 1
                meta = each["metadata"]
                meta["resourceVersion"] = str(self.version)
                key = (meta.get("namespace", ""), meta["name"])
                known = self._objects.setdefault(path, {})
                self._events[path].append(Told(self.version, "MODIFIED" if key in known else "ADDED", each))
                known[key] = each
            self._listed.clear()
            self.changed.notify_all()

    def delete(self, path: str, namespace: str, name: str, *, silently: bool = False) -> None:
        """Delete an object; ``silently``: no watch tells of it."""
        with self.changed:
            gone = self._objects[path].pop((namespace, name))
            self._listed.clear()
            self.version += 1
            gone = {**gone, "metadata": {**gone["metadata"], "resourceVersion": str(self.version)}}
            if not silently:
                self._events[path].append(Told(self.version, "DELETED", gone))
            self.changed.notify_all()

    def end_watches(self) -> None:
        """Close all connections on which a watch goes on."""
        with self.changed:
            self.epoch += 1
            self.changed.notify_all()

    def items(self, path: str, selector: str) -> list[dict[str, Any]]:
        """The collection's objects that a label selector takes, by name."""
        with self.changed:
            key = _stored(path), selector
            if key not in self._listed:
                known = self._objects.get(_stored(path), {})
                self._listed[key] = [known[name] for name in sorted(known) if _selected(known[name], selector)]
            return self._listed[key]

    def events_after(self, version: int, path: str) -> list[Told]:
        """What a watch from there has to tell."""
        events = self._events[_stored(path)]
        return events[bisect_right(events, version, key=lambda each: each.version) :]

    def count(self, path: str, *, watch: bool) -> int:
        """How many lists, or watches, of a collection there were."""
        return sum(where == path and ("watch" in query) == watch for where, query in self.requests)


def _stored(path: str) -> str:
    return SLICES_V1 if path == SLICES_V1BETA1 else path


def _selected(each: dict[str, Any], selector: str) -> bool:
    labels = each["metadata"].get("labels", {})
    for term in filter(None, selector.split(",")):
        name, equals, value = term.partition("=")
        if equals and labels.get(name) != value:
            return False
        if not equals and name.removeprefix("!") in labels:
            return False
    return True


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: StandIn

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        state, epoch = self.state, self.state.epoch
        if state.closed:  # a connection that was kept open
            self.close_connection = True
            return
        state.requests.append((url.path, query))
        if self.headers.get("Authorization") != f"Bearer {state.token}":
            self._refuse(401, "Unauthorized")
        elif url.path in state.faults.status:
            self._refuse(state.faults.status[url.path], "made to fail")
        elif url.path == "/apis/discovery.k8s.io":
            if state.slice_versions:
                self._answer({"kind": "APIGroup", "versions": [{"version": each} for each in state.slice_versions]})
            else:
                self._refuse(404, "not found")
        elif url.path.startswith("/apis/discovery") and url.path.split("/")[3] not in state.slice_versions:
            self._refuse(404, "the server could not find the requested resource")
        elif "watch" in query:
            self._watch(url.path, query, epoch)
        else:
            self._list(url.path, query)

    def _answer(self, body: dict[str, Any], status: int = 200) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _refuse(self, status: int, message: str) -> None:
        self._answer({"kind": "Status", "code": status, "message": message}, status)

    def _list(self, path: str, query: dict[str, str]) -> None:
        items = self.state.items(path, query.get("labelSelector", ""))
        start, limit = int(query.get("continue", 0)), int(query.get("limit", 0)) or len(items)
        meta = {"resourceVersion": str(self.state.version)}
        if start + limit < len(items):
            meta["continue"] = str(start + limit)
        self._answer({"kind": "List", "metadata": meta, "items": items[start : start + limit]})

    def _watch(self, path: str, query: dict[str, str], epoch: int) -> None:
        state, version = self.state, int(query["resourceVersion"])
        if state.faults.gone or version < state.oldest:
            self._refuse(410, "too old resource version")
            return
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.flush()
        try:
            if state.faults.gone_in_stream:
                self._line({"type": "ERROR", "object": {"kind": "Status", "code": 410, "message": "gone"}})
            elif state.faults.garbage:
                self._chunk(b"{garbage\n")
            elif state.faults.cut:
                self._chunk(b'{"type":"ADDED","obj')
            else:
                self._follow(path, query.get("labelSelector", ""), version, epoch)
            self._chunk(b"")
        except OSError:
            self.close_connection = True

    def _follow(self, path: str, selector: str, version: int, epoch: int) -> None:
        state = self.state
        if not state.faults.hang:
            self._line({"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": str(state.version)}}})
        told = version
        while state.epoch == epoch:
            with state.changed:
                state.changed.wait_for(partial(self._has_news, path, told, epoch), timeout=30)
                events = state.events_after(told, path)
            for event in events:
                told = event.version
                if not state.faults.hang and _selected(event.object, selector):
                    self._line({"type": event.type, "object": event.object})

    def _has_news(self, path: str, told: int, epoch: int) -> bool:
        return self.state.epoch != epoch or bool(self.state.events_after(told, path))

    def _line(self, event: dict[str, Any]) -> None:
        self._chunk(json.dumps(event).encode() + b"\n")

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()


@contextmanager
def serving(directory: Path, port: int = 0) -> Iterator[tuple[StandIn, Path]]:
    """The server on loopback, and a kubeconfig for it (certificate and token) in ``directory``."""
    state = StandIn()
    certificate, key = directory / "server.crt", directory / "server.key"
    if not certificate.exists():
        words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=standin"]
        names = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
        subprocess.run([*words, *names], check=True, capture_output=True)
    server = ThreadingHTTPServer(("127.0.0.1", port), type("Handler", (_Handler,), {"state": state}))
    server.daemon_threads = True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield state, write_kubeconfig(directory, server.server_address[1], certificate)
    finally:
        state.closed = True
        state.end_watches()
        server.shutdown()
        server.server_close()
        thread.join()


def write_kubeconfig(directory: Path, port: int, certificate: Path, token: str = TOKEN) -> Path:
    """A kubeconfig as kubectl writes one."""
    cluster = {"server": f"https://127.0.0.1:{port}", "certificate-authority": str(certificate)}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
        "clusters": [{"name": "here", "cluster": cluster}],
        "users": [{"name": "me", "user": {"token": token}}],
    }
    path = directory / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return path
