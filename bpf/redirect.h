/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * From one workload of this node to another, past the node's routes: the packet is handed to the other's device as the
 * node itself would hand it there, with the MAC addresses of that link and one hop less to live. The agent says whether
 * that may be, and how each workload is reached; what it says nothing of takes the ordinary way.
 */
#ifndef TCNAT_REDIRECT_H
#define TCNAT_REDIRECT_H

#include "types.h"
#include "rewrite.h"
#include "source.h"

#define HOST_PACKET 0 /* skb->pkt_type: its MAC address is the device's own */
#define ETHERNET_ADDRESSES 12

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

/* Whether a flow's packets are handed on if they come by this device: it is the one that the node's routes have for
 * their source. The rest may be forged, which is for the node to judge. */
inline_always int is_handed_on(struct __sk_buff *skb, struct flow *f)
{
    return f->device == skb->ifindex && !(f->flags & FLOW_HAIRPIN);
}

/* Whether a packet that is turned into *to is handed on; *next is then how its destination is reached. */
inline_always int finds_next(struct __sk_buff *skb, struct packet *p, struct flow *to, struct neighbour *next)
{
    struct address key = to->to_destination;
    struct neighbour *n;

    if (!p->plain || !has_hops(p) || !is_handed_on(skb, to) || !hands_on(skb, p))
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

#endif
