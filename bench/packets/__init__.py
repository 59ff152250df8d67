"""What one packet costs: time, instructions, look-ups, and what the size of the flow table does to them.

A *kind* is a sort of packet (a segment of an open flow, a new flow, what is no Service's…) at a device of a *role*. A
*driver* hands a program its packets again and again. The *calibration* is the empty program and two hash look-ups, by
which tcnat's own cost is judged on every machine alike.
"""
