"""Which branches of the C the tests take.

The C is copied with a mark in both ways of every ``if``; the marks are counted in a map of their own while the packet
tests and the random traffic run. ``python -m tests.coverage`` tells which ways nobody took, and of each why that is so:
``known`` lists them, and the tests hold that list against what was seen. Ways through ``?:``, ``&&`` and ``||`` are not
told apart.
"""
