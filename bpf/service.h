/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* Front ends: whether their flows are kept, and choosing a backend for a new one. */
#ifndef TCNAT_SERVICE_H
#define TCNAT_SERVICE_H

#include "types.h"
#include "maps.h"
#include "flow.h"
#include "hash.h"

#define SOURCE_PORT_TRIES 8

inline_always int is_direct(__u32 flags)
{
    return !(flags & SERVICE_FRONT_END);
}

inline_always int generation_matches(__u32 backend, __u32 generation)
{
    struct backend *b = backends.lookup(&backend);

    return b && b->generation == generation;
}

/* Whether a flow goes on, or the packet begins another. Open TCP stays where it is, UDP follows its endpoints. `flags`
 * are the front end's. */
inline_always int keeps(struct flow *f, struct packet *p, __u32 flags)
{
    if (is_direct(flags) != !!(f->flags & FLOW_DIRECT))
        return 0;
    if (p->key.protocol == PROTOCOL_TCP) {
        if ((p->tcp_flags & (TCP_SYN | TCP_ACK)) != TCP_SYN)
            return 1;
        if (f->state >= CLOSING)
            return 0;
    } else if (p->key.protocol == PROTOCOL_SCTP) {
        if (!(p->tcp_flags & TCP_SYN))
            return 1;
    } else if (flags & (SERVICE_DRAINING | SERVICE_REJECT | SERVICE_DROP)) {
        return 0;
    }
    return f->flags & FLOW_DIRECT || generation_matches(f->backend, f->generation);
}

/* The backend of a new flow by the front end's Maglev table. */
inline_always __u32 backend_by_hash(struct service *svc, __u32 hash)
{
    __u32 slot = svc->base + (__u32)((__u64)hash * svc->count >> 32);
    __u32 *backend = slots.lookup(&slot);

    return backend ? *backend : DIRECT_BACKEND;
}

/* The backend that the client has by affinity, or DIRECT_BACKEND for none. */
inline_always __u32 backend_by_affinity(struct service *svc, struct packet *p)
{
    struct affinity_key key;
    struct affinity *a;

    key.client = p->key.source;
    key.service = svc->service;
    a = affinity.lookup(&key);
    if (!a || expired(p->seconds, a->seen, svc->affinity) || !generation_matches(a->backend, a->generation))
        return DIRECT_BACKEND;
    return a->backend;
}

inline_always void remember_affinity(struct service *svc, struct packet *p, struct flow *f)
{
    struct affinity_key key;
    struct affinity a;

    key.client = p->key.source;
    key.service = svc->service;
    a.backend = f->backend;
    a.generation = f->generation;
    a.seen = p->seconds;
    affinity.update(&key, &a);
}

/* Choose a backend: fills f's backend, generation and destination. 0, or -1 when the maps name none. */
inline_always int choose_backend(struct service *svc, struct packet *p, struct flow *f, __u32 hash)
{
    __u32 id = DIRECT_BACKEND;
    struct backend *b;

    if (svc->affinity)
        id = backend_by_affinity(svc, p);
    if (id == DIRECT_BACKEND)
        id = backend_by_hash(svc, hash);
    b = backends.lookup(&id);
    if (!b || !b->port)
        return -1;
    f->backend = id;
    f->generation = b->generation;
    f->to_destination = b->address;
    f->to_destination_port = b->port;
    if (svc->affinity)
        remember_affinity(svc, p, f);
    return 0;
}

#endif
