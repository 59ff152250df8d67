"""The tests' own servers: an echo over TCP and UDP, on one port of a host, in threads of this process."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections import Counter
from ipaddress import IPv6Address
from typing import Self

from .namespace import Namespace

NAME_BYTES = 16
"""Each answer starts with the server's name, padded to this many bytes."""


class Echo:
    """Answers with its name, then sends back what it gets; both families and both protocols at once.

    TCP: the name first, as soon as a client has connected; it ends when the client has sent all. UDP: each
    datagram comes back with the name in place of its first bytes (one shorter than the name comes back as the name).
    ``seen`` counts connections and datagrams by client address.
    """

    def __init__(self, host: Namespace, name: str, port: int = 7) -> None:
        self.name = name
        self.seen: Counter[str] = Counter()
        with host.entered():
            self._servers = (_Tcp(port, self), _Udp(port, self))

    def __enter__(self) -> Self:
        for server in self._servers:
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def label(self) -> bytes:
        """What stands at the start of each answer."""
        return self.name.encode().ljust(NAME_BYTES)

    def note(self, address: str) -> None:
        """Count a connection or a datagram of a client's."""
        mapped = IPv6Address(address.partition("%")[0]).ipv4_mapped
        self.seen[str(mapped or address)] += 1


class _DualStack:
    """Mixed into a server of socketserver's."""

    address_family: int = socket.AF_INET6
    allow_reuse_address = True
    request_queue_size = 1024
    socket: socket.socket

    def server_bind(self) -> None:
        """Take IPv4 too."""
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()  # type: ignore[misc]

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away in the middle is nothing that this server could mend."""


class _Tcp(_DualStack, socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, port: int, echo: Echo) -> None:
        self.echo = echo
        super().__init__(("::", port), _TcpHandler)


class _TcpHandler(socketserver.BaseRequestHandler):
    server: _Tcp

    def handle(self) -> None:
        self.server.echo.note(self.client_address[0])
        self.request.sendall(self.server.echo.label())
        while data := self.request.recv(65536):
            self.request.sendall(data)


class _Udp(_DualStack, socketserver.UDPServer):
    max_packet_size = 65535

    def __init__(self, port: int, echo: Echo) -> None:
        self.echo = echo
        super().__init__(("::", port), _UdpHandler)


class _UdpHandler(socketserver.BaseRequestHandler):
    server: _Udp

    def handle(self) -> None:
        data, connection = self.request
        self.server.echo.note(self.client_address[0])
        connection.sendto(self.server.echo.label() + data[NAME_BYTES:], self.client_address)
