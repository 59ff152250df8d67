"""What the datapath needs of its surroundings, and what it means where that is missing. Pure data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Need(StrEnum):
    """How much depends on a feature."""

    REQUIRED = "required"
    """Nothing runs without it."""
    LRU = "lru"
    """Without it the agent sweeps the flow tables itself."""
    OPTIONAL = "optional"
    """Something does without it, more slowly or in another way."""
    NOTE = "note"
    """Good to know; nothing depends on it."""


@dataclass(frozen=True, slots=True)
class Feature:
    """A feature by name; ``meaning`` is what its lack means, ``remedy`` what to do then."""

    name: str
    group: str
    need: Need
    meaning: str = ""
    remedy: str = ""


KERNEL_GROUPS = frozenset({"maps", "programs", "helpers", "tc"})
"""Groups of what only the kernel decides about."""
_ROOT = "run as root, or with CAP_SYS_ADMIN (from Linux 5.8 on: CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN)"
_NEWER = "take a kernel of 4.9 or later"

FEATURES: tuple[Feature, ...] = (
    Feature("bpf(2)", "rights", Need.REQUIRED, "no program can be loaded", f"{_ROOT}; CONFIG_BPF_SYSCALL"),
    Feature("CAP_NET_ADMIN", "rights", Need.REQUIRED, "nothing can be attached", "run as root, or with CAP_NET_ADMIN"),
    Feature("CAP_PERFMON", "rights", Need.REQUIRED, "the verifier refuses the packet programs", _ROOT),
    Feature(
        "memlock limit",
        "rights",
        Need.REQUIRED,
        "the maps do not fit under the limit",
        "give CAP_SYS_RESOURCE, or raise it (LimitMEMLOCK=infinity, ulimit -l unlimited)",
    ),
    Feature("bpffs", "rights", Need.REQUIRED, "nothing outlives the agent", "mount -t bpf bpf /sys/fs/bpf"),
    Feature("hash maps", "maps", Need.REQUIRED, "front ends and flows have no place", _NEWER),
    Feature("array maps", "maps", Need.REQUIRED, "slots and backends have no place", _NEWER),
    Feature("percpu array maps", "maps", Need.REQUIRED, "nothing can be counted", _NEWER),
    Feature("prog array maps", "maps", Need.REQUIRED, "the rarer packets cannot be handled", _NEWER),
    Feature("perf event array maps", "maps", Need.REQUIRED, "tcnat trace has no ring", "CONFIG_PERF_EVENTS"),
    Feature(
        "lru hash maps",
        "maps",
        Need.LRU,
        "flow tables make no room by themselves: the agent sweeps them, and new flows are dropped while one is full",
        "take a kernel of 4.10 or later where many flows come and go",
    ),
    Feature("batch operations", "maps", Need.OPTIONAL, "maps are written entry by entry: starts take longer"),
    Feature("SCHED_CLS programs", "programs", Need.REQUIRED, "nothing can be loaded", f"{_ROOT}; CONFIG_NET_CLS_BPF"),
    Feature("direct packet access", "programs", Need.REQUIRED, "packets cannot be read", _NEWER),
    Feature(
        "tail calls",
        "programs",
        Need.REQUIRED,
        "the kernel does not let the packet programs call each other",
        "set net.core.bpf_jit_enable=1, or remove net.core.bpf_jit_limit",
    ),
    Feature(
        "JIT",
        "programs",
        Need.OPTIONAL,
        "programs are interpreted, several times slower",
        "sysctl -w net.core.bpf_jit_enable=1 before the agent starts",
    ),
    Feature("PROG_TEST_RUN", "programs", Need.OPTIONAL, "tcnat replay runs packets through veth pairs, more slowly"),
    *(
        Feature(name, "helpers", Need.REQUIRED, "the packet programs do not load", _NEWER)
        for name in (
            "map_lookup_elem",
            "map_update_elem",
            "map_delete_elem",
            "ktime_get_ns",
            "skb_store_bytes",
            "skb_load_bytes",
            "l3_csum_replace",
            "l4_csum_replace",
            "csum_diff",
            "redirect",
            "tail_call",
            "perf_event_output",
            "skb_change_tail",
            "csum_update",
        )
    ),
    Feature(
        "redirect_peer",
        "helpers",
        Need.OPTIONAL,
        "packets from pod to pod pass the other's device: a little more work for each",
    ),
    Feature(
        "clsact", "tc", Need.REQUIRED, "there is nowhere to attach", "CONFIG_NET_SCH_INGRESS; try: modprobe sch_ingress"
    ),
    Feature("cls_bpf", "tc", Need.REQUIRED, "nothing can be attached", "CONFIG_NET_CLS_BPF; try: modprobe cls_bpf"),
    Feature(
        "arrivals",
        "redirect",
        Need.OPTIONAL,
        "the kernel would not count packets that go past a pod's device where they arrive: they pass it",
        "--redirect-peer=on, where nobody needs a pod's own counts of what it receives",
    ),
    Feature(
        "bytecode",
        "compiling",
        Need.OPTIONAL,
        "the agent compiles at its first start, for which it needs bcc",
        "start the agent once, or ship a warm cache (TCNAT_CACHE)",
    ),
    Feature(
        "bcc",
        "compiling",
        Need.OPTIONAL,
        "nothing can be compiled here; not needed where the bytecode cache is warm",
        "apt-get install python3-bpfcc linux-libc-dev",
    ),
    Feature(
        "packet programs",
        "compiling",
        Need.REQUIRED,
        "this kernel's verifier refuses them",
        "please report it with this output",
    ),
    Feature("cgroup2", "surroundings", Need.NOTE, "socket hooks cannot be had, which is what the tc datapath is for"),
    Feature("IPv6", "surroundings", Need.NOTE, "only IPv4 Services can be reached"),
    Feature("netfilter", "surroundings", Need.NOTE, "no rules of kube-proxy found"),
    Feature("agent", "tcnat", Need.NOTE, "no agent holds the pins"),
    Feature("pins", "tcnat", Need.NOTE, "no datapath is loaded"),
    Feature("devices", "tcnat", Need.NOTE, "no device carries tcnat's filters"),
)
"""Every feature that `tcnat check` looks at, in the order in which it shows them."""
