/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * The structs of the maps; tcnat/layout.py describes the same bytes, and a test compares the two. Ports and addresses
 * are in network order. Every struct that is a key or a value has its padding spelled out: old verifiers refuse holes.
 */
#ifndef TCNAT_TYPES_H
#define TCNAT_TYPES_H

#if FAMILY == 4
#define ADDRESS_WORDS 1
#elif FAMILY == 6
#define ADDRESS_WORDS 4
#else
#error "FAMILY is 4 or 6"
#endif

#define inline_always static inline __attribute__((always_inline))

/*
 * Before 5.12 the kernel's JIT compiles for x86 again and again until no jump changes its length, and gives up after 20
 * times. A block of some 124 bytes that ends with a jump to its own beginning, and is jumped over, goes to and fro for
 * ever: what is unlikely stands out of the way, at the program's end.
 */
#define unlikely(condition) __builtin_expect(!!(condition), 0)

/*
 * Keep a map value's pointer as it came from the look-up. Without, the compiler may carry a pointer to one of its
 * fields across a branch, and verifiers before 4.14 forget what such a pointer is when it is spilled.
 */
#define keep_pointer(pointer) asm volatile("" : "+r"(pointer))

struct address {
    __u32 word[ADDRESS_WORDS];
};

struct service_key {
    struct address address;
    __u16 port;
    __u8 protocol; /* with port and protocol 0 it names the address itself */
    __u8 pad;
};

/* Flags of struct service. */
#define SERVICE_FRONT_END 1u
#define SERVICE_DIRECT 2u          /* a backend's own address and port */
#define SERVICE_ADDRESS 4u         /* port 0: an address that some front end has */
#define SERVICE_BACKEND_ADDRESS 8u /* port 0: an address that some backend has */
#define SERVICE_REJECT 16u         /* no endpoint */
#define SERVICE_DROP 32u           /* no endpoint on this node under a Local policy */
#define SERVICE_DRAINING 64u       /* gone: what is open goes on, nothing new starts */

struct service {
    __u32 base;     /* first slot */
    __u32 count;    /* slots */
    __u32 service;  /* index into service_counters; 0: none */
    __u32 affinity; /* seconds; 0: none */
    __u32 flags;
};

struct backend {
    struct address address;
    __u16 port;
    __u16 pad;
    __u32 generation;
};

enum direction {
    FORWARD = 0,
    REPLY = 1,
};

struct flow_key {
    struct address source;
    struct address destination;
    __u16 source_port;
    __u16 destination_port;
    __u8 protocol;
    __u8 direction;
    __u16 pad;
};

/* Each is an index of the map `timeouts`. */
enum flow_state {
    UNANSWERED = 0,
    ANSWERED = 1,
    OPENING = 2,
    OPENING_ANSWERED = 3,
    PICKED_UP = 4,
    OPEN = 5,
    CLIENT_CLOSED = 6,
    BACKEND_CLOSED = 7,
    CLOSING = 8,
    CLOSED = 9,
};
#define SCTP_ANSWERED 10 /* a time-out of its own, not a state */

/* Flags of struct flow. */
#define FLOW_SOURCE 1u       /* both ends change, not only the far one */
#define FLOW_HAIRPIN 2u      /* the backend is on the client's side of the device: its packets turn back there */
#define FLOW_ACK_SEEN 4u     /* `ack` is valid */
#define FLOW_DIRECT 8u       /* straight to a backend */
#define FLOW_AT_NETWORK 16u  /* it has another source, from a device that faces the network: workloads' let it pass */
#define FLOW_AT_WORKLOAD 32u /* made at a workload's device, which replies are left to */
#define FLOW_LASTS 64u       /* it was seen in another second than its first */

/* One half of a conversation: what its packets are turned into. */
struct flow {
    struct address to_source;
    struct address to_destination;
    __u16 to_source_port;
    __u16 to_destination_port;
    __u32 backend;
    __u32 generation;
    __u32 service;
    __u32 seen; /* seconds */
    __u32
        ack; /* the last acknowledgement number that this half's sender sent; while OPENING_ANSWERED, the one awaited */
    __u32 timeout; /* seconds, the state's */
    __u32 device;  /* by which this half's packets come if they may be handed on; 0: none */
    __u8 state;
    __u8 flags;
    __u16 pad;
};

struct affinity_key {
    struct address client;
    __u32 service;
};

struct affinity {
    __u32 backend;
    __u32 generation;
    __u32 seen; /* seconds */
};

struct fragment_key {
    struct address source;
    struct address destination;
    __u32 id;
    __u8 protocol;
    __u8 direction;
    __u16 pad;
};

struct fragment {
    __u16 source_port;
    __u16 destination_port;
    __u32 seen;  /* seconds */
    __u32 known; /* the protocol of the flow it belongs to; 0: not ours, let it pass */
};

/* Whose source address a device that faces the network translates (rule 26). */
enum masquerade {
    MASQUERADE_NONE = 0,
    MASQUERADE_OUTSIDE = 1, /* sources outside of the pods' network */
    MASQUERADE_ALL = 2,
};

/* The network of the cluster's pods. */
struct pods {
    struct address network;
    struct address mask; /* 0 where the network is not known, and then nothing is outside of it */
    __u32 masquerade;
    __u32 overlay; /* 1: the way to pods is another than that to the front ends' addresses */
};

/* How a workload on this node is reached: the device, and both MAC addresses of a frame to it. */
struct neighbour {
    __u32 device;
    __u8 to[6];
    __u8 from[6];
    __u32 way;
};

/* Flags of its `way`. */
#define WAY_PAST_DEVICE 1u /* nothing at the device's way out is to see the packet */

struct counter {
    __u64 packets;
    __u64 bytes;
};

struct service_counter {
    __u64 forward_packets;
    __u64 forward_bytes;
    __u64 reply_packets;
    __u64 reply_bytes;
    __u64 flows;
};

enum choice {
    CHOICE_PASS = 0,
    CHOICE_DROP = 1,
    CHOICE_REJECT = 2,
    CHOICE_ANSWER = 3,
};

struct settings {
    __u64 now; /* nanoseconds; 0: the kernel's monotonic clock */
    __u32 fragment_timeout;
    __u32 opening_timeout; /* the longest of a flow that is not answered */
    __u32 unknown_port;
    __u32 echo;
    __u32 rejects_per_second;
    __u32 trace;
};

struct limiter {
    __u64 refilled; /* nanoseconds */
    __u64 tokens;   /* nanoseconds of credit */
};

/* What a trace asks for; 0 is any. */
struct trace {
    struct address address; /* on either side, before or after the rewrite */
    __u16 port;
    __u8 protocol;
    __u8 pad;
    __u32 service;
    __u32 device;
    __u32 bytes;             /* of each packet, at most */
    __u32 events_per_second; /* of each CPU */
};

#define EVENT_ARRIVED 0
#define EVENT_DECIDED 1

/* What the events ring carries, before the packet's bytes. */
struct event {
    __u64 time; /* nanoseconds, the kernel's monotonic clock */
    __u32 kind;
    __u32 reason; /* of EVENT_DECIDED */
    __s32 verdict;
    __u32 device;
    __u32 length; /* of the frame */
    __u32 bytes;  /* that follow */
    __u8 family;
    __u8 direction;
    __u8 link; /* LINK_* */
    __u8 pad[5];
};

#define DIRECT_BACKEND 0xffffffffu

/* What a filter's classid tells of its device. */
#define LINK_WORKLOAD 1u
#define LINK_NO_HEADER 2u
#define LINK_MASK 3u

/* Marks of a trace, in the same place: the packet has been looked at; the trace takes it. */
#define TRACE_LOOKED_AT 4u
#define TRACE_TAKEN 8u

#endif
