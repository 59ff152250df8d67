"""``make demo``: Services at work in a lab, with real servers and clients.

A *scene* is the lab with what runs in it; each module shows one thing of it on the *paper*, which remembers what
was not as it must be.
"""
