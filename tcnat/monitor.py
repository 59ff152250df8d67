"""News of links and filters, as rtnetlink tells them. Sources: netlink(7), rtnetlink(7)."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from typing import Any

from tcnat.codecs import RouteMarshal, codes, ifinfmsg, rtnl
from tcnat.links import FilterLost, LinkGone, LinkMessage, ListingEnd, Overrun
from tcnat.messages import link_of
from tcnat.netlink import RECEIVE, open_socket
from tcnat.prepared import split

_BUFFER = 1 << 22
_SO_RCVBUFFORCE = 33
"""From asm-generic/socket.h; Python has no name for it."""
_TOLD = frozenset({rtnl.RTM_NEWLINK, rtnl.RTM_DELLINK, rtnl.RTM_DELTFILTER, rtnl.RTM_DELQDISC, codes.NLMSG_DONE})
"""The messages that are looked into: taking one apart is slow, and every filter of tcnat's own is told of, too."""


class LinkMonitor:
    """What happens to the links of a namespace and to the filters on them, and listings of the links, in one stream: a
    listing that is asked for through the monitor's own socket cannot be overtaken by the changes after it."""

    def __init__(self, netns: str | None = None) -> None:
        self._marshal = RouteMarshal()
        self._socket = open_socket(netns, groups=rtnl.RTMGRP_LINK | rtnl.RTMGRP_TC)
        self._make_room()
        self._whole = True

    def fileno(self) -> int:
        """The descriptor to wait on for reading."""
        return self._socket.fileno()

    def request_listing(self) -> None:
        """Ask for every link; they come as messages, a :class:`ListingEnd` after them."""
        self._whole = True
        message = ifinfmsg()
        message["header"] = {
            "type": rtnl.RTM_GETLINK,
            "flags": codes.NLM_F_REQUEST | codes.NLM_F_DUMP,
            "sequence_number": 1,
            "pid": 0,
        }
        message.encode()
        self._socket.send(message.data)

    def read(self) -> list[LinkMessage]:
        """The next messages; waits for them. Overrun if the kernel had to drop some."""
        try:
            data = self._socket.recv(RECEIVE)
        except OSError as error:
            if error.errno == errno.ENOBUFS:
                raise Overrun from None
            raise
        told = (message for type, _, message in split(data) if type in _TOLD)
        return list(self._messages(each for message in told for each in self._marshal.parse(message)))

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()

    def _make_room(self) -> None:
        """Room for the news of many devices at once, beyond the system's limit where the agent may do that."""
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
        except PermissionError:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)

    def _messages(self, messages: Iterator[Any]) -> Iterator[LinkMessage]:
        for message in messages:
            if message["header"]["flags"] & codes.NLM_F_DUMP_INTR:
                self._whole = False
            if message["header"]["type"] == codes.NLMSG_DONE:
                yield ListingEnd(self._whole)
            elif (news := _news(message)) is not None:
                yield news


def _news(message: Any) -> LinkMessage | None:
    """What a message tells of a link; None if that is nothing that tcnat asks for."""
    type = message["header"]["type"]
    if type in {rtnl.RTM_NEWLINK, rtnl.RTM_DELLINK}:
        if message["family"] != socket.AF_UNSPEC:
            return None  # a bridge tells of its ports coming and going in its own family
        return link_of(message) if type == rtnl.RTM_NEWLINK else LinkGone(message["index"])
    is_filter = type == rtnl.RTM_DELTFILTER
    if is_filter or (type == rtnl.RTM_DELQDISC and message.get_attr("TCA_KIND") == "clsact"):
        return FilterLost(message["index"])
    return None
