"""When the kernel got what.

Facts as the kernel's sources have them: ``include/uapi/linux/bpf.h`` for numbers, ``tc_cls_act_func_proto`` and
``tc_cls_act_is_valid_access`` (net/core/filter.c) for what SCHED_CLS programs may call and touch, ``check_func_arg``
(kernel/bpf/verifier.c) for arguments; of 4.9.115 for all that is called 4.9 here, later releases for what is newer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from .instructions import ALU, ALU64, JMP, JMP32


class Version(NamedTuple):
    """A kernel release."""

    major: int
    minor: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


FLOOR = Version(4, 9)
MAX_INSTRUCTIONS = 4096
"""BPF_MAXINSNS: the limit before 5.2."""
MAX_STACK = 512
MAX_KEY = 512
MAX_PERCPU_VALUE = 32768
"""PCPU_MIN_UNIT_SIZE."""

OPERATIONS: dict[tuple[int, int], tuple[str, Version]] = {
    (ALU, 0xC0): ("32-bit arithmetic shift right", Version(5, 0)),
    (ALU64, 0xD0): ("unconditional byte swap", Version(6, 6)),
    **{
        (JMP, operation): (f"64-bit jump {name}", Version(4, 14))
        for operation, name in {0xA0: "<", 0xB0: "<=", 0xC0: "s<", 0xD0: "s<="}.items()
    },
    (JMP, 0xE0): ("may_goto", Version(6, 9)),
    **{(JMP32, operation << 4): ("32-bit jump", Version(5, 1)) for operation in range(16)},
}
"""(class, operation) -> name and release, of arithmetic and jumps that are newer than the floor."""

PSEUDO_LOADS = {
    2: ("address of constant or global data (.rodata, .data, .bss)", Version(5, 2)),
    3: ("address of a kernel variable", Version(5, 9)),
    4: ("address of a function", Version(5, 13)),
    5: ("map by index", Version(5, 14)),
    6: ("map value by index", Version(5, 14)),
}
"""Source register of LD_IMM64 -> what it means, of those newer than the floor."""

PSEUDO_CALLS = {1: ("BPF-to-BPF call", Version(4, 16)), 2: ("call of a kernel function", Version(5, 13))}
"""Source register of CALL -> what it means."""


@dataclass(frozen=True, slots=True)
class Helper:
    """A helper's arguments, each one of: ``context``, ``map``, ``key``, ``value``, ``memory`` (read), ``buffer``
    (written), ``size`` (of the memory before it), ``any``. ``flags`` are the bits that the last argument may have."""

    name: str
    arguments: tuple[str, ...] = ()
    flags: int | None = None


def _helper(name: str, arguments: str = "", flags: int | None = None) -> Helper:
    return Helper(name, tuple(arguments.split()), flags)


HELPERS: dict[int, Helper] = {
    1: _helper("map_lookup_elem", "map key"),
    2: _helper("map_update_elem", "map key value any", flags=0x3),
    3: _helper("map_delete_elem", "map key"),
    5: _helper("ktime_get_ns"),
    6: _helper("trace_printk", "memory size any any any"),
    7: _helper("get_prandom_u32"),
    8: _helper("get_smp_processor_id"),
    9: _helper("skb_store_bytes", "context any memory size any", flags=0x3),
    10: _helper("l3_csum_replace", "context any any any any", flags=0xF),
    11: _helper("l4_csum_replace", "context any any any any", flags=0x3F),
    12: _helper("tail_call", "context map any"),
    13: _helper("clone_redirect", "context any any", flags=0x1),
    17: _helper("get_cgroup_classid", "context"),
    18: _helper("skb_vlan_push", "context any any"),
    19: _helper("skb_vlan_pop", "context"),
    23: _helper("redirect", "any any", flags=0x1),
    24: _helper("get_route_realm", "context"),
    25: _helper("perf_event_output", "context map any memory size"),
    26: _helper("skb_load_bytes", "context any buffer size"),
    28: _helper("csum_diff", "memory size memory size any"),
    31: _helper("skb_change_proto", "context any any"),
    32: _helper("skb_change_type", "context any"),
    33: _helper("skb_under_cgroup", "context map any"),
    34: _helper("get_hash_recalc", "context"),
    38: _helper("skb_change_tail", "context any any"),
    39: _helper("skb_pull_data", "context any"),
    40: _helper("csum_update", "context any"),
    41: _helper("set_hash_invalid", "context"),
}
"""What a SCHED_CLS program of 4.9 may call (the tunnel helpers are left out: tcnat makes no tunnels)."""

NEWER_HELPERS: dict[int, tuple[str, Version]] = {
    42: ("get_numa_node_id", Version(4, 10)),
    43: ("skb_change_head", Version(4, 10)),
    46: ("get_socket_cookie", Version(4, 12)),
    47: ("get_socket_uid", Version(4, 12)),
    48: ("set_hash", Version(4, 13)),
    50: ("skb_adjust_room", Version(4, 13)),
    66: ("skb_get_xfrm_state", Version(4, 18)),
    68: ("skb_load_bytes_relative", Version(4, 18)),
    69: ("fib_lookup", Version(4, 18)),
    79: ("skb_cgroup_id", Version(4, 18)),
    83: ("skb_ancestor_cgroup_id", Version(4, 19)),
    84: ("sk_lookup_tcp", Version(4, 20)),
    85: ("sk_lookup_udp", Version(4, 20)),
    118: ("jiffies64", Version(5, 5)),
    125: ("ktime_get_boot_ns", Version(5, 8)),
    152: ("redirect_neigh", Version(5, 10)),
    155: ("redirect_peer", Version(5, 10)),
    181: ("loop", Version(5, 17)),
}
"""Names for messages; any other number is refused too."""

MAP_TYPES: dict[int, tuple[str, Version]] = {
    1: ("hash", Version(3, 19)),
    2: ("array", Version(3, 19)),
    3: ("prog array", Version(4, 2)),
    4: ("perf event array", Version(4, 3)),
    5: ("per-CPU hash", Version(4, 6)),
    6: ("per-CPU array", Version(4, 6)),
    7: ("stack trace", Version(4, 6)),
    8: ("cgroup array", Version(4, 8)),
    9: ("LRU hash", Version(4, 10)),
    10: ("per-CPU LRU hash", Version(4, 10)),
    11: ("LPM trie", Version(4, 11)),
    12: ("array of maps", Version(4, 12)),
    13: ("hash of maps", Version(4, 12)),
    14: ("device map", Version(4, 14)),
    27: ("ring buffer", Version(5, 8)),
}
MAP_FLAGS: dict[int, tuple[str, Version, frozenset[int]]] = {
    0x1: ("BPF_F_NO_PREALLOC", Version(4, 6), frozenset({1, 5, 11})),
    0x2: ("BPF_F_NO_COMMON_LRU", Version(4, 10), frozenset({9, 10})),
    0x4: ("BPF_F_NUMA_NODE", Version(4, 14), frozenset(range(32))),
    0x8: ("BPF_F_RDONLY", Version(4, 15), frozenset(range(32))),
    0x10: ("BPF_F_WRONLY", Version(4, 15), frozenset(range(32))),
    0x40: ("BPF_F_ZERO_SEED", Version(5, 0), frozenset({1, 5, 9, 10})),
    0x80: ("BPF_F_RDONLY_PROG", Version(5, 2), frozenset(range(32))),
    0x100: ("BPF_F_WRONLY_PROG", Version(5, 2), frozenset(range(32))),
    0x400: ("BPF_F_MMAPABLE", Version(5, 5), frozenset({2})),
}
"""Flag -> name, release, and the map types that take it."""

MAPS_ONLY_FOR: dict[int, frozenset[str]] = {
    3: frozenset({"tail_call"}),
    4: frozenset({"perf_event_output"}),
    8: frozenset({"skb_under_cgroup"}),
}
"""Map type -> the helpers that alone may take it (check_map_func_compatibility)."""
ONLY_WITH: dict[str, frozenset[int]] = {
    "tail_call": frozenset({3}),
    "perf_event_output": frozenset({4}),
    "skb_under_cgroup": frozenset({8}),
}
"""Helper -> the map types that alone it takes."""


@dataclass(frozen=True, slots=True)
class Field:
    """A field of ``__sk_buff``: offset and size in bytes, release, and whether a SCHED_CLS program may write it."""

    name: str
    offset: int
    size: int = 4
    since: Version = FLOOR
    writable: bool = False


FIELDS: tuple[Field, ...] = (
    Field("len", 0),
    Field("pkt_type", 4),
    Field("mark", 8, writable=True),
    Field("queue_mapping", 12),
    Field("protocol", 16),
    Field("vlan_present", 20),
    Field("vlan_tci", 24),
    Field("vlan_proto", 28),
    Field("priority", 32, writable=True),
    Field("ingress_ifindex", 36),
    Field("ifindex", 40),
    Field("tc_index", 44, writable=True),
    *(Field(f"cb[{slot}]", 48 + 4 * slot, writable=True) for slot in range(5)),
    Field("hash", 68),
    Field("tc_classid", 72, writable=True),
    Field("data", 76),
    Field("data_end", 80),
    Field("napi_id", 84, since=Version(4, 12)),
    Field("family", 88, since=Version(4, 14)),
    Field("remote_ip4", 92, since=Version(4, 14)),
    Field("local_ip4", 96, since=Version(4, 14)),
    Field("remote_ip6", 100, 16, since=Version(4, 14)),
    Field("local_ip6", 116, 16, since=Version(4, 14)),
    Field("remote_port", 132, since=Version(4, 14)),
    Field("local_port", 136, since=Version(4, 14)),
    Field("data_meta", 140, since=Version(4, 15)),
    Field("flow_keys", 144, 8, since=Version(4, 20)),
    Field("tstamp", 152, 8, since=Version(5, 0)),
    Field("wire_len", 160, since=Version(5, 0)),
    Field("gso_segs", 164, since=Version(5, 1)),
    Field("sk", 168, 8, since=Version(5, 1)),
    Field("gso_size", 176, since=Version(5, 7)),
)
DATA, DATA_END = 76, 80
