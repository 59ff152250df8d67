/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * From a client: packets to a front end go on to a backend. docs/datapath.md is the specification.
 *
 * tc_egress serves the plain packets of open flows. What is rarer lies behind tail calls, each a program that old
 * verifiers can follow to its end: egress_slow reads any packet and sends it on to the one for a flow that is kept, a
 * new flow, a later fragment, ICMP, or a packet that no front end takes; egress_reject answers what nobody serves.
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
#include "recent.h"
#include "service.h"
#include "source.h"
#include "redirect.h"
#include "nat.h"
#include "open.h"
#include "reject.h"
#include "icmp.h"
#include "trace.h"

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
        return untouched(skb, p);
    read_clock(p, s);
    go_on(skb, p, TAIL_EGRESS_MISS);
    return TC_PASS;
}

/* At a workload's device: a packet that may be a reply of that workload's, to be handed on from here. */
inline_always int may_answer(struct __sk_buff *skb, struct packet *p, struct settings *s)
{
    if (!has_hops(p) || !handed_on_until(skb, p))
        return 0;
    read_clock(p, s);
    return hands_on(skb, p);
}

/*
 * The packets that most are: whole TCP or UDP with no options in its IP header. What belongs to a flow that stands, be
 * it about to close, is served here, and what is no Service's leaves at once.
 */
int tc_egress(struct __sk_buff *skb)
{
    struct packet p = {};
    struct settings *s = find_settings();
    struct service *svc;
    struct flow_key beside;
    struct flow *f, *other;
    struct flow to;
    struct neighbour next = {};
    int parsed;
    __u32 flags = 0; /* of the front end */
    __u8 state;

    if (!s || skb->tc_index == REWRITTEN)
        return TC_PASS;
    if (s->trace && !(skb->tc_classid & TRACE_LOOKED_AT))
        tails.call(skb, TAIL_EGRESS_TRACE);
    parsed = parse_plain(skb, &p, FORWARD);
    if (parsed == PARSED_NOT_OURS)
        return untouched(skb, &p);
    if (parsed != PARSED_TRANSPORT) {
        tails.call(skb, TAIL_EGRESS_SLOW);
        return TC_PASS;
    }
    svc = find_service(&p);
    if (svc) {
        flags = svc->flags;
        read_clock(&p, s);
    } else {
        if (!may_answer(skb, &p, s))
            goto nobody;
        p.key.direction = REPLY;
    }
    f = flows.lookup(&p.key);
    keep_pointer(f);
    if (!f) {
        if (p.key.direction == REPLY) {
            if (is_awaited(&p.key, p.seconds, s->opening_timeout))
                goto answer;
            goto nobody;
        }
        f = flows_new.lookup(&p.key);
        keep_pointer(f);
        if (!f) {
            p.unknown = 1;
            go_on(skb, &p, TAIL_EGRESS_NEW);
            goto open;
        }
        if (!rests(f, &p) || !keeps(f, &p, flags) || is_for_another(&p, f))
            goto open;
        return translate_resting(skb, &p, f);
    }
    if (!lives(f, p.seconds) || !goes_on(f, &p) || is_for_another(&p, f) ||
        !(p.key.direction == FORWARD ? keeps(f, &p, flags) : is_handed_on(skb, f)))
        goto open;
    if (!rests(f, &p)) {
        if (f->seen != p.seconds && hands_on(skb, &p)) /* and then the devices of both halves are asked for, too */
            goto open;
        other_key(&beside, f, p.key.protocol, !p.key.direction);
        other = flows.lookup(&beside);
        keep_pointer(other);
        if (!other || !lives(other, p.seconds) || !answers(other, &p.key))
            goto open;
        if (f->seen != p.seconds) {
            await_again(&p, f, &beside);
            note_seen(f, other, p.seconds);
        }
        state = after_fin(f->state, &p);
        if (state != f->state)
            set_state(f, other, state, PROTOCOL_TCP);
    }
    if (p.key.protocol == PROTOCOL_TCP)
        note_ack(&p, f);
    to = *f;
    if (!finds_next(skb, &p, &to, &next) && p.key.direction == REPLY)
        goto answer;
    assume_plain(&p);
    return translate(skb, &p, &to, 1, &next);
open:
    if (p.key.direction == FORWARD) {
        go_on(skb, &p, TAIL_EGRESS_OPEN);
        return drop(skb, &p, REASON_REWRITE_FAILED);
    }
answer:
    go_on(skb, &p, TAIL_EGRESS_ANSWER);
    return TC_PASS;
nobody:
    p.key.direction = FORWARD;
    return miss(skb, &p, s);
}

/* Any packet: read with all its options, and sent on to the program that knows what to do. */
int egress_slow(struct __sk_buff *skb)
{
    struct packet p = {};
    struct settings *s = find_settings();
    int parsed;

    if (!s)
        return TC_PASS;
    parsed = parse(skb, &p, FORWARD);
    if (parsed == PARSED_NOT_OURS)
        return untouched(skb, &p);
    if (parsed < PARSED_TRANSPORT)
        return pass(skb, &p, parsed);
    read_clock(&p, s);
    if (parsed == PARSED_ICMP) {
        go_on(skb, &p, TAIL_EGRESS_ICMP);
        return TC_PASS;
    }
    if (parsed == PARSED_LATER_FRAGMENT) {
        go_on(skb, &p, TAIL_EGRESS_FRAGMENT);
        return TC_PASS;
    }
    if (!find_service(&p))
        return miss(skb, &p, s);
    go_on(skb, &p, TAIL_EGRESS_OPEN);
    return drop(skb, &p, REASON_REWRITE_FAILED);
}

/* A packet to a front end: its flow may stand, be halved, or be another's by now. */
int egress_open(struct __sk_buff *skb)
{
    struct packet p;
    struct service *svc;
    struct flow_key reply;
    struct flow *f, *other;
    struct devices by = {};
    int fresh, first;

    if (take_up(&p) < 0)
        return TC_PASS;
    svc = find_service(&p);
    f = find_flow(&p.key, &p, &fresh);
    if (!svc || !f || !keeps(f, &p, svc->flags))
        goto anew;
    if (rests(f, &p) && !is_for_another(&p, f))
        return translate_resting(skb, &p, f);
    other_key(&reply, f, p.key.protocol, REPLY);
    await_again(&p, f, &reply);
    first = f->seen != p.seconds;
    if (first)
        find_devices(skb, &p, f, &by);
    other = find_beside(&reply, &p, fresh);
    if (!other) {
        go_on(skb, &p, TAIL_EGRESS_MEND);
        return drop(skb, &p, REASON_REWRITE_FAILED);
    }
    if (!answers(other, &p.key))
        goto anew;
    if (!at_workload(&p)) { /* its workload's device has lost its programs, or it would have been rewritten there */
        f->flags &= ~FLOW_AT_WORKLOAD;
        other->flags &= ~FLOW_AT_WORKLOAD;
    }
    if (first) {
        f->device = by.forward;
        other->device = by.reply;
    }
    follow(&p, f, &reply, other, &reply);
    return translate_next(skb, &p, f, TAIL_EGRESS_REWRITE);
anew:
    go_on(skb, &p, TAIL_EGRESS_NEW);
    return drop(skb, &p, REASON_REWRITE_FAILED);
}

/* The reply half was lost: it comes back, and then the flow goes on. */
int egress_mend(struct __sk_buff *skb)
{
    struct packet p;
    struct flow *f;
    int fresh;

    if (take_up(&p) < 0)
        return TC_PASS;
    f = find_flow(&p.key, &p, &fresh);
    if (!f || mend(&p, f, fresh) < 0)
        return drop(skb, &p, REASON_FLOW_TABLE_FULL);
    go_on(skb, &p, TAIL_EGRESS_OPEN);
    return drop(skb, &p, REASON_REWRITE_FAILED);
}

/* The way out for a packet whose flow is up to date. */
int egress_rewrite(struct __sk_buff *skb)
{
    struct packet p;
    struct flow to;
    struct neighbour next = {};

    if (take_up(&p) < 0 || take_up_flow(&to) < 0)
        return TC_PASS;
    if (p.fragment == WHOLE)
        finds_next(skb, &p, &to, &next);
    return translate(skb, &p, &to, 1, &next);
}

/* A packet that may be a workload's reply to another of this node: reversed here, it need not take the node's routes.
 */
int egress_answer(struct __sk_buff *skb)
{
    struct packet p;
    struct settings *s = find_settings();
    struct flow_key forward;
    struct flow *f;
    int fresh;

    if (!s || take_up(&p) < 0)
        return TC_PASS;
    p.key.direction = REPLY;
    f = find_flow(&p.key, &p, &fresh);
    if (!f || !is_handed_on(skb, f) || is_for_another(&p, f) || !device_of(&f->to_destination)) {
        p.key.direction = FORWARD;
        return miss(skb, &p, s);
    }
    other_key(&forward, f, p.key.protocol, FORWARD);
    await_again(&p, f, &p.key);
    follow(&p, f, &forward, find_other(&forward, &p, fresh), &p.key);
    return translate_next(skb, &p, f, TAIL_EGRESS_REWRITE);
}

/* While somebody traces: look at the packet first. */
int egress_trace(struct __sk_buff *skb)
{
    look_at(skb, FORWARD);
    tails.call(skb, TAIL_EGRESS);
    return TC_PASS;
}

/* The last program of a traced packet, in either direction. */
int trace_decided(struct __sk_buff *skb)
{
    struct packet p;

    if (take_up(&p) < 0)
        return TC_PASS;
    send_event(skb, &p, EVENT_DECIDED);
    return p.verdict;
}

/* The conversation of a packet, of either direction, has just been answered: it becomes one of the recent ones. */
int flow_recent(struct __sk_buff *skb)
{
    struct packet p;

    if (take_up(&p) < 0)
        return TC_PASS;
    become_recent(&p);
    tails.call(skb, p.reason);
    return drop(skb, &p, REASON_REWRITE_FAILED);
}

/* A flow begins, or begins anew. */
int egress_new(struct __sk_buff *skb)
{
    struct packet p;
    struct settings *s = find_settings();
    struct service *svc;
    struct flow f = {};
    struct flow_key reply;
    struct devices by;
    __u32 hash;

    if (!s || take_up(&p) < 0)
        return TC_PASS;
    svc = find_service(&p);
    if (!svc || svc->flags & SERVICE_DRAINING)
        return miss(skb, &p, s);
    hash = flow_hash(&p.key);
    f.to_source = p.key.source;
    if (is_direct(svc->flags)) {
        f.backend = DIRECT_BACKEND;
        f.flags = FLOW_DIRECT;
        f.to_destination = p.key.destination;
        f.to_destination_port = p.key.destination_port;
    } else {
        if (svc->flags & SERVICE_DROP)
            return drop(skb, &p, REASON_NO_LOCAL_ENDPOINT);
        if (svc->flags & SERVICE_REJECT || !svc->count) {
            p.reason = REASON_REJECT_NO_ENDPOINT;
            go_on(skb, &p, TAIL_EGRESS_REJECT);
            return drop(skb, &p, REASON_NO_ENDPOINT);
        }
        if (at_workload(&p) && is_masqueraded(&p.key.source)) {
            if (p.fragment == FIRST_FRAGMENT)
                remember_fragment(&p, 0);
            return untouched(skb, &p);
        }
        if (choose_backend(svc, &p, &f, hash) < 0)
            return drop(skb, &p, REASON_BACKEND_MISSING);
        f.service = svc->service;
    }
    choose_source(skb, &p, &f);
    find_devices(skb, &p, &f, &by);
    f.device = by.forward;
    if (p.key.protocol == PROTOCOL_SCTP && f.to_destination_port != p.key.destination_port)
        return drop(skb, &p, REASON_SCTP_PORT);
    if (!p.unknown)
        forget(&p);
    other_key(&reply, &f, p.key.protocol, REPLY);
    if (choose_source_port(&reply, &p, f.flags, hash) < 0)
        return drop(skb, &p, REASON_NO_SOURCE_PORT);
    f.to_source_port = reply.destination_port;
    if (f.to_source_port != p.key.source_port)
        f.flags |= FLOW_SOURCE;
    f.seen = p.seconds;
    if (p.key.protocol == PROTOCOL_TCP)
        f.state = first_tcp_state(&p);
    f.timeout = timeout_of(f.state, p.key.protocol);
    if (write_halves(&reply, &p, &f, by.reply) < 0)
        return drop(skb, &p, REASON_FLOW_TABLE_FULL);
    if (f.flags & FLOW_HAIRPIN) {
        __u32 zero = 0, one = 1;
        hairpin.update(&zero, &one);
    }
    p.new_flow = 1;
    return translate_next(skb, &p, &f, TAIL_EGRESS_REWRITE);
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
    f = hairpins_exist() ? find_flow(&key, &p, &fresh) : 0;
    if (f && f->flags & FLOW_HAIRPIN) {
        p.key.direction = REPLY;
        other_key(&key, f, p.key.protocol, FORWARD);
        await_again(&p, f, &p.key);
        follow(&p, f, &key, find_other(&key, &p, fresh), &p.key);
        return translate_next(skb, &p, f, TAIL_EGRESS_REWRITE);
    }
    if (s->unknown_port == CHOICE_PASS && p.fragment == WHOLE)
        return untouched(skb, &p);
    if (!(address_flags(&p.key.destination) & SERVICE_ADDRESS))
        return untouched(skb, &p);
    if (s->unknown_port == CHOICE_DROP)
        return drop(skb, &p, REASON_UNKNOWN_PORT);
    if (s->unknown_port == CHOICE_REJECT) {
        p.reason = REASON_REJECT_UNKNOWN_PORT;
        go_on(skb, &p, TAIL_EGRESS_REJECT);
        return drop(skb, &p, REASON_UNKNOWN_PORT);
    }
    remember_fragment(&p, 0); /* a first fragment: whole packets have left above */
    return untouched(skb, &p);
}

/* The rest of a datagram goes where its first fragment went. */
int egress_fragment(struct __sk_buff *skb)
{
    struct packet p;
    struct settings *s = find_settings();
    struct fragment *first;

    if (!s || take_up(&p) < 0)
        return TC_PASS;
    first = find_first(&p, s);
    if (!first && hairpins_exist()) {
        p.key.direction = REPLY;
        first = find_first(&p, s);
    }
    if (!first) {
        if (address_flags(&p.key.destination) & SERVICE_ADDRESS)
            return drop(skb, &p, REASON_FRAGMENT_BEFORE_FIRST);
        return untouched(skb, &p);
    }
    return translate_later(skb, &p, first, 1);
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
        return drop(skb, p, REASON_REWRITE_FAILED);
    return send_back(skb, p, REASON_ECHO_ANSWERED);
}

inline_always int echo_request(struct __sk_buff *skb, struct packet *p, struct settings *s)
{
    if (s->echo == CHOICE_PASS || !(address_flags(&p->key.destination) & SERVICE_ADDRESS))
        return untouched(skb, p);
    if (s->echo == CHOICE_DROP)
        return drop(skb, p, REASON_ECHO_DROPPED);
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
        return untouched(skb, &p);
    if (read_quoted(skb, &p, &q) < 0)
        return pass(skb, &p, REASON_ICMP_UNKNOWN_FLOW);
    quoted_key(&key, &q, FORWARD);
    f = find_flow(&key, &p, &fresh);
    if (!f && hairpins_exist()) {
        key.direction = REPLY;
        f = find_flow(&key, &p, &fresh);
        if (f && !(f->flags & FLOW_HAIRPIN))
            f = 0;
    }
    if (!f)
        return pass(skb, &p, REASON_ICMP_UNKNOWN_FLOW);
    if (is_for_another(&p, f))
        return untouched(skb, &p);
    to = *f;
    if (rewrite_error(skb, &p, &q, &to) < 0)
        return drop(skb, &p, REASON_REWRITE_FAILED);
    if (to.flags & FLOW_HAIRPIN)
        return send_back(skb, &p, key.direction == FORWARD ? REASON_ICMP_FORWARDED : REASON_ICMP_REVERSED);
    return rewritten(skb, &p, REASON_ICMP_FORWARDED);
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
        return drop(skb, &p, silent_reason(p.reason));
    if (!take_token(LIMIT_REJECTS, s->rejects_per_second, p.now))
        return drop(skb, &p, REASON_REJECT_LIMITED);
    made = p.key.protocol == PROTOCOL_TCP ? make_rst(skb, &p) : make_unreachable(skb, &p);
    if (made < 0)
        return drop(skb, &p, REASON_REWRITE_FAILED);
    return send_back(skb, &p, p.reason);
}
