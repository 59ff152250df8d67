"""rtnetlink as tcnat needs it: links, clsact qdiscs and their filters. The only module that imports pyroute2.

Sources: rtnetlink(7), include/uapi/linux/{rtnetlink,pkt_sched,pkt_cls}.h. Asks for nothing that Linux 4.9 lacks: no
extended acknowledgements, no strict checking.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeVar

from pyroute2 import IPRoute, IPRSocket
from pyroute2.netlink import NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NLMSG_DONE
from pyroute2.netlink.exceptions import NetlinkDumpInterrupted, NetlinkError
from pyroute2.netlink.rtnl import RTM_DELLINK, RTM_GETLINK, RTM_NEWLINK, RTMGRP_LINK

from tcnat.errors import TcnatError
from tcnat.links import Filter, Hook, Link, LinkGone, LinkMessage, ListingEnd, NetlinkFailure, Overrun, Qdisc

NETNS_DIRECTORY = "/run/netns"
DUMP_TRIES = 5
"""How often a listing is asked for again that the kernel says changed under its hands."""
_RECEIVE = 1 << 17
_UNNAMED = {"TCA_CHAIN": 11, "TCA_INGRESS_BLOCK": 13, "TCA_EGRESS_BLOCK": 14, "TCA_BPF_ID": 11}
"""Attributes that pyroute2 has no names for (yet), by their numbers."""

T = TypeVar("T")


class Netlink:
    """Requests to one network namespace. ``netns`` is a name under /run/netns or a path; None is the caller's own."""

    def __init__(self, netns: str | None = None) -> None:
        self._route = _open(IPRoute, netns)

    def close(self) -> None:
        """Give the socket back."""
        self._route.close()

    def link(self, device: str | int) -> Link:
        """The device of that name or index; NetlinkFailure with ENODEV if there is none."""
        key: dict[str, Any] = {"index": device} if isinstance(device, int) else {"ifname": device}
        try:
            return _link(next(iter(self._route.link("get", **key))))
        except NetlinkError as error:
            if error.code in {errno.ENODEV, errno.ERANGE, errno.EINVAL}:
                raise NetlinkFailure(f"there is no network device {device}", errno.ENODEV) from None
            raise _failure(f"network device {device}", error) from None

    def links(self) -> list[Link]:
        """Every device, by index."""
        return self._listing("network devices", lambda: [_link(m) for m in self._route.link("dump")])

    def add_veth(self, name: str, peer: str, mtu: int) -> None:
        """Make a pair of veth devices, and set both up."""
        self._request(
            f"veth pair {name}",
            lambda: self._route.link("add", ifname=name, kind="veth", mtu=mtu, peer={"ifname": peer, "mtu": mtu}),
        )
        for device in (name, peer):
            up = partial(self._route.link, "set", index=self.link(device).index, state="up")
            self._request(f"device {device}", up)

    def qdiscs(self) -> list[Qdisc]:
        """Every ingress and clsact qdisc of every device."""
        messages = self._listing("qdiscs", lambda: list(self._route.get_qdiscs()))
        return [
            Qdisc(m["index"], kind, bool(_number(m, "TCA_INGRESS_BLOCK") or _number(m, "TCA_EGRESS_BLOCK")))
            for m in messages
            if (kind := m.get_attr("TCA_KIND")) in {"clsact", "ingress"}
        ]

    def filters(self, device: int, hook: Hook) -> list[Filter]:
        """The filters of a hook in the order in which they run; none where there is no clsact."""
        try:
            messages = self._listing("filters", lambda: list(self._route.get_filters(device, parent=int(hook))))
        except NetlinkFailure as error:
            if error.errno in {errno.EINVAL, errno.ENOENT, errno.ENODEV}:
                return []
            raise
        return [_filter(m, hook) for m in messages]

    def add_clsact(self, device: int) -> None:
        """Give the device a clsact qdisc; NetlinkFailure with EEXIST if it has an ingress or clsact qdisc already."""
        self._request("clsact qdisc", lambda: self._route.tc("add", "clsact", index=device))

    def delete_clsact(self, device: int) -> None:
        """Take the device's clsact qdisc away, with every filter on it."""
        self._request("clsact qdisc", lambda: self._route.tc("del", "clsact", index=device))

    def replace_filter(self, wanted: Filter, program_fd: int) -> None:
        """Make the bpf filter, or put it in the place of the one with the same hook, priority and handle: no packet
        passes between the two."""
        self._request(
            f"filter {wanted.name}",
            lambda: self._route.tc(
                "replace-filter",
                "bpf",
                index=wanted.device,
                handle=wanted.handle,
                parent=int(wanted.hook),
                prio=wanted.priority,
                protocol=wanted.protocol,
                fd=program_fd,
                name=wanted.name,
                classid=wanted.classid,
                direct_action=wanted.direct_action,
            ),
        )

    def delete_filter(self, there: Filter) -> None:
        """Take one filter away; NetlinkFailure with ENOENT or EINVAL if it is not there."""
        self._request(
            f"filter {there.name}",
            lambda: self._route.tc(
                "del-filter",
                there.kind,
                index=there.device,
                handle=there.handle,
                parent=int(there.hook),
                info=there.priority << 16 | socket.htons(there.protocol),
            ),
        )

    def _request(self, what: str, send: Callable[[], object]) -> None:
        try:
            send()
        except NetlinkError as error:
            raise _failure(what, error) from None

    def _listing(self, what: str, ask: Callable[[], list[T]]) -> list[T]:
        for _ in range(DUMP_TRIES):
            try:
                return ask()
            except NetlinkDumpInterrupted:
                continue
            except NetlinkError as error:
                raise _failure(what, error) from None
        raise NetlinkFailure(f"{what}: they change faster than they can be listed; try again", errno.EAGAIN)


class LinkMonitor:
    """What happens to the links of a namespace, and listings of them, in one stream: a listing that is asked for
    through the monitor's own socket cannot be overtaken by the changes after it."""

    def __init__(self, netns: str | None = None) -> None:
        self._socket = _open(IPRSocket, netns, groups=RTMGRP_LINK)
        self._socket.bind(groups=RTMGRP_LINK)
        self._whole = True

    def fileno(self) -> int:
        """The descriptor to wait on for reading."""
        number: int = self._socket.socket.fileno()
        return number

    def request_listing(self) -> None:
        """Ask for every link; they come as messages, a :class:`ListingEnd` after them."""
        self._whole = True
        self._socket.put(None, RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP)

    def read(self) -> list[LinkMessage]:
        """The next messages; waits for them. Overrun if the kernel had to drop some."""
        try:
            data = self._socket.socket.recv(_RECEIVE)
        except OSError as error:
            if error.errno == errno.ENOBUFS:
                raise Overrun from None
            raise
        return list(self._messages(self._socket.marshal.parse(data)))

    def _messages(self, messages: Iterator[Any]) -> Iterator[LinkMessage]:
        for message in messages:
            header = message["header"]
            if header["flags"] & NLM_F_DUMP_INTR:
                self._whole = False
            if header["type"] == NLMSG_DONE:
                yield ListingEnd(self._whole)
            elif header["type"] not in {RTM_NEWLINK, RTM_DELLINK} or message["family"] != socket.AF_UNSPEC:
                continue  # a bridge tells of its ports coming and going in its own family
            elif header["type"] == RTM_DELLINK:
                yield LinkGone(message["index"])
            else:
                yield _link(message)

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()


def _open(factory: Callable[..., T], netns: str | None, **options: Any) -> T:
    """A pyroute2 socket in a namespace that has to be there already."""
    if netns is None:
        return factory(**options)
    path = netns if "/" in netns else f"{NETNS_DIRECTORY}/{netns}"
    if not os.path.exists(path):
        raise TcnatError(f"there is no network namespace {netns} ({path})")
    return factory(netns=path, flags=0, **options)


def _link(message: Any) -> Link:
    return Link(
        index=message["index"],
        name=message.get_attr("IFLA_IFNAME") or "",
        type=message["ifi_type"],
        kind=message.get_nested("IFLA_LINKINFO", "IFLA_INFO_KIND") or "",
        master=message.get_attr("IFLA_MASTER") or 0,
    )


def _filter(message: Any, hook: Hook) -> Filter:
    options = message.get_attr("TCA_OPTIONS")
    kind = message.get_attr("TCA_KIND") or ""
    there = {
        "device": message["index"],
        "hook": hook,
        "priority": message["info"] >> 16,
        "protocol": socket.ntohs(message["info"] & 0xFFFF),
        "handle": message["handle"],
        "kind": kind,
        "chain": _number(message, "TCA_CHAIN"),
    }
    if kind != "bpf" or options is None:
        return Filter(**there)
    return Filter(
        **there,
        name=options.get_attr("TCA_BPF_NAME") or "",
        classid=options.get_attr("TCA_BPF_CLASSID") or 0,
        direct_action=bool((options.get_attr("TCA_BPF_FLAGS") or 0) & 1),
        program=_number(options, "TCA_BPF_ID"),
    )


def _number(message: Any, attribute: str) -> int:
    """The 32-bit value of an attribute of ``_UNNAMED``; 0 if it is not there."""
    named = message.get_attr(attribute)
    if named is not None:
        return int(named)
    for name, nla in message["attrs"]:
        if name == "UNKNOWN" and nla["header"]["type"] == _UNNAMED[attribute]:
            return int.from_bytes(nla.data[nla.offset + 4 : nla.offset + 8], sys.byteorder)
    return 0


def _failure(what: str, error: Any) -> NetlinkFailure:
    if error.code == errno.EPERM:
        return NetlinkFailure(f"{what}: not permitted. Run as root, or with CAP_NET_ADMIN", errno.EPERM)
    return NetlinkFailure(f"{what}: {os.strerror(error.code)}", error.code)
