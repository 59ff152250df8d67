"""Source translation: backends on this very node, and masquerading (rules 26 and 28).

A node's own process, and a pod whose device has no programs, come to the programs at the device that faces the network.
In these rows the client is one of those.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.packets.device_runner import DeviceRunner
from tests.packets.harness import Harness
from tests.packets.pieces import fragments
from tests.packets.table import (
    Configure,
    Counted,
    Endpoints,
    Row,
    Sent,
    Step,
    forwarded,
    play,
    reversed_,
    sent_back,
    table,
    untouched,
)
from tests.packets.talks import from_web, opened, to_web
from tests.packets.test_clashes import other_port
from tests.packets.wire import CLIENT_PORT, Wire
from tests.packets.world import DNS_ONE, WEB, WEB_ONE, Endpoint
from tests.reference.tables import Pods

TCP = 6
LONG = bytes(range(200))


def here(w: Wire) -> Endpoints:
    """Backend one is on this node."""
    return Endpoints(
        (
            Endpoint(WEB_ONE, w.backend_one, 8080, local=True),
            Endpoint(DNS_ONE, w.backend_one, 5353, local=True),
        )
    )


def asks(w: Wire, flags: str, client: str = "", sport: int = CLIENT_PORT, seen_as: int = 0, **fields: object) -> Sent:
    """A segment to web_vip turns back towards the backend, from web_vip's address."""
    seen = w.frame(w.tcp(w.web_vip, seen_as or sport, w.backend_one, 8080, flags, **fields).payload, from_client=False)
    return sent_back(w.tcp(client or w.client, sport, w.web_vip, 80, flags, **fields), seen, "FORWARDED")


def serves(w: Wire, flags: str, client: str = "", sport: int = CLIENT_PORT, seen_as: int = 0, **fields: object) -> Sent:
    """The backend's answer leaves for web_vip, and turns back towards the client."""
    client = client or w.client
    told = w.frame(w.tcp(w.web_vip, 80, client, sport, flags, **fields).payload, from_client=False)
    answer = w.frame(w.tcp(w.backend_one, 8080, w.web_vip, seen_as or sport, flags, **fields).payload, from_client=True)
    return sent_back(answer, told, "REVERSED")


def talk(w: Wire) -> list[Step]:
    return [
        here(w),
        asks(w, "S", seq=1000),
        serves(w, "SA", seq=5000, ack=1001),
        asks(w, "A", seq=1001, ack=5001),
        asks(w, "PA", seq=1001, ack=5001, payload=b"hello"),
        serves(w, "PA", seq=5001, ack=1006, payload=b"welcome"),
        Counted(WEB, 3, 2, 1),
    ]


def two_clients(w: Wire) -> list[Step]:
    """Both become web_vip: the second gets another port."""
    port = other_port(w.other_client, CLIENT_PORT, w.web_vip, 80, TCP)
    return [
        here(w),
        asks(w, "S"),
        asks(w, "S", client=w.other_client, seen_as=port),
        serves(w, "SA", client=w.other_client, seen_as=port, ack=1),
        serves(w, "SA", ack=1),
    ]


def straight(w: Wire) -> list[Step]:
    """What is sent to the backend's own address needs nothing of that."""
    return [here(w), untouched("egress", w.tcp(w.client, CLIENT_PORT, w.backend_one, 8080))]


def masquerading(w: Wire, network: str = "") -> Configure:
    """Sources outside of a network ("": all) become the device, which has the router's address here."""
    return Configure(pods=Pods(network, "outside" if network else "all"), device_address=w.router)


def as_node(w: Wire, client: str, seen_as: int = CLIENT_PORT) -> list[Step]:
    """A client reaches web_vip's backend as the node."""
    return [
        forwarded(
            w.tcp(client, CLIENT_PORT, w.web_vip, 80),
            w.frame(w.tcp(w.router, seen_as, w.backend_one, 8080).payload, from_client=client != w.stranger),
        ),
        reversed_(
            w.frame(w.tcp(w.backend_one, 8080, w.router, seen_as, "SA", ack=1).payload, from_client=False),
            w.frame(w.tcp(w.web_vip, 80, client, CLIENT_PORT, "SA", ack=1).payload, from_client=False),
        ),
    ]


def overlay(w: Wire) -> Configure:
    """The way to pods, backend one among them, is another than that to front ends."""
    return Configure(
        pods=Pods("10.244.0.0/16" if w.family == 4 else "fd44::/16", overlay=True), device_address=w.router
    )


def behind_an_overlay(w: Wire) -> list[Step]:
    """The packet turns back, and leaves by the overlay's device with that one's address; the answer comes likewise."""
    begins, answers = (
        w.tcp(w.web_vip, CLIENT_PORT, w.backend_one, 8080),
        w.tcp(w.backend_one, 8080, w.router, CLIENT_PORT, "SA", ack=1),
    )
    return [
        overlay(w),
        asks(w, "S"),
        forwarded(begins, w.frame(w.tcp(w.router, CLIENT_PORT, w.backend_one, 8080).payload, from_client=False)),
        reversed_(answers, w.tcp(w.backend_one, 8080, w.web_vip, CLIENT_PORT, "SA", ack=1)),
        serves(w, "SA", ack=1),
    ]


def two_as_node(w: Wire) -> list[Step]:
    port = other_port(w.other_client, CLIENT_PORT, w.web_vip, 80, TCP)
    return [masquerading(w), *as_node(w, w.client), *as_node(w, w.other_client, port)]


ROWS = [
    Row("a backend on this node is reached by turning back, and so is the client", talk),
    Row("two clients with one port are told apart", two_clients),
    Row("the same backend by its own address is left alone", straight),
    Row("a source outside of the pods' network becomes the node's", lambda w: [
        masquerading(w, w.pods), *as_node(w, w.stranger)
    ]),
    Row("a source inside of it stays", lambda w: [masquerading(w, w.pods), *opened(w)]),
    Row("with --masquerade-all every source becomes the node's", lambda w: [
        masquerading(w), *as_node(w, w.client)
    ]),
    Row("two clients with one port are told apart as the node, too", two_as_node),
    Row("the node's own address stays as it is", lambda w: [
        masquerading(w),
        forwarded(w.tcp(w.router, 9, w.web_vip, 80), w.frame(w.tcp(w.router, 9, w.backend_one, 8080).payload,
                                                            from_client=False)),
    ]),
    Row("without an address of the device nothing is masqueraded", lambda w: [
        Configure(pods=Pods(masquerade="all")), *opened(w)
    ]),
    Row("a backend behind an overlay is reached by turning back", behind_an_overlay),
    Row("one that is no pod is not", lambda w: [replace(overlay(w), pods=Pods(w.pods, overlay=True)), *opened(w)]),
    Row("a backend on this node is not masqueraded but turned back to", lambda w: [masquerading(w), *talk(w)]),
]  # fmt: skip


@table(ROWS)
def test_source(row: Row, harness: Harness) -> None:
    play(row, harness)


@pytest.fixture
def workload(harnesses: dict[int, Harness], family: int) -> Iterator[Harness]:
    """A workload's device on the same node: the same maps."""
    runner = DeviceRunner.on_veth(harnesses[family].loaded, workload=True)
    yield Harness(harnesses[family].loaded, runner)
    runner.close()


def passes(step: Step) -> Step:
    """A step's packet at a workload's device that leaves it to the network's."""
    return untouched("egress", step.packet) if isinstance(step, Sent) else step


@pytest.mark.parametrize("family", [4, 6])
def test_a_workload_leaves_to_the_network_what_is_translated_there(
    harnesses: dict[int, Harness], workload: Harness, family: int
) -> None:
    """A client that had no programs at its device when it began, and a backend's answers: first they come to the
    workload's device, where nothing may happen to them, then to the network's."""
    network, w = harnesses[family], Wire(family)
    network.reset()
    here_now, begins, *rest = talk(w)
    here_now.play(network)
    begins.play(network)
    for step in rest:
        passes(step).play(workload)
        step.play(network)
    error = w.error("port unreachable", w.client, w.web_vip, w.quoted(serves(w, "A").becomes))
    untouched("egress", error).play(workload)


@pytest.mark.parametrize("family", [4, 6])
def test_a_workload_leaves_to_the_network_who_is_to_be_masqueraded(
    harnesses: dict[int, Harness], workload: Harness, family: int
) -> None:
    network, w = harnesses[family], Wire(family)
    network.reset()
    masquerading(w).play(network)
    forward, reply = as_node(w, w.client)
    passes(forward).play(workload)
    forward.play(network)
    reply.play(network)
    passes(forward).play(workload)


@pytest.mark.parametrize("family", [4, 6])
def test_fragments_that_are_to_be_masqueraded_are_left_to_the_network(
    harnesses: dict[int, Harness], workload: Harness, family: int
) -> None:
    network, w = harnesses[family], Wire(family)
    network.reset()
    masquerading(w).play(network)
    sent = w.udp(w.client, CLIENT_PORT, w.dns_vip, 53, LONG)
    becomes = w.frame(w.udp(w.router, CLIENT_PORT, w.backend_one, 5353, LONG).payload, from_client=True)
    pieces = zip(fragments(sent, 64), fragments(becomes, 64), ("FORWARDED", "FRAGMENT_FORWARDED"), strict=True)
    for piece, expected, reason in pieces:
        untouched("egress", piece).play(workload)
        forwarded(piece, expected, reason).play(network)


@pytest.mark.parametrize("family", [4, 6])
def test_a_backends_fragments_turn_back_at_the_network_alone(
    harnesses: dict[int, Harness], workload: Harness, family: int
) -> None:
    network, w = harnesses[family], Wire(family)
    network.reset()
    here(w).play(network)
    question = w.udp(w.client, CLIENT_PORT, w.dns_vip, 53)
    seen = w.frame(w.udp(w.dns_vip, CLIENT_PORT, w.backend_one, 5353).payload, from_client=False)
    sent_back(question, seen, "FORWARDED").play(network)
    answer = w.frame(w.udp(w.backend_one, 5353, w.dns_vip, CLIENT_PORT, LONG).payload, from_client=True)
    told = w.frame(w.udp(w.dns_vip, 53, w.client, CLIENT_PORT, LONG).payload, from_client=False)
    pieces = zip(fragments(answer, 64), fragments(told, 64), ("REVERSED", "FRAGMENT_REVERSED"), strict=True)
    for piece, becomes, reason in pieces:
        untouched("egress", piece).play(workload)
        sent_back(piece, becomes, reason).play(network)


@pytest.mark.parametrize("family", [4, 6])
def test_the_network_leaves_replies_to_the_workload_whose_flow_it_is(
    harnesses: dict[int, Harness], workload: Harness, family: int
) -> None:
    """There the front end's address is no source whose way leads elsewhere, as it may be at an overlay's device."""
    network, w = harnesses[family], Wire(family)
    network.reset()
    begins, answers, goes_on = opened(w)
    begins.play(workload)
    untouched("ingress", answers.packet).play(network)
    answers.play(workload)
    error = w.error("port unreachable", w.backend_one, w.client, w.quoted(begins.becomes))
    untouched("ingress", error).play(network)
    goes_on.play(workload)
    data = from_web(w, "PA", payload=b"hello")
    untouched("ingress", data.packet).play(network)
    to_web(w, "PA", payload=b"hello").play(network)  # the workload's device has lost its programs
    data.play(network)
