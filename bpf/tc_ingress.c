/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * To a client: a backend's replies get the front end's address back. docs/datapath.md is the specification.
 * What has no flow is not ours and passes untouched.
 */
#include "types.h"
#include "maps.h"
#include "verdict.h"
#include "count.h"
#include "parse.h"
#include "csum.h"
#include "lookup.h"
#include "frag.h"
#include "flow.h"
#include "follow.h"
#include "nat.h"
#include "icmp.h"
#include "trace.h"

/* A first fragment that is nobody's reply: its later ones must not be taken for a reply's. */
inline_always int miss(struct __sk_buff *skb, struct packet *p)
{
    if (p->fragment == FIRST_FRAGMENT && address_flags(&p->key.source) & SERVICE_BACKEND_ADDRESS)
        remember_fragment(p, 0);
    return untouched(skb, p);
}

/* The packets that most are: whole TCP or UDP of an open flow, and those that are nobody's reply. */
int tc_ingress(struct __sk_buff *skb)
{
    struct packet p = {};
    struct settings *s = find_settings();
    struct flow *f;
    struct flow to;
    int parsed;

    if (!s || skb->tc_index == REVERSED || skb->tc_index == REWRITTEN)
        return TC_PASS;
    if (s->trace && !(skb->tc_classid & TRACE_LOOKED_AT))
        tails.call(skb, TAIL_INGRESS_TRACE);
    parsed = parse_plain(skb, &p, REPLY);
    if (parsed == PARSED_NOT_OURS)
        return untouched(skb, &p);
    if (parsed != PARSED_TRANSPORT) {
        tails.call(skb, TAIL_INGRESS_SLOW);
        return TC_PASS;
    }
    read_clock(&p, s);
    f = flows.lookup(&p.key);
    keep_pointer(f);
    if (!f && (!is_awaited(&p.key, p.seconds, s->opening_timeout) || !flows_new.lookup(&p.key)))
        return untouched(skb, &p);
    if (f && is_for_another(&p, f))
        return untouched(skb, &p);
    if (!f || !rests(f, &p)) {
        go_on(skb, &p, TAIL_INGRESS_OPEN);
        return TC_PASS;
    }
    to = *f;
    if (p.key.protocol == PROTOCOL_TCP)
        note_ack(&p, f);
    assume_plain(&p);
    return translate(skb, &p, &to, 0, 0);
}

/* Any packet: read with all its options, and sent on to the program that knows what to do. */
int ingress_slow(struct __sk_buff *skb)
{
    struct packet p = {};
    struct settings *s = find_settings();
    int parsed, fresh;

    if (!s)
        return TC_PASS;
    parsed = parse(skb, &p, REPLY);
    if (parsed == PARSED_NOT_OURS)
        return untouched(skb, &p);
    if (parsed < PARSED_TRANSPORT)
        return pass(skb, &p, parsed);
    read_clock(&p, s);
    if (parsed == PARSED_ICMP)
        go_on(skb, &p, TAIL_INGRESS_ICMP);
    else if (parsed == PARSED_LATER_FRAGMENT)
        go_on(skb, &p, TAIL_INGRESS_FRAGMENT);
    else if (find_flow(&p.key, &p, &fresh))
        go_on(skb, &p, TAIL_INGRESS_OPEN);
    else
        return miss(skb, &p);
    return TC_PASS;
}

/* A reply of a flow, which may change the flow's state. */
int ingress_open(struct __sk_buff *skb)
{
    struct packet p;
    struct flow_key forward;
    struct flow *f;
    int fresh;

    if (take_up(&p) < 0)
        return TC_PASS;
    f = find_flow(&p.key, &p, &fresh);
    if (!f)
        return untouched(skb, &p);
    other_key(&forward, f, p.key.protocol, FORWARD);
    await_again(&p, f, &p.key);
    follow(&p, f, &forward, find_other(&forward, &p, fresh), &p.key);
    return translate_next(skb, &p, f, TAIL_INGRESS_REWRITE);
}

/* The way out for a packet whose flow is up to date. */
int ingress_rewrite(struct __sk_buff *skb)
{
    struct packet p;
    struct flow to;

    if (take_up(&p) < 0 || take_up_flow(&to) < 0)
        return TC_PASS;
    return translate(skb, &p, &to, 0, 0);
}

/* While somebody traces: look at the packet first. */
int ingress_trace(struct __sk_buff *skb)
{
    look_at(skb, REPLY);
    tails.call(skb, TAIL_INGRESS);
    return TC_PASS;
}

/* The rest of a reply's datagram. */
int ingress_fragment(struct __sk_buff *skb)
{
    struct packet p;
    struct settings *s = find_settings();
    struct fragment *first;

    if (!s || take_up(&p) < 0)
        return TC_PASS;
    first = find_first(&p, s);
    if (!first) {
        if (address_flags(&p.key.source) & SERVICE_BACKEND_ADDRESS)
            return drop(skb, &p, REASON_FRAGMENT_BEFORE_FIRST);
        return untouched(skb, &p);
    }
    return translate_later(skb, &p, first, 0);
}

/* An ICMP error about what a client sent to a backend, told in the client's terms. */
int ingress_icmp(struct __sk_buff *skb)
{
    struct packet p;
    struct settings *s = find_settings();
    struct icmp_header icmp;
    struct quoted q = {};
    struct flow_key key;
    struct flow *f;
    struct flow to;
    int fresh;

    if (!s || take_up(&p) < 0 || bpf_skb_load_bytes(skb, p.transport, &icmp, sizeof(icmp)) < 0)
        return TC_PASS;
    if (!is_error(icmp.type))
        return untouched(skb, &p);
    if (read_quoted(skb, &p, &q) < 0)
        return pass(skb, &p, REASON_ICMP_UNKNOWN_FLOW);
    quoted_key(&key, &q, REPLY);
    f = find_flow(&key, &p, &fresh);
    if (!f)
        return pass(skb, &p, REASON_ICMP_UNKNOWN_FLOW);
    if (is_for_another(&p, f))
        return untouched(skb, &p);
    to = *f;
    if (rewrite_error(skb, &p, &q, &to) < 0)
        return drop(skb, &p, REASON_REWRITE_FAILED);
    return rewritten(skb, &p, REASON_ICMP_REVERSED);
}
