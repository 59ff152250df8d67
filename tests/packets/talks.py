"""Conversations that many rows begin with, in steps."""

from __future__ import annotations

from typing import Any

from tests.packets.table import Endpoints, Sent, Services, forwarded, reversed_
from tests.packets.wire import CLIENT_PORT, Wire
from tests.packets.world import DNS, DNS_ONE, TCP, UDP, WEB, WEB_ONE, Endpoint, FrontEnd

CLIENT_ISN, BACKEND_ISN = 1000, 5000
"""Where the sequence numbers of both sides begin."""


def to_web(w: Wire, flags: str, *, sport: int = CLIENT_PORT, backend: str = "", **fields: Any) -> Sent:
    """A client's segment to web_vip, which goes to backend_one unless another is named."""
    backend = backend or w.backend_one
    return forwarded(
        w.tcp(w.client, sport, w.web_vip, 80, flags, **fields), w.tcp(w.client, sport, backend, 8080, flags, **fields)
    )


def from_web(w: Wire, flags: str, *, sport: int = CLIENT_PORT, backend: str = "", **fields: Any) -> Sent:
    """A backend's segment, which reaches the client from web_vip."""
    backend = backend or w.backend_one
    return reversed_(
        w.tcp(backend, 8080, w.client, sport, flags, **fields), w.tcp(w.web_vip, 80, w.client, sport, flags, **fields)
    )


def opened(w: Wire, *, sport: int = CLIENT_PORT, backend: str = "") -> list[Sent]:
    """A connection from the client to web_vip, by its three segments."""
    return [
        to_web(w, "S", sport=sport, backend=backend, seq=CLIENT_ISN),
        from_web(w, "SA", sport=sport, backend=backend, seq=BACKEND_ISN, ack=CLIENT_ISN + 1),
        to_web(w, "A", sport=sport, backend=backend, seq=CLIENT_ISN + 1, ack=BACKEND_ISN + 1),
    ]


def to_dns(w: Wire, *, sport: int = CLIENT_PORT, backend: str = "", **fields: Any) -> Sent:
    """A client's datagram to dns_vip, which goes to backend_one unless another is named."""
    backend = backend or w.backend_one
    return forwarded(w.udp(w.client, sport, w.dns_vip, 53, **fields), w.udp(w.client, sport, backend, 5353, **fields))


def from_dns(w: Wire, *, sport: int = CLIENT_PORT, backend: str = "", **fields: Any) -> Sent:
    """A backend's answer, which reaches the client from dns_vip."""
    backend = backend or w.backend_one
    return reversed_(w.udp(backend, 5353, w.client, sport, **fields), w.udp(w.dns_vip, 53, w.client, sport, **fields))


def web_moves(w: Wire, *slots: int, **fields: Any) -> Services:
    """web_vip gets other endpoints."""
    return Services((FrontEnd(w.web_vip, 80, TCP, slots, WEB, **fields),))


def dns_moves(w: Wire, *slots: int, **fields: Any) -> Services:
    """dns_vip gets other endpoints."""
    return Services((FrontEnd(w.dns_vip, 53, UDP, slots, DNS, **fields),))


def web_one_leaves(w: Wire) -> Endpoints:
    """The endpoint of web_vip on backend_one stops serving: its generation passes."""
    return Endpoints((Endpoint(WEB_ONE, w.backend_one, 8080, generation=2),))


def dns_one_leaves(w: Wire) -> Endpoints:
    """The endpoint of dns_vip on backend_one stops serving: its generation passes."""
    return Endpoints((Endpoint(DNS_ONE, w.backend_one, 5353, generation=2),))
