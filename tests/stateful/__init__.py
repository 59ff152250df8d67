"""The reference model and the real programs, driven by the same random traffic and held against each other.

*Frames* are made cheaply, byte by byte. *Traffic* turns what hypothesis draws into frames and events. The *twin* gives
each event to both sides and compares. A *script* is the list of events of one run; what fails is cut down to the events
that matter and written as a capture, which ``python -m tests.stateful.replay FILE`` runs again.
"""
