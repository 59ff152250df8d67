"""What a program must know of its device: whether it faces the network or a workload, and whether it has a link layer.

The rows are those of the other tables, run on real devices. They also show that both runners see the same, and that
filters of others behind ours still run: what passes has come through one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tcnat.loader import Loaded
from tests.packets import (
    test_checksums,
    test_echo,
    test_fragments,
    test_hairpin,
    test_icmp_errors,
    test_passing,
    test_reject,
)
from tests.packets.device_runner import DeviceRunner
from tests.packets.harness import Harness
from tests.packets.names import CLIENT_MAC
from tests.packets.runner import Verdict
from tests.packets.table import Row, Step, as_it_is, forwarded, play, reversed_, untouched, without_link_layer
from tests.packets.talks import from_dns, from_web, opened, to_dns, to_web
from tests.packets.test_clashes import other_port
from tests.packets.test_reject import refused
from tests.packets.wire import CLIENT_PORT, Wire
from tests.packets.world import TCP, UDP, Endpoint, FrontEnd, World, default_world


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of device: how to make a runner on it, and how its frames look."""

    name: str
    make: Callable[[Loaded], DeviceRunner]
    link: Callable[[Step], Step]


KINDS = [
    Kind("Ethernet, facing the network", DeviceRunner.on_veth, as_it_is),
    Kind("Ethernet, facing a workload", lambda loaded: DeviceRunner.on_veth(loaded, workload=True), as_it_is),
    Kind("tun, facing the network", DeviceRunner.on_tun, without_link_layer),
    Kind("tun, facing a workload", lambda loaded: DeviceRunner.on_tun(loaded, workload=True), without_link_layer),
]
TABLES = (
    test_checksums.ROWS[:4],
    test_echo.ROWS[:6],
    test_fragments.ROWS[:4],
    test_hairpin.ROWS[:2] + test_hairpin.ROWS[3:],
    test_icmp_errors.ROWS[:3],
    test_reject.TCP_ROWS,
    test_reject.ICMP_ROWS,
)
"""What depends on the device: whatever is sent back. And a little of all else."""


@pytest.fixture
def on_device(harnesses: dict[int, Harness], family: int, kind: Kind) -> Iterator[Harness]:
    """The family's programs on a device of the kind."""
    runner = kind.make(harnesses[family].loaded)
    yield Harness(harnesses[family].loaded, runner)
    runner.close()


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_rows_on_a_device(on_device: Harness, kind: Kind, family: int) -> None:
    for row in (row for rows in TABLES for row in rows if family in row.families):
        play(row, on_device, kind.link)


@pytest.fixture
def on_veth(harnesses: dict[int, Harness], family: int) -> Iterator[Harness]:
    """The family's programs on an Ethernet device that faces the network."""
    runner = DeviceRunner.on_veth(harnesses[family].loaded)
    yield Harness(harnesses[family].loaded, runner)
    runner.close()


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("kind", KINDS[:2], ids=lambda kind: kind.name)
def test_what_is_nobodys_passes_the_device(on_device: Harness, kind: Kind, family: int) -> None:
    """VLAN tags among it, which the kernel takes out of a frame that it receives and keeps beside it."""
    for row in (row for row in test_passing.ROWS if family in row.families):
        play(row, on_device, kind.link)


@pytest.mark.parametrize("family", [4, 6])
def test_jumbo_frames(on_veth: Harness, family: int) -> None:
    def steps(w: Wire) -> list[Step]:
        return [
            step
            for size in (8900, 8901, 60000)
            for step in (
                to_web(w, "PA", payload=b"\xa5" * size),
                from_web(w, "PA", payload=b"\x5a" * size),
                to_dns(w, payload=b"\xa5" * size),
                from_dns(w, payload=b"\x5a" * size),
                refused(w, "PA", ack=9, payload=b"x" * size, expect=("R", 9, 0)),
                test_reject.unreachable(w, test_reject.datagram(w, size)),
            )
        ]

    play(Row("jumbo frames", steps), on_veth)


@pytest.mark.parametrize("family", [4, 6])
def test_frames_that_end_inside_of_the_ip_header(on_veth: Harness, family: int) -> None:
    def steps(w: Wire) -> list[Step]:
        frame = bytes(to_web(w, "S").packet)
        sizes = range(14, 34 if family == 4 else 54)
        return [untouched(program, frame[:size], "MALFORMED_IP") for size in sizes for program in ("egress", "ingress")]

    play(Row("short frames", steps), on_veth)


def test_what_is_sent_back_is_the_clients_own(harnesses: dict[int, Harness]) -> None:
    """The client's device takes it, as it bears its MAC address."""
    runner = DeviceRunner.on_veth(harnesses[4].loaded)
    harness = Harness(harnesses[4].loaded, runner)
    harness.reset()
    w = Wire(4)
    run = harness.egress(bytes(w.echo(w.client, w.web_vip)))
    assert run.verdict is Verdict.SEND_BACK
    assert run.frame is not None
    assert run.frame[:6] == bytes.fromhex(CLIENT_MAC.replace(":", ""))
    runner.close()


def chained(w: Wire) -> World:
    """A Service whose backend is another Service's front end, as a second node's would be."""
    world = default_world(w.names)
    chain = [FrontEnd(w.stranger, 80, TCP, (50,)), FrontEnd(w.stranger, 53, UDP, (51,))]
    ends = [Endpoint(50, w.web_vip, 80), Endpoint(51, w.dns_vip, 53)]
    return World([*world.front_ends, *chain], [*world.endpoints, *ends])


@pytest.mark.parametrize("family", [4, 6])
def test_what_one_device_has_rewritten_the_next_one_leaves_alone(harnesses: dict[int, Harness], family: int) -> None:
    runner = DeviceRunner.on_veth(harnesses[family].loaded, times=2)
    harness = Harness(harnesses[family].loaded, runner)
    w = Wire(family)
    harness.reset(chained(w))
    given = w.tcp(w.client, 40000, w.stranger, 80)
    run = harness.egress(bytes(given))
    assert run.frame == bytes(w.tcp(w.client, 40000, w.web_vip, 80))
    assert harness.counters() == {"FORWARDED": (1, len(given))}
    runner.close()


@pytest.mark.parametrize("family", [4, 6])
def test_a_reply_is_reversed_once_however_many_devices_it_passes(harnesses: dict[int, Harness], family: int) -> None:
    """A reply straight from a backend to a client that got another port there: reversed, it looks like the reply to the
    same port of a Service."""
    runner = DeviceRunner.on_veth(harnesses[family].loaded, times=2)
    harness = Harness(harnesses[family].loaded, runner)
    w = Wire(family)
    harness.reset()
    port = other_port(w.client, CLIENT_PORT, w.backend_one, 8080, TCP)
    to_web(w, "S").play(harness)
    straight = w.tcp(w.client, CLIENT_PORT, w.backend_one, 8080)
    forwarded(straight, w.tcp(w.client, port, w.backend_one, 8080)).play(harness)
    answer = w.tcp(w.backend_one, 8080, w.client, port, "SA", ack=1)
    reversed_(answer, w.tcp(w.backend_one, 8080, w.client, CLIENT_PORT, "SA", ack=1)).play(harness)
    runner.close()


@pytest.mark.parametrize("family", [4, 6])
def test_a_clients_packet_is_nobodys_reply_at_the_next_device(harnesses: dict[int, Harness], family: int) -> None:
    """Two pods serve each other: what one sends on to the other looks like an answer of its own."""
    loaded = harnesses[family].loaded
    w = Wire(family)
    harnesses[family].reset()
    theirs = w.udp(w.backend_one, 5353, w.self_vip, 53), w.udp(w.backend_one, 5353, w.client, 5353)
    forwarded(*theirs).play(harnesses[family])
    runner = DeviceRunner.on_veth(loaded, ingress_behind=True)
    there = Harness(loaded, runner)
    ours = w.udp(w.client, 5353, w.dns_vip, 53), w.udp(w.client, 5353, w.backend_one, 5353)
    assert there.egress(bytes(ours[0])).frame == bytes(ours[1])
    assert set(there.counters()) == {"FORWARDED"}
    runner.close()


@pytest.mark.parametrize("family", [4, 6])
def test_one_conversation_through_all_kinds_of_devices(harnesses: dict[int, Harness], family: int) -> None:
    """A flow belongs to the node, not to a device: what began at one goes on at another."""
    loaded = harnesses[family].loaded
    runners = [(kind, kind.make(loaded)) for kind in KINDS]
    w = Wire(family)
    harnesses[family].reset()
    for step in opened(w):
        step.play(harnesses[family])
    for kind, runner in runners:
        there = Harness(loaded, runner)
        for step in (to_web(w, "PA", payload=b"x"), from_web(w, "PA", payload=b"y")):
            kind.link(step).play(there)
        runner.close()
