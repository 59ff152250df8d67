/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* What the services map says of an address and port, or of an address as such. */
#ifndef TCNAT_LOOKUP_H
#define TCNAT_LOOKUP_H

#include "types.h"
#include "maps.h"

inline_always struct service *service_at(struct address *address, __u16 port, __u8 protocol)
{
    struct service_key key;

    key.address = *address;
    key.port = port;
    key.protocol = protocol;
    key.pad = 0;
    return services.lookup(&key);
}

#define PORTS_PER_WORD 64

/*
 * Whether the map may have something under a port, which the agent says beforehand. Most packets are to no Service, and
 * know it by this, without a look into a table that is larger than the CPU's caches.
 */
inline_always int is_served(__u16 port)
{
    __u32 number = bpf_ntohs(port);
    __u32 word = number / PORTS_PER_WORD;
    __u64 *bits = ports.lookup(&word);

    return !bits || *bits >> number % PORTS_PER_WORD & 1;
}

/* What a packet is sent to, or 0. */
inline_always struct service *find_service(struct packet *p)
{
    if (!is_served(p->key.destination_port))
        return 0;
    return service_at(&p->key.destination, p->key.destination_port, p->key.protocol);
}

/* What it says of an address as such: SERVICE_ADDRESS, SERVICE_BACKEND_ADDRESS, both, or 0. */
inline_always __u32 address_flags(struct address *address)
{
    struct service *s = service_at(address, 0, 0);

    return s ? s->flags : 0;
}

#endif
