/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* A packet once it has been read, and the numbers that go with it. */
#ifndef TCNAT_PACKET_H
#define TCNAT_PACKET_H

#include "types.h"

/* skb->tc_index of a packet that tc_egress, or tc_ingress, has rewritten at an earlier device. */
#define REWRITTEN 0x7c17
#define REVERSED 0x7c18

enum fragment_kind {
    WHOLE = 0,
    FIRST_FRAGMENT = 1,
    LATER_FRAGMENT = 2,
};

/* A packet as it came, once read. It lives on the stack; a tail call takes it along in the `scratch` map. */
struct packet {
    struct flow_key key; /* on arrival; direction says which program reads it */
    __u64 now;           /* nanoseconds */
    __u32 seconds;
    __u32 length;    /* of the frame */
    __u32 network;   /* offset of the IP header */
    __u32 transport; /* offset of the transport header, behind options and extension headers */
    __u32 end;       /* offset behind the last byte that the IP header claims */
    __u32 sequence;  /* TCP, host order */
    __u32 acknowledgement;
    __u32 fragment_id;
    __u16 hops;        /* the word that the TTL, or hop limit, stands in, as it stands; of a plain packet */
    __u16 ip_checksum; /* of an IPv4 header, as it stands */
    __u16 checksum;    /* of TCP or UDP, as it stands */
    __s8 verdict;      /* for a trace: what was decided */
    __u8 answered;     /* 1: its conversation has been moved to the table of answered flows */
    __u8 new_flow;     /* 1: it begins one */
    __u8 unknown;      /* 1: no flow stands under its key, nor is left of one */
    __u8 tcp_flags;    /* of SCTP: TCP_SYN for an INIT */
    __u8 tcp_header;   /* bytes */
    __u8 fragment;     /* enum fragment_kind */
    __u8 link;         /* LINK_*, TRACE_* */
    __u8 reason;       /* why a tail call was made, or which is to be next, where it needs that */
    __u8 plain;        /* no IP options, no extension headers */
};

/* What parse_plain() has found out, said again: compilers forget it where a helper has had the packet's address. */
inline_always void assume_plain(struct packet *p)
{
    p->fragment = WHOLE;
    p->plain = 1;
}

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10

#define PROTOCOL_ICMP4 1
#define PROTOCOL_TCP 6
#define PROTOCOL_UDP 17
#define PROTOCOL_ICMP6 58
#define PROTOCOL_SCTP 132

#define TC_PASS (-1) /* TC_ACT_UNSPEC: other filters still run */
#define TC_DROP 2    /* TC_ACT_SHOT */

#endif
