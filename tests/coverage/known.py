"""Ways through the C that no packet test takes, and why.

Each entry is a regular expression for a branch as the report writes it. One that fits nothing any more is reported.
"""

from __future__ import annotations

HELPER = "a helper of the kernel fails: only for want of memory, or when the packet changes under way"
ARRAY = "an array's element is always there; verifiers want to be asked"
TRACE = "tracing, which has tests of its own: tests/netns/test_trace.py"

UNREACHED: dict[str, str] = {
    r"bpf_\w+\(.* < 0\) is true$": HELPER,
    r"if \((unlikely\()?(made|(mend_transport|rewrite(_error)?|mend_quoted_checksums)\(.*) < 0\)+ is true$": HELPER,
    r"if \(!s( \|\| take_up\(&p\) < 0)?\) is true$": ARRAY,
    r"if \(take_up\(&p\) < 0( \|\| take_up_flow\(&to\) < 0)?\) is true$": ARRAY,
    r"count\.h:\d+: if \(c\) is false$": ARRAY,
    r"count\.h:\d+: if \(!c\) is true$": "service ids are below the map's size",
    r"maps\.h:\d+: if \(!left\) is true$": ARRAY,
    r"recent\.h:\d+: if \(!(next|place)\) is true$": ARRAY,
    r"parse\.h:\d+: if \(skb->protocol != bpf_htons\(ETHERTYPE\)\) is true$": "the program before has asked",
    r"parse\.h:\d+: if \(length == 0 && room > 0xffff\) is true$": "no kernel makes UDP super-packets of that size yet",
    r"trace\.h|TRACE_\w+|s->trace": TRACE,
    r"tc_egress\.c:\d+: if \(take_up\(&p\) < 0\) is false$": TRACE,
}

UNSEEN_REASONS: dict[str, str] = {
    "REWRITE_FAILED": "a helper fails only for want of memory",
    "UNTOUCHED": "no counter: only the trace tells it",
}
"""Reason -> why no packet test counts it."""
