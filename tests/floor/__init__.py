"""What the oldest kernel that tcnat runs on would say of the compiled programs, without that kernel.

``instructions`` decodes bytecode. ``walk`` follows what each register can hold before each instruction. ``since`` is
the table of when the kernel got what: instructions, helpers, map types, flags, fields of ``__sk_buff``. ``rules`` holds
a program, and ``map_rules`` a map, against it. ``verifier_budget`` asks the kernel at hand how many steps its verifier
takes.

None of this replaces a verifier: it finds what is known to be refused, so that a mistake is seen at once, and not at
the next trial on an old kernel.
"""
