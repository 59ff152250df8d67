/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * Tracing: for each packet that the trace asks for, one record on arrival and one when its fate is decided, both with
 * the packet's bytes, through the events ring. While nobody traces, a packet pays one comparison for it.
 *
 * The entry program hands a packet to its trace program first, which marks it in the classid (the kernel sets that anew
 * for every filter) and hands it back. The decision's record is a tail call at the very end.
 */
#ifndef TCNAT_TRACE_H
#define TCNAT_TRACE_H

#include "types.h"
#include "maps.h"
#include "parse.h"
#include "flow.h"
#include "lookup.h"

inline_always struct trace *find_trace(void)
{
    __u32 zero = 0;

    return trace.lookup(&zero);
}

inline_always int has_address(struct trace *t, struct packet *p, struct flow *f)
{
    struct address any = {};
    struct address wanted = t->address;

    if (same_address(&wanted, &any) || same_address(&wanted, &p->key.source) ||
        same_address(&wanted, &p->key.destination))
        return 1;
    return f && (same_address(&wanted, &f->to_source) || same_address(&wanted, &f->to_destination));
}

inline_always int has_port(struct trace *t, struct packet *p, struct flow *f)
{
    if (!t->port || t->port == p->key.source_port || t->port == p->key.destination_port)
        return 1;
    return f && (t->port == f->to_source_port || t->port == f->to_destination_port);
}

inline_always __u32 service_of(struct packet *p, struct flow *f)
{
    struct service *s;

    if (f)
        return f->service;
    s = find_service(p);
    return s ? s->service : 0;
}

/* Whether the trace asks for this packet. */
inline_always int takes(struct __sk_buff *skb, struct trace *t, struct packet *p)
{
    struct flow *f;
    int fresh;

    if ((t->device && t->device != skb->ifindex) || (t->protocol && t->protocol != p->key.protocol))
        return 0;
    f = find_flow(&p->key, p, &fresh);
    if (t->service && t->service != service_of(p, f))
        return 0;
    return has_address(t, p, f) && has_port(t, p, f);
}

inline_always void send_event(struct __sk_buff *skb, struct packet *p, __u32 kind)
{
    struct trace *t = find_trace();
    struct event e = {};

    if (!t)
        return;
    e.time = bpf_ktime_get_ns();
    e.kind = kind;
    e.reason = p->reason;
    e.verdict = p->verdict;
    e.device = skb->ifindex;
    e.length = skb->len;
    e.bytes = e.length < t->bytes ? e.length : t->bytes;
    e.family = FAMILY;
    e.direction = p->key.direction;
    e.link = p->link;
    events.perf_submit_skb(skb, e.bytes, &e, sizeof(e));
}

/* On arrival: mark the packet as looked at, and as taken if the trace asks for it and its rate allows. */
inline_always void look_at(struct __sk_buff *skb, __u8 direction)
{
    struct packet p = {};
    struct settings *s = find_settings();
    struct trace *t = find_trace();
    __u32 marks = (skb->tc_classid & LINK_MASK) | TRACE_LOOKED_AT;

    if (s && t) {
        parse(skb, &p, direction);
        read_clock(&p, s);
        if (takes(skb, t, &p) && take_token(LIMIT_EVENTS, t->events_per_second, bpf_ktime_get_ns())) {
            marks |= TRACE_TAKEN;
            send_event(skb, &p, EVENT_ARRIVED);
        }
    }
    skb->tc_classid = marks;
}

#endif
