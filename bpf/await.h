/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * When a reply was last awaited, by the hash of its key. What no bucket tells of is nobody's reply, which then is known
 * without a look into the tables of flows. Several keys share a bucket: it may say yes where there is no flow, never no
 * where there is one that is not answered yet.
 */
#ifndef TCNAT_AWAIT_H
#define TCNAT_AWAIT_H

#include "types.h"
#include "maps.h"
#include "hash.h"

#define AWAITED_BUCKETS 32768
#define AWAITED_ALWAYS 0xffffffffu

inline_always __u32 *awaited_since(struct flow_key *reply)
{
    __u32 bucket = (__u32)reply->source_port << 16 | reply->destination_port;
    int i;

#pragma unroll
    for (i = 0; i < ADDRESS_WORDS; i++)
        bucket = (bucket ^ reply->source.word[i]) * 0x85ebca6b + reply->destination.word[i];
    bucket = mix(bucket ^ reply->protocol) % AWAITED_BUCKETS;

    return awaited.lookup(&bucket);
}

/* `seconds`: now, or AWAITED_ALWAYS for good. */
inline_always void await_reply(struct flow_key *reply, __u32 seconds)
{
    __u32 *since = awaited_since(reply);

    if (since && *since != AWAITED_ALWAYS)
        *since = seconds;
}

/* Whether a reply may have been awaited in the last `within` seconds. */
inline_always int is_awaited(struct flow_key *reply, __u32 now, __u32 within)
{
    __u32 *since = awaited_since(reply);

    return !since || *since == AWAITED_ALWAYS || (__s32)(now - *since) <= (__s32)within;
}

#endif
