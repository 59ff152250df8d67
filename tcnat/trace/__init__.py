"""Live decisions from the kernel: what the programs write into the events ring while somebody traces.

``ring`` reads perf buffers, ``record`` puts bytes into words, ``session`` turns tracing on and off in the maps.
"""
