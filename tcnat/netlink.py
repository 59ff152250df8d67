"""rtnetlink as tcnat needs it: links, addresses, clsact qdiscs and their filters.

pyroute2 encodes and decodes the messages; the socket is a plain one, so that a request has a time-out, a monitor can be
waited for with poll, and no event loop and no fork is needed to work in another namespace.
Asks for nothing that Linux 4.9 lacks: no extended acknowledgements, no strict checking.

Sources: netlink(7), rtnetlink(7), include/uapi/linux/{rtnetlink,pkt_sched,pkt_cls}.h.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct
from collections.abc import Iterator
from typing import Any

from tcnat.codecs import RouteMarshal, codes, ifaddrmsg, ifinfmsg, rtnl, tcmsg
from tcnat.links import Address, Filter, Hook, Link, NetlinkFailure, Qdisc
from tcnat.messages import (
    IFF_UP,
    address_of,
    bpf_message,
    clsact_message,
    filter_message,
    filter_of,
    link_of,
    number,
    tc_message,
)
from tcnat.netns import entered
from tcnat.prepared import Prepared, error_in, split

TIMEOUT = 10.0
"""Seconds that the kernel may take for an answer."""
DUMP_TRIES = 5
"""How often a listing is asked for again that the kernel says changed under its hands."""
RECEIVE = 1 << 17
"""Bytes that one message from the kernel may have."""
_SIOCGIFINDEX = 0x8933


class Netlink:
    """Requests to one network namespace. ``netns`` is a name under /run/netns or a path; None is the caller's own."""

    def __init__(self, netns: str | None = None) -> None:
        self._marshal = RouteMarshal()
        self._sequence = 0
        self._socket = open_socket(netns)
        self._socket.settimeout(TIMEOUT)

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()

    def link(self, device: str | int) -> Link:
        """The device of that name or index; NetlinkFailure with ENODEV if there is none."""
        message = ifinfmsg()
        if isinstance(device, int):
            message["index"] = device
        else:
            message["attrs"] = [("IFLA_IFNAME", device)]
        try:
            return link_of(self._request(f"network device {device}", rtnl.RTM_GETLINK, 0, message)[0])
        except NetlinkFailure as error:
            if error.errno in {errno.ENODEV, errno.ERANGE, errno.EINVAL}:
                raise NetlinkFailure(f"there is no network device {device}", errno.ENODEV) from None
            raise

    def links(self) -> list[Link]:
        """Every device, by index."""
        return [link_of(m) for m in self._listing("network devices", rtnl.RTM_GETLINK, ifinfmsg())]

    def addresses(self) -> list[Address]:
        """Every address of every device, in the order in which the kernel prefers them."""
        return [address_of(m) for m in self._listing("addresses", rtnl.RTM_GETADDR, ifaddrmsg())]

    def _ask_by_name(self, request: int, name: str) -> bytes:
        """An answer about a device without a message: struct ifreq (netdevice(7)); zeros if there is none."""
        try:
            return fcntl.ioctl(self._socket, request, struct.pack("16si20x", os.fsencode(name), 0))
        except OSError:
            return bytes(40)

    def add_veth(self, name: str, peer: str, mtu: int) -> None:
        """Make a pair of veth devices. Both are down."""
        end = [("IFLA_IFNAME", peer), ("IFLA_MTU", mtu)]
        kind = [("IFLA_INFO_KIND", "veth"), ("IFLA_INFO_DATA", {"attrs": [("VETH_INFO_PEER", {"attrs": end})]})]
        message = ifinfmsg()
        message["attrs"] = [("IFLA_IFNAME", name), ("IFLA_MTU", mtu), ("IFLA_LINKINFO", {"attrs": kind})]
        self._request(f"veth pair {name}", rtnl.RTM_NEWLINK, codes.NLM_F_CREATE | codes.NLM_F_EXCL, message)

    def set_up(self, device: int) -> None:
        """Set a device up, by its index."""
        message = ifinfmsg()
        message["index"], message["flags"], message["change"] = device, IFF_UP, IFF_UP
        self._request(f"network device {device}", rtnl.RTM_NEWLINK, 0, message)

    def move(self, name: str, netns: int) -> None:
        """Move the device of that name into another namespace, by a descriptor of it. It is down there."""
        message = ifinfmsg()
        message["index"] = self.link(name).index
        message["attrs"] = [("IFLA_NET_NS_FD", netns)]
        self._request(f"network device {name}", rtnl.RTM_NEWLINK, 0, message)

    def qdiscs(self) -> list[Qdisc]:
        """Every ingress and clsact qdisc of every device."""
        return [
            Qdisc(m["index"], kind, bool(number(m, "TCA_INGRESS_BLOCK") or number(m, "TCA_EGRESS_BLOCK")))
            for m in self._listing("qdiscs", rtnl.RTM_GETQDISC, tcmsg())
            if (kind := m.get_attr("TCA_KIND")) in {"clsact", "ingress"}
        ]

    def filters(self, device: int, hook: Hook) -> list[Filter]:
        """The filters of a hook in the order in which they run; none where there is no clsact."""
        try:
            listed = self._listing("filters", rtnl.RTM_GETTFILTER, tc_message(device, parent=hook))
        except NetlinkFailure as error:
            if error.errno in {errno.EINVAL, errno.ENOENT, errno.ENODEV}:
                return []
            raise
        return [filter_of(m, hook) for m in listed]

    def add_clsact(self, device: int) -> None:
        """Give the device a clsact qdisc; NetlinkFailure with EEXIST if it has an ingress or clsact qdisc already."""
        message = clsact_message(device)
        self._request("clsact qdisc", rtnl.RTM_NEWQDISC, codes.NLM_F_CREATE | codes.NLM_F_EXCL, message)

    def delete_clsact(self, device: int) -> None:
        """Take the device's clsact qdisc away, with every filter on it."""
        self._request("clsact qdisc", rtnl.RTM_DELQDISC, 0, clsact_message(device))

    def replace_filter(self, wanted: Filter, program_fd: int) -> None:
        """Make the bpf filter, or put it in the place of the one with the same hook, priority and handle: no packet
        passes between the two."""
        message = bpf_message(wanted, program_fd)
        self._request(f"filter {wanted.name}", rtnl.RTM_NEWTFILTER, codes.NLM_F_CREATE | codes.NLM_F_REPLACE, message)

    def send(self, what: str, prepared: Prepared, device: int) -> None:
        """Have all of the requests done for a device, in order; NetlinkFailure for the first that the kernel refused
        (it has done the others)."""
        first = self._sequence + 1
        self._sequence += len(prepared.starts)
        try:
            self._socket.send(prepared.for_device(device, first))
            errors = dict(self._acknowledgements(range(first, self._sequence + 1)))
        except TimeoutError:
            raise _no_answer(what) from None
        except OSError as error:
            raise _failure(what, error.errno or errno.EIO) from None
        refused = [error for _, error in sorted(errors.items()) if error]
        if refused:
            raise _failure(what, refused[0])

    def index_of(self, name: str) -> int:
        """The index of the device of that name, without a message; 0 if there is none."""
        return int(struct.unpack_from("=16si", self._ask_by_name(_SIOCGIFINDEX, name))[1])

    def delete_filter(self, there: Filter) -> None:
        """Take one filter away; NetlinkFailure with ENOENT or EINVAL if it is not there."""
        self._request(f"filter {there.name}", rtnl.RTM_DELTFILTER, 0, filter_message(there))

    def _listing(self, what: str, type: int, message: Any) -> list[Any]:
        for _ in range(DUMP_TRIES):
            replies = self._request(what, type, codes.NLM_F_DUMP, message)
            if not any(m["header"]["flags"] & codes.NLM_F_DUMP_INTR for m in replies):
                return [m for m in replies if m["header"]["type"] != codes.NLMSG_DONE]
        raise NetlinkFailure(f"{what}: they change faster than they can be listed; try again", errno.EAGAIN)

    def _request(self, what: str, type: int, flags: int, message: Any) -> list[Any]:
        """Send a request and gather the messages that answer it, up to its acknowledgement (of a listing: with the
        message that ends it); NetlinkFailure if the kernel says no or nothing."""
        self._sequence += 1
        flags |= codes.NLM_F_REQUEST | (0 if flags & codes.NLM_F_DUMP == codes.NLM_F_DUMP else codes.NLM_F_ACK)
        message["header"] = {"type": type, "flags": flags, "sequence_number": self._sequence, "pid": 0}
        message.reset()
        message.encode()
        try:
            self._socket.send(message.data)
            return list(self._replies(what))
        except TimeoutError:
            raise _no_answer(what) from None
        except OSError as error:
            raise _failure(what, error.errno or errno.EIO) from None

    def _acknowledgements(self, awaited: range) -> Iterator[tuple[int, int]]:
        """Sequence number and errno (0: done) of every request that was sent."""
        missing = set(awaited)
        while missing:
            for type, sequence, message in split(self._socket.recv(RECEIVE)):
                if type == codes.NLMSG_ERROR and sequence in missing:
                    missing.remove(sequence)
                    yield sequence, error_in(message)

    def _replies(self, what: str) -> Iterator[Any]:
        """The messages that answer the last request. All are received before any is taken apart: what is listed may
        change as long as the listing goes on."""
        for message in [message for data in self._answer() for message in self._marshal.parse(data)]:
            header = message["header"]
            if header["sequence_number"] != self._sequence:
                continue  # a late answer to a request that was given up
            if header["error"] is not None:
                raise _failure(what, getattr(header["error"], "code", errno.EPROTO))
            if header["type"] != codes.NLMSG_ERROR:
                yield message

    def _answer(self) -> list[bytes]:
        """What the kernel sends up to the end of its answer to the last request."""
        received: list[bytes] = []
        while not received or not any(self._ends(type, sequence) for type, sequence, _ in split(received[-1])):
            received.append(self._socket.recv(RECEIVE))
        return received

    def _ends(self, type: int, sequence: int) -> bool:
        return sequence == self._sequence and type in {codes.NLMSG_DONE, codes.NLMSG_ERROR}


def open_socket(netns: str | None, groups: int = 0) -> socket.socket:
    """A route netlink socket, bound to multicast groups, of a namespace that has to be there."""
    with entered(netns):
        opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
    opened.bind((0, groups))
    return opened


def _no_answer(what: str) -> NetlinkFailure:
    return NetlinkFailure(f"{what}: the kernel did not answer within {TIMEOUT:g} s", errno.ETIMEDOUT)


def _failure(what: str, number: int) -> NetlinkFailure:
    if number == errno.EPERM:
        return NetlinkFailure(f"{what}: not permitted. Run as root, or with CAP_NET_ADMIN", errno.EPERM)
    return NetlinkFailure(f"{what}: {os.strerror(number)}", number)
