/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * From a client: packets to a front end go on to a backend. docs/datapath.md is the specification.
 *
 * tc_egress reads the packet and serves the flows that are open. What is rarer lies behind tail calls, each a program that
 * old verifiers can follow to its end: a new flow, a later fragment, ICMP, a packet that is to be rejected, a packet that no
 * front end takes, IPv6 extension headers.
 */
#include "types.h"
#include "maps.h"
#include "verdict.h"
#include "count.h"
#include "parse.h"
#include "csum.h"
#include "frag.h"
#include "flow.h"
#include "service.h"
#include "nat.h"
#include "open.h"
#include "reject.h"
#include "icmp.h"

inline_always int hairpins_exist(void)
{
    __u32 zero = 0;
    __u32 *exist = hairpin.lookup(&zero);

    return exist && *exist;
}

/* No front end takes it: mostly none of our business, and then this costs one look-up in all. */
inline_always int miss(struct __sk_buff *skb, struct packet *p, struct settings *s)
{
    if (s->unknown_port == CHOICE_PASS && p->fragment == WHOLE && !hairpins_exist())
        return TC_PASS;
    read_clock(p, s);
    go_on(skb, p, TAIL_EGRESS_MISS);
    return TC_PASS;
}

/* A packet of a flow that is open, with its reply half found or mended. */
inline_always int go_along(struct __sk_buff *skb, struct packet *p, struct settings *s, struct flow *f, int fresh)
{
    struct flow to = *f;
    struct flow_key reply;
    struct flow *other;
    int other_fresh;

    other_key(&reply, &to, p->key.protocol, REPLY);
    other = find_flow(&reply, p, s, &other_fresh);
    if (!other) {
        struct flow half;
        make_other(&half, &p->key, &to);
        half.seen = p->seconds;
        if (fresh) {
            flows_new.update(&reply, &half);
            other = flows_new.lookup(&reply);
        } else {
            flows.update(&reply, &half);
            other = flows.lookup(&reply);
        }
    } else if (!answers(other, &p->key)) {
        go_on(skb, p, TAIL_EGRESS_NEW);
        return drop(REASON_REWRITE_FAILED, p);
    }
    follow(p, f, &reply, other);
    return translate_at_client(skb, p, &to, 0);
}

inline_always int egress(struct __sk_buff *skb, int walk)
{
    struct packet p = {};
    struct settings *s = find_settings();
    struct service *svc;
    struct flow *f;
    int parsed, fresh;

    if (!s || skb->tc_index == REWRITTEN)
        return TC_PASS;
    parsed = parse(skb, &p, FORWARD, walk);
    if (parsed == PARSED_NOT_OURS)
        return TC_PASS;
    if (parsed == PARSED_EXTENSIONS) {
        tails.call(skb, TAIL_EGRESS_WALK);
        return TC_PASS;
    }
    if (parsed == PARSED_TRANSPORT) {
        svc = find_service(&p);
        if (!svc)
            return miss(skb, &p, s);
        read_clock(&p, s);
        f = find_flow(&p.key, &p, s, &fresh);
        if (f && keeps(f, &p, svc))
            return go_along(skb, &p, s, f, fresh);
        go_on(skb, &p, TAIL_EGRESS_NEW);
        return drop(REASON_REWRITE_FAILED, &p);
    }
    if (parsed < PARSED_TRANSPORT)
        return pass(parsed, &p);
    read_clock(&p, s);
    go_on(skb, &p, parsed == PARSED_ICMP ? TAIL_EGRESS_ICMP : TAIL_EGRESS_FRAGMENT);
    return TC_PASS;
}

int tc_egress(struct __sk_buff *skb)
{
    return egress(skb, 0);
}

#if FAMILY == 6
int egress_walk(struct __sk_buff *skb)
{
    return egress(skb, 1);
}
#endif

/* A flow begins, or begins anew. */
int egress_new(struct __sk_buff *skb)
{
    struct packet p;
    struct settings *s = find_settings();
    struct service *svc;
    struct flow f = {};
    struct flow_key reply;
    __u32 hash;

    if (!s || take_up(&p) < 0)
        return TC_PASS;
    svc = find_service(&p);
    if (!svc || svc->flags & SERVICE_DRAINING)
        return miss(skb, &p, s);
    hash = flow_hash(&p.key);
    f.to_source = p.key.source;
    if (is_direct(svc)) {
        f.backend = DIRECT_BACKEND;
        f.flags = FLOW_DIRECT;
        f.to_destination = p.key.destination;
        f.to_destination_port = p.key.destination_port;
    } else {
        if (svc->flags & SERVICE_DROP)
            return drop(REASON_NO_LOCAL_ENDPOINT, &p);
        if (svc->flags & SERVICE_REJECT || !svc->count) {
            p.reason = REASON_REJECT_NO_ENDPOINT;
            go_on(skb, &p, TAIL_EGRESS_REJECT);
            return drop(REASON_NO_ENDPOINT, &p);
        }
        if (choose_backend(svc, &p, &f, hash) < 0)
            return drop(REASON_BACKEND_MISSING, &p);
        f.service = svc->service;
        if (same_address(&f.to_destination, &p.key.source)) {
            f.to_source = p.key.destination;
            f.flags = FLOW_HAIRPIN | FLOW_SOURCE;
        }
    }
    if (p.key.protocol == PROTOCOL_SCTP && f.to_destination_port != p.key.destination_port)
        return drop(REASON_SCTP_PORT, &p);
    forget(&p);
    other_key(&reply, &f, p.key.protocol, REPLY);
    if (choose_source_port(&reply, &p, s, f.flags, hash) < 0)
        return drop(REASON_NO_SOURCE_PORT, &p);
    f.to_source_port = reply.destination_port;
    if (f.to_source_port != p.key.source_port)
        f.flags |= FLOW_SOURCE;
    f.seen = p.seconds;
    if (p.key.protocol == PROTOCOL_TCP)
        f.state = first_tcp_state(&p);
    if (write_halves(&reply, &p, &f) < 0)
        return drop(REASON_FLOW_TABLE_FULL, &p);
    if (f.flags & FLOW_HAIRPIN) {
        __u32 zero = 0, one = 1;
        hairpin.update(&zero, &one);
    }
    return translate_at_client(skb, &p, &f, 1);
}

/* No front end takes it: a hairpin's reply, a port that a Service address does not have, or somebody else's. */
int egress_miss(struct __sk_buff *skb)
{
    struct packet p;
    struct settings *s = find_settings();
    struct flow_key key;
    struct flow *f;
    int fresh;

    if (!s || take_up(&p) < 0)
        return TC_PASS;
    key = p.key;
    key.direction = REPLY;
    f = hairpins_exist() ? find_flow(&key, &p, s, &fresh) : 0;
    if (f && f->flags & FLOW_HAIRPIN) {
        struct flow to = *f;
        struct flow_key forward;
        int other_fresh;
        p.key.direction = REPLY;
        other_key(&forward, &to, p.key.protocol, FORWARD);
        follow(&p, f, &forward, find_flow(&forward, &p, s, &other_fresh));
        return translate_at_client(skb, &p, &to, 0);
    }
    if (s->unknown_port == CHOICE_PASS && p.fragment == WHOLE)
        return TC_PASS;
    if (!(address_flags(&p.key.destination) & SERVICE_ADDRESS))
        return TC_PASS;
    if (s->unknown_port == CHOICE_DROP)
        return drop(REASON_UNKNOWN_PORT, &p);
    if (s->unknown_port == CHOICE_REJECT) {
        p.reason = REASON_REJECT_UNKNOWN_PORT;
        go_on(skb, &p, TAIL_EGRESS_REJECT);
        return drop(REASON_UNKNOWN_PORT, &p);
    }
    if (p.fragment == FIRST_FRAGMENT)
        remember_fragment(&p, 0);
    return TC_PASS;
}

/* The rest of a datagram goes where its first fragment went. */
int egress_fragment(struct __sk_buff *skb)
{
    struct packet p;
    struct settings *s = find_settings();
    struct fragment *first;
    struct flow *f;
    struct flow to;
    int fresh;

    if (!s || take_up(&p) < 0)
        return TC_PASS;
    first = find_first(&p, s);
    if (!first && hairpins_exist()) {
        p.key.direction = REPLY;
        first = find_first(&p, s);
    }
    if (!first) {
        if (address_flags(&p.key.destination) & SERVICE_ADDRESS)
            return drop(REASON_FRAGMENT_BEFORE_FIRST, &p);
        return TC_PASS;
    }
    if (!first->known)
        return TC_PASS;
    adopt_ports(&p, first);
    f = find_flow(&p.key, &p, s, &fresh);
    if (!f)
        return drop(REASON_FRAGMENT_FLOW_LOST, &p);
    to = *f;
    return translate_at_client(skb, &p, &to, 0);
}

/* Turn an echo request to a Service address into its answer. */
inline_always int answer_echo(struct __sk_buff *skb, struct packet *p)
{
    struct addresses swapped;
    __u16 request = bpf_htons(ECHO_REQUEST << 8);
    __u16 reply = bpf_htons(ECHO_REPLY << 8);

    swapped.source = p->key.destination;
    swapped.destination = p->key.source;
    if (bpf_l4_csum_replace(skb, p->transport + ICMP_CHECKSUM, request, reply, sizeof(reply)) < 0 ||
        bpf_skb_store_bytes(skb, p->transport, &reply, sizeof(reply), 0) < 0 ||
        bpf_skb_store_bytes(skb, p->network + ADDRESSES_OFFSET, &swapped, sizeof(swapped), 0) < 0)
        return drop(REASON_REWRITE_FAILED, p);
    count(REASON_ECHO_ANSWERED, p->length);
    return send_back(skb, p);
}

inline_always int echo_request(struct __sk_buff *skb, struct packet *p, struct settings *s)
{
    if (s->echo == CHOICE_PASS || !(address_flags(&p->key.destination) & SERVICE_ADDRESS))
        return TC_PASS;
    if (s->echo == CHOICE_DROP)
        return drop(REASON_ECHO_DROPPED, p);
    return answer_echo(skb, p);
}

/* A client's ICMP: an error about a reply that it got, or a ping to a Service address. */
int egress_icmp(struct __sk_buff *skb)
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
    if (icmp.type == ECHO_REQUEST && icmp.code == 0)
        return echo_request(skb, &p, s);
    if (!is_error(icmp.type))
        return TC_PASS;
    if (read_quoted(skb, &p, &q) < 0)
        return pass(REASON_ICMP_UNKNOWN_FLOW, &p);
    quoted_key(&key, &q, FORWARD);
    f = find_flow(&key, &p, s, &fresh);
    if (!f && hairpins_exist()) {
        key.direction = REPLY;
        f = find_flow(&key, &p, s, &fresh);
        if (f && !(f->flags & FLOW_HAIRPIN))
            f = 0;
    }
    if (!f)
        return pass(REASON_ICMP_UNKNOWN_FLOW, &p);
    to = *f;
    if (rewrite_error(skb, &p, &q, &to) < 0)
        return drop(REASON_REWRITE_FAILED, &p);
    count(key.direction == FORWARD ? REASON_ICMP_FORWARDED : REASON_ICMP_REVERSED, p.length);
    return to.flags & FLOW_HAIRPIN ? send_back(skb, &p) : TC_PASS;
}

/* Nobody serves it: say so. */
int egress_reject(struct __sk_buff *skb)
{
    struct packet p;
    struct settings *s = find_settings();
    int made;

    if (!s || take_up(&p) < 0)
        return TC_DROP;
    if (p.fragment != WHOLE || !p.plain || (p.key.protocol == PROTOCOL_TCP && p.tcp_flags & TCP_RST))
        return drop(silent_reason(p.reason), &p);
    if (!may_reject(&p, s))
        return drop(REASON_REJECT_LIMITED, &p);
    made = p.key.protocol == PROTOCOL_TCP ? make_rst(skb, &p) : make_unreachable(skb, &p);
    if (made < 0)
        return drop(REASON_REWRITE_FAILED, &p);
    count(p.reason, p.length);
    return send_back(skb, &p);
}
