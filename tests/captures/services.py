"""The Services of ``objects.yaml``, and who has which address: the same hosts as in the lab (``tests/lab``)."""

from __future__ import annotations

from typing import NamedTuple

from tests.lab.addresses import CLIENT_NETWORK, Addresses, backend_network, service_addresses

TCP, UDP, SCTP = 6, 17, 132

CLIENT = CLIENT_NETWORK.far
ROUTER = CLIENT_NETWORK.near
BACKEND = backend_network(1).far
WEB = service_addresses(10)
DNS = service_addresses(11)
NOBODY = service_addresses(12)
"""A Service without endpoints."""
ALIAS = service_addresses(14)
"""A second Service on the endpoint that WEB has for HTTP."""
FAR = service_addresses(13)
"""A Service with policy Local whose endpoint is on another node."""


class Port(NamedTuple):
    """A front end, and the port that BACKEND serves it on."""

    service: Addresses
    port: int
    protocol: int
    target: int


HTTP = Port(WEB, 80, TCP, 8080)
TLS = Port(WEB, 443, TCP, 8443)
REFUSED = Port(WEB, 81, TCP, 5999)
ECHO = Port(WEB, 7, UDP, 9000)
LATE = Port(WEB, 9, UDP, 9001)
CLOSED = Port(WEB, 99, UDP, 5999)
SCTP_SAME = Port(WEB, 3868, SCTP, 3868)
DNS_UDP = Port(DNS, 53, UDP, 5353)
DNS_TCP = Port(DNS, 53, TCP, 5353)
PORTS = (HTTP, TLS, REFUSED, ECHO, LATE, CLOSED, SCTP_SAME, DNS_UDP, DNS_TCP)
