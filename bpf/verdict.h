/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * Every reason for what becomes of a packet exists once, here. The counters map is indexed by it; the metric labels,
 * the trace and the command line read this list (tcnat/reasons.py parses it).
 *
 * REASON(number, name, verdict, words)
 *   verdict: rewrite | answer | drop | pass
 * A packet that is no Service's business and in order is not counted at all.
 */
#ifndef TCNAT_VERDICT_H
#define TCNAT_VERDICT_H

/* clang-format off */
#define REASONS(REASON) \
    REASON(0,  FORWARDED,             rewrite, "sent on to a backend") \
    REASON(1,  REVERSED,              rewrite, "a backend's reply, given the front end's address back") \
    REASON(2,  FRAGMENT_FORWARDED,    rewrite, "a later fragment, sent on to the backend of its first") \
    REASON(3,  FRAGMENT_REVERSED,     rewrite, "a later fragment of a reply, given the front end's address back") \
    REASON(4,  ICMP_FORWARDED,        rewrite, "a client's ICMP error about a reply, sent on to the backend") \
    REASON(5,  ICMP_REVERSED,         rewrite, "an ICMP error about a flow, told in the client's terms") \
    REASON(6,  ECHO_ANSWERED,         answer,  "an ICMP echo request to a Service address, answered") \
    REASON(7,  REJECT_NO_ENDPOINT,    answer,  "rejected: the Service has no endpoint") \
    REASON(8,  REJECT_UNKNOWN_PORT,   answer,  "rejected: the Service address has no such port") \
    REASON(9,  NO_ENDPOINT,           drop,    "the Service has no endpoint, and this packet cannot be rejected") \
    REASON(10, NO_LOCAL_ENDPOINT,     drop,    "the Service has no endpoint on this node and its policy is Local") \
    REASON(11, UNKNOWN_PORT,          drop,    "the Service address has no such port") \
    REASON(12, ECHO_DROPPED,          drop,    "an ICMP echo request to a Service address") \
    REASON(13, REJECT_LIMITED,        drop,    "would be rejected, but too many were in this second") \
    REASON(14, FRAGMENT_BEFORE_FIRST, drop,    "a fragment that came before the first of its datagram") \
    REASON(15, FRAGMENT_FLOW_LOST,    drop,    "a fragment whose flow is no longer known") \
    REASON(16, NO_SOURCE_PORT,        drop,    "two flows would share a reply tuple and no other source port was free") \
    REASON(17, FLOW_TABLE_FULL,       drop,    "a new flow that the flow table did not take") \
    REASON(18, SCTP_PORT,             drop,    "SCTP whose port would have to change (its CRC32c cannot be mended)") \
    REASON(19, BACKEND_MISSING,       drop,    "the chosen slot names no backend") \
    REASON(20, REWRITE_FAILED,        drop,    "the kernel refused to change the packet") \
    REASON(21, MALFORMED_IP,          pass,    "an IP header that contradicts itself or the frame") \
    REASON(22, MALFORMED_TRANSPORT,   pass,    "a TCP, UDP, SCTP or ICMP header that is cut off or contradicts itself") \
    REASON(23, EXTENSION_HEADERS,     pass,    "more IPv6 extension headers than are walked, or a routing header in use") \
    REASON(24, ICMP_UNKNOWN_FLOW,     pass,    "an ICMP error about a flow that is not known") \
    REASON(25, UNTOUCHED,             pass,    "no front end or flow takes it (only in a trace; not counted)")
/* clang-format on */

#define REASON_NUMBER(number, name, verdict, words) REASON_##name = number,
enum reason { REASONS(REASON_NUMBER) };

#endif
