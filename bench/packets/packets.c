/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * Programs of the bench's own: what tcnat's are measured against, and what hands them their packets.
 *
 * BPF_PROG_TEST_RUN feeds each run the packet that the last one left. The drivers make it one that is served again:
 * they take tcnat's mark off it (tc_index), tell the device's kind as a filter's classid does, and call the program
 * under test. What a driver costs is measured around the empty program.
 */
#include "types.h"
#include "maps.h"
#include "headers.h"
#include "csum.h"

/* What a driver is told. */
struct course {
    __u32 classid;
    __u32 flows;  /* among how many flows the next packet's is chosen */
    __u32 next;   /* which one that is, where they take turns */
    __u32 random; /* 1: any of them, by chance */
    __u32 reply;  /* 1: the client is the destination */
    struct address client;
    struct address far;
    __u16 far_port;
    __u16 pad;
};

BPF_TABLE("array", __u32, struct course, course, 1);
BPF_TABLE("prog", __u32, __u32, tested, 1);

#define FIRST_PORT 1024
#define PORT_BITS 15 /* of a flow's number: its client's port; the rest is its client's address */

/* What any program costs. */
int empty(struct __sk_buff *skb)
{
    return TC_PASS;
}

/* The entries that the calibration finds; bench/packets/world.py writes them. */
inline_always int calibrate_service(void)
{
    struct service_key key = {};

    key.port = bpf_htons(1);
    key.protocol = PROTOCOL_TCP;
    return services.lookup(&key) != 0;
}

inline_always int calibrate_flow(__u16 port)
{
    struct flow_key key = {};

    key.source_port = bpf_htons(port);
    key.destination_port = bpf_htons(1);
    key.protocol = PROTOCOL_TCP;
    return flows.lookup(&key) != 0;
}

/* The same and two hash look-ups that hit, of the sizes of tcnat's own: a front end, and a flow. */
int calibration(struct __sk_buff *skb)
{
    int found = calibrate_service();

    return found + calibrate_flow(1) == 2 ? TC_PASS : TC_DROP;
}

/* The same with two flows. */
int calibration_flows(struct __sk_buff *skb)
{
    int found = calibrate_flow(1);

    return found + calibrate_flow(2) == 2 ? TC_PASS : TC_DROP;
}

inline_always int hand_on(struct __sk_buff *skb, struct course *c)
{
    skb->tc_index = 0;
    skb->tc_classid = c->classid;
    tested.call(skb, 0);
    return TC_DROP;
}

/* Driver: the packet as the last run left it. It is served again where two Services are each other's backend. */
int again(struct __sk_buff *skb)
{
    __u32 zero = 0;
    struct course *c = course.lookup(&zero);

    return c ? hand_on(skb, c) : TC_DROP;
}

inline_always __u32 choose_flow(struct course *c)
{
    __u32 number = c->next;

    if (c->random)
        return (__u64)bpf_get_prandom_u32() * c->flows >> 32;
    c->next = number + 1 < c->flows ? number + 1 : 0;
    return number;
}

/* Driver: a packet of another flow. Its checksums stay as they were, which tcnat does not look at. */
int other(struct __sk_buff *skb)
{
    __u32 zero = 0;
    struct course *c = course.lookup(&zero);
    struct address client;
    struct addresses to;
    __u16 ports[2], port;
    __u32 number;

    if (!c)
        return TC_DROP;
    number = choose_flow(c);
    client = c->client;
    client.word[ADDRESS_WORDS - 1] = bpf_htonl(bpf_ntohl(client.word[ADDRESS_WORDS - 1]) + (number >> PORT_BITS));
    to.source = c->reply ? c->far : client;
    to.destination = c->reply ? client : c->far;
    port = bpf_htons(FIRST_PORT + (number & ((1 << PORT_BITS) - 1)));
    ports[0] = c->reply ? c->far_port : port;
    ports[1] = c->reply ? port : c->far_port;
    if (bpf_skb_store_bytes(skb, ETHERNET_HEADER + ADDRESSES_OFFSET, &to, sizeof(to), 0) < 0 ||
        bpf_skb_store_bytes(skb, ETHERNET_HEADER + sizeof(IP_HEADER), ports, sizeof(ports), 0) < 0)
        return TC_DROP;
    return hand_on(skb, c);
}
