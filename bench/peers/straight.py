"""No proxy: an address that all backends hold, to which the node has a route over each of them. And the same with an
empty program on the way, which is what being there at all costs in tc.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from bench.series import NO_PROXY
from tests.lab.nodes import Node, Pod
from tests.lab.objects import Port

from .lab import PeerLab, Place, shared_address, spread
from .services import PORTS, SINGLE
from .stand import PATIENCE, Stand, Target

EMPTY_PROGRAM = "empty tc program"
_BYTECODE = "1,6 0 0 4294967295"
"""One instruction of classic BPF: return -1, which as a direct action is TC_ACT_UNSPEC: whatever comes next decides."""


class Routes:
    """A place's routes to the address that its backends share."""

    loading = None
    pid = None
    kernel_memory = None

    def __init__(self, place: Place) -> None:
        self._place = place

    def serve(self, backends: Sequence[Pod]) -> None:
        """See :class:`bench.peers.stand.Proxy`."""
        spread(self._place.node, backends)

    def remove(self) -> None:
        """Take the route away."""
        self._place.node.ip(f"route del {shared_address(self._place.node)}")


class NoProxy:
    """The client sends to the backends themselves, and the kernel's routes spread its connections."""

    name = NO_PROXY

    @contextmanager
    def standing(self, lab: PeerLab, services: int, patience: float = PATIENCE) -> Iterator[Stand]:
        """See :class:`bench.peers.stand.Peer`; there are no Services, however many are wanted."""
        place = lab.places[self.name]
        routes = Routes(place)
        routes.serve(place.backends)
        try:
            near, far = _targets(place.node, place.backends), _targets(lab.away_node, lab.away)
            yield Stand(self.name, lab, place, services, routes, near, far)
        finally:
            routes.remove()


class EmptyProgram(NoProxy):
    """No proxy, and programs that do nothing at both hooks of the client's device on the node."""

    name = EMPTY_PROGRAM

    @contextmanager
    def standing(self, lab: PeerLab, services: int, patience: float = PATIENCE) -> Iterator[Stand]:
        """See :class:`bench.peers.stand.Peer`."""
        with super().standing(lab, services, patience) as stand:
            device = stand.place.client.device
            stand.node.run("tc", "qdisc", "add", "dev", device, "clsact")
            try:
                for hook in ("ingress", "egress"):
                    what = ("bpf", "da", "bytecode", _BYTECODE)
                    stand.node.run("tc", "filter", "add", "dev", device, hook, "protocol", "all", "prio", "1", *what)
                yield stand
            finally:
                stand.node.run("tc", "qdisc", "del", "dev", device, "clsact")


def _targets(node: Node, backends: Sequence[Pod]) -> dict[Port, Target]:
    single = backends[0].addresses.v4
    return {port: Target(single if port in SINGLE else shared_address(node), port.target) for port in PORTS}
