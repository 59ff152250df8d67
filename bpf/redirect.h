/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * From one workload of this node to another, past the node's routes: the packet is handed to the other's device as the
 * node itself would hand it there, with the MAC addresses of that link and one hop less to live. The agent says whether
 * that may be, and how each workload is reached; what it says nothing of takes the ordinary way.
 */
#ifndef TCNAT_REDIRECT_H
#define TCNAT_REDIRECT_H

#include "types.h"
#include "csum.h"
#include "source.h"

#define HOST_PACKET 0 /* skb->pkt_type: its MAC address is the device's own */
#define ETHERNET_ADDRESSES 12

/* How often a flow tells that its replies may be handed on, and a little more. */
#define HANDED_ON_WITHIN 5 /* seconds */

#if FAMILY == 4
#define HOPS_OFFSET 8
#else
#define HOPS_OFFSET 7
#endif

/*
 * Up to which second packets like this one may be handed on; 0 for never. The agent says so, and says it again and
 * again: what nobody keeps in step is not gone by.
 */
inline_always __u32 handed_on_until(struct __sk_buff *skb, struct packet *p)
{
    __u32 zero = 0;
    __u32 *until;

    if (!at_workload(p) || p->link & LINK_NO_HEADER || skb->pkt_type != HOST_PACKET)
        return 0;
    until = redirect_until.lookup(&zero);
    return until ? *until : 0;
}

/* Whether packets like this one are handed on, by the packet's clock. */
inline_always int hands_on(struct __sk_buff *skb, struct packet *p)
{
    __u32 until = handed_on_until(skb, p);

    return until && (__s32)(until - p->seconds) > 0;
}

/* The device of the workload on this node that has this address, or 0. */
inline_always __u32 device_of(struct address *address)
{
    struct address key = *address;
    struct neighbour *n = neighbours.lookup(&key);

    return n ? n->device : 0;
}

/*
 * Whether a packet that is turned into *to is handed on; *next is then how its destination is reached. Only what comes
 * by the device that the node's routes have for its source is: the rest may be forged, which is for the node to judge.
 */
inline_always int finds_next(struct __sk_buff *skb, struct packet *p, struct flow *to, struct neighbour *next)
{
    struct address key = to->to_destination;
    struct neighbour *n;

    if (to->device != skb->ifindex || !hands_on(skb, p))
        return 0;
    n = neighbours.lookup(&key);
    if (!n)
        return 0;
    *next = *n;
    return 1;
}

/* By which devices the packets of both halves have to come to be handed on. */
struct devices {
    __u32 forward;
    __u32 reply;
};

inline_always void find_devices(struct __sk_buff *skb, struct packet *p, struct flow *f, struct devices *found)
{
    found->forward = 0;
    found->reply = 0;
    if (!hands_on(skb, p))
        return;
    found->forward = device_of(&p->key.source);
    found->reply = device_of(&f->to_destination);
}

/* The hops that the packet has left to go; the next one takes the last. */
inline_always int has_hops(struct __sk_buff *skb, struct packet *p)
{
    __u8 hops;

    return bpf_skb_load_bytes(skb, p->network + HOPS_OFFSET, &hops, sizeof(hops)) == 0 && hops > 1;
}

/* Make the frame one to the neighbour, a hop later. 0, or -1 where the kernel refuses. */
inline_always int address_to(struct __sk_buff *skb, struct packet *p, struct neighbour *n)
{
#if FAMILY == 4
    __u16 old, new; /* TTL and protocol: a word of the header's checksum */

    if (bpf_skb_load_bytes(skb, p->network + HOPS_OFFSET, &old, sizeof(old)) < 0)
        return -1;
    new = old - bpf_htons(0x0100);
    if (bpf_l3_csum_replace(skb, p->network + IPV4_CHECKSUM, old, new, sizeof(new)) < 0 ||
        bpf_skb_store_bytes(skb, p->network + HOPS_OFFSET, &new, sizeof(new), 0) < 0)
        return -1;
#else
    __u8 hops;

    if (bpf_skb_load_bytes(skb, p->network + HOPS_OFFSET, &hops, sizeof(hops)) < 0)
        return -1;
    hops -= 1;
    if (bpf_skb_store_bytes(skb, p->network + HOPS_OFFSET, &hops, sizeof(hops), BPF_F_RECOMPUTE_CSUM) < 0)
        return -1;
#endif
    return bpf_skb_store_bytes(skb, 0, n->to, ETHERNET_ADDRESSES, 0);
}

#endif
