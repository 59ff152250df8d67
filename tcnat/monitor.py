"""News of links, filters and host routes, as rtnetlink tells them. Sources: netlink(7), rtnetlink(7)."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import ip_address
from typing import Any

from tcnat.codecs import RouteMarshal, codes, ifinfmsg, rtmsg, rtnl
from tcnat.links import FilterLost, HostRoute, LinkGone, ListingEnd, Message, Overrun
from tcnat.messages import link_of
from tcnat.netlink import RECEIVE, open_socket
from tcnat.prepared import split

_AT_ONCE = 1000
"""Datagrams."""
_BUFFER = 1 << 22
_SO_RCVBUFFORCE = 33
"""From asm-generic/socket.h; Python has no name for it."""
_LINKS = rtnl.RTMGRP_LINK | rtnl.RTMGRP_TC
_ROUTES = rtnl.RTMGRP_IPV4_ROUTE | rtnl.RTMGRP_IPV6_ROUTE
_HEADER = 16
_RT_TABLE_MAIN, _RTN_UNICAST = 254, 1
_WHOLE_ADDRESS: dict[int, int] = {socket.AF_INET: 32, socket.AF_INET6: 128}
_TOLD = frozenset({rtnl.RTM_NEWLINK, rtnl.RTM_DELLINK, rtnl.RTM_DELTFILTER, rtnl.RTM_DELQDISC, codes.NLMSG_DONE})
_ROUTE_NEWS = frozenset({rtnl.RTM_NEWROUTE, rtnl.RTM_DELROUTE})


class DeviceMonitor:
    """What happens to the links of a namespace, to the filters on them and, with ``routes``, to the host routes by
    them; and listings of links and routes, in one stream: a listing that is asked for through the monitor's own socket
    cannot be overtaken by the changes after it."""

    def __init__(self, netns: str | None = None, *, routes: bool = False) -> None:
        self._marshal = RouteMarshal()
        self._socket = open_socket(netns, groups=_LINKS | (_ROUTES if routes else 0))
        self._make_room()
        self._families = tuple(_WHOLE_ADDRESS) if routes else ()
        self._unlisted: list[int] = []
        self._whole = True

    def fileno(self) -> int:
        """The descriptor to wait on for reading."""
        return self._socket.fileno()

    def request_listing(self) -> None:
        """Ask for every link and route; they come as messages, a :class:`ListingEnd` after them."""
        self._whole = True
        self._unlisted = list(self._families)
        self._dump(rtnl.RTM_GETLINK, ifinfmsg())

    def read(self) -> Iterator[Message]:
        """The next messages; waits for them. Overrun if the kernel had to drop some."""
        try:
            received = list(self._received())
        except OSError as error:
            if error.errno == errno.ENOBUFS:
                raise Overrun from None
            raise
        for data in received:
            for type, _, message in split(data):
                if _is_told(type, message):
                    for each in self._marshal.parse(message):
                        yield from self._news(each)

    def _received(self) -> Iterator[bytes]:
        """What there is, but not without end: taking it apart can wait, while a listing goes on only as it is read, and
        what changes meanwhile interrupts it."""
        yield self._socket.recv(RECEIVE)
        with suppress(BlockingIOError):
            for _ in range(_AT_ONCE):
                yield self._socket.recv(RECEIVE, socket.MSG_DONTWAIT)

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()

    def _make_room(self) -> None:
        """Room for the news of many devices at once, beyond the system's limit where the agent may do that."""
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
        except PermissionError:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)

    def _dump(self, type: int, message: Any) -> None:
        flags = codes.NLM_F_REQUEST | codes.NLM_F_DUMP
        message["header"] = {"type": type, "flags": flags, "sequence_number": 1, "pid": 0}
        message.encode()
        self._socket.send(message.data)

    def _news(self, message: Any) -> Iterator[Message]:
        """What a message tells, if that is anything that tcnat asks for. A socket has one listing at a time: where
        one ends, the next is asked for."""
        header = message["header"]
        if header["flags"] & codes.NLM_F_DUMP_INTR:
            self._whole = False
        if header["type"] in _ROUTE_NEWS:
            yield from _route_news(message)
        elif header["type"] != codes.NLMSG_DONE:
            yield from _link_news(message)
        elif self._unlisted:
            request = rtmsg()
            request["family"] = self._unlisted.pop(0)
            self._dump(rtnl.RTM_GETROUTE, request)
        else:
            yield ListingEnd(self._whole)


def _is_told(type: int, message: bytes) -> bool:
    """Whether a message is looked into: taking one apart is slow, and most are of no interest (all filters of tcnat's
    own making, the routes of a whole cluster)."""
    if type not in _ROUTE_NEWS:
        return type in _TOLD
    family, prefix, _, _, table, _, _, kind = message[_HEADER : _HEADER + 8]  # struct rtmsg
    return kind == _RTN_UNICAST and table == _RT_TABLE_MAIN and prefix == _WHOLE_ADDRESS.get(family)


def _link_news(message: Any) -> Iterator[Message]:
    type = message["header"]["type"]
    if type in {rtnl.RTM_NEWLINK, rtnl.RTM_DELLINK}:
        if message["family"] == socket.AF_UNSPEC:  # a bridge tells of its ports coming and going in its own family
            yield link_of(message) if type == rtnl.RTM_NEWLINK else LinkGone(message["index"])
    elif type == rtnl.RTM_DELTFILTER or message.get_attr("TCA_KIND") == "clsact":
        yield FilterLost(message["index"])


def _route_news(message: Any) -> Iterator[Message]:
    device = message.get_attr("RTA_OIF")
    if device and message.get_attr("RTA_GATEWAY") is None and message.get_attr("RTA_VIA") is None:
        gone = message["header"]["type"] == rtnl.RTM_DELROUTE
        address = ip_address(message.get_attr("RTA_DST"))
        yield HostRoute(address, device, message.get_attr("RTA_PRIORITY") or 0, gone)
