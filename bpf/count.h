/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* Counting, and the one way out of a program for a packet that is counted. */
#ifndef TCNAT_COUNT_H
#define TCNAT_COUNT_H

#include "types.h"
#include "maps.h"
#include "verdict.h"

inline_always void count(__u32 reason, __u32 bytes)
{
    struct counter *c = counters.lookup(&reason);

    if (c) {
        c->packets += 1;
        c->bytes += bytes;
    }
}

inline_always void count_service(__u32 service, __u32 bytes, __u8 direction, int new_flow)
{
    struct service_counter *c;

    if (!service)
        return;
    c = service_counters.lookup(&service);
    if (!c)
        return;
    if (direction == FORWARD) {
        c->forward_packets += 1;
        c->forward_bytes += bytes;
        c->flows += new_flow;
    } else {
        c->reply_packets += 1;
        c->reply_bytes += bytes;
    }
}

/* The end of a packet's way: the verdict, told to a trace that takes the packet. */
inline_always int decided(struct __sk_buff *skb, struct packet *p, __u32 reason, int verdict)
{
    if (p->link & TRACE_TAKEN) {
        p->reason = reason;
        p->verdict = verdict;
        go_on(skb, p, TAIL_DECIDED);
    }
    return verdict;
}

/* A packet that is none of our business and in order: not counted. */
inline_always int untouched(struct __sk_buff *skb, struct packet *p)
{
    return decided(skb, p, REASON_UNTOUCHED, TC_PASS);
}

inline_always int pass(struct __sk_buff *skb, struct packet *p, __u32 reason)
{
    count(reason, p->length);
    return decided(skb, p, reason, TC_PASS);
}

/* A packet has been rewritten; the same program at a later device must not do it again. */
inline_always void mark_rewritten(struct __sk_buff *skb, struct packet *p)
{
    skb->tc_index = p->key.direction == FORWARD ? REWRITTEN : REVERSED;
}

/* A packet that has been rewritten goes on. */
inline_always int rewritten(struct __sk_buff *skb, struct packet *p, __u32 reason)
{
    mark_rewritten(skb, p);
    return pass(skb, p, reason);
}

inline_always int drop(struct __sk_buff *skb, struct packet *p, __u32 reason)
{
    count(reason, p->length);
    return decided(skb, p, reason, TC_DROP);
}

#endif
