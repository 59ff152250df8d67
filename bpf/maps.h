/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * The maps by name. Their real types, sizes and flags are in tcnat/layout.py: what is compiled here is only what the
 * instructions need (a name, a key, a value), so that one bytecode serves every kernel and every size. See
 * docs/maps.md.
 */
#ifndef TCNAT_MAPS_H
#define TCNAT_MAPS_H

#include "types.h"
#include "packet.h"

BPF_TABLE("hash", struct service_key, struct service, services, 1);
BPF_TABLE("array", __u32, __u64, ports, 1);
BPF_TABLE("array", __u32, __u32, slots, 1);
BPF_TABLE("array", __u32, struct backend, backends, 1);
BPF_TABLE("hash", struct flow_key, struct flow, flows, 1);
BPF_TABLE("hash", struct flow_key, struct flow, flows_new, 1);
BPF_TABLE("array", __u32, struct flow_key, recent, 1);
BPF_TABLE("array", __u32, __u32, recent_next, 1);
BPF_TABLE("hash", struct affinity_key, struct affinity, affinity, 1);
BPF_TABLE("hash", struct fragment_key, struct fragment, fragments, 1);
BPF_TABLE("percpu_array", __u32, struct counter, counters, 1);
BPF_TABLE("percpu_array", __u32, struct service_counter, service_counters, 1);
BPF_TABLE("array", __u32, struct settings, settings, 1);
BPF_TABLE("array", __u32, __u32, timeouts, 11);
BPF_TABLE("array", __u32, __u32, hairpin, 1);
BPF_TABLE("hash", struct address, __u32, local_addresses, 1);
BPF_TABLE("array", __u32, struct pods, pods, 1);
BPF_TABLE("hash", __u32, struct address, device_addresses, 1);
BPF_TABLE("hash", struct address, struct neighbour, neighbours, 1);
BPF_TABLE("array", __u32, __u32, awaited, 1);
BPF_TABLE("array", __u32, __u32, redirect_until, 1);
BPF_TABLE("percpu_array", __u32, struct limiter, limiter, 2);
BPF_TABLE("array", __u32, struct trace, trace, 1);
BPF_PERF_OUTPUT(events);
BPF_TABLE("percpu_array", __u32, struct packet, scratch, 1);
BPF_TABLE("percpu_array", __u32, struct flow, scratch_flow, 1);
BPF_TABLE("prog", __u32, __u32, tails, 1);

/* What the slots of `tails` hold; tcnat/loader.py fills them by the programs' names. */
enum tail {
    TAIL_EGRESS_SLOW = 0,
    TAIL_EGRESS_NEW = 1,
    TAIL_EGRESS_FRAGMENT = 2,
    TAIL_EGRESS_ICMP = 3,
    TAIL_EGRESS_REJECT = 4,
    TAIL_INGRESS_SLOW = 5,
    TAIL_INGRESS_FRAGMENT = 6,
    TAIL_INGRESS_ICMP = 7,
    TAIL_EGRESS_MISS = 8,
    TAIL_EGRESS = 9,
    TAIL_INGRESS = 10,
    TAIL_EGRESS_TRACE = 11,
    TAIL_INGRESS_TRACE = 12,
    TAIL_DECIDED = 13,
    TAIL_EGRESS_OPEN = 14,
    TAIL_INGRESS_OPEN = 15,
    TAIL_EGRESS_MEND = 16,
    TAIL_EGRESS_REWRITE = 17,
    TAIL_INGRESS_REWRITE = 18,
    TAIL_EGRESS_ANSWER = 19,
    TAIL_FLOW_RECENT = 20,
};

/* Leave the packet as read where the next program finds it, and go there. Comes back only if that program is missing.
 */
inline_always void go_on(struct __sk_buff *skb, struct packet *p, __u32 tail)
{
    __u32 zero = 0;

    scratch.update(&zero, p);
    tails.call(skb, tail);
}

/* The packet as an earlier program of this chain left it. 0, or -1 if there is none. */
inline_always int take_up(struct packet *p)
{
    __u32 zero = 0;
    struct packet *left = scratch.lookup(&zero);

    if (!left)
        return -1;
    *p = *left;
    return 0;
}

/* The same for the flow half by which the packet is rewritten. */
inline_always void leave_flow(struct flow *f)
{
    __u32 zero = 0;
    struct flow copy = *f;

    scratch_flow.update(&zero, &copy);
}

inline_always int take_up_flow(struct flow *f)
{
    __u32 zero = 0;
    struct flow *left = scratch_flow.lookup(&zero);

    if (!left)
        return -1;
    *f = *left;
    return 0;
}

inline_always struct settings *find_settings(void)
{
    __u32 zero = 0;

    return settings.lookup(&zero);
}

/* Which of the limiter's buckets. */
#define LIMIT_REJECTS 0
#define LIMIT_EVENTS 1

#define NANOSECONDS 1000000000ull

/* One token from this CPU's bucket, which holds a second's worth and is refilled all the time. */
inline_always int take_token(__u32 bucket, __u32 rate, __u64 now)
{
    struct limiter *l = limiter.lookup(&bucket);
    __u64 credit, cost;

    if (!l || !rate)
        return 0;
    credit = now > l->refilled ? l->tokens + (now - l->refilled) : l->tokens;
    if (credit > NANOSECONDS || !l->refilled)
        credit = NANOSECONDS;
    l->refilled = now;
    cost = NANOSECONDS / rate;
    l->tokens = credit;
    if (credit < cost)
        return 0;
    l->tokens = credit - cost;
    return 1;
}

#endif
