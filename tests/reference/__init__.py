"""tcnat's datapath written a second time, in plain Python on scapy packets: the executable specification.

It follows ``docs/datapath.md`` and shares nothing with the C in ``bpf/`` nor with the package ``tcnat``, so that the
two can be held against each other. Its nouns: *tables* (what the maps hold), a *packet* as read, a *flow* with its two
halves, an *outcome* (verdict, frame, reason). Addresses are text as scapy writes them. The tables never evict: drive
the programs with fewer flows than their maps have entries.
"""
