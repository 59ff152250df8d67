/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* Giving a packet its other addresses and ports. Every helper costs as much as many instructions: there are few. */
#ifndef TCNAT_REWRITE_H
#define TCNAT_REWRITE_H

#include "types.h"
#include "packet.h"
#include "csum.h"

#if FAMILY == 4
#define HOPS_OFFSET 8
#define ONE_HOP bpf_htons(0x0100)
#else
#define HOPS_OFFSET 6
#define ONE_HOP bpf_htons(0x0001)
#endif

/* What changes in a plain packet, which stands there in one piece; in IPv6 without the checksum. */
struct changed {
#if FAMILY == 4
    __u16 hops;
    __u16 checksum;
#else
    __u16 pad;
    __u16 hops;
#endif
    struct addresses addresses;
    __u32 ports;
};

/* Whether the packet has hops left to go; the next one takes the last. */
inline_always int has_hops(struct packet *p)
{
    return bpf_ntohs(p->hops) / bpf_ntohs(ONE_HOP) % 256 > 1;
}

/*
 * Put it in, with one hop less where the packet is handed on. The ports and the transport's checksum, which has been
 * mended for them, cancel each other out in a COMPLETE sum; so do IPv4's other words and the checksum of its header.
 */
inline_always int store_changed(struct __sk_buff *skb, struct packet *p, struct flow *to, __u32 difference, int hop)
{
    struct changed c;
    __u64 sum = difference;

    c.addresses = *(struct addresses *)&to->to_source;
    c.ports = *(__u32 *)&to->to_source_port;
    c.hops = p->hops;
    if (hop) {
        c.hops -= ONE_HOP;
        sum += (__u16)~ONE_HOP;
    }
#if FAMILY == 4
    c.checksum = ~fold((__u64)(__u32)~p->ip_checksum + sum);
    return bpf_skb_store_bytes(skb, p->network + HOPS_OFFSET, &c, sizeof(c), 0);
#else
    c.pad = 0;
    bpf_csum_update(skb, fold(sum)); /* bcc hands on 16 bits */
    return bpf_skb_store_bytes(skb, p->network + HOPS_OFFSET, &c.hops, sizeof(c) - sizeof(c.pad), 0);
#endif
}

/* Mend the transport's checksum, where it has one. */
inline_always int mend_transport(struct __sk_buff *skb, struct packet *p, __u32 difference, __u32 old_ports,
                                 __u32 new_ports)
{
    __u32 checksum, flags = 0;

    if (p->key.protocol == PROTOCOL_TCP) {
        checksum = p->transport + TCP_CHECKSUM;
    } else if (p->key.protocol == PROTOCOL_UDP) {
        checksum = p->transport + UDP_CHECKSUM;
        flags = BPF_F_MARK_MANGLED_0;
    } else {
        return 0;
    }
    if (bpf_l4_csum_replace(skb, checksum, 0, difference, flags | BPF_F_PSEUDO_HDR) < 0)
        return -1;
    if (old_ports == new_ports)
        return 0;
    return bpf_l4_csum_replace(skb, checksum, old_ports, new_ports, flags | sizeof(new_ports));
}

/* `to` is a copy on the stack; `hop`: a plain packet has one less to go. A later fragment has no ports and no transport
 * checksum. */
inline_always int rewrite(struct __sk_buff *skb, struct packet *p, struct flow *to, int hop)
{
    struct addresses *new = (struct addresses *)&to->to_source;
    __u32 difference = address_difference((struct addresses *)&p->key.source, new);
    __u32 old_ports = *(__u32 *)&p->key.source_port;
    __u32 new_ports = *(__u32 *)&to->to_source_port;
    __u8 plain = p->plain;

    if (p->fragment != LATER_FRAGMENT) {
        if (mend_transport(skb, p, difference, old_ports, new_ports) < 0)
            return -1;
        if (plain)
            return store_changed(skb, p, to, difference, hop);
        if (old_ports != new_ports && bpf_skb_store_bytes(skb, p->transport, &new_ports, sizeof(new_ports), 0) < 0)
            return -1;
    }
    return store_addresses(skb, p->network, new, difference);
}

#endif
