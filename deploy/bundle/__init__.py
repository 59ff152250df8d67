"""``make bundle``: a directory that runs tcnat where there is no Python, no compiler and no bcc.

It holds the C library with its loader, the Python interpreter, those modules that tcnat reaches (compiled), and the
bytecode of the packet programs; ``tcnat`` in it is a small static program that starts the interpreter. Nothing in it
knows where it lies, and it writes nothing into itself.
"""
