"""What a client gets where nobody serves."""

from __future__ import annotations

import pytest

from tcnat.layout import Family
from tests.lab.cluster import Cluster
from tests.lab.objects import Service
from tests.lab.site import Host


def assert_refused(client: Host, service: Service, family: Family) -> None:
    """TCP's RST, and for a datagram the ICMP error, which quotes what the client sent."""
    with pytest.raises(ConnectionRefusedError):
        Cluster.tcp(client, service, family)
    with Cluster.udp(client, service, family) as flow:
        flow.send(b"anybody?")
        with pytest.raises(ConnectionRefusedError):
            flow.receive()
