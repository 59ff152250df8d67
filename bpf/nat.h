/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* Giving a packet its other addresses and ports, and sending packets back to where they came from. */
#ifndef TCNAT_NAT_H
#define TCNAT_NAT_H

#include "types.h"
#include "follow.h"
#include "rewrite.h"
#include "count.h"
#include "frag.h"
#include "source.h"
#include "redirect.h"

/* Whether the flow changes anything; one straight to a backend mostly does not. */
inline_always int changes(struct packet *p, struct flow *to)
{
    __u32 *old = (__u32 *)&p->key, *new = (__u32 *)to;
    __u32 difference = 0;
    int i;

#pragma unroll
    for (i = 0; i < 2 * ADDRESS_WORDS + 1; i++) /* addresses and ports stand alike in both */
        difference |= old[i] ^ new[i];
    return difference != 0;
}

/* Hand the packet to the client's side again; its MAC addresses swap, so that the client's device takes it. */
inline_always int send_back(struct __sk_buff *skb, struct packet *p, __u32 reason)
{
    if (!(p->link & LINK_NO_HEADER)) {
        __u16 mac[6], swapped[6];
        if (bpf_skb_load_bytes(skb, 0, mac, sizeof(mac)) < 0)
            return drop(skb, p, REASON_REWRITE_FAILED);
        swapped[0] = mac[3];
        swapped[1] = mac[4];
        swapped[2] = mac[5];
        swapped[3] = mac[0];
        swapped[4] = mac[1];
        swapped[5] = mac[2];
        if (bpf_skb_store_bytes(skb, 0, swapped, sizeof(swapped), 0) < 0)
            return drop(skb, p, REASON_REWRITE_FAILED);
    }
    count(reason, p->length);
    return decided(skb, p, reason, bpf_redirect(skb->ifindex, p->link & LINK_WORKLOAD ? 0 : BPF_F_INGRESS));
}

/* What a rewrite of this packet is counted as. */
inline_always __u32 rewrite_reason(struct packet *p)
{
    _Static_assert(REASON_FORWARDED + REPLY == REASON_REVERSED, "counted by direction");
    _Static_assert(REASON_FORWARDED + LATER_FRAGMENT == REASON_FRAGMENT_FORWARDED, "and by fragment");
    _Static_assert(REASON_FRAGMENT_FORWARDED + REPLY == REASON_FRAGMENT_REVERSED, "and by both");

    return REASON_FORWARDED + (p->fragment & LATER_FRAGMENT) + p->key.direction;
}

/* A rewritten packet goes straight to the workload that it is for. */
inline_always int hand_on(struct __sk_buff *skb, struct packet *p, struct neighbour *next)
{
    __u32 reason = rewrite_reason(p);

    if (bpf_skb_store_bytes(skb, 0, next->to, ETHERNET_ADDRESSES, 0) < 0)
        return drop(skb, p, REASON_REWRITE_FAILED);
    mark_rewritten(skb, p);
    count(reason, p->length);
    if (next->way & WAY_PAST_DEVICE)
        return decided(skb, p, reason, bpf_redirect_peer(next->device, 0));
    return decided(skb, p, reason, bpf_redirect(next->device, 0));
}

/*
 * The way out for a packet of a flow. At the client's side a hairpin turns back, and what is for a workload on this
 * node goes straight there, where `next` has its device.
 */
inline_always int translate(struct __sk_buff *skb, struct packet *p, struct flow *to, int at_client,
                            struct neighbour *next)
{
    int here = next && next->device;

    if (to->flags & FLOW_DIRECT && !changes(p, to)) {
        if (p->fragment == FIRST_FRAGMENT)
            remember_fragment(p, 0);
        return untouched(skb, p);
    }
    if (p->fragment == FIRST_FRAGMENT)
        remember_fragment(p, p->key.protocol);
    if (is_for_another(p, to))
        return untouched(skb, p);
    if (unlikely(rewrite(skb, p, to, here) < 0))
        return drop(skb, p, REASON_REWRITE_FAILED);
    count_service(to->service, p->length, p->key.direction, p->new_flow);
    if (at_client && to->flags & FLOW_HAIRPIN)
        return send_back(skb, p, rewrite_reason(p));
    if (here)
        return hand_on(skb, p, next);
    return rewritten(skb, p, rewrite_reason(p));
}

/* The same in a program of its own, `rewrite`; by way of another where a conversation has just been answered. */
inline_always int translate_next(struct __sk_buff *skb, struct packet *p, struct flow *to, __u32 rewrite)
{
    leave_flow(to);
    if (p->answered) {
        p->reason = rewrite;
        go_on(skb, p, TAIL_FLOW_RECENT);
    }
    go_on(skb, p, rewrite);
    return drop(skb, p, REASON_REWRITE_FAILED);
}

/* The way out for a packet of a flow that rests. */
inline_always int translate_resting(struct __sk_buff *skb, struct packet *p, struct flow *f)
{
    if (p->key.protocol == PROTOCOL_TCP)
        note_ack(p, f);
    return translate_next(skb, p, f, TAIL_EGRESS_REWRITE);
}

/* The way out for a later fragment whose first one has been seen: it goes where that went. */
inline_always int translate_later(struct __sk_buff *skb, struct packet *p, struct fragment *first, int at_client)
{
    struct flow *f;
    struct flow to;
    int fresh;

    if (!first->known)
        return untouched(skb, p);
    adopt_ports(p, first);
    f = find_flow(&p->key, p, &fresh);
    if (!f)
        return drop(skb, p, REASON_FRAGMENT_FLOW_LOST);
    if (at_client && p->key.direction == REPLY && !(f->flags & FLOW_HAIRPIN))
        return untouched(skb, p);
    to = *f;
    return translate(skb, p, &to, at_client, 0);
}

#endif
