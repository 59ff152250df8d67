/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * Checksums, mended by the difference (RFC 1624). The kernel's helpers know whether the packet's sum is finished, left
 * to the hardware (CHECKSUM_PARTIAL) or known as a whole (CHECKSUM_COMPLETE):
 *
 * - An address is part of the pseudo header: BPF_F_PSEUDO_HDR. That also takes the address's difference out of a
 *   COMPLETE sum. In IPv4 the IP header's own checksum has put it in; IPv6 has none, so there the address itself must
 *   be stored with BPF_F_RECOMPUTE_CSUM.
 * - A port is not part of it: no flag. Under CHECKSUM_PARTIAL that rightly changes nothing.
 * - A UDP checksum of 0 means "none" and stays: BPF_F_MARK_MANGLED_0, which also turns a sum of 0 into 0xffff.
 */
#ifndef TCNAT_CSUM_H
#define TCNAT_CSUM_H

#include "types.h"
#include "parse.h"

#define IPV4_CHECKSUM 10 /* offsets in the headers */
#define IPV4_ADDRESSES 12
#define IPV6_ADDRESSES 8
#define TCP_CHECKSUM 16
#define UDP_CHECKSUM 6
#define ICMP_CHECKSUM 2

#if FAMILY == 4
#define ADDRESSES_OFFSET IPV4_ADDRESSES
#define STORE_ADDRESSES 0
#else
#define ADDRESSES_OFFSET IPV6_ADDRESSES
#define STORE_ADDRESSES BPF_F_RECOMPUTE_CSUM
#endif

/* Both addresses of a header, as they stand next to each other in it. */
struct addresses {
    struct address source;
    struct address destination;
};

/* What other addresses add to a sum: bpf_csum_diff(), which costs more than these few instructions. */
inline_always __u32 address_difference(struct addresses *from, struct addresses *to)
{
    __u32 *old = (__u32 *)from, *new = (__u32 *)to;
    __u64 sum = 0;
    int i;

#pragma unroll
    for (i = 0; i < 2 * ADDRESS_WORDS; i++)
        sum += (__u64) new[i] + (__u32)~old[i];
    sum = (sum & 0xffffffff) + (sum >> 32);
    return sum + (sum >> 32);
}

inline_always __u16 fold(__u64 sum)
{
    sum = (sum & 0xffffffff) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return sum;
}

/* The sum of a pseudo header, folded, not inverted: what stands in the checksum field under CHECKSUM_PARTIAL. */
inline_always __u16 pseudo_sum(struct addresses *a, __u8 protocol, __u32 length)
{
    __u64 sum = bpf_htonl(length);
    __u32 *word = (__u32 *)a;
    int i;

#pragma unroll
    for (i = 0; i < 2 * ADDRESS_WORDS; i++)
        sum += word[i];
    return fold(sum + bpf_htons(protocol));
}

inline_always int same_address(struct address *a, struct address *b)
{
    __u32 difference = 0;
    int i;

#pragma unroll
    for (i = 0; i < ADDRESS_WORDS; i++)
        difference |= a->word[i] ^ b->word[i];
    return difference == 0;
}

/* Put other addresses into the IP header at `offset`, whose own checksum (IPv4) follows. */
inline_always int store_addresses(struct __sk_buff *skb, __u32 offset, struct addresses *to, __u32 difference)
{
#if FAMILY == 4
    if (bpf_l3_csum_replace(skb, offset + IPV4_CHECKSUM, 0, difference, 0) < 0)
        return -1;
#endif
    return bpf_skb_store_bytes(skb, offset + ADDRESSES_OFFSET, to, sizeof(*to), STORE_ADDRESSES);
}

#endif
