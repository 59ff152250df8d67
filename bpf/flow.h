/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * Flows: two halves in `flows` (answered) or `flows_new` (not yet), each found by its own packets' tuple. Either half
 * names the other, so each can be mended from the other. What a packet makes of them is in follow.h.
 */
#ifndef TCNAT_FLOW_H
#define TCNAT_FLOW_H

#include "types.h"
#include "maps.h"
#include "csum.h"

#define REUSE_AFTER 2 /* seconds */

/*
 * A flow carries its state's time-out, so that finding one needs no other look-up. The time-outs are a map of their
 * own, as a variable index into a map's value makes the verifiers before 4.14 stop pruning for the whole program.
 */
inline_always __u32 timeout_of(__u8 state, __u8 protocol)
{
    __u32 index = state == ANSWERED && protocol == PROTOCOL_SCTP ? SCTP_ANSWERED : state;
    __u32 *seconds = timeouts.lookup(&index);

    return seconds ? *seconds : 0;
}

inline_always int expired(__u32 now, __u32 seen, __u32 timeout)
{
    return (__s32)(now - seen) > (__s32)timeout;
}

inline_always int lives(struct flow *f, __u32 seconds)
{
    return !expired(seconds, f->seen, f->timeout);
}

/* Past its time, or a TCP connection that has ended on both sides and has been quiet since: nobody waits for it. */
inline_always int is_over(struct flow *f, __u8 protocol, __u32 seconds)
{
    if (protocol == PROTOCOL_TCP && f->state >= CLOSING && seconds - f->seen >= REUSE_AFTER)
        return 1;
    return !lives(f, seconds);
}

/* The flow under a key, or 0 if there is none that lives. *fresh tells in which table it is. */
inline_always struct flow *find_flow(struct flow_key *key, struct packet *p, int *fresh)
{
    struct flow *f = flows.lookup(key);

    keep_pointer(f);
    *fresh = 0;
    if (f && lives(f, p->seconds))
        return f;
    f = flows_new.lookup(key);
    keep_pointer(f);
    *fresh = 1;
    if (f && !lives(f, p->seconds))
        f = 0;
    return f;
}

/* The same under the key of another half: both are mostly in one table. */
inline_always struct flow *find_beside(struct flow_key *key, struct packet *p, int fresh)
{
    struct flow *f = fresh ? flows_new.lookup(key) : flows.lookup(key);
    int other;

    keep_pointer(f);
    if (f && lives(f, p->seconds))
        return f;
    return find_flow(key, p, &other);
}

/* The key of the other half, seen from either. */
inline_always void other_key(struct flow_key *other, struct flow *f, __u8 protocol, __u8 direction)
{
    other->source = f->to_destination;
    other->destination = f->to_source;
    other->source_port = f->to_destination_port;
    other->destination_port = f->to_source_port;
    other->protocol = protocol;
    other->direction = direction;
    other->pad = 0;
}

/* Whether a half found under other_key() belongs to the conversation whose packets have this key. */
inline_always int answers(struct flow *other, struct flow_key *key)
{
    return same_address(&other->to_source, &key->destination) && same_address(&other->to_destination, &key->source) &&
           other->to_source_port == key->destination_port && other->to_destination_port == key->source_port;
}

/* The other half of a conversation, or 0 where it is lost or its key is another conversation's by now. */
inline_always struct flow *find_other(struct flow_key *other_key, struct packet *p, int fresh)
{
    struct flow *other = find_beside(other_key, p, fresh);

    return other && answers(other, &p->key) ? other : 0;
}

/* Delete an answered flow: the half under this key, and its other one where that is this conversation's still. */
inline_always void forget_answered(struct flow_key *key, struct flow *f)
{
    struct flow_key beside;
    struct flow *other;

    other_key(&beside, f, key->protocol, !key->direction);
    other = flows.lookup(&beside);
    keep_pointer(other);
    if (other && answers(other, key))
        flows.delete(&beside);
    flows.delete(key);
}

/* Write the half that answers *key and *f, which have just been seen. */
inline_always void make_other(struct flow *other, struct flow_key *key, struct flow *f)
{
    *other = *f;
    other->to_source = key->destination;
    other->to_destination = key->source;
    other->to_source_port = key->destination_port;
    other->to_destination_port = key->source_port;
    other->flags = f->flags & ~FLOW_ACK_SEEN;
    other->device = 0;
}

/* Whether the packet is one of a conversation that stands: all that it can change is the acknowledgement number and,
 * by a FIN, the state. */
inline_always int goes_on(struct flow *f, struct packet *p)
{
    if (p->key.protocol == PROTOCOL_TCP)
        return f->state >= OPEN && f->state <= CLOSING && (p->tcp_flags & (TCP_ACK | TCP_SYN | TCP_RST)) == TCP_ACK;
    return f->state == ANSWERED || (f->state == UNANSWERED && p->key.direction == FORWARD);
}

/*
 * Whether nothing changes by the packet but the acknowledgement number, and another one of this second has seen to the
 * flow: then its other half is left in peace, which costs a look-up less and, in a large table, waiting for memory.
 */
inline_always int rests(struct flow *f, struct packet *p)
{
    return f->seen == p->seconds && goes_on(f, p) && !(p->tcp_flags & TCP_FIN);
}

#endif
