"""The mutants. A piece of C must stand exactly once in its file, so changes of the C show which are out of date."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mutant:
    """What is wrong, in which file of ``bpf/``, and how: ``old`` becomes ``new``."""

    sentence: str
    file: str
    old: str
    new: str


MUTANTS = (
    Mutant(
        "a port's change does not reach the checksum",
        "rewrite.h",
        "return bpf_l4_csum_replace(skb, checksum, old_ports, new_ports, flags | sizeof(new_ports));",
        "return 0;",
    ),
    Mutant("a UDP checksum of 0 is mended", "rewrite.h", "flags = BPF_F_MARK_MANGLED_0;", "flags = 0;"),
    Mutant(
        "an address counts as outside of the pseudo header",
        "rewrite.h",
        "difference, flags | BPF_F_PSEUDO_HDR)",
        "difference, flags)",
    ),
    Mutant(
        "the IPv4 header checksum stays as it was",
        "csum.h",
        "if (bpf_l3_csum_replace(skb, offset + IPV4_CHECKSUM, 0, difference, 0) < 0)",
        "if (0)",
    ),
    Mutant(
        "a plain packet's IPv4 header checksum stays as it was",
        "rewrite.h",
        "c.checksum = ~fold((__u64)(__u32)~p->ip_checksum + sum);",
        "c.checksum = p->ip_checksum;",
    ),
    Mutant("a carry is lost from the addresses' difference", "csum.h", "return sum + (sum >> 32);", "return sum;"),
    Mutant("a flow lives a second less than its time", "flow.h", "(now - seen) > (", "(now - seen) >= ("),
    Mutant(
        "the reply half is not looked for again", "flow.h", "return f->seen == p->seconds && goes_on", "return goes_on"
    ),
    Mutant("a FIN changes one half", "flow.h", "goes_on(f, p) && !(p->tcp_flags & TCP_FIN);", "goes_on(f, p);"),
    Mutant("flows never expire", "flow.h", "return (__s32)(now - seen) > (__s32)timeout;", "return 0;"),
    Mutant("any RST closes", "follow.h", "return p->sequence - other->ack < RST_WINDOW;", "return 1;"),
    Mutant(
        "any acknowledgement opens a connection",
        "follow.h",
        "flags & TCP_ACK && p->acknowledgement == own->ack)",
        "flags & TCP_ACK)",
    ),
    Mutant(
        "one FIN closes both sides",
        "follow.h",
        "((state - OPEN) | (1 << p->key.direction))",
        "3",
    ),
    Mutant("a SYN stays with a closed flow", "service.h", "if (f->state >= CLOSING)", "if (0)"),
    Mutant(
        "a backend that has gone still counts",
        "service.h",
        "return b && b->generation == generation;",
        "return b != 0;",
    ),
    Mutant(
        "UDP goes on to a Service that was deleted",
        "service.h",
        "flags & (SERVICE_DRAINING | SERVICE_REJECT | SERVICE_DROP)",
        "0",
    ),
    Mutant(
        "the source port does not count in the hash",
        "hash.h",
        "(__u32)swap16(key->source_port) << 16 | swap16(key->destination_port)",
        "swap16(key->destination_port)",
    ),
    Mutant("affinity never expires", "service.h", "expired(p->seconds, a->seen, svc->affinity)", "0"),
    Mutant(
        "two conversations share a reply tuple",
        "open.h",
        "p->seconds) && !answers(f, &p->key))\n            return 0;\n        flows_new.delete(reply);",
        "p->seconds) && 0)\n            return 0;\n        flows_new.delete(reply);",
    ),
    Mutant("a connection that has just ended loses its port", "flow.h", ">= REUSE_AFTER", ">= 0"),
    Mutant("a connection that has ended keeps its port", "flow.h", "f->state >= CLOSING", "0"),
    Mutant(
        "a hairpin may use a port of its Service",
        "open.h",
        "!(flags & FLOW_HAIRPIN && is_front_end(p, reply->destination_port))",
        "1",
    ),
    Mutant(
        "a lost reply half is not mended",
        "tc_egress.c",
        "go_on(skb, &p, TAIL_EGRESS_MEND);",
        "leave_flow(f);\n        go_on(skb, &p, TAIL_EGRESS_REWRITE);",
    ),
    Mutant(
        "SCTP gets another port",
        "tc_egress.c",
        "if (p.key.protocol == PROTOCOL_SCTP && f.to_destination_port != p.key.destination_port)",
        "if (0)",
    ),
    Mutant(
        "a fragment before its first leaks to the network",
        "tc_egress.c",
        "return drop(skb, &p, REASON_FRAGMENT_BEFORE_FIRST);",
        "return untouched(skb, &p);",
    ),
    Mutant("a hairpin goes out to the network", "nat.h", "if (at_client && to->flags & FLOW_HAIRPIN)", "if (0)"),
    Mutant(
        "what was rewritten bears no mark",
        "count.h",
        "skb->tc_index = p->key.direction",
        "int unused = p->key.direction",
    ),
    Mutant("what was reversed bears no mark of that", "count.h", "? REWRITTEN : REVERSED", "? REWRITTEN : 0"),
    Mutant(
        "a backend on this node is asked over the network",
        "source.h",
        "if (local_addresses.lookup(&key))\n        return 1;",
        "",
    ),
    Mutant("pods behind an overlay are asked past it", "source.h", "network->overlay && ", "0 && "),
    Mutant("nobody is masqueraded", "source.h", "network->masquerade == MASQUERADE_ALL ||", "0 &&"),
    Mutant(
        "who was turned back leaves by another device as the Service",
        "source.h",
        "return !!(address_flags(&p->key.source) & SERVICE_ADDRESS);",
        "return 0;",
    ),
    Mutant(
        "a workload's device rewrites what is the network's, and the other way round",
        "source.h",
        "return f->flags & (FLOW_AT_WORKLOAD >> (p->link & LINK_WORKLOAD));",
        "return 0;",
    ),
    Mutant(
        "a flow stays with a workload's device that has lost its programs",
        "tc_egress.c",
        "if (!at_workload(&p)) {",
        "if (0) {",
    ),
    Mutant(
        "any reply's later fragments are taken for a hairpin's",
        "nat.h",
        "if (at_client && p->key.direction == REPLY && !(f->flags & FLOW_HAIRPIN))",
        "if (0)",
    ),
    Mutant(
        "a workload's answer goes to its ingress",
        "nat.h",
        "p->link & LINK_WORKLOAD ? 0 : BPF_F_INGRESS",
        "BPF_F_INGRESS",
    ),
    Mutant(
        "a quoted packet keeps its port",
        "icmp.h",
        "new.ports[0] = f->to_destination_port;",
        "new.ports[0] = q->old.ports[0];",
    ),
    Mutant(
        "an ICMPv6 error's pseudo header does not reach its checksum",
        "icmp.h",
        "if (bpf_l4_csum_replace(skb, p->transport + ICMP_CHECKSUM, 0, difference, BPF_F_PSEUDO_HDR) < 0)",
        "if (0)",
    ),
    Mutant("a RST does not acknowledge the SYN", "reject.h", "!!(p->tcp_flags & TCP_SYN)", "0"),
    Mutant(
        "an extension header is eight bytes short",
        "parse.h",
        "p->transport += ((__u32)header[1] + 1) << 3;",
        "p->transport += (__u32)header[1] << 3;",
    ),
    Mutant(
        "a packet is handed on from whatever device",
        "redirect.h",
        "f->device == skb->ifindex && !(f",
        "f->device && !(f",
    ),
    Mutant("a hairpin is handed on", "redirect.h", "&& !(f->flags & FLOW_HAIRPIN);", ";"),
    Mutant(
        "leave to hand packets on never runs out",
        "redirect.h",
        "return until && (__s32)(until - p->seconds) > 0;",
        "return until != 0;",
    ),
    Mutant("a frame for others is handed on", "redirect.h", "|| skb->pkt_type != HOST_PACKET)", ")"),
    Mutant("a packet is handed on past its last hop", "rewrite.h", "% 256 > 1;", "% 256 > 0;"),
    Mutant("a packet that is handed on keeps all of its hops", "rewrite.h", "c.hops -= ONE_HOP;", ""),
    Mutant("a hop less does not reach the IP header's checksum", "rewrite.h", "sum += (__u16)~ONE_HOP;", ""),
    Mutant(
        "a packet that is handed on keeps its MAC addresses",
        "nat.h",
        "if (bpf_skb_store_bytes(skb, 0, next->to, ETHERNET_ADDRESSES, 0) < 0)",
        "if (0)",
    ),
    Mutant("no packet goes past a device", "nat.h", "if (next->way & WAY_PAST_DEVICE)", "if (0)"),
    Mutant("every packet goes past its device", "nat.h", "if (next->way & WAY_PAST_DEVICE)", "if (1)"),
    Mutant("a packet with IP options is handed on", "redirect.h", "if (!p->plain || ", "if ("),
    Mutant(
        "a port that is known is looked for in the next word",
        "lookup.h",
        "number / PORTS_PER_WORD;",
        "number / PORTS_PER_WORD + 1;",
    ),
    Mutant("a client's packet may be a reply at its next device", "tc_ingress.c", " || skb->tc_index == REWRITTEN", ""),
    Mutant(
        "a reply is reversed here though its client is elsewhere",
        "tc_egress.c",
        "is_for_another(&p, f) ||\n        !device_of(&f->to_destination)) {",
        "is_for_another(&p, f)) {",
    ),
    Mutant(
        "what a new flow's replies are awaited for is not told", "open.h", "    await_reply(reply, p->seconds);\n", ""
    ),
    Mutant(
        "a flow in use is not awaited again",
        "follow.h",
        "if (f->seen != p->seconds)\n        await_reply",
        "if (0)\n        await_reply",
    ),
    Mutant("nothing makes room for others", "recent.h", "if (f && is_done(f, earlier.protocol, p->seconds))", "if (0)"),
    Mutant("a question makes room at once", "recent.h", ">= DONE_AFTER", ">= 0"),
    Mutant("datagrams that go to and fro make room", "recent.h", "!(f->flags & FLOW_LASTS) && ", ""),
    Mutant("nobody is seen to last", "follow.h", "    own->flags |= FLOW_LASTS;\n", ""),
    Mutant(
        "who takes a reply tuple over loses it to the one before",
        "flow.h",
        "other && answers(other, key)",
        "other",
    ),
    Mutant("the other half stays", "flow.h", "        flows.delete(&beside);\n", "        ;\n"),
    Mutant(
        "the ring is gone through once", "recent.h", "    *next = 1;\n    return recent.lookup(&zero);", "    return 0;"
    ),
    Mutant(
        "a conversation is not told of when it is answered", "follow.h", "        p->answered = 1;\n", "        ;\n"
    ),
)
