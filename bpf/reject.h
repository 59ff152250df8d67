/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * Answering a packet that nobody serves: a RST (RFC 9293, 3.10.7.1) or an ICMP port unreachable (RFC 792, RFC 4443),
 * made out of the packet itself, which bpf_skb_change_tail() cuts or stretches: the one helper for it that 4.9 has.
 *
 * Under CHECKSUM_PARTIAL the kernel may still finish "the TCP or UDP checksum" where it believes it to be. A RST then
 * carries the pseudo header's sum in it, as the kernel's own would. In an ICMP message that place is the second half of
 * the unused word: whatever makes the sum of the message come out right is right there.
 */
#ifndef TCNAT_REJECT_H
#define TCNAT_REJECT_H

#include "types.h"
#include "csum.h"
#include "count.h"

#define QUOTED_TRANSPORT 8

#if FAMILY == 4

inline_always void make_ip_header(struct ipv4_header *ip, struct packet *p, __u8 protocol, __u16 payload)
{
    __builtin_memset(ip, 0, sizeof(*ip));
    ip->version_ihl = 0x45;
    ip->total_length = bpf_htons(sizeof(*ip) + payload);
    ip->fragment = bpf_htons(0x4000);
    ip->ttl = 64;
    ip->protocol = protocol;
    ip->addresses[0] = p->key.destination.word[0];
    ip->addresses[1] = p->key.source.word[0];
    ip->checksum = ~fold(bpf_csum_diff(0, 0, (__be32 *)ip, sizeof(*ip), 0));
}

#define UNREACHABLE_TYPE 3
#define UNREACHABLE_CODE 3

#else

inline_always void make_ip_header(struct ipv6_header *ip, struct packet *p, __u8 protocol, __u16 payload)
{
    __builtin_memset(ip, 0, sizeof(*ip));
    ip->version_class_label = bpf_htonl(6u << 28);
    ip->payload_length = bpf_htons(payload);
    ip->next_header = protocol;
    ip->hop_limit = 64;
    __builtin_memcpy(&ip->addresses[0], &p->key.destination, sizeof(struct address));
    __builtin_memcpy(&ip->addresses[4], &p->key.source, sizeof(struct address));
}

#define UNREACHABLE_TYPE 1
#define UNREACHABLE_CODE 4

#endif

/* Whether the transport checksum is only the pseudo header's sum yet. The sum does not mind that the addresses swap. */
inline_always int is_partial(struct packet *p)
{
    return p->checksum == pseudo_sum((struct addresses *)&p->key.source, p->key.protocol, p->end - p->transport);
}

struct rst {
    IP_HEADER ip;
    struct tcp_header tcp;
};

inline_always int make_rst(struct __sk_buff *skb, struct packet *p)
{
    struct rst r;
    __u32 length = p->end - p->transport - p->tcp_header;
    __u16 pseudo = pseudo_sum((struct addresses *)&p->key.source, PROTOCOL_TCP, sizeof(r.tcp));

    make_ip_header(&r.ip, p, PROTOCOL_TCP, sizeof(r.tcp));
    __builtin_memset(&r.tcp, 0, sizeof(r.tcp));
    r.tcp.source = p->key.destination_port;
    r.tcp.destination = p->key.source_port;
    r.tcp.offset = sizeof(r.tcp) << 2;
    r.tcp.flags = TCP_RST;
    if (p->tcp_flags & TCP_ACK) {
        r.tcp.sequence = bpf_htonl(p->acknowledgement);
    } else {
        r.tcp.flags |= TCP_ACK;
        r.tcp.acknowledgement = bpf_htonl(p->sequence + length + !!(p->tcp_flags & TCP_SYN) + (p->tcp_flags & TCP_FIN));
    }
    if (is_partial(p))
        r.tcp.checksum = pseudo;
    else
        r.tcp.checksum = ~fold((__u64)(__u32)bpf_csum_diff(0, 0, (__be32 *)&r.tcp, sizeof(r.tcp), 0) + pseudo);
    if (bpf_skb_change_tail(skb, p->network + sizeof(r), 0) < 0)
        return -1;
    return bpf_skb_store_bytes(skb, p->network, &r, sizeof(r), BPF_F_RECOMPUTE_CSUM);
}

struct unreachable {
    IP_HEADER ip;
    struct icmp_header icmp;
    IP_HEADER quoted_ip;
    __u8 quoted_transport[QUOTED_TRANSPORT];
};

#define UNREACHABLE_PAYLOAD (sizeof(struct unreachable) - sizeof(IP_HEADER))

inline_always int make_unreachable(struct __sk_buff *skb, struct packet *p)
{
    struct unreachable u;
    __u64 sum = 0;
    __u16 pseudo = 0;

    if (bpf_skb_load_bytes(skb, p->network, &u.quoted_ip, sizeof(u.quoted_ip) + QUOTED_TRANSPORT) < 0)
        return -1;
    make_ip_header(&u.ip, p, PROTOCOL_ICMP, UNREACHABLE_PAYLOAD);
    u.icmp.type = UNREACHABLE_TYPE;
    u.icmp.code = UNREACHABLE_CODE;
    u.icmp.checksum = 0;
    u.icmp.rest = 0;
#if FAMILY == 6
    pseudo = pseudo_sum((struct addresses *)&p->key.source, PROTOCOL_ICMP6, UNREACHABLE_PAYLOAD);
    if (p->key.protocol == PROTOCOL_UDP && is_partial(p))
        u.icmp.rest = (__u32)pseudo << 16;
#endif
    sum = (__u32)bpf_csum_diff(0, 0, (__be32 *)&u.icmp, UNREACHABLE_PAYLOAD, 0);
    u.icmp.checksum = ~fold(sum + pseudo);
    if (bpf_skb_change_tail(skb, p->network + sizeof(u), 0) < 0)
        return -1;
    return bpf_skb_store_bytes(skb, p->network, &u, sizeof(u), BPF_F_RECOMPUTE_CSUM);
}

/* What cannot be answered is dropped under this reason instead. */
inline_always __u32 silent_reason(__u32 reason)
{
    return reason == REASON_REJECT_NO_ENDPOINT ? REASON_NO_ENDPOINT : REASON_UNKNOWN_PORT;
}

#endif
