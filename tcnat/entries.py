"""What an entry of the services map says. Pure.

An *endpoint* is a services key that is a backend's address, port and protocol. A *front end* here is a services key,
too, one whose value has the flag FRONT_END. The *address key* of either has its address alone (port 0, protocol 0).
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from tcnat.layout import SERVICE, Family, ServiceFlag, port_number
from tcnat.model import FrontEndKey, Protocol

_FRONT_END, _DIRECT = int(ServiceFlag.FRONT_END), int(ServiceFlag.DIRECT)
_REJECT, _DRAINING = int(ServiceFlag.REJECT), int(ServiceFlag.DRAINING)
_SERVICE_ADDRESS, _BACKEND_ADDRESS = int(ServiceFlag.SERVICE_ADDRESS), int(ServiceFlag.BACKEND_ADDRESS)
_OF_FRONT_ENDS = int(ServiceFlag.FRONT_END | ServiceFlag.REJECT | ServiceFlag.DROP | ServiceFlag.DRAINING)
_ANY_PORT = b"\0\0\0\0"
_PROTOCOLS = frozenset(map(int, Protocol))
_codec = SERVICE.codec(Family.IPV4)  # the same for both families


class Front(msgspec.Struct, frozen=True, gc=False):
    """A front end's value in the services map, its flags without DIRECT (which it may have as an endpoint)."""

    base: int
    slots: int
    service: int
    affinity: int
    flags: int

    @property
    def draining(self) -> bool:
        """Whether only open connections go on."""
        return bool(self.flags & _DRAINING)

    @property
    def unusable(self) -> Front:
        """What it is taken for where it is damaged."""
        return Front(0, 0, self.service, 0, _FRONT_END | _REJECT)

    @classmethod
    def read(cls, value: bytes) -> Front:
        """From a front end's value."""
        base, slots, service, affinity, flags = _codec.unpack(value)
        return cls(base, slots, service, affinity, flags & _OF_FRONT_ENDS)


def service_of(front: Front | None) -> int:
    """A front end's service id; 0 where there is none."""
    return 0 if front is None else front.service


def serves(front: Front | None) -> bool:
    """Whether there is a front end that takes new connections, or refuses them."""
    return front is not None and not front.flags & _DRAINING


WITHOUT_FRONT_END = (None, *(_codec.pack(0, 0, 0, 0, flags) for flags in range(1, 16)))
"""By its flags, the value of an entry that is no front end's; without flags there is no entry."""

_PLAIN_FLAGS = {value: flags for flags, value in enumerate(WITHOUT_FRONT_END) if value and not flags & _FRONT_END}


def is_front_end(key: bytes, value: bytes) -> bool:
    """Whether an entry of the services map is a front end's."""
    return bool(value_flags(value) & _FRONT_END) and key[-2] in _PROTOCOLS


def value_flags(value: bytes) -> int:
    """The flags in a value."""
    flags: int = _codec.unpack(value)[4]
    return flags


def plain_flags(value: bytes) -> int | None:
    """The flags of an entry that is no front end's; None where the value is another than tcnat writes for those."""
    return _PLAIN_FLAGS.get(value)


def service_value(front: Front | None, extra: int) -> bytes | None:
    """The value of an entry that is a front end or not (None), and has these flags besides; None: there is no entry."""
    if front is None:
        return WITHOUT_FRONT_END[extra]
    return _codec.pack(front.base, front.slots, front.service, front.affinity, front.flags | extra)


def extra_flags(key: bytes, backends: int, fronts: Mapping[bytes, int], more: Mapping[bytes, int]) -> int:
    """The flags besides a front end's that an entry has for so many backends with its key, and, for an address key,
    as many front ends as ``fronts`` and ``more`` have under it."""
    if not key.endswith(_ANY_PORT):
        return _DIRECT if backends > 0 else 0
    flags = _BACKEND_ADDRESS if backends > 0 else 0
    return flags | _SERVICE_ADDRESS if fronts.get(key, 0) + more.get(key, 0) > 0 else flags


def address_key(key: bytes) -> bytes:
    """The services key of the address alone."""
    return key[:-4] + _ANY_PORT


def front_end_key(key: bytes) -> FrontEndKey:
    """A front end's services key in the model's terms."""
    return FrontEndKey(key[:-4], port_number(key[-4:-2]), Protocol(key[-2]))
