"""Rows: a sentence, and the steps that show it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import pytest
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from tcnat.layout import Choice
from tests.packets.harness import Counters, ServiceCounters, Settings, on_one_cpu
from tests.packets.runner import Run, Verdict
from tests.packets.wire import Wire
from tests.packets.world import Endpoint, FrontEnd, World
from tests.reference.tables import Pods

IPV4_ONLY, IPV6_ONLY, BOTH = (4,), (6,), (4, 6)


class Bench(Protocol):
    """What rows are played on: the programs (:class:`tests.packets.harness.Harness`), or the reference model."""

    settings: Settings
    world: World

    @property
    def family(self) -> int: ...
    def reset(self, world: World | None = None) -> None: ...
    def become(self, world: World) -> None: ...
    def configure(self, settings: Settings) -> None: ...
    def wait(self, seconds: float) -> None: ...
    def egress(self, frame: bytes) -> Run: ...
    def ingress(self, frame: bytes) -> Run: ...
    def counters(self) -> Counters: ...
    def service_counters(self) -> ServiceCounters: ...
    def entries(self, name: str) -> Mapping[bytes, bytes]: ...
    def lose(self, name: str, key: bytes) -> None: ...


class Step(Protocol):
    """Something that happens in a row."""

    def play(self, harness: Bench) -> None:
        """Do it, and compare."""


@dataclass(frozen=True, slots=True)
class Sent:
    """One packet: where it goes in, what must become of it, and under which reason it must be counted (None: not)."""

    program: str
    packet: Packet | bytes
    becomes: Packet | bytes | None
    verdict: Verdict
    reason: str | None

    def play(self, harness: Bench) -> None:
        """Run it and compare verdict, frame and counters."""
        frame = bytes(self.packet)
        before = harness.counters()
        run = (harness.egress if self.program == "egress" else harness.ingress)(frame)
        after = harness.counters()
        counted = {reason: (row[0], row[1]) for reason, row in difference(before, after).items()}
        expected = {self.reason: (1, len(frame))} if self.reason else {}
        assert (run.verdict, counted) == (self.verdict, expected), described(frame)
        if run.frame is not None and self.becomes is not None:
            assert run.frame == bytes(self.becomes), mismatch(bytes(self.becomes), run.frame)


@dataclass(frozen=True, slots=True)
class Wait:
    """Time passes."""

    seconds: float

    def play(self, harness: Bench) -> None:
        """Move the clock."""
        harness.wait(self.seconds)


@dataclass(frozen=True, slots=True)
class Configure:
    """Other settings."""

    unknown_port: Choice | None = None
    echo: Choice | None = None
    rejects_per_second: int | None = None
    pods: Pods | None = None
    device_address: str | None = None

    def play(self, harness: Bench) -> None:
        """Write those that are given."""
        given = {name: getattr(self, name) for name in self.__slots__ if getattr(self, name) is not None}
        harness.configure(replace(harness.settings, **given))


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Endpoints change: those given replace the ones with their ids."""

    changed: tuple[Endpoint, ...]

    def play(self, harness: Bench) -> None:
        """Write the backends."""
        ids = {each.id for each in self.changed}
        kept = [each for each in harness.world.endpoints if each.id not in ids]
        harness.become(replace(harness.world, endpoints=[*kept, *self.changed]))


@dataclass(frozen=True, slots=True)
class Services:
    """Front ends change: those given replace the ones with their address, port and protocol; others of these go."""

    changed: tuple[FrontEnd, ...] = ()
    gone: tuple[tuple[str, int, int], ...] = ()

    def play(self, harness: Bench) -> None:
        """Write services and slots."""
        keys = {(each.address, each.port, each.protocol) for each in self.changed} | set(self.gone)
        kept = [each for each in harness.world.front_ends if (each.address, each.port, each.protocol) not in keys]
        harness.become(replace(harness.world, front_ends=[*kept, *self.changed]))


@dataclass(frozen=True, slots=True)
class Lose:
    """The kernel pushes entries out of its maps: all of these maps whose key the test takes."""

    maps: tuple[str, ...] = ("flows", "flows_new")
    which: Callable[[bytes], bool] = field(default=lambda key: True)

    def play(self, harness: Bench) -> None:
        """Delete."""
        for name in self.maps:
            for key in filter(self.which, harness.entries(name)):
                harness.lose(name, key)


@dataclass(frozen=True, slots=True)
class Holds:
    """How many entries a map must have by now."""

    map: str
    entries: int

    def play(self, harness: Bench) -> None:
        """Count."""
        assert len(harness.entries(self.map)) == self.entries, self.map


@dataclass(frozen=True, slots=True)
class Counted:
    """What a Service must have counted by now: forward packets, reply packets, flows."""

    service: int
    forward: int
    reply: int
    flows: int

    def play(self, harness: Bench) -> None:
        """Compare packets and flows."""
        row = harness.service_counters().get(self.service, (0, 0, 0, 0, 0))
        assert (row[0], row[2], row[4]) == (self.forward, self.reply, self.flows)


@dataclass(frozen=True, slots=True)
class Row:
    """A sentence about the datapath, and the steps that show it, made for one family's wire."""

    sentence: str
    steps: Callable[[Wire], Sequence[Step]]
    families: tuple[int, ...] = BOTH


def table(rows: Iterable[Row]) -> pytest.MarkDecorator:
    """Parametrise a test by row and family."""
    cases = [pytest.param(row, family, id=f"IPv{family}: {row.sentence}") for row in rows for family in row.families]
    twice = [name for name, times in Counter(case.id for case in cases).items() if times > 1]
    assert not twice, f"two rows say the same: {twice}"
    return pytest.mark.parametrize(("row", "family"), cases)


def as_it_is(step: Step) -> Step:
    """A step on an Ethernet device."""
    return step


def without_link_layer(step: Step) -> Step:
    """A step whose frames have no Ethernet header."""
    if not isinstance(step, Sent):
        return step
    becomes = None if step.becomes is None else bytes(step.becomes)[14:]
    return replace(step, packet=bytes(step.packet)[14:], becomes=becomes)


def play(row: Row, harness: Bench, link: Callable[[Step], Step] = as_it_is) -> None:
    """Run a row in a fresh default world, its frames as the link has them."""
    harness.reset()
    with on_one_cpu():
        for number, step in enumerate(row.steps(Wire(int(harness.family))), start=1):
            try:
                link(step).play(harness)
            except AssertionError as error:
                raise AssertionError(f"step {number} of {row.sentence!r}: {error}") from None


def forwarded(packet: Packet, becomes: Packet, reason: str = "FORWARDED") -> Sent:
    """A client's packet goes to its backend."""
    return Sent("egress", packet, becomes, Verdict.PASS, reason)


def reversed_(packet: Packet, becomes: Packet, reason: str = "REVERSED") -> Sent:
    """A backend's packet gets the front end's address back."""
    return Sent("ingress", packet, becomes, Verdict.PASS, reason)


def untouched(program: str, packet: Packet | bytes, reason: str | None = None) -> Sent:
    """A packet passes as it is."""
    return Sent(program, packet, packet, Verdict.PASS, reason)


def dropped(program: str, packet: Packet, reason: str) -> Sent:
    """A packet ends here."""
    return Sent(program, packet, None, Verdict.DROP, reason)


def sent_back(packet: Packet, becomes: Packet, reason: str) -> Sent:
    """A client's packet, or an answer to it, goes back to the client."""
    return Sent("egress", packet, becomes, Verdict.SEND_BACK, reason)


def difference(before: dict[str, tuple[int, int]], after: dict[str, tuple[int, int]]) -> dict[str, tuple[int, int]]:
    """What counters have grown by."""
    grown = {}
    for reason, row in after.items():
        old = before.get(reason, (0, 0))
        if row != old:
            grown[reason] = (row[0] - old[0], row[1] - old[1])
    return grown


def described(frame: bytes) -> str:
    """A frame in words."""
    return Ether(frame).summary()


def mismatch(expected: bytes, got: bytes) -> str:
    """Two frames that should be one, side by side."""
    return f"\nexpected {Ether(expected)!r}\n     got {Ether(got)!r}\nexpected {expected.hex()}\n     got {got.hex()}"
