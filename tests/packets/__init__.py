"""Single packets through the real programs and real maps.

A *row* is a sentence and the steps that show it: packets that go in, with the verdict, the packet and the counter that
must come out, and what changes between them. Packets are built by scapy from nothing, checksums and all. The *harness*
holds one family's programs, a *runner* brings a frame to a program and back, the *world* says which Services there are.
"""
