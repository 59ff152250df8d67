"""Whether the kernel has IPsec policies for packets that a node forwards. Only looks.

Source: include/uapi/linux/xfrm.h.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterator

from tcnat.layout import Family
from tcnat.listing import listing
from tcnat.routing import SOCKET_FAMILY

_NETLINK_XFRM = 6
_NEW_POLICY, _GET_POLICY = 0x13, 0x15
_FAMILY = struct.Struct("=40xH")
"""In struct xfrm_selector, with which struct xfrm_userpolicy_info begins."""
_DIRECTION_AT = 160
_DIRECTIONS = {1: "out", 2: "fwd"}
"""Of policies that forwarded packets are held against; those of sockets have other numbers."""


def policies(family: Family) -> list[str]:
    """The directions, as ip-xfrm(8) names them, for which there are policies that a forwarded packet of the family may
    meet. OSError where the kernel does not tell."""
    try:
        return sorted(set(_directions(SOCKET_FAMILY[family.address_size])))
    except OSError as error:
        if error.errno == errno.EPROTONOSUPPORT:
            return []  # the kernel has no IPsec, or none that anybody has set up by netlink
        raise


def _directions(family: int) -> Iterator[str]:
    for type, policy in listing(_NETLINK_XFRM, _GET_POLICY):
        if type == _NEW_POLICY and policy[_DIRECTION_AT] in _DIRECTIONS and _FAMILY.unpack_from(policy)[0] == family:
            yield _DIRECTIONS[policy[_DIRECTION_AT]]
