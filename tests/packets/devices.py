"""Network devices of the tests' own, with taps at both of their sides."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import socket
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Protocol

from pyroute2 import IPRoute

from tcnat.netns import OWN, keep_quiet, throwaway

ETH_P_ALL = 3
ETH_P_SENTINEL = 0x88B5
"""IEEE 802 "local experimental": no filter looks at it."""
ETHERTYPE = {4: 0x0800, 6: 0x86DD}
FRAME_ROOM = 200000
DEVICE_MTU = 65535
GSO_MAX = 190000
HAS_BIG_TCP = tuple(int(part) for part in re.findall(r"\d+", os.uname().release)[:2]) >= (6, 3)
RTM_NEWLINK, NLM_F_REQUEST, NLM_F_ACK = 16, 1, 4
IFLA_GSO_MAX_SIZE, IFLA_GSO_IPV4_MAX_SIZE = 41, 63
SO_RCVBUFFORCE, TAP_ROOM = 33, 8 << 20
SOL_PACKET, PACKET_AUXDATA, PACKET_VNET_HDR = 263, 8, 15
AUXILIARY = struct.Struct("=IIIHHHH")
"""struct tpacket_auxdata: status, lengths, offsets, VLAN tag and its ethertype"""
VLAN_VALID, VLAN_ETHERTYPE_VALID = 0x10, 0x40
VNET_HEADER = struct.Struct("=BBHHHH")
"""flags, GSO type, bytes of headers, GSO size, where the checksum starts, and where from there it stands"""
TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 1, 0x1000


class Device(Protocol):
    """A device and its two sides."""

    index: int
    sentinel: bytes

    def send_out(self, frame: bytes) -> None:
        """Have the device transmit a frame: it passes the egress hook."""

    def send_in(self, frame: bytes) -> None:
        """Have the device receive a frame: it passes the ingress hook."""

    def sent(self) -> list[bytes]:
        """What it has transmitted since the last time."""

    def received(self) -> list[bytes]:
        """What it has received since the last time, before its ingress hook."""

    def close(self) -> None:
        """Give its sockets back."""


class Veth:
    """One end of a pair; the other end is its link partner.

    With ``offloads`` every frame has a ``struct virtio_net_hdr`` in front: what the device's hardware is to do with it.
    With ``elsewhere`` the partner is in a network namespace of its own, as a pod's end is.
    """

    def __init__(
        self,
        netlink: IPRoute,
        name: str,
        mac: str | None = None,
        *,
        offloads: bool = False,
        elsewhere: bool = False,
    ) -> None:
        peer = f"{name}p"
        netlink.link("add", ifname=name, kind="veth", peer={"ifname": peer})
        self.index = netlink.link_lookup(ifname=name)[0]
        self._prefix = VNET_HEADER.size if offloads else 0
        self.sentinel = bytes(self._prefix + 12) + ETH_P_SENTINEL.to_bytes(2, "big") + b"that was all"
        with another_namespace(netlink, peer) if elsewhere else nullcontext(netlink) as there:
            self._far = _up(there, peer, None, offloads=offloads)
        self._near = _up(netlink, name, mac, offloads=offloads)

    def send_out(self, frame: bytes) -> None:
        """Have the device transmit."""
        send(self._near, frame, self._ethertype(frame))

    def send_in(self, frame: bytes) -> None:
        """Have the partner transmit."""
        send(self._far, frame, self._ethertype(frame))

    def sent(self) -> list[bytes]:
        """What arrived at the partner."""
        return drain(self._far)

    def received(self) -> list[bytes]:
        """What arrived here."""
        return drain(self._near)

    def transmitted(self) -> list[bytes]:
        """What left here by the egress hook and the queueing discipline."""
        return drain(self._near, outgoing=True)

    def close(self) -> None:
        """Give the sockets back."""
        self._near.close()
        self._far.close()

    def _ethertype(self, frame: bytes) -> bytes:
        return frame[self._prefix + 12 : self._prefix + 14]


def _up(netlink: IPRoute, name: str, mac: str | None, *, offloads: bool) -> socket.socket:
    """Set one end up; gives a tap on it."""
    address = {"address": mac} if mac else {}
    netlink.link("set", ifname=name, state="up", mtu=DEVICE_MTU, **address)
    if offloads and HAS_BIG_TCP:
        allow_big_tcp(netlink.link_lookup(ifname=name)[0])
    return tap(name, offloads=offloads)


@contextmanager
def another_namespace(netlink: IPRoute, device: str) -> Iterator[IPRoute]:
    """A network namespace for the thread while the block runs, into which a device of ``netlink``'s is moved. It lasts
    as long as a socket from there."""
    with quiet_namespace():
        there = os.open(OWN, os.O_RDONLY)
        try:
            netlink.link("set", ifname=device, net_ns_fd=there)
        finally:
            os.close(there)
        with IPRoute() as inside:
            yield inside


@contextmanager
def quiet_namespace() -> Iterator[None]:
    """The same, with nothing in it. The kernel sends nothing of its own accord there: neighbour discovery would look
    like a program's output."""
    with throwaway():
        keep_quiet()
        yield


class Tun:
    """A device without a link-layer header; its other side is a descriptor."""

    def __init__(self, netlink: IPRoute, name: str, family: int) -> None:
        self._fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(self._fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
        self.index = netlink.link_lookup(ifname=name)[0]
        netlink.link("set", ifname=name, state="up", mtu=DEVICE_MTU)
        other = 10 - family
        self.sentinel = bytes((other << 4,)) + b"that was all".ljust(59, b"!")
        self._tap = tap(name)

    def send_out(self, frame: bytes) -> None:
        """Have the device transmit."""
        send(self._tap, frame, ETHERTYPE[frame[0] >> 4].to_bytes(2, "big"))

    def send_in(self, frame: bytes) -> None:
        """Have the device receive."""
        os.write(self._fd, frame)

    def sent(self) -> list[bytes]:
        """What came out of the descriptor."""
        found = []
        with suppress(BlockingIOError):
            while True:
                found.append(os.read(self._fd, FRAME_ROOM))
        return found

    def received(self) -> list[bytes]:
        """What the device received."""
        return drain(self._tap)

    def close(self) -> None:
        """Give the descriptors back; the device goes with them."""
        self._tap.close()
        os.close(self._fd)


def allow_big_tcp(index: int) -> None:
    """Let a device have super-packets of more than 65,535 bytes (pyroute2 does not know the attribute for IPv4)."""
    attributes = b"".join(struct.pack("=HHI", 8, kind, GSO_MAX) for kind in (IFLA_GSO_MAX_SIZE, IFLA_GSO_IPV4_MAX_SIZE))
    body = struct.pack("=BxHiII", 0, 0, index, 0, 0) + attributes
    request = struct.pack("=IHHII", 16 + len(body), RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK, 1, 0) + body
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as netlink:
        netlink.send(request)
        number = -struct.unpack_from("=i", netlink.recv(4096), 16)[0]
    if number:
        raise OSError(number, "BIG TCP")


def tap(device: str, *, offloads: bool = False) -> socket.socket:
    """A packet socket on a device, seeing all."""
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.htons(ETH_P_ALL))
    if offloads:
        made.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    made.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    made.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, TAP_ROOM)
    made.bind((device, ETH_P_ALL))
    return made


def send(tap: socket.socket, frame: bytes, ethertype: bytes) -> None:
    """Transmit a frame. The ethertype is named, as older kernels do not find it in the frame.

    ENOBUFS tells that the egress hook dropped it.
    """
    try:
        tap.sendto(frame, (tap.getsockname()[0], int.from_bytes(ethertype, "big")))
    except OSError as error:
        if error.errno != errno.ENOBUFS:
            raise


def drain(tap: socket.socket, *, outgoing: bool = False) -> list[bytes]:
    """What a tap has seen coming in, or going out, with the VLAN tag that the kernel keeps beside a frame put back into
    it."""
    found = []
    with suppress(BlockingIOError):
        while True:
            frame, told, _, address = tap.recvmsg(FRAME_ROOM, socket.CMSG_SPACE(AUXILIARY.size))
            if (address[2] == socket.PACKET_OUTGOING) is outgoing:
                found.append(frame[:12] + vlan_tag(told) + frame[12:])
    return found


def vlan_tag(told: Iterable[tuple[int, int, bytes]]) -> bytes:
    """The tag that ancillary data tell of."""
    for level, kind, data in told:
        if (level, kind) == (SOL_PACKET, PACKET_AUXDATA):
            status, _, _, _, _, tag, ethertype = AUXILIARY.unpack(data[: AUXILIARY.size])
            if status & VLAN_VALID:
                return struct.pack("!HH", ethertype if status & VLAN_ETHERTYPE_VALID else 0x8100, tag)
    return b""
