"""Clients of the echo servers, on sockets of any host."""

from __future__ import annotations

import socket
import struct
import threading
from typing import Self

from tcnat.layout import Family

from .addresses import Addresses
from .echo import NAME_BYTES
from .namespace import Namespace

_FAMILIES = {Family.IPV4: socket.AF_INET, Family.IPV6: socket.AF_INET6}

IP_MTU = 14
IP_MTU_DISCOVER = 10
IP_PMTUDISC_DO = 2
IPV6_MTU = 24
IPV6_MTU_DISCOVER = 23
IPV6_DONTFRAG = 62
"""From linux/in.h and linux/in6.h; Python has no names for these."""


def open_socket(host: Namespace, family: Family, kind: socket.SocketKind, source_port: int = 0) -> socket.socket:
    """A socket on that host, bound to the source port (which others may have, too) if there is one."""
    made = host.socket(_FAMILIES[family], kind)
    if source_port:
        for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
            made.setsockopt(socket.SOL_SOCKET, option, 1)
        made.bind(("", source_port))
    return made


class Tcp:
    """A connection to an echo server; ``server`` is the name that it gave."""

    def __init__(self, host: Namespace, to: Addresses, family: Family, port: int, source_port: int = 0) -> None:
        self.socket = open_socket(host, family, socket.SOCK_STREAM, source_port)
        try:
            self.socket.connect((to.of(family), port))
            self.server = self._receive(NAME_BYTES).decode().strip()
        except OSError:
            self.socket.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def echo(self, data: bytes) -> bytes:
        """Send it all and receive as much."""
        sender = threading.Thread(target=self.socket.sendall, args=(data,))
        sender.start()
        try:
            return self._receive(len(data))
        finally:
            sender.join()

    def rest(self) -> bytes:
        """All that comes until the other side has sent its FIN."""
        parts = []
        while part := self.socket.recv(65536):
            parts.append(part)
        return b"".join(parts)

    def reset(self) -> None:
        """Close with a RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def _receive(self, size: int) -> bytes:
        got = bytearray()
        while len(got) < size:
            part = self.socket.recv(size - len(got))
            if not part:
                raise ConnectionError(f"the other side closed after {len(got)} of {size} bytes")
            got += part
        return bytes(got)


class Udp:
    """A UDP socket for echo servers; ``connected`` ones hear of ICMP errors and take answers from there alone."""

    def __init__(
        self,
        host: Namespace,
        to: Addresses,
        family: Family,
        port: int,
        *,
        source_port: int = 0,
        connected: bool = True,
    ) -> None:
        self.socket = open_socket(host, family, socket.SOCK_DGRAM, source_port)
        self.peer = (to.of(family), port)
        self._connected = connected
        if connected:
            self.socket.connect(self.peer)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Send one datagram."""
        if self._connected:
            self.socket.send(data)
        else:
            self.socket.sendto(data, self.peer)

    def receive(self) -> tuple[str, bytes]:
        """The next answer: the server's name, and the rest. The answer must come from whom the question was sent to."""
        data, sender = self.socket.recvfrom(65535)
        assert sender[:2] == self.peer, f"an answer of {sender} to a question to {self.peer}"
        return data[:NAME_BYTES].decode().strip(), data[NAME_BYTES:]

    def ask(self, data: bytes) -> str:
        """Send a datagram, get it back unharmed; who answered."""
        self.send(data)
        server, rest = self.receive()
        assert rest == data[NAME_BYTES:]
        return server


def path_mtu(connected: socket.socket) -> int:
    """The path MTU that the kernel knows for a connected socket's peer."""
    if connected.family == socket.AF_INET:
        return connected.getsockopt(socket.IPPROTO_IP, IP_MTU)
    return connected.getsockopt(socket.IPPROTO_IPV6, IPV6_MTU)
