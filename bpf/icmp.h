/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * ICMP errors quote the packet that they are about (RFC 792, RFC 4443). The quote of a translated packet is put into
 * the other side's terms: its addresses and ports, its own checksums where they are quoted, and the checksum around it
 * all.
 */
#ifndef TCNAT_ICMP_H
#define TCNAT_ICMP_H

#include "types.h"
#include "parse.h"
#include "csum.h"
#include "flow.h"
#include "count.h"

/* What changes in a quote, in an order in which every field has the parity that it has in the packet. */
struct quote {
    struct addresses addresses;
    __u16 ports[2];
    __u16 ip_checksum; /* IPv4 */
    __u16 checksum;    /* TCP or UDP */
};

struct quoted {
    struct quote old;
    __u32 network;   /* offset of the quoted IP header */
    __u32 transport; /* of the quoted transport header */
    __u32 checksum;  /* of its checksum; 0: none there */
    __u8 protocol;
};

inline_always int is_error(__u8 type)
{
#if FAMILY == 4
    return type == 3 || type == 4 || type == 11 || type == 12;
#else
    return type >= 1 && type <= 4;
#endif
}

#if FAMILY == 4

inline_always int read_quoted_network(struct __sk_buff *skb, struct packet *p, struct quoted *q)
{
    struct ipv4_header ip;

    if (q->network + sizeof(ip) > p->end || bpf_skb_load_bytes(skb, q->network, &ip, sizeof(ip)) < 0)
        return -1;
    if (ip.version_ihl >> 4 != 4 || (ip.version_ihl & 15) < 5 || ip.fragment & bpf_htons(0x1fff))
        return -1;
    q->transport = q->network + ((ip.version_ihl & 15) << 2);
    q->protocol = ip.protocol;
    q->old.addresses.source.word[0] = ip.addresses[0];
    q->old.addresses.destination.word[0] = ip.addresses[1];
    q->old.ip_checksum = ip.checksum;
    return 0;
}

#else

inline_always int read_quoted_network(struct __sk_buff *skb, struct packet *p, struct quoted *q)
{
    struct ipv6_header ip;
    __u8 header[4];
    int step;

    if (q->network + sizeof(ip) > p->end || bpf_skb_load_bytes(skb, q->network, &ip, sizeof(ip)) < 0)
        return -1;
    if (bpf_ntohl(ip.version_class_label) >> 28 != 6)
        return -1;
    q->transport = q->network + sizeof(ip);
    q->protocol = ip.next_header;
    __builtin_memcpy(&q->old.addresses, ip.addresses, sizeof(q->old.addresses));
#pragma unroll
    for (step = 0; step < MOST_QUOTED_EXTENSION_HEADERS; step++) {
        if (!is_extension(q->protocol))
            return 0;
        if (q->transport + 8 > p->end || bpf_skb_load_bytes(skb, q->transport, header, sizeof(header)) < 0)
            return -1;
        if (q->protocol == EXTENSION_FRAGMENT) {
            if (((__u16)header[2] << 8 | header[3]) & 0xfff8)
                return -1;
            q->transport += 8;
        } else {
            q->transport += ((__u32)header[1] + 1) << 3;
        }
        q->protocol = header[0];
    }
    return is_extension(q->protocol) ? -1 : 0;
}

#endif

/* Read the packet that an error quotes. 0, or -1 for a quote that says too little. */
inline_always int read_quoted(struct __sk_buff *skb, struct packet *p, struct quoted *q)
{
    __u32 at = 0;

    q->network = p->transport + sizeof(struct icmp_header);
    if (read_quoted_network(skb, p, q) < 0)
        return -1;
    if (q->transport + 8 > p->end || bpf_skb_load_bytes(skb, q->transport, q->old.ports, sizeof(q->old.ports)) < 0)
        return -1;
    if (q->protocol == PROTOCOL_TCP)
        at = q->transport + TCP_CHECKSUM;
    else if (q->protocol == PROTOCOL_UDP)
        at = q->transport + UDP_CHECKSUM;
    else if (q->protocol != PROTOCOL_SCTP)
        return -1;
    if (at && at + sizeof(q->old.checksum) <= p->end) {
        if (bpf_skb_load_bytes(skb, at, &q->old.checksum, sizeof(q->old.checksum)) < 0)
            return -1;
        q->checksum = at;
    }
    return 0;
}

/* The key of the flow that a quote is about: its tuple, turned round. */
inline_always void quoted_key(struct flow_key *key, struct quoted *q, __u8 direction)
{
    key->source = q->old.addresses.destination;
    key->destination = q->old.addresses.source;
    key->source_port = q->old.ports[1];
    key->destination_port = q->old.ports[0];
    key->protocol = q->protocol;
    key->direction = direction;
    key->pad = 0;
}

/* An outer address that the quote has, too, changes with it. */
inline_always void change_outer(struct address *outer, struct quote *old, struct quote *new)
{
    if (same_address(outer, &old->addresses.source))
        *outer = new->addresses.source;
    else if (same_address(outer, &old->addresses.destination))
        *outer = new->addresses.destination;
}

/* Mend the quote's own checksums and fill in what they became. */
inline_always int mend_quoted_checksums(struct __sk_buff *skb, struct quoted *q, struct quote *new, __u32 difference)
{
    __u32 mangled = q->protocol == PROTOCOL_UDP ? BPF_F_MARK_MANGLED_0 : 0;
    __u32 old_ports = *(__u32 *)q->old.ports;
    __u32 new_ports = *(__u32 *)new->ports;

#if FAMILY == 4
    if (bpf_skb_load_bytes(skb, q->network + IPV4_CHECKSUM, &new->ip_checksum, sizeof(new->ip_checksum)) < 0)
        return -1;
#endif
    if (!q->checksum)
        return 0;
    if (bpf_l4_csum_replace(skb, q->checksum, 0, difference, mangled) < 0 ||
        bpf_l4_csum_replace(skb, q->checksum, old_ports, new_ports, mangled | sizeof(new_ports)) < 0)
        return -1;
    return bpf_skb_load_bytes(skb, q->checksum, &new->checksum, sizeof(new->checksum));
}

/* Put the error into the other side's terms. */
inline_always int rewrite_error(struct __sk_buff *skb, struct packet *p, struct quoted *q, struct flow *f)
{
    struct addresses outer = *(struct addresses *)&p->key.source;
    struct quote new = q->old;
    __u32 difference;

    new.addresses.source = f->to_destination;
    new.addresses.destination = f->to_source;
    new.ports[0] = f->to_destination_port;
    new.ports[1] = f->to_source_port;
    change_outer(&outer.source, &q->old, &new);
    change_outer(&outer.destination, &q->old, &new);

    difference = bpf_csum_diff((__be32 *)&q->old.addresses, sizeof(struct addresses), (__be32 *)&new.addresses,
                               sizeof(struct addresses), 0);
#if FAMILY == 4
    if (bpf_l3_csum_replace(skb, q->network + IPV4_CHECKSUM, 0, difference, 0) < 0)
        return -1;
#endif
    if (bpf_skb_store_bytes(skb, q->network + ADDRESSES_OFFSET, &new.addresses, sizeof(new.addresses), 0) < 0)
        return -1;
    if (mend_quoted_checksums(skb, q, &new, difference) < 0)
        return -1;
    if (bpf_skb_store_bytes(skb, q->transport, new.ports, sizeof(new.ports), 0) < 0)
        return -1;

    difference = bpf_csum_diff((__be32 *)&q->old, sizeof(q->old), (__be32 *)&new, sizeof(new), 0);
    if (bpf_l4_csum_replace(skb, p->transport + ICMP_CHECKSUM, 0, difference, 0) < 0)
        return -1;
    difference = bpf_csum_diff((__be32 *)&p->key.source, sizeof(outer), (__be32 *)&outer, sizeof(outer), 0);
#if FAMILY == 6
    if (bpf_l4_csum_replace(skb, p->transport + ICMP_CHECKSUM, 0, difference, BPF_F_PSEUDO_HDR) < 0)
        return -1;
#endif
    return store_addresses(skb, p->network, &outer, difference);
}

#endif
