/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* What a packet makes of its flow: the TCP states, the move to the table of answered flows. */
#ifndef TCNAT_FOLLOW_H
#define TCNAT_FOLLOW_H

#include "types.h"
#include "maps.h"
#include "await.h"
#include "flow.h"

#define RST_WINDOW (1u << 24) /* how far behind the last acknowledgement a RST's sequence number may lie */

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

/* Give both halves a state, and its time-out. */
inline_always void set_state(struct flow *own, struct flow *other, __u8 state, __u8 protocol)
{
    own->state = state;
    other->state = state;
    own->timeout = timeout_of(state, protocol);
    other->timeout = own->timeout;
}

/* A packet of another second than the last one's has come. */
inline_always void note_seen(struct flow *own, struct flow *other, __u32 seconds)
{
    own->seen = seconds;
    own->flags |= FLOW_LASTS;
    if (other) {
        other->seen = seconds;
        other->flags |= FLOW_LASTS;
    }
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

    if (own->seen != p->seconds)
        note_seen(own, other, p->seconds);
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
    if (!promoted)
        return;
    if (promote(&p->key, own, other_key, other) < 0)
        await_reply(reply, AWAITED_ALWAYS); /* it will be kept far longer than flows are in that table */
    else
        p->answered = 1;
}

#endif
