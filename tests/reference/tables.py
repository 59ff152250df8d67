"""What the datapath knows: the tables that the agent fills and those that the packets themselves fill."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import Enum, auto
from fractions import Fraction
from ipaddress import ip_address, ip_network
from typing import NamedTuple

TCP, UDP, SCTP = 6, 17, 132
ICMP = {4: 1, 6: 58}

SECOND = 1_000_000_000
DIRECT_BACKEND = 0xFFFFFFFF


class State(Enum):
    """How far a conversation has come."""

    UNANSWERED = auto()
    ANSWERED = auto()
    OPENING = auto()
    OPENING_ANSWERED = auto()
    PICKED_UP = auto()
    OPEN = auto()
    CLIENT_CLOSED = auto()
    BACKEND_CLOSED = auto()
    CLOSING = auto()
    CLOSED = auto()


ESTABLISHED = frozenset({State.OPEN, State.CLIENT_CLOSED, State.BACKEND_CLOSED, State.CLOSING, State.CLOSED})
"""TCP states in which acknowledgement numbers are noted and a RST has to fit them."""


class ServiceKey(NamedTuple):
    """A destination; port and protocol 0 stand for the address itself."""

    address: str
    port: int = 0
    protocol: int = 0


@dataclass(frozen=True, slots=True)
class Service:
    """What is known of a destination. ``base`` and ``count`` name a run of slots, ``affinity`` is in seconds."""

    flags: frozenset[str]
    base: int = 0
    count: int = 0
    service: int = 0
    affinity: int = 0


@dataclass(frozen=True, slots=True)
class Backend:
    """One endpoint. The generation grows when the id gets another meaning or the endpoint stops serving."""

    address: str
    port: int
    generation: int


class FlowKey(NamedTuple):
    """A packet's tuple on arrival, and from which side it comes."""

    source: str
    destination: str
    source_port: int
    destination_port: int
    protocol: int
    forward: bool


class Ends(NamedTuple):
    """Addresses and ports of a packet."""

    source: str
    destination: str
    source_port: int
    destination_port: int

    def turned(self) -> Ends:
        """The ends of the answer."""
        return Ends(self.destination, self.source, self.destination_port, self.source_port)


@dataclass(slots=True)
class Flow:
    """One half of a conversation: what its packets become (``to``), and what is known of it."""

    to: Ends
    backend: int
    generation: int
    service: int
    seen: int
    state: State
    flags: frozenset[str] = frozenset()
    ack: int = 0
    ack_seen: bool = False


class FragmentKey(NamedTuple):
    """What the fragments of one datagram have in common. IPv6 names no protocol: there the id is enough."""

    source: str
    destination: str
    id: int
    protocol: int
    forward: bool


@dataclass(frozen=True, slots=True)
class Fragment:
    """A first fragment's ports; ``protocol`` is its flow's, 0 where the rest is to pass."""

    source_port: int
    destination_port: int
    protocol: int
    seen: int


@dataclass(frozen=True, slots=True)
class Affinity:
    """The backend that a client had last."""

    backend: int
    generation: int
    seen: int


@dataclass(frozen=True, slots=True)
class Pods:
    """The network of the pods ("": not known); whose source is masqueraded: "nobody", "outside" of it, "all"; and
    whether the way to pods is another than that to front ends."""

    network: str = ""
    masquerade: str = "nobody"
    overlay: bool = False

    def has(self, address: str) -> bool:
        """Whether an address is a pod's; each is where the network is not known."""
        return not self.network or ip_address(address) in ip_network(self.network)


NO_PODS = Pods()


@dataclass(slots=True)
class Settings:
    """Time-outs in seconds, and the choices that are left to the user."""

    timeouts: dict[State, int] = field(
        default_factory=lambda: {
            State.UNANSWERED: 30,
            State.ANSWERED: 180,
            State.OPENING: 60,
            State.OPENING_ANSWERED: 60,
            State.PICKED_UP: 60,
            State.OPEN: 86400,
            State.CLIENT_CLOSED: 3600,
            State.BACKEND_CLOSED: 3600,
            State.CLOSING: 120,
            State.CLOSED: 10,
        }
    )
    sctp_timeout: int = 3600
    fragment_timeout: int = 30
    unknown_port: str = "PASS"
    echo: str = "ANSWER"
    rejects_per_second: int = 1000
    pods: Pods = NO_PODS


@dataclass(slots=True)
class Limiter:
    """A bucket that holds a second's worth of rejects and fills as time passes."""

    filled: Fraction = Fraction(1)
    refilled: int = 0

    def take(self, now: int, rate: int) -> bool:
        """Take one reject out at ``now`` nanoseconds, at ``rate`` in a second; whether there was one."""
        self.filled = min(Fraction(1), self.filled + Fraction(now - self.refilled, SECOND))
        self.refilled = now
        if rate == 0 or self.filled < Fraction(1, rate):
            return False
        self.filled -= Fraction(1, rate)
        return True


@dataclass(slots=True)
class Tables:
    """Everything that outlives a packet, for one address family. ``now`` is in nanoseconds."""

    family: int
    now: int = 1000 * SECOND
    settings: Settings = field(default_factory=Settings)
    services: dict[ServiceKey, Service] = field(default_factory=dict)
    slots: dict[int, int] = field(default_factory=dict)
    backends: dict[int, Backend] = field(default_factory=dict)
    flows: dict[FlowKey, Flow] = field(default_factory=dict)
    flows_new: dict[FlowKey, Flow] = field(default_factory=dict)
    recent: deque[FlowKey] = field(default_factory=deque)
    """Halves of the conversations that were answered last, as many as its ``maxlen``."""
    affinity: dict[tuple[str, int], Affinity] = field(default_factory=dict)
    fragments: dict[FragmentKey, Fragment] = field(default_factory=dict)
    hairpin: bool = False
    at_workload: bool = False
    """Whether the device at hand faces a workload."""
    local_addresses: frozenset[str] = frozenset()
    """Backends' addresses on this node."""
    device_address: str | None = None
    """The own address of the device at hand."""
    limiter: Limiter = field(default_factory=Limiter)
    counters: dict[str, list[int]] = field(default_factory=dict)
    """Reason -> packets, bytes."""
    service_counters: dict[int, list[int]] = field(default_factory=dict)
    """Service id -> forward packets and bytes, reply packets and bytes, flows."""

    @property
    def seconds(self) -> int:
        """The clock as ``seen`` fields have it."""
        return self.now // SECOND

    def flow_lives(self, key: FlowKey, flow: Flow) -> bool:
        """Whether a flow's time-out has not passed."""
        timeout = self.settings.timeouts[flow.state]
        if key.protocol == SCTP and flow.state is State.ANSWERED:
            timeout = self.settings.sctp_timeout
        return self.seconds - flow.seen <= timeout

    def find(self, key: FlowKey) -> Flow | None:
        """The living flow under a key; the answered ones come first."""
        for table in (self.flows, self.flows_new):
            flow = table.get(key)
            if flow is not None and self.flow_lives(key, flow):
                return flow
        return None

    def forget(self, key: FlowKey) -> None:
        """Delete a half from both tables."""
        self.flows.pop(key, None)
        self.flows_new.pop(key, None)

    def find_fragment(self, key: FragmentKey) -> Fragment | None:
        """The unexpired first fragment of a datagram."""
        first = self.fragments.get(key)
        if first is None or self.seconds - first.seen > self.settings.fragment_timeout:
            return None
        return first

    def address_flags(self, address: str) -> frozenset[str]:
        """What is known of an address as such."""
        known = self.services.get(ServiceKey(address))
        return known.flags if known else frozenset()

    def count(self, reason: str, length: int) -> None:
        """One packet of a reason."""
        counter = self.counters.setdefault(reason, [0, 0])
        counter[0] += 1
        counter[1] += length

    def count_service(self, service: int, length: int, *, forward: bool, new_flow: bool = False) -> None:
        """One packet of a Service; 0 is none."""
        if not service:
            return
        counter = self.service_counters.setdefault(service, [0, 0, 0, 0, 0])
        at = 0 if forward else 2
        counter[at] += 1
        counter[at + 1] += length
        counter[4] += new_flow
