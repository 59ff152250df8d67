"""The bytes of the maps: the one description in Python of the structs in ``bpf/types.h``.

A test compares it with what bcc says of sizes and offsets. Ports and addresses stand in network order, everything else
in the machine's own. Nothing here talks to the kernel.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from functools import cached_property

LAYOUT_VERSION = 1
"""Changes where entries of before would be misread by their fields' names; see :mod:`tcnat.blueprint`."""


class Family(IntEnum):
    """The address family of a set of maps."""

    IPV4 = 4
    IPV6 = 6

    @property
    def address_size(self) -> int:
        """Bytes of an address."""
        return 4 if self is Family.IPV4 else 16


class MapType(IntEnum):
    """Map types of bpf(2) that tcnat uses."""

    HASH = 1
    ARRAY = 2
    PROG_ARRAY = 3
    PERF_EVENT_ARRAY = 4
    PERCPU_ARRAY = 6
    LRU_HASH = 9


class ServiceFlag(IntFlag):
    """``struct service``'s flags: what an address, port and protocol are."""

    FRONT_END = 1
    """Clients send here: choose a backend."""
    DIRECT = 2
    """A backend's own address: a flow is kept so that replies to it and to a Service do not mix."""
    SERVICE_ADDRESS = 4
    """Port 0, protocol 0: an address that some front end has."""
    BACKEND_ADDRESS = 8
    """Port 0, protocol 0: an address that some backend has."""
    REJECT = 16
    """No endpoint: answer with RST or ICMP port unreachable (rule 24)."""
    DROP = 32
    """No endpoint on this node under a Local policy: drop (rule 24)."""
    DRAINING = 64
    """The Service is gone: open TCP and SCTP flows go on, nothing new starts."""


class Way(IntFlag):
    """``struct neighbour``'s ``way``: how packets are handed to a workload."""

    PAST_DEVICE = 1
    """Straight to the other end of its device: nothing at the device's way out is to see them."""


class FlowFlag(IntFlag):
    """``struct flow``'s flags."""

    SOURCE = 1
    """Forward half: the source is rewritten too. Reply half: the destination is rewritten too."""
    HAIRPIN = 2
    """The backend is on the client's side of the device: send the packet back where it came from."""
    ACK_SEEN = 4
    """``ack`` holds the last acknowledgement number that this half's sender sent."""
    DIRECT = 8
    """A conversation straight to a backend."""
    AT_NETWORK = 16
    """Its source was translated at a device that faces the network: devices of workloads let its packets pass."""
    AT_WORKLOAD = 32
    """It was made at a workload's device, which replies are left to."""
    LASTS = 64
    """It was seen in another second than its first."""


class FlowState(IntEnum):
    """``struct flow``'s state; also the index of its time-out in the timeouts map."""

    UNANSWERED = 0
    """UDP, SCTP: only the client has spoken."""
    ANSWERED = 1
    """UDP, SCTP: both have."""
    OPENING = 2
    """TCP: a SYN was seen."""
    OPENING_ANSWERED = 3
    """TCP: a SYN and a SYN-ACK were seen."""
    PICKED_UP = 4
    """TCP: first seen in mid-stream, not answered yet."""
    OPEN = 5
    CLIENT_CLOSED = 6
    """TCP: the client sent a FIN."""
    BACKEND_CLOSED = 7
    """TCP: the backend sent a FIN."""
    CLOSING = 8
    """TCP: both sent a FIN."""
    CLOSED = 9
    """TCP: one side sent a RST that the other would accept."""


class Direction(IntEnum):
    """Which half of a flow a key names."""

    FORWARD = 0
    REPLY = 1


class Choice(IntEnum):
    """What to do with a packet that no front end takes (unknown port), or with an ICMP echo request."""

    PASS = 0
    DROP = 1
    REJECT = 2
    ANSWER = 3


class Masquerade(IntEnum):
    """Whose source address is translated at a device that faces the network (rule 26)."""

    NONE = 0
    OUTSIDE = 1
    """Sources outside of the pods' network."""
    ALL = 2


DIRECT_BACKEND = 0xFFFFFFFF
"""The backend id of a flow that goes straight to a backend."""

DEFAULT_TIMEOUTS: dict[FlowState, int] = {
    FlowState.UNANSWERED: 30,
    FlowState.ANSWERED: 180,
    FlowState.OPENING: 60,
    FlowState.OPENING_ANSWERED: 60,
    FlowState.PICKED_UP: 60,
    FlowState.OPEN: 86400,
    FlowState.CLIENT_CLOSED: 3600,
    FlowState.BACKEND_CLOSED: 3600,
    FlowState.CLOSING: 120,
    FlowState.CLOSED: 10,
}
"""Seconds without a packet after which a flow is forgotten, as conntrack and kube-proxy have them."""

SCTP_ANSWERED = 10
"""Where the timeouts map, indexed by FlowState, has the time-out of answered SCTP flows."""
SCTP_TIMEOUT = 3600
"""Seconds for an answered SCTP flow, whose heartbeats come every 30 s."""
FRAGMENT_TIMEOUT = 30
"""Seconds that a datagram's fragments may take (net.ipv4.ipfrag_time)."""
DEFAULT_REJECTS_PER_SECOND = 1000
"""RSTs and ICMP errors made per second and CPU (net.ipv4.icmp_msgs_per_sec)."""


@dataclass(frozen=True)
class Struct:
    """A C struct: names and ``struct`` codes in order. ``A`` stands for an address of the family; padding is
    explicit."""

    name: str
    fields: tuple[tuple[str, str], ...]

    def codec(self, family: Family) -> struct.Struct:
        """Packs and unpacks the fields in order (addresses as bytes; ports must be converted with
        :func:`port_bytes`)."""
        return _codec(self, family)

    def offsets(self, family: Family) -> dict[str, tuple[int, int]]:
        """Field name -> (offset, size) in bytes."""
        found: dict[str, tuple[int, int]] = {}
        at = 0
        for name, code in self.fields:
            size = struct.calcsize("=" + _resolve(code, family))
            found[name] = (at, size)
            at += size
        return found


def _resolve(code: str, family: Family) -> str:
    return code.replace("A", f"{family.address_size}s")


_codecs: dict[tuple[str, Family], struct.Struct] = {}


def _codec(layout: Struct, family: Family) -> struct.Struct:
    key = (layout.name, family)
    if key not in _codecs:
        _codecs[key] = struct.Struct("=" + "".join(_resolve(code, family) for _, code in layout.fields))
    return _codecs[key]


SERVICE_KEY = Struct("service_key", (("address", "A"), ("port", "2s"), ("protocol", "B"), ("pad", "B")))
SERVICE = Struct(
    "service",
    (
        ("base", "I"),  # first slot
        ("count", "I"),  # slots; 0: no endpoint
        ("service", "I"),  # service id, the index into service_counters; 0: none
        ("affinity", "I"),  # seconds; 0: no affinity
        ("flags", "I"),  # ServiceFlag
    ),
)
BACKEND = Struct("backend", (("address", "A"), ("port", "2s"), ("pad", "H"), ("generation", "I")))
FLOW_KEY = Struct(
    "flow_key",
    (
        ("source", "A"),
        ("destination", "A"),
        ("source_port", "2s"),
        ("destination_port", "2s"),
        ("protocol", "B"),
        ("direction", "B"),
        ("pad", "H"),
    ),
)
FLOW = Struct(
    "flow",
    (
        ("to_source", "A"),
        ("to_destination", "A"),
        ("to_source_port", "2s"),
        ("to_destination_port", "2s"),
        ("backend", "I"),
        ("generation", "I"),
        ("service", "I"),
        ("seen", "I"),  # seconds
        ("ack", "I"),  # host order
        ("timeout", "I"),  # seconds, the state's
        ("device", "I"),  # index of the device by which this half's packets come if they may be handed on; 0: none
        ("state", "B"),
        ("flags", "B"),
        ("pad", "H"),
    ),
)
AFFINITY_KEY = Struct("affinity_key", (("client", "A"), ("service", "I")))
AFFINITY = Struct("affinity", (("backend", "I"), ("generation", "I"), ("seen", "I")))
FRAGMENT_KEY = Struct(
    "fragment_key",
    (("source", "A"), ("destination", "A"), ("id", "I"), ("protocol", "B"), ("direction", "B"), ("pad", "H")),
)
FRAGMENT = Struct(
    "fragment",
    (
        ("source_port", "2s"),
        ("destination_port", "2s"),
        ("seen", "I"),
        ("known", "I"),  # the protocol of its flow; 0: not ours
    ),
)
ADDRESS = Struct("address", (("address", "A"),))
PODS = Struct(
    "pods",
    (
        ("network", "A"),
        ("mask", "A"),  # 0 where the network is not known
        ("masquerade", "I"),  # Masquerade
        ("overlay", "I"),  # 1: the way to pods is another than that to front ends
    ),
)
NEIGHBOUR = Struct(
    "neighbour",
    (
        ("device", "I"),
        ("to", "6s"),  # MAC addresses of a frame to it
        ("from", "6s"),
        ("way", "I"),  # Way
    ),
)
COUNTER = Struct("counter", (("packets", "Q"), ("bytes", "Q")))
SERVICE_COUNTER = Struct(
    "service_counter",
    (
        ("forward_packets", "Q"),
        ("forward_bytes", "Q"),
        ("reply_packets", "Q"),
        ("reply_bytes", "Q"),
        ("flows", "Q"),
    ),
)
SETTINGS = Struct(
    "settings",
    (
        ("now", "Q"),  # nanoseconds; 0: the kernel's monotonic clock
        ("fragment_timeout", "I"),
        ("opening_timeout", "I"),  # seconds, the longest of a flow that is not answered
        ("unknown_port", "I"),  # Choice
        ("echo", "I"),  # Choice
        ("rejects_per_second", "I"),
        ("trace", "I"),  # 0: nobody traces
    ),
)
PACKET = Struct(
    "packet",
    (
        *FLOW_KEY.fields,
        ("now", "Q"),
        *((name, "I") for name in ("seconds", "length", "network", "transport", "end")),
        *((name, "I") for name in ("sequence", "acknowledgement", "fragment_id")),
        *((name, "H") for name in ("hops", "ip_checksum", "checksum")),
        ("verdict", "b"),
        ("answered", "B"),
        *((name, "B") for name in ("new_flow", "unknown")),
        *((name, "B") for name in ("tcp_flags", "tcp_header", "fragment", "link", "reason", "plain")),
    ),
)
TRACE = Struct(
    "trace",
    (
        ("address", "A"),  # every field: 0 is any
        ("port", "2s"),
        ("protocol", "B"),
        ("pad", "B"),
        ("service", "I"),
        ("device", "I"),
        ("bytes", "I"),  # of each packet, at most
        ("events_per_second", "I"),  # of each CPU
    ),
)
EVENT = Struct(
    "event",
    (
        ("time", "Q"),  # nanoseconds, CLOCK_MONOTONIC
        ("kind", "I"),  # 0 arrived, 1 decided
        ("reason", "I"),
        ("verdict", "i"),
        ("device", "I"),
        ("length", "I"),  # of the frame
        ("bytes", "I"),  # that follow
        ("family", "B"),
        ("direction", "B"),
        ("link", "B"),
        ("pad", "5s"),
    ),
)
"""The head of a record of the events ring; the packet's first bytes follow."""
LIMITER = Struct("limiter", (("refilled", "Q"), ("tokens", "Q")))
U32 = Struct("u32", (("value", "I"),))
U64 = Struct("u64", (("value", "Q"),))

NO_PREALLOC = 1
"""BPF_F_NO_PREALLOC."""


@dataclass(frozen=True)
class MapLayout:
    """One map of a family's set: its type and structs, and how many entries it has unless told otherwise."""

    name: str
    type: MapType
    key: Struct
    value: Struct
    entries: int
    flags: int = 0
    without_lru: MapType | None = None
    """The type on kernels without LRU maps (4.9); such a map is swept by the agent."""
    mappable: bool = False
    """Whether it is made so that the agent can write its memory, where the kernel has that (5.5). Of no meaning to
    programs, nor to other versions: a map that was made without is used as it is."""

    def key_size(self, family: Family) -> int:
        """Bytes of a key."""
        return self.key.codec(family).size

    def value_size(self, family: Family) -> int:
        """Bytes of a value."""
        return self.value.codec(family).size

    @cached_property
    def swept(self) -> bool:
        """Whether the agent must remove what is past its time-out where LRU maps are missing."""
        return self.without_lru is not None


REASON_SLOTS = 64
"""Entries of the counters map: at least as many as ``verdict.h`` has reasons."""
TAIL_SLOTS = 32
AWAITED_BUCKETS = 32768
"""As in ``bpf/await.h``."""
PORTS_PER_WORD = 64
"""As in ``bpf/lookup.h``."""

MAPS: dict[str, MapLayout] = {
    layout.name: layout
    for layout in (
        MapLayout("services", MapType.HASH, SERVICE_KEY, SERVICE, 262144, NO_PREALLOC),
        MapLayout("ports", MapType.ARRAY, U32, U64, 65536 // PORTS_PER_WORD),
        MapLayout("slots", MapType.ARRAY, U32, U32, 1048576, mappable=True),
        MapLayout("backends", MapType.ARRAY, U32, BACKEND, 65536),
        MapLayout("flows", MapType.LRU_HASH, FLOW_KEY, FLOW, 131072, without_lru=MapType.HASH),
        MapLayout("flows_new", MapType.LRU_HASH, FLOW_KEY, FLOW, 32768, without_lru=MapType.HASH),
        MapLayout("recent", MapType.ARRAY, U32, FLOW_KEY, 32768),
        MapLayout("recent_next", MapType.ARRAY, U32, U32, 1),
        MapLayout("affinity", MapType.LRU_HASH, AFFINITY_KEY, AFFINITY, 16384, without_lru=MapType.HASH),
        MapLayout("fragments", MapType.LRU_HASH, FRAGMENT_KEY, FRAGMENT, 8192, without_lru=MapType.HASH),
        MapLayout("counters", MapType.PERCPU_ARRAY, U32, COUNTER, REASON_SLOTS),
        MapLayout("service_counters", MapType.PERCPU_ARRAY, U32, SERVICE_COUNTER, 16384),
        MapLayout("settings", MapType.ARRAY, U32, SETTINGS, 1),
        MapLayout("timeouts", MapType.ARRAY, U32, U32, SCTP_ANSWERED + 1),
        MapLayout("hairpin", MapType.ARRAY, U32, U32, 1),
        MapLayout("local_addresses", MapType.HASH, ADDRESS, U32, 4096, NO_PREALLOC),
        MapLayout("pods", MapType.ARRAY, U32, PODS, 1),
        MapLayout("device_addresses", MapType.HASH, U32, ADDRESS, 256, NO_PREALLOC),
        MapLayout("neighbours", MapType.HASH, ADDRESS, NEIGHBOUR, 4096, NO_PREALLOC),
        MapLayout("awaited", MapType.ARRAY, U32, U32, AWAITED_BUCKETS),
        MapLayout("redirect_until", MapType.ARRAY, U32, U32, 1),
        MapLayout("limiter", MapType.PERCPU_ARRAY, U32, LIMITER, 2),
        MapLayout("trace", MapType.ARRAY, U32, TRACE, 1),
        MapLayout("scratch", MapType.PERCPU_ARRAY, U32, PACKET, 1),
        MapLayout("scratch_flow", MapType.PERCPU_ARRAY, U32, FLOW, 1),
        MapLayout("events", MapType.PERF_EVENT_ARRAY, U32, U32, 0),  # 0: one for each possible CPU
        MapLayout("tails", MapType.PROG_ARRAY, U32, U32, TAIL_SLOTS),
    )
}
"""Every pinned map of a family's set, by name."""


def port_bytes(port: int) -> bytes:
    """A port in network order."""
    return port.to_bytes(2, "big")


_NUMBER = struct.Struct("=I")


def number_bytes(number: int) -> bytes:
    """A 32-bit number (an index, an id, a descriptor) as maps have it: in the machine's own order."""
    return _NUMBER.pack(number)


def port_number(raw: bytes) -> int:
    """The port in two bytes of network order."""
    return int.from_bytes(raw, "big")


_PORT_AND_PROTOCOL = struct.Struct(">HBx")


def service_key(address: bytes, port: int, protocol: int) -> bytes:
    """A key of the services map; port 0 and protocol 0 name the address itself."""
    return address + _PORT_AND_PROTOCOL.pack(port, protocol)


def service_keys(ends: Iterable[tuple[bytes, int]], protocol: int) -> list[bytes]:
    """As :func:`service_key`, of many addresses and ports."""
    pack = _PORT_AND_PROTOCOL.pack
    return [address + pack(port, protocol) for address, port in ends]
