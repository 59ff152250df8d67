"""What answers the loads, beside the web servers that every backend has: on each place's backends and those away."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from bench.peers.lab import PeerLab
from bench.peers.services import SINK
from tests.lab.servers import start_dns, start_iperf
from tests.lab.site import Host


@contextmanager
def serving(lab: PeerLab) -> Iterator[None]:
    """dnsmasq on each backend, iperf3 on the first of each place, and sockets that take packets and never read them.
    The sockets are there while the block runs, the programs as long as the lab is."""
    with ExitStack() as sinks:
        for backends in (*(place.backends for place in lab.places.values()), lab.away):
            start_iperf(lab, backends[0])
            for backend in backends:
                start_dns(lab, backend)
                sinks.enter_context(_sink(backend))
        yield


def _sink(host: Host) -> socket.socket:
    """Bound to the sink's port: what comes is counted and dropped once the socket is full, without an ICMP error."""
    sink = host.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sink.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)  # the kernel makes that its least
    sink.bind(("0.0.0.0", SINK.target))
    return sink
