"""Packets from one workload of a node to another, handed straight to the other's device."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address

import pytest
from scapy.layers.inet import IPOption_NOP
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from tcnat import layout
from tcnat.helpers import REDIRECT_PEER, available_helpers
from tests.packets.harness import SECOND, START, Harness
from tests.packets.node import NO_FLAG, NODE_MAC, POD_MACS, Node, Way
from tests.packets.wire import CLIENT_PORT, Wire
from tests.packets.world import WEB

NOW = START // SECOND
both_families = pytest.mark.parametrize("family", [4, 6])


@pytest.fixture(params=[NO_FLAG, layout.Way.PAST_DEVICE], ids=["to the device", "past the device"])
def node(harness: Harness, request: pytest.FixtureRequest) -> Iterator[Node]:
    """The default world; the programs are told of both pods, and may hand packets on. Where the kernel has no
    bpf_redirect_peer, both ways are one."""
    harness.reset()
    w = Wire(int(harness.family))
    made = Node.of(harness.loaded)
    made.knows("client", w.client, request.param)
    made.knows("server", w.backend_one, request.param)
    made.allow(NOW + 30)
    yield made
    made.close()


@pytest.fixture
def w(family: int) -> Wire:
    return Wire(family)


def sent(pod: str, packet: Packet) -> Packet:
    """An IP packet as a pod sends it to its gateway."""
    return Ether(src=POD_MACS[pod], dst=NODE_MAC) / packet[1]


def at(pod: str, packet: Packet, *, hops: int = 63) -> bytes:
    """An IP packet as the node hands it to a pod, a hop later."""
    ip = packet[1].copy()
    ip.ttl = hops
    if ip.version == 4:
        del ip.chksum
    else:
        ip.hlim = hops
    return bytes(Ether(src=NODE_MAC, dst=POD_MACS[pod]) / ip)


def ask(w: Wire, flags: str = "S", **fields: object) -> Packet:
    return sent("client", w.tcp(w.client, CLIENT_PORT, w.web_vip, 80, flags, **fields))


def asked(w: Wire, flags: str = "S", **fields: object) -> Packet:
    """The same as the backend is to see it, but for the link and the hop."""
    return w.tcp(w.client, CLIENT_PORT, w.backend_one, 8080, flags, **fields)


def answer(w: Wire, flags: str, **fields: object) -> Packet:
    return sent("server", w.tcp(w.backend_one, 8080, w.client, CLIENT_PORT, flags, **fields))


def answered(w: Wire, flags: str, **fields: object) -> Packet:
    return w.tcp(w.web_vip, 80, w.client, CLIENT_PORT, flags, **fields)


def counted(harness: Harness) -> dict[str, int]:
    return {reason: packets for reason, (packets, _) in harness.counters().items()}


@both_families
def test_a_whole_connection_goes_straight_from_pod_to_pod(node: Node, harness: Harness, w: Wire) -> None:
    question, reply = b"?" * 500, b"!" * 900
    talk = [
        ("client", {"flags": "S"}),
        ("server", {"flags": "SA", "seq": 5000, "ack": 1001}),
        ("client", {"flags": "A", "seq": 1001, "ack": 5001}),
        ("client", {"flags": "PA", "seq": 1001, "ack": 5001, "payload": question}),
        ("server", {"flags": "PA", "seq": 5001, "ack": 1501, "payload": reply}),
        ("server", {"flags": "FA", "seq": 5901, "ack": 1501}),
        ("client", {"flags": "FA", "seq": 1501, "ack": 5902}),
        ("server", {"flags": "A", "seq": 5902, "ack": 1502}),
    ]
    for pod, fields in talk:
        frame, becomes = (
            (ask(w, **fields), at("server", asked(w, **fields)))
            if pod == "client"
            else (answer(w, **fields), at("client", answered(w, **fields)))
        )
        assert node.send(pod, frame) == (Way.HANDED_ON, becomes), frame.summary()
    assert counted(harness) == {"FORWARDED": 4, "REVERSED": 4}
    forward, _, reply, _, flows = harness.service_counters()[WEB]
    assert (forward, reply, flows) == (4, 4, 1)


@both_families
def test_datagrams_and_their_answers_go_straight_too(node: Node, w: Wire) -> None:
    question = sent("client", w.udp(w.client, CLIENT_PORT, w.dns_vip, 53))
    reply = sent("server", w.udp(w.backend_one, 5353, w.client, CLIENT_PORT, b"an answer"))
    for _ in range(2):
        asked = at("server", w.udp(w.client, CLIENT_PORT, w.backend_one, 5353))
        assert node.send("client", question) == (Way.HANDED_ON, asked)
        assert node.send("server", reply) == (
            Way.HANDED_ON,
            at("client", w.udp(w.dns_vip, 53, w.client, CLIENT_PORT, b"an answer")),
        )


@both_families
def test_only_packets_that_may_go_past_a_device_do(node: Node, w: Wire, request: pytest.FixtureRequest) -> None:
    """What is on a device's way out sees all others."""
    passes = request.node.callspec.params["node"] == layout.Way.PAST_DEVICE and REDIRECT_PEER in available_helpers()
    node.devices["server"].transmitted()
    assert node.send("client", ask(w))[0] is Way.HANDED_ON
    assert node.devices["server"].transmitted() == ([] if passes else [at("server", asked(w))])


@pytest.mark.parametrize("family", [4])
def test_a_datagram_without_a_checksum_keeps_none(node: Node, w: Wire) -> None:
    question = sent("client", w.udp(w.client, CLIENT_PORT, w.dns_vip, 53, chksum=0))
    assert node.send("client", question) == (
        Way.HANDED_ON,
        at("server", w.udp(w.client, CLIENT_PORT, w.backend_one, 5353, chksum=0)),
    )


@both_families
def test_the_last_hop_is_left_for_the_kernel_to_refuse(node: Node, w: Wire) -> None:
    """Which tells the client of it (ICMP time exceeded)."""
    way, frame = node.send("client", ask(w, ip={"ttl": 1}))
    assert way is Way.STACK
    assert frame == bytes(sent("client", asked(w, ip={"ttl": 1})))
    assert node.send("client", ask(w, ip={"ttl": 2})) == (Way.HANDED_ON, at("server", asked(w), hops=1))


@both_families
def test_a_replys_last_hop_is_left_for_the_kernel_to_refuse(node: Node, w: Wire) -> None:
    """And not reversed before: the backend is told of its own packet."""
    assert node.send("client", ask(w))[0] is Way.HANDED_ON
    reply = answer(w, "SA", seq=5000, ack=1001, ip={"ttl": 1})
    assert node.send("server", reply) == (Way.STACK, bytes(reply))
    assert node.send("server", answer(w, "SA", seq=5000, ack=1001, ip={"ttl": 2}))[0] is Way.HANDED_ON


@pytest.mark.parametrize("family", [4])
def test_a_packet_with_options_takes_the_ordinary_way(node: Node, w: Wire) -> None:
    """The kernel has them to follow."""
    option = {"options": [IPOption_NOP()] * 4}
    assert node.send("client", ask(w, ip=option)) == (Way.STACK, bytes(sent("client", asked(w, ip=option))))


@both_families
def test_a_reply_to_a_client_that_is_not_known_here_takes_the_ordinary_way(
    node: Node, harness: Harness, w: Wire
) -> None:
    """Its other half is left as it is, and it is reversed where it comes to the client."""
    for pod, frame in [
        ("client", ask(w, "S")),
        ("server", answer(w, "SA", seq=5000, ack=1001)),
        ("client", ask(w, "A", seq=1001, ack=5001)),
    ]:
        assert node.send(pod, frame)[0] is Way.HANDED_ON
    assert harness.loaded.maps["neighbours"].delete(ip_address(w.client).packed)
    reply = answer(w, "PA", seq=5001, ack=1001, payload=b"x")
    assert node.send("server", reply) == (Way.STACK, bytes(reply))


@both_families
def test_a_hairpin_is_not_handed_on(node: Node, w: Wire) -> None:
    """Whatever devices its flow names: it comes back with all of its hops."""
    frame = sent("client", w.udp(w.client, CLIENT_PORT, w.self_vip, 53))
    back = at("client", w.udp(w.self_vip, CLIENT_PORT, w.client, 5353), hops=64)
    for _ in range(3):
        assert node.send("client", frame) == (Way.BACK, back)


@both_families
def test_a_backend_that_is_no_workload_here_is_reached_by_routes(node: Node, harness: Harness, w: Wire) -> None:
    harness.forget("neighbours")
    assert node.send("client", ask(w)) == (Way.STACK, bytes(sent("client", asked(w))))


@both_families
def test_a_backend_that_has_left_the_node_is_reached_by_routes_at_once(node: Node, harness: Harness, w: Wire) -> None:
    question = sent("client", w.udp(w.client, CLIENT_PORT, w.dns_vip, 53))
    assert node.send("client", question)[0] is Way.HANDED_ON
    harness.forget("neighbours")
    asked = sent("client", w.udp(w.client, CLIENT_PORT, w.backend_one, 5353))
    assert node.send("client", question) == (Way.STACK, bytes(asked))


@both_families
def test_without_leave_packets_take_the_ordinary_way(node: Node, harness: Harness, w: Wire) -> None:
    assert node.send("client", ask(w))[0] is Way.HANDED_ON
    node.allow(0)
    assert node.send("client", ask(w)) == (Way.STACK, bytes(sent("client", asked(w))))
    reply = answer(w, "SA", seq=5000, ack=1001)
    assert node.send("server", reply) == (Way.STACK, bytes(reply))


@both_families
def test_leave_that_nobody_gives_anew_runs_out(node: Node, harness: Harness, w: Wire) -> None:
    """An agent that has died does not notice that a pod's address is another's by now."""
    assert node.send("client", ask(w))[0] is Way.HANDED_ON
    harness.wait(30)
    assert node.send("client", ask(w))[0] is Way.STACK
    reply = answer(w, "SA", seq=5000, ack=1001)
    assert node.send("server", reply) == (Way.STACK, bytes(reply))


@both_families
def test_a_frame_for_another_mac_address_is_not_handed_on(node: Node, w: Wire) -> None:
    """The kernel drops it (PACKET_OTHERHOST), and so it stays."""
    frame = ask(w)
    frame.dst = "02:00:00:00:00:99"
    assert node.send("client", frame)[0] is Way.STACK


@both_families
def test_a_reply_from_another_pod_is_not_taken_for_the_backends(node: Node, w: Wire) -> None:
    """Somebody claims the backend's address: what the kernel has against that is to see it (rp_filter, say)."""
    assert node.send("client", ask(w))[0] is Way.HANDED_ON
    forged = Ether(src=POD_MACS["client"], dst=NODE_MAC) / answer(w, "SA", seq=5000, ack=1001)[1]
    assert node.send("client", forged) == (Way.STACK, bytes(forged))


@both_families
def test_a_question_in_another_pods_name_is_left_to_the_node(node: Node, w: Wire) -> None:
    forged = Ether(src=POD_MACS["server"], dst=NODE_MAC) / ask(w)[1]
    for _ in range(2):
        assert node.send("server", forged) == (Way.STACK, bytes(Ether(bytes(forged)[:14]) / asked(w)[1]))
    assert node.send("client", ask(w)) == (Way.HANDED_ON, at("server", asked(w)))


@both_families
def test_what_is_nobodys_reply_passes(node: Node, harness: Harness, w: Wire) -> None:
    for packet in (
        w.tcp(w.backend_one, 8080, w.client, 50000, "SA", ack=1),
        w.tcp(w.backend_one, 33000, w.stranger, 443, "S"),
        w.udp(w.backend_one, 5353, w.client, 50000),
        w.echo(w.backend_one, w.client),
    ):
        frame = sent("server", packet)
        assert node.send("server", frame) == (Way.STACK, bytes(frame))
    assert harness.counters() == {}


@both_families
def test_a_reply_to_a_client_elsewhere_takes_the_ordinary_way(node: Node, harness: Harness, w: Wire) -> None:
    assert node.send("client", ask(w))[0] is Way.HANDED_ON
    harness.forget("neighbours")
    node.knows("server", w.backend_one)
    reply = answer(w, "SA", seq=5000, ack=1001)
    assert node.send("server", reply) == (Way.STACK, bytes(reply))


@both_families
def test_a_client_that_is_its_own_backend_gets_its_packets_back(node: Node, w: Wire) -> None:
    node.knows("client", w.client)
    frame = sent("client", w.tcp(w.client, CLIENT_PORT, w.self_vip, 80))
    assert node.send("client", frame)[0] is Way.BACK
    reply = sent("client", w.tcp(w.client, 8080, w.self_vip, CLIENT_PORT, "SA", ack=1001))
    assert node.send("client", reply)[0] is Way.BACK


@both_families
def test_a_long_silent_flow_is_handed_on_from_the_backends_next_word_on(node: Node, harness: Harness, w: Wire) -> None:
    talk = [
        ("client", ask(w, "S")),
        ("server", answer(w, "SA", seq=5000, ack=1001)),
        ("client", ask(w, "A", seq=1001, ack=5001)),
    ]
    for pod, frame in talk:
        assert node.send(pod, frame)[0] is Way.HANDED_ON
    harness.wait(60)
    node.allow(NOW + 90)
    late = answer(w, "PA", seq=5001, ack=1001, payload=b"late")
    assert node.send("server", late) == (
        Way.HANDED_ON,
        at("client", answered(w, "PA", seq=5001, ack=1001, payload=b"late")),
    )


@both_families
def test_a_first_fragment_takes_the_ordinary_way(node: Node, w: Wire) -> None:
    if w.family == 4:
        frame = sent("client", w.udp(w.client, CLIENT_PORT, w.dns_vip, 53, ip={"flags": "MF"}))
        assert node.send("client", frame)[0] is Way.STACK
