"""Small UDP packets of some open flows from trafgen, as fast as the kernel takes them, counted where they arrive.

trafgen hands packets to the device itself, without a socket's way through the client's own stack, and fills them from
memory that it shares with the kernel: most of what is measured is the way to the backends. iperf3 spends a system call
on each packet and twice on the other end, and what it loses there is not the datapath's. The kernel's pktgen does not
stand in every kernel.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from bench.peers.services import SINK
from bench.peers.stand import Stand, Target
from bench.series import Measure
from tests.lab.commands import wait_until
from tests.lab.site import Host

from .load import Load, LoadFailed, Outcome, spending

PAYLOAD = 64
"""Bytes of each datagram's payload."""
FLOWS = 64
"""Source ports that take turns, so that each backend has its share."""
FIRST_SOURCE_PORT = 20000
RATE = Measure("datagrams_rate", f"UDP packets of {PAYLOAD} bytes that arrive", "packets/s", work="packet")


def _run(stand: Stand, seconds: float) -> Outcome:
    target = stand.target(SINK)
    configuration = stand.place.ground.directory / "trafgen.cfg"
    configuration.write_text(packets(stand.client, target))
    before = arrived(stand.backends)
    words: list[str | Path] = ["trafgen", "--qdisc-path", "--cpus", "1", "--dev", "eth0", "--conf", configuration]
    program = stand.client.start(*words, log=configuration.with_suffix(".log"))
    try:
        program.wait_for(lambda: arrived(stand.backends) - before > 10 * FLOWS, "packets to arrive")
        with spending() as spent:
            began = arrived(stand.backends)
            time.sleep(seconds)
            count = arrived(stand.backends) - began
    finally:
        os.killpg(program.pid, signal.SIGINT)  # it has a child that does the work
        program.wait()
    if not count:
        raise LoadFailed("no packet arrived any more")
    return Outcome({RATE.key: count / spent.seconds}, spent.cpu / count)


def packets(client: Host, target: Target) -> str:
    """trafgen's configuration: one packet for each flow, with the addresses that the client's own stack would use."""
    with client.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.sendto(b"who has it?", (target.address, target.port))
    [route] = _told(client, "route", "get", target.address)
    wait_until(lambda: _link_address(client, route), "the link-layer address of the way to the backends")
    [own] = _told(client, "link", "show", route["dev"])
    head = f"eth(da={_link_address(client, route)}, sa={own['address']})"
    ip = f"ipv4(saddr={route['prefsrc']}, daddr={target.address}, ttl=64)"
    ports = range(FIRST_SOURCE_PORT, FIRST_SOURCE_PORT + FLOWS)
    return "\n".join(
        f"{{ {head}, {ip}, udp(sport={port}, dport={target.port}), fill('x', {PAYLOAD}) }}" for port in ports
    )


def _link_address(client: Host, route: dict[str, Any]) -> str:
    """Of a route's next hop; empty while nobody has answered."""
    found = _told(client, "neigh", "show", route.get("gateway", route["dst"]), "dev", route["dev"])
    return str(found[0].get("lladdr", "")) if found else ""


def _told(client: Host, *words: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = msgspec.json.decode(client.run("ip", "-json", *words) or "[]")
    return found


def arrived(backends: Sequence[Host]) -> int:
    """IPv4 packets that these hosts' stacks have taken for themselves, whether a program has read them or not."""
    return sum(_delivered(backend) for backend in backends)


def _delivered(host: Host) -> int:
    with host.entered():
        names, values = Path("/proc/thread-self/net/snmp").read_text().split("\n", 2)[:2]
    return int(values.split()[names.split().index("InDelivers")])


DATAGRAMS = Load("datagrams", (RATE,), _run)
