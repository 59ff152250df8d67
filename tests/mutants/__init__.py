"""The C, broken on purpose: every mutant must be caught by the packet tests or by the random traffic.

``python -m tests.mutants`` breaks, rebuilds and runs each in a copy of the checkout; it ends with 1 if one survives. A
mutant is a piece of C and what it becomes, with a sentence that says what is wrong with that.
"""
