/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* Fragments: the first one tells the ports, the later ones find them by the datagram's id. */
#ifndef TCNAT_FRAG_H
#define TCNAT_FRAG_H

#include "types.h"
#include "maps.h"
#include "flow.h"

inline_always void fragment_key(struct fragment_key *key, struct packet *p)
{
    key->source = p->key.source;
    key->destination = p->key.destination;
    key->id = p->fragment_id;
    key->protocol = FAMILY == 4 ? p->key.protocol : 0; /* IPv6: the id alone names the datagram (RFC 8200, 4.5) */
    key->direction = p->key.direction;
    key->pad = 0;
}

/* Remember a first fragment's ports; `known` is its flow's protocol, or 0 for "let the rest pass". */
inline_always void remember_fragment(struct packet *p, __u8 known)
{
    struct fragment_key key;
    struct fragment first;

    fragment_key(&key, p);
    first.source_port = p->key.source_port;
    first.destination_port = p->key.destination_port;
    first.seen = p->seconds;
    first.known = known;
    fragments.update(&key, &first);
}

/* What the first fragment left, or 0. */
inline_always struct fragment *find_first(struct packet *p, struct settings *s)
{
    struct fragment_key key;
    struct fragment *first;

    fragment_key(&key, p);
    first = fragments.lookup(&key);
    if (!first || expired(p->seconds, first->seen, s->fragment_timeout))
        return 0;
    return first;
}

/* Let a later fragment be found by its first one's flow. */
inline_always void adopt_ports(struct packet *p, struct fragment *first)
{
    p->key.source_port = first->source_port;
    p->key.destination_port = first->destination_port;
    p->key.protocol = first->known;
}

#endif
