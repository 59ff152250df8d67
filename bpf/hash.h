/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* The hash of a packet's tuple; tcnat/hashing.py computes the same. */
#ifndef TCNAT_HASH_H
#define TCNAT_HASH_H

#include "types.h"
#include "parse.h"

inline_always __u32 mix(__u32 h)
{
    h ^= h >> 16;
    h *= 0x85ebca6b;
    h ^= h >> 13;
    h *= 0xc2b2ae35;
    return h ^ h >> 16;
}

inline_always __u32 flow_hash(struct flow_key *key)
{
    __u32 ports = (__u32)swap16(key->source_port) << 16 | swap16(key->destination_port);
    __u32 h = 0x74636e61;
    int i;

#pragma unroll
    for (i = 0; i < ADDRESS_WORDS; i++)
        h = mix(h ^ bpf_ntohl(key->source.word[i])) + 0x9e3779b9;
#pragma unroll
    for (i = 0; i < ADDRESS_WORDS; i++)
        h = mix(h ^ bpf_ntohl(key->destination.word[i])) + 0x9e3779b9;
    h = mix(h ^ ports) + 0x9e3779b9;
    return mix(h ^ key->protocol);
}

#endif
