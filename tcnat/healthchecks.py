"""The health-check node ports of Services (type LoadBalancer with externalTrafficPolicy Local): what a load balancer
asks to learn whether this node has endpoints of its own (service-semantics rule 32)."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus

from tcnat.errors import TcnatError
from tcnat.health import Health
from tcnat.resources import ServiceRef
from tcnat.translate import HealthCheck
from tcnat.values import Address
from tcnat.web import Answer, Server

log = logging.getLogger(__name__)

ANY_ADDRESS = ("::", "0.0.0.0")
"""Where the ports are opened: both families at once, or IPv4 alone where there is no IPv6."""


@dataclass(slots=True)
class _Open:
    """One port that is served. The servers' threads read ``local_endpoints``."""

    port: int
    local_endpoints: int
    server: Server | None = None


class HealthCheckPorts:
    """Keeps the servers in step with the Services. ``clock`` gives seconds since the epoch."""

    def __init__(self, health: Health, clock: Callable[[], float], hosts: tuple[str, ...] = ANY_ADDRESS) -> None:
        self._health = health
        self._clock = clock
        self._hosts = hosts
        self._open: dict[ServiceRef, _Open] = {}

    def sync(self, wanted: Mapping[ServiceRef, HealthCheck]) -> None:
        """Open, close and update; a port that cannot be opened is told once, and tried again with the next port."""
        for ref in [ref for ref, each in self._open.items() if ref not in wanted or wanted[ref].port != each.port]:
            self._close(ref)
        for ref, check in wanted.items():
            if ref in self._open:
                self._open[ref].local_endpoints = check.local_endpoints
            else:
                self._open[ref] = self._serve(ref, check)

    def stop(self) -> None:
        """Close them all."""
        for ref in list(self._open):
            self._close(ref)

    def _serve(self, ref: ServiceRef, check: HealthCheck) -> _Open:
        made = _Open(check.port, check.local_endpoints)
        problem = ""
        for host in self._hosts:
            server = Server(Address(host, check.port), {"*": lambda _: self._answer(ref, made)}, purpose="health check")
            try:
                server.start()
            except TcnatError as error:
                problem = str(error.__context__ or error)
            else:
                made.server = server
                return made
        log.error("health-check node port %d of %s cannot be served: %s", check.port, ref, problem)
        return made

    def _answer(self, ref: ServiceRef, of: _Open) -> Answer:
        healthy, _ = self._health.report(self._clock(), with_node=True)
        local = of.local_endpoints
        body = {
            "service": {"namespace": ref.namespace, "name": ref.name},
            "localEndpoints": local,
            "serviceProxyHealthy": healthy,
        }
        status = HTTPStatus.OK if local and healthy else HTTPStatus.SERVICE_UNAVAILABLE
        weight = {"X-Load-Balancing-Endpoint-Weight": str(local)}
        return Answer(status, json.dumps(body).encode(), "application/json", weight)

    def _close(self, ref: ServiceRef) -> None:
        closed = self._open.pop(ref)
        if closed.server is not None:
            closed.server.stop()
