/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* Opening a flow: forgetting the one that stood there, finding a reply tuple that is nobody else's, writing both
 * halves. */
#ifndef TCNAT_OPEN_H
#define TCNAT_OPEN_H

#include "types.h"
#include "maps.h"
#include "await.h"
#include "flow.h"
#include "lookup.h"
#include "service.h"

/* Remove what is left of an earlier flow under the same tuple, in both tables. */
inline_always void forget(struct packet *p)
{
    struct flow_key other;
    struct flow *f, *o;

    f = flows.lookup(&p->key);
    if (f)
        forget_answered(&p->key, f);
    f = flows_new.lookup(&p->key);
    if (f) {
        other_key(&other, f, p->key.protocol, REPLY);
        o = flows_new.lookup(&other);
        if (o && answers(o, &p->key))
            flows_new.delete(&other);
        flows_new.delete(&p->key);
    }
}

/* Whether nobody else has this reply key; what is over, or ours, is removed. */
inline_always int is_free(struct flow_key *reply, struct packet *p)
{
    struct flow *f = flows.lookup(reply);

    if (f) {
        if (!is_over(f, p->key.protocol, p->seconds) && !answers(f, &p->key))
            return 0;
        flows.delete(reply);
    }
    f = flows_new.lookup(reply);
    if (f) {
        if (!is_over(f, p->key.protocol, p->seconds) && !answers(f, &p->key))
            return 0;
        flows_new.delete(reply);
    }
    return 1;
}

/* A hairpin's replies go to the front end's address: they must not look like a client's packets. */
inline_always int is_front_end(struct packet *p, __u16 port)
{
    return service_at(&p->key.destination, port, p->key.protocol) != 0;
}

/* Find a source port with which the reply key is free: the client's own if it can be. 0, or -1 for none. */
inline_always int choose_source_port(struct flow_key *reply, struct packet *p, __u8 flags, __u32 hash)
{
    int try;

    reply->destination_port = p->key.source_port;
#pragma unroll
    for (try = 0; try <= SOURCE_PORT_TRIES; try++) {
        if (try > 0)
            reply->destination_port = bpf_htons(0x8000 | (mix(hash + try) & 0x7fff));
        if (is_free(reply, p) && !(flags & FLOW_HAIRPIN && is_front_end(p, reply->destination_port)))
            return 0;
        if (p->key.protocol == PROTOCOL_SCTP)
            return -1;
    }
    return -1;
}

/* Write the reply half anew, to the table that the forward half is in. 0, or -1 where there is no room. */
inline_always int mend(struct packet *p, struct flow *f, int fresh)
{
    struct flow to = *f;
    struct flow half;
    struct flow_key reply;

    other_key(&reply, &to, p->key.protocol, REPLY);
    make_other(&half, &p->key, &to);
    half.seen = p->seconds;
    await_reply(&reply, p->seconds);
    return fresh ? flows_new.update(&reply, &half) : flows.update(&reply, &half);
}

/* Write both halves, the reply first: no packet goes out whose answer would not be known. 0, or -1 for no room. */
inline_always int write_halves(struct flow_key *reply, struct packet *p, struct flow *f, __u32 reply_device)
{
    struct flow other;

    make_other(&other, &p->key, f);
    other.device = reply_device;
    await_reply(reply, p->seconds);
    if (flows_new.insert(reply, &other) < 0)
        return -1;
    if (flows_new.update(&p->key, f) < 0) {
        flows_new.delete(reply);
        return -1;
    }
    return 0;
}

#endif
