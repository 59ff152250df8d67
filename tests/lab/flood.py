"""SYNs from clients that do not exist."""

from __future__ import annotations

import errno
import json
import socket
import struct

from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

from tcnat.layout import Family

from .commands import wait_until
from .lab import Host

_SOURCES = {Family.IPV4: "198.18.0.0", Family.IPV6: "fd99::"}


def flood(host: Host, family: Family, destination: str, port: int, count: int) -> None:
    """Send ``count`` SYNs from that host's eth0, each from another address, all with good checksums.

    The host must have a neighbour on eth0 that it spoke to before: the gateway, whose MAC address the frames get.
    """
    frame = bytearray(_template(host, family, destination, port))
    low = 26 + 2 if family is Family.IPV4 else 22 + 14  # the last two bytes of the source address
    ip_sum = 24
    tcp_sum = 34 + 16 if family is Family.IPV4 else 54 + 16
    start = {offset: struct.unpack_from("!H", frame, offset)[0] for offset in (low, ip_sum, tcp_sum)}
    with host.entered():
        sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    with sender:
        sender.bind(("eth0", 0))
        for number in range(1, count + 1):
            struct.pack_into("!H", frame, low, number)
            struct.pack_into("!H", frame, tcp_sum, _mended(start[tcp_sum], number))
            if family is Family.IPV4:
                struct.pack_into("!H", frame, ip_sum, _mended(start[ip_sum], number))
            wait_until(lambda: _takes(sender, frame), "room for a frame", every=0.001)


def _takes(sender: socket.socket, frame: bytes) -> bool:
    """Send it, if the kernel takes it: a veth device refuses frames while the queue behind it is full."""
    try:
        sender.send(frame)
    except OSError as error:
        if error.errno != errno.ENOBUFS:
            raise
        return False
    return True


def _mended(checksum: int, added: int) -> int:
    """The checksum after a word that was 0 became ``added`` (RFC 1624)."""
    total = (~checksum & 0xFFFF) + added
    return ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF


def _template(host: Host, family: Family, destination: str, port: int) -> bytes:
    (link,) = json.loads(host.run("ip", "-j", "link", "show", "dev", "eth0"))
    gateway = next(near["lladdr"] for near in json.loads(host.run("ip", "-j", "neigh", "show")) if "lladdr" in near)
    source = _SOURCES[family]
    ip = IP(src=source, dst=destination) if family is Family.IPV4 else IPv6(src=source, dst=destination)
    return bytes(Ether(src=link["address"], dst=gateway) / ip / TCP(sport=1024, dport=port, flags="S", seq=1))
