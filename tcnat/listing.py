"""What a kernel subsystem lists by netlink, message by message, for those that need no classes of pyroute2's.

Source: netlink(7).
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

from tcnat.codecs import codes
from tcnat.prepared import error_in, split

_HEADER = struct.Struct("=IHHII")
_TIMEOUT = 5.0
_ROOM = 1 << 16


def listing(protocol: int, ask: int, payload: bytes = b"") -> Iterator[tuple[int, bytes]]:
    """Type and contents (without nlmsghdr) of the messages that answer a request for a listing: of a netlink
    ``protocol`` (NETLINK_*), by a message of type ``ask`` with that ``payload``. OSError where the kernel refuses."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol) as asking:
        asking.settimeout(_TIMEOUT)
        flags = codes.NLM_F_REQUEST | codes.NLM_F_DUMP
        asking.send(_HEADER.pack(_HEADER.size + len(payload), ask, flags, 1, 0) + payload)
        while True:
            for type, _, message in split(asking.recv(_ROOM)):
                if type == codes.NLMSG_DONE:
                    return
                if type == codes.NLMSG_ERROR:
                    raise OSError(error_in(message), "the kernel does not list them")
                yield type, message[_HEADER.size :]
