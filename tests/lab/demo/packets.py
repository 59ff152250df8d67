"""The demo shows a SYN and its answer on both sides of the rewrite."""

from __future__ import annotations

from contextlib import ExitStack
from typing import NamedTuple

from tcnat.layout import Family
from tcnat.model import format_endpoint, parse_address

from ..capture import Capture, Tap
from ..load import FAILED, web_requests
from ..servers import WEB_PORT
from .scene import WEB, Scene


class Packet(NamedTuple):
    """What is shown of a packet."""

    source: str
    destination: str
    ip_sum: str
    tcp_sum: str


def show_packets(scene: Scene) -> None:
    """For each family: who it was sent to, and who got it; the checksums as tshark reads and judges them."""
    scene.paper.section("A SYN and its answer on both sides of the rewrite")
    scene.paper.text(
        "The client's side is the copy that a mirror filter takes between the client's own stack and tcnat; the\n"
        "backend's side is its eth0. Checksum offload is off, so that what is captured is what is sent."
    )
    Tap(scene.lab.client)
    for family in Family:
        _show_opening(scene, family)


def _show_opening(scene: Scene, family: Family) -> None:
    lab, paper = scene.lab, scene.paper
    client_side = Capture(lab, lab.client, Tap.device)
    backend_sides = {host.role: Capture(lab, host) for host in lab.backends}
    with ExitStack() as captures:
        for capture in (client_side, *backend_sides.values()):
            captures.enter_context(capture)
        (server,) = web_requests(lab.client, WEB.addresses, family, 80, 1)
    if server == FAILED:
        paper.check(False, "a request was answered")
        return
    syn, answer = _opening(client_side, family)
    syn_arrived, answer_left = _opening(backend_sides[server], family)
    paper.gap()
    paper.table(
        ["packet", "where", "source", "destination", "IP sum", "TCP sum"],
        [
            ["SYN", "client, before tcnat", *syn],
            ["SYN", f"{server}, as it arrives", *syn_arrived],
            ["SYN-ACK", f"{server}, as it leaves", *answer_left],
            ["SYN-ACK", "client, behind tcnat", *answer],
        ],
    )
    client_side.assert_checksums_good()
    backend_sides[server].assert_checksums_good()
    (host,) = (host for host in lab.backends if host.role == server)
    service = format_endpoint(parse_address(WEB.addresses.of(family)), 80)
    backend = format_endpoint(parse_address(host.addresses.of(family)), WEB_PORT)
    there = (syn.destination, syn_arrived.destination) == (service, backend)
    back = (answer_left.source, answer.source) == (backend, service)
    paper.check(there and back, f"{service} became {backend}, and back")
    paper.check(
        syn.source == syn_arrived.source == answer_left.destination == answer.destination,
        "the backend saw the client's own address and port",
    )
    paper.check(True, "tshark finds every checksum in both captures right")


def _opening(capture: Capture, family: Family) -> tuple[Packet, Packet]:
    """The SYN and the SYN-ACK of a capture; ValueError if it does not hold exactly one of each."""
    ip = "ip" if family is Family.IPV4 else "ipv6"
    fields = [f"{ip}.src", "tcp.srcport", f"{ip}.dst", "tcp.dstport", "ip.checksum", "tcp.checksum"]
    packets = []
    for row in capture.fields(fields, "tcp.flags.syn == 1"):
        source, source_port, destination, destination_port, ip_sum, tcp_sum = row.values()
        packets.append(
            Packet(
                format_endpoint(parse_address(source), int(source_port)),
                format_endpoint(parse_address(destination), int(destination_port)),
                ip_sum or "none",
                tcp_sum,
            )
        )
    syn, answer = packets
    return syn, answer
