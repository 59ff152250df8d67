/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* The protocol headers, as they stand in packets: network order throughout. */
#ifndef TCNAT_HEADERS_H
#define TCNAT_HEADERS_H

#include "types.h"

struct ipv4_header {
    __u8 version_ihl;
    __u8 tos;
    __u16 total_length;
    __u16 id;
    __u16 fragment;
    __u8 ttl;
    __u8 protocol;
    __u16 checksum;
    __u32 addresses[2];
};

struct ipv6_header {
    __u32 version_class_label;
    __u16 payload_length;
    __u8 next_header;
    __u8 hop_limit;
    __u32 addresses[8];
};

struct tcp_header {
    __u16 source;
    __u16 destination;
    __u32 sequence;
    __u32 acknowledgement;
    __u8 offset; /* in the upper half */
    __u8 flags;
    __u16 window;
    __u16 checksum;
    __u16 urgent;
};

struct udp_header {
    __u16 source;
    __u16 destination;
    __u16 length;
    __u16 checksum;
};

struct icmp_header {
    __u8 type;
    __u8 code;
    __u16 checksum;
    __u32 rest;
};

#if FAMILY == 4
#define IP_HEADER struct ipv4_header
#define PROTOCOL_ICMP PROTOCOL_ICMP4
#define ETHERTYPE 0x0800
#define ECHO_REQUEST 8
#define ECHO_REPLY 0
#else
#define IP_HEADER struct ipv6_header
#define PROTOCOL_ICMP PROTOCOL_ICMP6
#define ETHERTYPE 0x86dd
#define ECHO_REQUEST 128
#define ECHO_REPLY 129
#endif

#define EXTENSION_HOP_BY_HOP 0
#define EXTENSION_ROUTING 43
#define EXTENSION_FRAGMENT 44
#define EXTENSION_DESTINATION 60

#endif
