"""Links and filters as rtnetlink's messages have them, there and back. Pure.

Sources: rtnetlink(7), include/uapi/linux/{rtnetlink,if_addr,pkt_sched,pkt_cls}.h.
"""

from __future__ import annotations

import socket
import sys
from typing import Any

from tcnat.codecs import tcmsg
from tcnat.links import Address, Filter, Hook, Link, Neighbour
from tcnat.model import parse_address

IFF_UP = 1
_TC_H_CLSACT = 0xFFFFFFF1
_CLSACT_HANDLE = 0xFFFF0000
_TCA_BPF_FLAG_ACT_DIRECT = 1
_IFA_F_NOT_PRIMARY = 0x01 | 0x08 | 0x20 | 0x40
"""IFA_F_SECONDARY (of IPv6: _TEMPORARY), _DADFAILED, _DEPRECATED and _TENTATIVE."""
_NUD_VALID = 0x02 | 0x04 | 0x08 | 0x10 | 0x80
"""NUD_REACHABLE, _STALE, _DELAY, _PROBE and _PERMANENT."""
_UNNAMED = {"TCA_CHAIN": 11, "TCA_INGRESS_BLOCK": 13, "TCA_EGRESS_BLOCK": 14, "TCA_BPF_ID": 11}
"""Attributes that pyroute2 has no names for (yet), by their numbers."""


def tc_message(device: int, parent: int, handle: int = 0, info: int = 0) -> Any:
    """What all requests about qdiscs and filters begin with."""
    message = tcmsg()
    message["index"], message["parent"], message["handle"], message["info"] = device, int(parent), handle, info
    return message


def clsact_message(device: int) -> Any:
    """A device's clsact qdisc."""
    message = tc_message(device, parent=_TC_H_CLSACT, handle=_CLSACT_HANDLE)
    message["attrs"] = [("TCA_KIND", "clsact")]
    return message


def filter_message(there: Filter) -> Any:
    """A filter, by its place and kind."""
    info = there.priority << 16 | socket.htons(there.protocol)
    message = tc_message(there.device, parent=there.hook, handle=there.handle, info=info)
    message["attrs"] = [("TCA_KIND", there.kind)]
    return message


def bpf_message(wanted: Filter, program_fd: int) -> Any:
    """A bpf filter with all that makes it."""
    options = [
        ("TCA_BPF_FD", program_fd),
        ("TCA_BPF_NAME", wanted.name),
        ("TCA_BPF_FLAGS", _TCA_BPF_FLAG_ACT_DIRECT if wanted.direct_action else 0),
        ("TCA_BPF_CLASSID", wanted.classid),
    ]
    message = filter_message(wanted)
    message["attrs"].append(("TCA_OPTIONS", {"attrs": options}))
    return message


def link_of(message: Any) -> Link:
    """The device that an RTM_NEWLINK message tells of."""
    return Link(
        index=message["index"],
        name=message.get_attr("IFLA_IFNAME") or "",
        type=message["ifi_type"],
        kind=message.get_nested("IFLA_LINKINFO", "IFLA_INFO_KIND") or "",
        master=message.get_attr("IFLA_MASTER") or 0,
        up=bool(message["flags"] & IFF_UP),
        qdisc=message.get_attr("IFLA_QDISC") or "",
        peer_elsewhere=message.get_attr("IFLA_LINK_NETNSID") is not None,
    )


def address_of(message: Any) -> Address:
    """The address that an RTM_NEWADDR message tells of."""
    text = message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS")
    flags = message.get_attr("IFA_FLAGS") or message["flags"]
    return Address(message["index"], parse_address(text), message["scope"] == 0 and not flags & _IFA_F_NOT_PRIMARY)


def neighbour_of(message: Any) -> Neighbour | None:
    """The neighbour that an RTM_NEWNEIGH message tells of; None for one whose link-layer address is not known."""
    mac, address = message.get_attr("NDA_LLADDR"), message.get_attr("NDA_DST")
    if not mac or not address or not message["state"] & _NUD_VALID:
        return None
    return Neighbour(parse_address(address), message["ifindex"], bytes.fromhex(mac.replace(":", "")))


def filter_of(message: Any, hook: Hook) -> Filter:
    """The filter of that hook that an RTM_NEWTFILTER message tells of."""
    options = message.get_attr("TCA_OPTIONS")
    kind = message.get_attr("TCA_KIND") or ""
    there = {
        "device": message["index"],
        "hook": hook,
        "priority": message["info"] >> 16,
        "protocol": socket.ntohs(message["info"] & 0xFFFF),
        "handle": message["handle"],
        "kind": kind,
        "chain": number(message, "TCA_CHAIN"),
    }
    if kind != "bpf" or options is None:
        return Filter(**there)
    return Filter(
        **there,
        name=options.get_attr("TCA_BPF_NAME") or "",
        classid=options.get_attr("TCA_BPF_CLASSID") or 0,
        direct_action=bool((options.get_attr("TCA_BPF_FLAGS") or 0) & _TCA_BPF_FLAG_ACT_DIRECT),
        program=number(options, "TCA_BPF_ID"),
    )


def number(message: Any, attribute: str) -> int:
    """The 32-bit value of an attribute of ``_UNNAMED``; 0 if it is not there."""
    named = message.get_attr(attribute)
    if named is not None:
        return int(named)
    for name, nla in message["attrs"]:
        if name == "UNKNOWN" and nla["header"]["type"] == _UNNAMED[attribute]:
            return int.from_bytes(nla.data[nla.offset + 4 : nla.offset + 8], sys.byteorder)
    return 0
