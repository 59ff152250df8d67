"""Whether netfilter has rules that see the packets which a node forwards. Only looks.

nftables (and iptables' newer way into it) is asked by netlink, the older ip_tables by getsockopt(2), and only for
tables that are there: asking for another would make it.

Sources: include/uapi/linux/netfilter/{nf_tables,nfnetlink}.h, include/uapi/linux/netfilter_ipv4/ip_tables.h and its kin
of IPv6.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

from tcnat.layout import Family
from tcnat.listing import listing

_NETLINK_NETFILTER = 12
_NFT = 10 << 8
"""NFNL_SUBSYS_NFTABLES, as the upper byte of a message's type."""
_NEW_CHAIN, _GET_CHAIN, _NEW_RULE, _GET_RULE = 3, 4, 6, 7
_CHAIN_TABLE, _CHAIN_NAME, _CHAIN_HOOK, _CHAIN_POLICY = 1, 3, 4, 5
_RULE_TABLE, _RULE_CHAIN = 1, 2
_HOOK_NUMBER, _HOOK_DEVICE, _HOOK_DEVICES = 1, 3, 4
_DEVICE_NAME, _DEVICE_PREFIX = 1, 2
_FAMILY_HEADER = struct.Struct("=BBH")
_ATTRIBUTE = struct.Struct("=HH")
_TYPE_MASK = 0x3FFF
_NETDEV = 5
_NFPROTO = {1: tuple(Family), 2: (Family.IPV4,), _NETDEV: tuple(Family), 10: (Family.IPV6,)}
"""NFPROTO_INET, _IPV4, _NETDEV and _IPV6."""
_HOOKS = {0: "prerouting", 2: "forward", 4: "postrouting"}
"""What a forwarded packet passes, besides the hooks of its devices: all of _NETDEV's, and this one."""
_INGRESS = 5
_ACCEPT = 1

_GET_INFO, _GET_ENTRIES = 64, 65
_INFO = struct.Struct("=32sI5I5III")
_ENTRIES_AT = 40
_TARGET_OFFSET = {Family.IPV4: 88, Family.IPV6: 140}
_VERDICT_AT = 32
_LEVEL = {Family.IPV4: (socket.AF_INET, socket.IPPROTO_IP), Family.IPV6: (socket.AF_INET6, socket.IPPROTO_IPV6)}
_NAMES = {Family.IPV4: "ip_tables_names", Family.IPV6: "ip6_tables_names"}

Chain = tuple[int, str, str]
"""Family (NFPROTO), table and name."""


def hooked(family: Family, devices: Collection[str]) -> list[str]:
    """The chains, in words, that packets of the family pass when the node forwards them from one of the devices to
    another, of those that have rules or another policy than to accept. OSError where the kernel does not tell."""
    return [*_nftables(family, devices), *_ip_tables(family)]


def _nftables(family: Family, devices: Collection[str]) -> Iterator[str]:
    try:
        found = _base_chains(devices)
        chains = {(proto, *named): told for proto, *named, told in found if family in _NFPROTO.get(proto, ())}
        filled = set(_chains_with_rules()) if chains else set()
    except OSError as error:
        if error.errno in {errno.EPROTONOSUPPORT, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOENT}:
            return  # the kernel has no nftables
        raise
    for key, accepts in sorted(chains.items()):
        if key in filled or not accepts:
            yield f"table {key[1]}, chain {key[2]}"


def _base_chains(devices: Collection[str]) -> Iterator[tuple[int, str, str, bool]]:
    """Family, table, name, and whether its policy is to accept, of the chains at the hooks in question."""
    for proto, attributes in _listing(_GET_CHAIN, _NEW_CHAIN):
        hook = dict(_attributes(attributes.get(_CHAIN_HOOK, b"")))
        number = int.from_bytes(hook.get(_HOOK_NUMBER, b""), "big")
        of_device = proto == _NETDEV or number == _INGRESS
        if hook and (_is_of(hook, devices) if of_device else number in _HOOKS):
            policy = int.from_bytes(attributes.get(_CHAIN_POLICY, b"\1"), "big")
            yield proto, _text(attributes[_CHAIN_TABLE]), _text(attributes[_CHAIN_NAME]), policy == _ACCEPT


def _is_of(hook: dict[int, bytes], devices: Collection[str]) -> bool:
    """Whether a hook is that of one of the devices."""
    named = list(_attributes(hook.get(_HOOK_DEVICES, b"")))
    if _HOOK_DEVICE in hook:
        named.append((_DEVICE_NAME, hook[_HOOK_DEVICE]))
    names = {_text(raw) for kind, raw in named if kind == _DEVICE_NAME}
    prefixes = tuple(_text(raw) for kind, raw in named if kind == _DEVICE_PREFIX)
    return any(device in names or device.startswith(prefixes) for device in devices)


def _chains_with_rules() -> Iterator[Chain]:
    for proto, attributes in _listing(_GET_RULE, _NEW_RULE):
        yield proto, _text(attributes[_RULE_TABLE]), _text(attributes[_RULE_CHAIN])


def _listing(ask: int, answer: int) -> Iterator[tuple[int, dict[int, bytes]]]:
    """The messages of a listing: family and attributes of each."""
    for type, message in listing(_NETLINK_NETFILTER, _NFT | ask, _FAMILY_HEADER.pack(0, 0, 0)):
        if type == _NFT | answer:
            yield message[0], dict(_attributes(message[_FAMILY_HEADER.size :]))


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= _ATTRIBUTE.size:
        length, type = _ATTRIBUTE.unpack_from(data)
        yield type & _TYPE_MASK, data[_ATTRIBUTE.size : length]
        data = data[max((length + 3) & ~3, _ATTRIBUTE.size) :]


def _text(raw: bytes) -> str:
    return raw.rstrip(b"\0").decode(errors="replace")


def _ip_tables(family: Family) -> Iterator[str]:
    try:
        names = Path("/proc/thread-self/net", _NAMES[family]).read_text().split()
    except FileNotFoundError:
        return  # the kernel has no ip_tables
    for name in names:
        with suppress(FileNotFoundError):  # the table went meanwhile
            yield from _of_table(family, name)


def _of_table(family: Family, name: str) -> Iterator[str]:
    """The hooks of one table at which there are rules, or another policy than to accept."""
    domain, level = _LEVEL[family]
    asked = name.encode().ljust(32, b"\0")
    with socket.socket(domain, socket.SOCK_RAW, socket.IPPROTO_RAW) as asking:
        info = _getsockopt(asking, level, _GET_INFO, asked.ljust(_INFO.size, b"\0"))
        _, valid, *numbers = _INFO.unpack(info)
        first, last, size = numbers[:5], numbers[5:10], numbers[11]
        request = (asked + struct.pack("=I", size)).ljust(_ENTRIES_AT + size, b"\0")
        entries = _getsockopt(asking, level, _GET_ENTRIES, request)[_ENTRIES_AT:]
    for hook, chain in _HOOKS.items():
        if hook < len(first) and valid >> hook & 1:
            (target,) = struct.unpack_from("=H", entries, last[hook] + _TARGET_OFFSET[family])
            (verdict,) = struct.unpack_from("=i", entries, last[hook] + target + _VERDICT_AT)
            if first[hook] != last[hook] or verdict != -_ACCEPT - 1:
                yield f"table {name}, chain {chain.upper()}"


def _getsockopt(asking: socket.socket, level: int, option: int, request: bytes) -> bytes:
    """getsockopt(2) whose buffer is read by the kernel, too."""
    import ctypes  # noqa: PLC0415

    buffer = ctypes.create_string_buffer(request, len(request))
    length = ctypes.c_uint32(len(request))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.getsockopt(asking.fileno(), level, option, buffer, ctypes.byref(length)) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"a table of ip_tables cannot be read: errno {number}")
    return buffer.raw
