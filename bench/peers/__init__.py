"""What tcnat is compared with, each started for real on a node of its own.

A *place* is a node that forwards between a client's pod and three backends' pods; beside all places there is one more
node, with three backends that are *away* (``lab``). The *services* are the same for all: one of each place's own, one
of the backends away, and made-up ones up to the number that is wanted. A *peer* is a way to make them serve; one at
work is a *stand* (``stand``). What makes its Services serve is its *proxy*.
"""
