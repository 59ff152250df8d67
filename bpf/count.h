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

inline_always int pass(__u32 reason, struct packet *p)
{
    count(reason, p->length);
    return TC_PASS;
}

inline_always int drop(__u32 reason, struct packet *p)
{
    count(reason, p->length);
    return TC_DROP;
}

#endif
