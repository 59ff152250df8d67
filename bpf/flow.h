/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * Flows: two halves in `flows` (answered) or `flows_new` (not yet), each found by its own packets' tuple. Either half
 * names the other, so each can be mended from the other.
 */
#ifndef TCNAT_FLOW_H
#define TCNAT_FLOW_H

#include "types.h"
#include "maps.h"
#include "csum.h"
#include "await.h"

#define RST_WINDOW (1u << 24) /* how far behind the last acknowledgement a RST's sequence number may lie */

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

/* Move both halves to the table of answered flows. 0, or -1 where that is full: then they stay where they are. */
inline_always int promote(struct flow_key *key, struct flow *own, struct flow_key *other_key, struct flow *other)
{
    struct flow half = *own;

    if (flows.update(key, &half) < 0)
        return -1;
    half = *other;
    if (flows.update(other_key, &half) < 0) {
        flows.delete(key);
        return -1;
    }
    flows_new.delete(key);
    flows_new.delete(other_key);
    return 0;
}

inline_always int rst_is_acceptable(struct packet *p, struct flow *own, struct flow *other)
{
    if (own->state < OPEN || !(other->flags & FLOW_ACK_SEEN))
        return 1;
    return p->sequence - other->ack < RST_WINDOW;
}

/* The state after a packet's FIN, if it has one. Behind OPEN, a state's lowest bit says that the client has closed, the
 * next one that the backend has. */
inline_always __u8 after_fin(__u8 state, struct packet *p)
{
    if (!(p->tcp_flags & TCP_FIN) || state < OPEN || state > CLOSING)
        return state;
    return OPEN + ((state - OPEN) | (1 << p->key.direction));
}

inline_always void note_ack(struct packet *p, struct flow *own)
{
    own->ack = p->acknowledgement;
    own->flags |= FLOW_ACK_SEEN;
}

/* The TCP state that follows; *promoted becomes 1 when the conversation has proved to be one. */
inline_always __u8 tcp_follow(struct packet *p, struct flow *own, struct flow *other, int *promoted)
{
    __u8 flags = p->tcp_flags;
    __u8 state = own->state;

    if (flags & TCP_RST)
        return rst_is_acceptable(p, own, other) ? CLOSED : state;
    if (flags & TCP_SYN) {
        if (state == OPENING && p->key.direction == REPLY && flags & TCP_ACK) {
            own->ack = p->sequence + 1;
            other->ack = p->sequence + 1;
            return OPENING_ANSWERED;
        }
        return state;
    }
    if ((state == OPENING_ANSWERED && p->key.direction == FORWARD && flags & TCP_ACK &&
         p->acknowledgement == own->ack) ||
        (state == PICKED_UP && p->key.direction == REPLY)) {
        *promoted = 1;
        state = OPEN;
    }
    if (state >= OPEN && flags & TCP_ACK)
        note_ack(p, own);
    return after_fin(state, p);
}

/* The state that a flow's first packet gives it. */
inline_always __u8 first_tcp_state(struct packet *p)
{
    if (p->tcp_flags & TCP_RST)
        return CLOSED;
    return (p->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN ? OPENING : PICKED_UP;
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

/* Give both halves a state, and its time-out. */
inline_always void set_state(struct flow *own, struct flow *other, __u8 state, __u8 protocol)
{
    own->state = state;
    other->state = state;
    own->timeout = timeout_of(state, protocol);
    other->timeout = own->timeout;
}

/* Tell, once a second, that replies of a flow may come. Before its other half is looked up: see keep_pointer(). */
inline_always void await_again(struct packet *p, struct flow *f, struct flow_key *reply)
{
    if (f->seen != p->seconds)
        await_reply(reply, p->seconds);
}

/*
 * Bring both halves up to date with a packet of `own`'s side. `other` is 0 where it is lost. `reply` is that of the two
 * keys under which replies are found.
 */
inline_always void follow(struct packet *p, struct flow *own, struct flow_key *other_key, struct flow *other,
                          struct flow_key *reply)
{
    int promoted = 0;
    __u8 state = own->state;

    if (own->seen != p->seconds) {
        own->seen = p->seconds;
        if (other)
            other->seen = p->seconds;
    }
    if (p->key.protocol != PROTOCOL_TCP) {
        if (state == UNANSWERED && p->key.direction == REPLY) {
            promoted = 1;
            state = ANSWERED;
        }
    } else if (other) {
        state = tcp_follow(p, own, other, &promoted);
    } else if (state >= OPEN && (p->tcp_flags & (TCP_ACK | TCP_SYN | TCP_RST)) == TCP_ACK) {
        note_ack(p, own);
    }
    if (!other || (state == own->state && !promoted))
        return;
    set_state(own, other, state, p->key.protocol);
    if (promoted && promote(&p->key, own, other_key, other) < 0)
        await_reply(reply, AWAITED_ALWAYS); /* it will be kept far longer than flows are in that table */
}

#endif
