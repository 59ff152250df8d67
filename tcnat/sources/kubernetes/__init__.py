"""Objects from a Kubernetes API server: listed once, then watched.

``api`` speaks HTTP with the official client's configuration and authentication, ``wireformat`` reads lists and watch
events, ``discovery`` chooses which kind of endpoint objects the server has, ``reflector`` keeps one kind in step, and
``source`` puts them together for the agent.
"""
