/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * The conversations that were answered last, in a ring. Who comes in takes the place of who came in a whole round
 * before, whose flow then goes if nobody waits for its packets any longer. So what is short makes room for its like,
 * and what lasts stays in the table of flows, however long it is idle.
 */
#ifndef TCNAT_RECENT_H
#define TCNAT_RECENT_H

#include "types.h"
#include "maps.h"
#include "flow.h"

#define DONE_AFTER 5 /* seconds; a resolver has asked again by then */

/* Whether nobody waits for packets of it: it is over, or was a question and its answer. */
inline_always int is_done(struct flow *f, __u8 protocol, __u32 seconds)
{
    if (protocol == PROTOCOL_UDP && !(f->flags & FLOW_LASTS) && seconds - f->seen >= DONE_AFTER)
        return 1;
    return is_over(f, protocol, seconds);
}

/* The place in the ring that is next, or 0. Two CPUs may take the same one: then a flow is left to its time-out. */
inline_always struct flow_key *next_place(void)
{
    __u32 zero = 0;
    __u32 *next = recent_next.lookup(&zero);
    struct flow_key *place;
    __u32 at;

    if (!next)
        return 0;
    at = *next;
    *next = at + 1;
    place = recent.lookup(&at);
    if (place)
        return place;
    *next = 1;
    return recent.lookup(&zero);
}

/* The conversation of the packet at hand has been answered. */
inline_always void become_recent(struct packet *p)
{
    struct flow_key *place = next_place();
    struct flow_key earlier;
    struct flow *f;

    if (!place)
        return;
    earlier = *place;
    *place = p->key;
    f = flows.lookup(&earlier);
    keep_pointer(f);
    if (f && is_done(f, earlier.protocol, p->seconds))
        forget_answered(&earlier, f);
}

#endif
