"""Replaying captures through the real programs.

The nouns: a *capture* is a file that gives *packets* and, between them, *blocks* that are only passed on
(:mod:`capture`, read by :mod:`pcap` and :mod:`pcapng`). A packet's *link type* says how its frame becomes an Ethernet
frame and back (:mod:`link`). A *side* is the program that a packet meets (:mod:`side` finds it). A *runner* runs a
program over a frame (:mod:`runner` by BPF_PROG_TEST_RUN, :mod:`veth` through a pair of devices). What became of a
packet is its *fate* (:mod:`engine`), which a *report* prints (:mod:`report`) and a *comparison* holds against a golden
capture (:mod:`compare`, in words by :mod:`fields`).

Everything streams: no module keeps more than a few packets.
"""
