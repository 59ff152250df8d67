/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * Reading a packet, with every length checked against the frame. All reads go through bpf_skb_load_bytes, so headers
 * outside of the linear area are read like any other, and old verifiers have no packet pointer to doubt.
 */
#ifndef TCNAT_PARSE_H
#define TCNAT_PARSE_H

#include "types.h"
#include "maps.h"
#include "verdict.h"
#include "headers.h"

/* What parse() answers: a reason (< 64) to let the packet pass and count it, or one of these. */
enum parsed {
    PARSED_TRANSPORT = 100,
    PARSED_LATER_FRAGMENT = 101,
    PARSED_ICMP = 102,
    PARSED_NOT_OURS = 103,
    PARSED_RARE = 104, /* not plain TCP or UDP: parse() must read it */
};

#define ETHERNET_HEADER 14
#define MOST_EXTENSION_HEADERS 6
#define MOST_QUOTED_EXTENSION_HEADERS 2

inline_always __u16 swap16(__u16 value)
{
    return __builtin_bswap16(value);
}

inline_always int is_extension(__u8 protocol)
{
    return protocol == EXTENSION_HOP_BY_HOP || protocol == EXTENSION_ROUTING || protocol == EXTENSION_FRAGMENT ||
           protocol == EXTENSION_DESTINATION;
}

inline_always void read_clock(struct packet *p, struct settings *s)
{
    p->now = s->now ? s->now : bpf_ktime_get_ns();
    p->seconds = p->now / 1000000000ull;
}

/* What a TCP header says, of which `room` bytes are there with its data. 0, or -1 for one that is not in order. */
inline_always int read_tcp(struct packet *p, struct tcp_header *tcp, __u32 room)
{
    p->tcp_header = tcp->offset >> 4 << 2;
    if (p->tcp_header < sizeof(*tcp) || (p->fragment == WHOLE && p->tcp_header > room))
        return -1;
    p->key.source_port = tcp->source;
    p->key.destination_port = tcp->destination;
    p->tcp_flags = tcp->flags;
    p->sequence = bpf_ntohl(tcp->sequence);
    p->acknowledgement = bpf_ntohl(tcp->acknowledgement);
    p->checksum = tcp->checksum;
    return 0;
}

/* The same of a UDP header. */
inline_always int read_udp(struct packet *p, struct udp_header *udp, __u32 room)
{
    __u32 length = swap16(udp->length);

    if (length == 0 && room > 0xffff)
        length = room;
    if (length < sizeof(*udp) || (p->fragment == WHOLE && length > room))
        return -1;
    p->key.source_port = udp->source;
    p->key.destination_port = udp->destination;
    p->checksum = udp->checksum;
    return 0;
}

/* The rest of a datagram has no transport header; the first piece must have all of it that is looked at. */
inline_always int parse_transport(struct __sk_buff *skb, struct packet *p)
{
    __u32 room = p->end - p->transport;

    if (p->key.protocol == PROTOCOL_TCP) {
        struct tcp_header tcp;
        if (p->transport + sizeof(tcp) > p->end || bpf_skb_load_bytes(skb, p->transport, &tcp, sizeof(tcp)) < 0)
            return REASON_MALFORMED_TRANSPORT;
        return read_tcp(p, &tcp, room) < 0 ? REASON_MALFORMED_TRANSPORT : PARSED_TRANSPORT;
    }
    if (p->key.protocol == PROTOCOL_UDP) {
        struct udp_header udp;
        if (p->transport + sizeof(udp) > p->end || bpf_skb_load_bytes(skb, p->transport, &udp, sizeof(udp)) < 0)
            return REASON_MALFORMED_TRANSPORT;
        return read_udp(p, &udp, room) < 0 ? REASON_MALFORMED_TRANSPORT : PARSED_TRANSPORT;
    }
    if (p->key.protocol == PROTOCOL_SCTP) {
        struct tcp_header sctp; /* ports, tag, checksum, and the first byte of the first chunk where `offset` stands */
        if (p->transport + 12 > p->end)
            return REASON_MALFORMED_TRANSPORT;
        if (p->transport + 16 > p->end) {
            if (bpf_skb_load_bytes(skb, p->transport, &sctp, 4) < 0)
                return REASON_MALFORMED_TRANSPORT;
        } else {
            if (bpf_skb_load_bytes(skb, p->transport, &sctp, 16) < 0)
                return REASON_MALFORMED_TRANSPORT;
            p->tcp_flags = sctp.offset == 1 ? TCP_SYN : 0;
        }
        p->key.source_port = sctp.source;
        p->key.destination_port = sctp.destination;
        return PARSED_TRANSPORT;
    }
    return PARSED_NOT_OURS;
}

#if FAMILY == 4

inline_always int parse_network(struct __sk_buff *skb, struct packet *p)
{
    struct ipv4_header ip;
    __u32 room = p->length - p->network;
    __u32 header, total;
    __u16 fragment;

    if (p->length < p->network + sizeof(ip) || bpf_skb_load_bytes(skb, p->network, &ip, sizeof(ip)) < 0)
        return REASON_MALFORMED_IP;
    header = (ip.version_ihl & 15) << 2;
    total = swap16(ip.total_length);
    if (total == 0 && room > 0xffff)
        total = room;
    if (ip.version_ihl >> 4 != 4 || header < sizeof(ip) || total < header || total > room)
        return REASON_MALFORMED_IP;
    p->transport = p->network + header;
    p->end = p->network + total;
    p->plain = header == sizeof(ip);
    p->key.protocol = ip.protocol;
    p->key.source.word[0] = ip.addresses[0];
    p->key.destination.word[0] = ip.addresses[1];
    p->fragment_id = ip.id;
    p->hops = *(__u16 *)&ip.ttl;
    p->ip_checksum = ip.checksum;
    fragment = swap16(ip.fragment);
    if (fragment & 0x1fff)
        p->fragment = LATER_FRAGMENT;
    else if (fragment & 0x2000)
        p->fragment = FIRST_FRAGMENT;
    return PARSED_TRANSPORT;
}

#else

/* Walk the extension headers; a constant number of steps, as old verifiers know no loops. */
inline_always int walk_extensions(struct __sk_buff *skb, struct packet *p)
{
    __u8 header[8]; /* next header, length; of a fragment: offset and id; of a routing header: segments left */
    int step;

#pragma unroll
    for (step = 0; step < MOST_EXTENSION_HEADERS; step++) {
        if (!is_extension(p->key.protocol) || p->fragment == LATER_FRAGMENT)
            return PARSED_TRANSPORT;
        if (p->transport + sizeof(header) > p->end || bpf_skb_load_bytes(skb, p->transport, header, sizeof(header)) < 0)
            return REASON_EXTENSION_HEADERS;
        if (p->key.protocol == EXTENSION_ROUTING && header[3] != 0)
            return REASON_EXTENSION_HEADERS;
        if (p->key.protocol == EXTENSION_FRAGMENT) {
            __u16 fragment = (__u16)header[2] << 8 | header[3];
            p->fragment_id = *(__u32 *)&header[4];
            if (fragment & 0xfff8)
                p->fragment = LATER_FRAGMENT;
            else if (fragment & 1)
                p->fragment = FIRST_FRAGMENT;
            p->transport += sizeof(header);
        } else {
            p->transport += ((__u32)header[1] + 1) << 3;
        }
        p->key.protocol = header[0];
        if (p->transport > p->end)
            return REASON_EXTENSION_HEADERS;
    }
    return is_extension(p->key.protocol) && p->fragment != LATER_FRAGMENT ? REASON_EXTENSION_HEADERS : PARSED_TRANSPORT;
}

inline_always int parse_network(struct __sk_buff *skb, struct packet *p)
{
    struct ipv6_header ip;
    __u32 room = p->length - p->network;
    __u32 payload;

    if (p->length < p->network + sizeof(ip) || bpf_skb_load_bytes(skb, p->network, &ip, sizeof(ip)) < 0)
        return REASON_MALFORMED_IP;
    payload = swap16(ip.payload_length);
    if (payload == 0 && room > 0xffff)
        payload = room - sizeof(ip);
    if ((bpf_ntohl(ip.version_class_label) >> 28) != 6 || payload + sizeof(ip) > room)
        return REASON_MALFORMED_IP;
    p->transport = p->network + sizeof(ip);
    p->end = p->transport + payload;
    p->key.protocol = ip.next_header;
    p->hops = *(__u16 *)&ip.next_header;
    __builtin_memcpy(&p->key.source, ip.addresses, 2 * sizeof(struct address));
    p->plain = !is_extension(ip.next_header);
    if (p->plain)
        return PARSED_TRANSPORT;
    return walk_extensions(skb, p);
}

#endif

inline_always void begin(struct __sk_buff *skb, struct packet *p, __u8 direction)
{
    p->link = skb->tc_classid & (LINK_MASK | TRACE_TAKEN);
    p->length = skb->len;
    p->network = p->link & LINK_NO_HEADER ? 0 : ETHERNET_HEADER;
    p->key.direction = direction;
}

/* An IP header that no options follow, and behind it what is looked at of the transport's. */
struct plain_headers {
    IP_HEADER ip;
    union {
        struct tcp_header tcp;
        struct udp_header udp;
    };
};

/* All of it that there is, in one read: a UDP packet may end before a TCP header would. A read that fails leaves zeros.
 */
inline_always int read_plain(struct __sk_buff *skb, struct packet *p, struct plain_headers *h)
{
    if (bpf_skb_load_bytes(skb, p->network, h, sizeof(*h)) >= 0)
        return 0;
    return bpf_skb_load_bytes(skb, p->network, h, sizeof(h->ip) + sizeof(h->udp));
}

/*
 * Read a packet that is plain: TCP or UDP, whole, with no options and no extension headers, in perfect order. All
 * others are PARSED_RARE, and parse() tells what they are.
 */
inline_always int parse_plain(struct __sk_buff *skb, struct packet *p, __u8 direction)
{
    struct plain_headers h;
    __u32 total, room;

    if (skb->protocol != bpf_htons(ETHERTYPE))
        return PARSED_NOT_OURS;
    begin(skb, p, direction);
    if (read_plain(skb, p, &h) < 0)
        return PARSED_RARE;
#if FAMILY == 4
    total = swap16(h.ip.total_length);
    if (h.ip.version_ihl != 0x45 || h.ip.fragment & bpf_htons(0x3fff))
        return PARSED_RARE;
    p->key.protocol = h.ip.protocol;
    p->hops = *(__u16 *)&h.ip.ttl;
    p->ip_checksum = h.ip.checksum;
#else
    total = swap16(h.ip.payload_length) + sizeof(h.ip);
    if ((bpf_ntohl(h.ip.version_class_label) >> 28) != 6)
        return PARSED_RARE;
    p->key.protocol = h.ip.next_header;
    p->hops = *(__u16 *)&h.ip.next_header;
#endif
    if (total < sizeof(h.ip) || total > p->length - p->network)
        return PARSED_RARE;
    room = total - sizeof(h.ip);
    __builtin_memcpy(&p->key.source, h.ip.addresses, 2 * sizeof(struct address));
    p->transport = p->network + sizeof(h.ip);
    p->end = p->network + total;
    p->plain = 1;
    if (p->key.protocol == PROTOCOL_TCP)
        return read_tcp(p, &h.tcp, room) < 0 ? PARSED_RARE : PARSED_TRANSPORT;
    if (p->key.protocol == PROTOCOL_UDP)
        return read_udp(p, &h.udp, room) < 0 ? PARSED_RARE : PARSED_TRANSPORT;
    return PARSED_RARE;
}

/* Fill *p, which the caller has zeroed. */
inline_always int parse(struct __sk_buff *skb, struct packet *p, __u8 direction)
{
    int result;

    if (skb->protocol != bpf_htons(ETHERTYPE))
        return PARSED_NOT_OURS;
    begin(skb, p, direction);
    result = parse_network(skb, p);
    if (result != PARSED_TRANSPORT)
        return result;
    if (p->fragment == LATER_FRAGMENT)
        return PARSED_LATER_FRAGMENT;
    if (p->key.protocol != PROTOCOL_ICMP)
        return parse_transport(skb, p);
    if (p->fragment != WHOLE)
        return PARSED_NOT_OURS;
    return p->transport + sizeof(struct icmp_header) > p->end ? REASON_MALFORMED_TRANSPORT : PARSED_ICMP;
}

#endif
