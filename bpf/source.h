/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * Which source a new flow's packets get.
 *
 * The programs of a device that faces the network see a packet when its way has been chosen, by the front end's
 * address. A backend whose way is another (it is on this very node, or behind an overlay) is reached by turning the
 * packet back: it enters the node as if it came from outside, and its way is chosen anew. Its source must then be an
 * address whose way leads out by this device, or the kernel would take it for a forgery. The front end's is one, since
 * that is how the packet came here; what answers to it takes the same way and is turned back likewise. Where such a
 * packet leaves the node by another device after all, its source becomes that device's address.
 */
#ifndef TCNAT_SOURCE_H
#define TCNAT_SOURCE_H

#include "types.h"
#include "maps.h"
#include "csum.h"
#include "lookup.h"

inline_always int at_workload(struct packet *p)
{
    return p->link & LINK_WORKLOAD;
}

inline_always struct pods *find_pods(void)
{
    __u32 zero = 0;

    return pods.lookup(&zero);
}

inline_always int is_outside(struct pods *network, struct address *address)
{
    __u32 outside = 0;
    int i;

#pragma unroll
    for (i = 0; i < ADDRESS_WORDS; i++)
        outside |= (address->word[i] ^ network->network.word[i]) & network->mask.word[i];
    return outside != 0;
}

/* Whether rule 26 wants a source masqueraded. */
inline_always int is_masqueraded(struct address *source)
{
    struct pods *network = find_pods();

    if (!network || network->masquerade == MASQUERADE_NONE)
        return 0;
    return network->masquerade == MASQUERADE_ALL || is_outside(network, source);
}

/* Whether a backend is reached by turning back. */
inline_always int turns_back(struct packet *p, struct address *backend)
{
    struct address key = *backend;
    struct pods *network;

    if (same_address(&key, &p->key.source))
        return 1;
    if (at_workload(p))
        return 0;
    if (local_addresses.lookup(&key))
        return 1;
    network = find_pods();
    return network && network->overlay && !is_outside(network, &key);
}

/* Whether the source becomes the device's own address. */
inline_always int becomes_device(struct packet *p, struct flow *f)
{
    if (at_workload(p))
        return 0;
    if (f->flags & FLOW_DIRECT)
        return !!(address_flags(&p->key.source) & SERVICE_ADDRESS);
    return is_masqueraded(&p->key.source);
}

/* Fill in f's source, once its destination is known. */
inline_always void choose_source(struct __sk_buff *skb, struct packet *p, struct flow *f)
{
    __u32 device = skb->ifindex;
    struct address *own;

    if (!(f->flags & FLOW_DIRECT) && turns_back(p, &f->to_destination)) {
        f->to_source = p->key.destination;
        f->flags = FLOW_HAIRPIN | FLOW_SOURCE;
    } else if (becomes_device(p, f)) {
        own = device_addresses.lookup(&device);
        if (own) {
            f->to_source = *own;
            if (!same_address(&f->to_source, &p->key.source))
                f->flags |= FLOW_SOURCE;
        }
    }
    if (at_workload(p))
        f->flags |= FLOW_AT_WORKLOAD;
    else if (f->flags & FLOW_SOURCE)
        f->flags |= FLOW_AT_NETWORK;
}

/* Whether it is for another device to rewrite the packets of this flow. */
inline_always int is_for_another(struct packet *p, struct flow *f)
{
    _Static_assert(FLOW_AT_WORKLOAD >> LINK_WORKLOAD == FLOW_AT_NETWORK, "no branch for old verifiers to follow");

    return f->flags & (FLOW_AT_WORKLOAD >> (p->link & LINK_WORKLOAD));
}

#endif
