"""rtnetlink as handing packets on needs it: neighbours, the way to an address, routing rules, a device's link. Whoever
serves no workloads does without this module, and the memory that its messages take.

Sources: rtnetlink(7), netdevice(7), include/uapi/linux/{neighbour,fib_rules}.h.
"""

from __future__ import annotations

import errno
import socket
import struct

from tcnat.codecs import neighbours_and_rules, rtmsg, rtnl
from tcnat.layout import Family
from tcnat.links import Neighbour, NetlinkFailure
from tcnat.messages import neighbour_of
from tcnat.model import format_address
from tcnat.netlink import Netlink

_SIOCGIFMTU, _SIOCGIFHWADDR = 0x8921, 0x8927
_RTN_UNICAST = 1
SOCKET_FAMILY = {4: socket.AF_INET, 16: socket.AF_INET6}
"""By the bytes of an address."""
_Marshal, ndmsg, fibmsg = neighbours_and_rules()


class Routing(Netlink):
    """Requests to the network namespace of the caller."""

    def __init__(self) -> None:
        super().__init__()
        self._marshal = _Marshal()

    def neighbours(self) -> list[Neighbour]:
        """Every neighbour, of both families, whose link-layer address is known."""
        found = (neighbour_of(m) for m in self._listing("neighbours", rtnl.RTM_GETNEIGH, ndmsg()))
        return [neighbour for neighbour in found if neighbour]

    def leads_straight_to(self, address: bytes) -> int:
        """The index of the device behind which the node's routes have an address as a neighbour; 0 if it is reached by
        a gateway, is the node's own, or is not reached at all."""
        destination = format_address(address)
        message = rtmsg()
        message["family"] = SOCKET_FAMILY[len(address)]
        message["dst_len"] = 8 * len(address)
        message["attrs"] = [("RTA_DST", destination)]
        try:
            (route, *_) = self._request(f"route to {destination}", rtnl.RTM_GETROUTE, 0, message)
        except NetlinkFailure as error:
            if error.errno in {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EINVAL, errno.EACCES}:
                return 0
            raise
        if route["type"] != _RTN_UNICAST or route.get_attr("RTA_GATEWAY") or route.get_attr("RTA_VIA"):
            return 0
        return int(route.get_attr("RTA_OIF") or 0)

    def rule_priorities(self, family: Family) -> list[int]:
        """The priorities of the routing rules (ip-rule(8))."""
        message = fibmsg()
        message["family"] = SOCKET_FAMILY[family.address_size]
        rules = self._listing("routing rules", rtnl.RTM_GETRULE, message)
        return [rule.get_attr("FRA_PRIORITY") or 0 for rule in rules]

    def mtu_of(self, name: str) -> int:
        """The MTU of the device of that name; 0 if there is none."""
        return int(struct.unpack_from("=16si", self._ask_by_name(_SIOCGIFMTU, name))[1])

    def mac_of(self, name: str) -> bytes:
        """The link-layer address of the Ethernet device of that name; of another, or of none: zeros."""
        return bytes(struct.unpack_from("=16sH6s", self._ask_by_name(_SIOCGIFHWADDR, name))[2])
