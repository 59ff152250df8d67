"""One family's programs with their maps, a world in them, and what the tests ask of both."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from ipaddress import ip_address, ip_network

from tcnat.bpf import Map
from tcnat.layout import (
    COUNTER,
    DEFAULT_REJECTS_PER_SECOND,
    FRAGMENT_TIMEOUT,
    PODS,
    SERVICE_COUNTER,
    SETTINGS,
    Choice,
    Family,
    Masquerade,
)
from tcnat.loader import Loaded, load_private
from tcnat.reasons import reasons
from tests.packets.names import names_of
from tests.packets.runner import Run, Runner, runner_for
from tests.packets.world import World, default_world
from tests.reference.tables import NO_PODS, Pods

SMALL = {
    "services": 1024,
    "slots": 4096,
    "backends": 256,
    "flows": 16384,
    "flows_new": 16384,
    "recent": 8,
    "affinity": 4096,
    "fragments": 4096,
    "service_counters": 64,
}
"""Sizes of the maps in tests: small to make, and large enough that nothing is pushed out of them but by `recent`."""
KEYED = ("services", "flows", "flows_new", "affinity", "fragments")
"""Maps from which keys can be deleted."""
DEVICES = 32
"""More than a runner has."""
SECOND = 1_000_000_000
OPENING_TIMEOUT = 60
"""Seconds, the longest of a flow that is not answered."""
START = 1000 * SECOND
"""The clock of every test begins here, in nanoseconds."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the settings map says; times in seconds, ``now`` in nanoseconds."""

    now: int = START
    unknown_port: Choice = Choice.PASS
    echo: Choice = Choice.ANSWER
    rejects_per_second: int = DEFAULT_REJECTS_PER_SECOND
    pods: Pods = NO_PODS
    device_address: str | None = None
    redirect: bool = False

    def packed(self, family: Family) -> bytes:
        """The bytes of ``struct settings``."""
        choices = (self.unknown_port, self.echo, self.rejects_per_second)
        times = FRAGMENT_TIMEOUT, OPENING_TIMEOUT
        return SETTINGS.codec(family).pack(self.now, *times, *choices, 0)

    def packed_pods(self, family: Family) -> bytes:
        """The bytes of ``struct pods``."""
        pods = ip_network(self.pods.network or ("0.0.0.0/0" if family == Family.IPV4 else "::/0"))
        masquerade = {"nobody": Masquerade.NONE, "outside": Masquerade.OUTSIDE, "all": Masquerade.ALL}
        return PODS.codec(family).pack(
            pods.network_address.packed, pods.netmask.packed, masquerade[self.pods.masquerade], self.pods.overlay
        )


Counters = dict[str, tuple[int, int]]
"""Reason -> packets, bytes; without those that are 0."""
ServiceCounters = dict[int, tuple[int, ...]]
"""Service id -> forward packets and bytes, reply packets and bytes, flows."""


def port_bits(keys: Iterable[bytes]) -> bytes:
    """The ports map: a bit for each port that a services key has."""
    bits = bytearray(65536 // 8)
    for key in keys:
        port = int.from_bytes(key[-4:-2], "big")
        bits[port // 8] |= 1 << port % 8
    return bytes(bits)


class Harness:
    """The programs of one family. :meth:`reset` makes it as new."""

    def __init__(self, loaded: Loaded, runner: Runner) -> None:
        self.loaded = loaded
        self.runner = runner
        self.settings = Settings()
        self.world = World()
        self._services: dict[bytes, bytes] = {}

    @property
    def family(self) -> Family:
        """4 or 6."""
        return self.loaded.family

    @classmethod
    def load(cls, family: int, entries: dict[str, int] | None = None, lru: bool | None = None) -> Harness:
        """Private maps and programs, and the runner that this kernel or the environment wants."""
        loaded = load_private(Family(family), {**SMALL, **(entries or {})}, lru)
        return cls(loaded, runner_for(loaded))

    def reset(self, world: World | None = None) -> None:
        """Forget all that was learnt and counted, and begin with a world (None: the default one)."""
        self._services = {}
        for name in KEYED:
            self.forget(name)
        for name in ("counters", "service_counters", "limiter"):
            zero(self.loaded.maps[name])
        self.loaded.maps["hairpin"].update(index(0), index(0))
        for name in ("awaited", "recent", "recent_next"):
            array = self.loaded.maps[name]
            array.update_array(0, bytes(array.value_size * array.max_entries))
        self.configure(Settings())
        self.become(world or default_world(names_of(self.family)))

    def become(self, world: World) -> None:
        """Have the Services of another world, at once."""
        maps = self.loaded.maps
        for number, raw in world.backend_entries(self.family).items():
            maps["backends"].update(index(number), raw)
        for at, number in enumerate(world.slot_numbers()):
            maps["slots"].update(index(at), index(number))
        services = world.service_entries(self.family)
        maps["ports"].update_array(0, port_bits(services))
        for key in self._services.keys() - services.keys():
            maps["services"].delete(key)
        for key, raw in services.items():
            if self._services.get(key) != raw:
                maps["services"].update(key, raw)
        self._services = services
        self.forget("local_addresses")
        for address in world.local_addresses:
            maps["local_addresses"].update(ip_address(address).packed, index(1))
        gone = {each.id for each in self.world.endpoints} - {each.id for each in world.endpoints}
        for number in gone:
            maps["backends"].update(index(number), bytes(maps["backends"].value_size))
        self.world = world

    def configure(self, settings: Settings) -> None:
        """Write the settings."""
        self.settings = settings
        self.loaded.maps["settings"].update(index(0), settings.packed(self.family))
        self.loaded.maps["pods"].update(index(0), settings.packed_pods(self.family))
        self.forget("device_addresses")
        if settings.device_address is not None:
            for device in range(1, DEVICES):
                self.loaded.maps["device_addresses"].update(index(device), ip_address(settings.device_address).packed)

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.configure(replace(self.settings, now=self.settings.now + int(seconds * SECOND)))

    def egress(self, frame: bytes) -> Run:
        """A frame from a client."""
        return self.runner.egress(frame)

    def ingress(self, frame: bytes) -> Run:
        """A frame to a client."""
        return self.runner.ingress(frame)

    def counters(self) -> Counters:
        """What was counted, by reason."""
        rows = read_all(self.loaded.maps["counters"], COUNTER.codec(self.family), len(reasons()))
        return {reason.name.upper(): (row[0], row[1]) for reason, row in zip(reasons(), rows, strict=True) if any(row)}

    def service_counters(self) -> ServiceCounters:
        """What was counted, by Service."""
        counters = self.loaded.maps["service_counters"]
        rows = read_all(counters, SERVICE_COUNTER.codec(self.family), counters.max_entries)
        return {number: row for number, row in enumerate(rows) if any(row)}

    def entries(self, name: str) -> dict[bytes, bytes]:
        """All that a map holds."""
        return dict(self.loaded.maps[name].items())

    def lose(self, name: str, key: bytes) -> None:
        """Delete an entry, as the kernel does under pressure."""
        self.loaded.maps[name].delete(key)

    def forget(self, name: str) -> None:
        """Empty a map."""
        found = self.loaded.maps[name]
        for key in list(found.keys()):
            found.delete(key)

    def close(self) -> None:
        """Give everything back."""
        self.runner.close()
        for each in self.loaded.maps.values():
            each.close()


def index(number: int) -> bytes:
    """A key of an array, or a value that is one number."""
    return struct.pack("=I", number)


def zero(array: Map) -> None:
    """Set a per-CPU array to nothing."""
    nothing = bytes(len(array.lookup(index(0)) or b""))
    for number in range(array.max_entries):
        array.update(index(number), nothing)


def read_all(array: Map, codec: struct.Struct, entries: int) -> Iterator[tuple[int, ...]]:
    """The rows of a per-CPU array, summed over the CPUs."""
    for number in range(entries):
        raw = array.lookup(index(number)) or b""
        rows = [codec.unpack_from(raw, at) for at in range(0, len(raw), codec.size)]
        yield tuple(map(sum, zip(*rows, strict=True)))


@contextmanager
def on_one_cpu() -> Iterator[None]:
    """Keep this thread on one CPU: each CPU has a limiter of its own."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
