"""tcnat: Kubernetes Services through two tc eBPF programs.

The nouns used throughout:

Service     what Kubernetes calls so; one of its ports is a *service port*.
Front end   an address, port and protocol that clients send to (a ClusterIP and its port, for instance).
Backend     an address and port that serves: one port of one endpoint of a service port.
Flow        one conversation of one client with one front end, kept as two halves: *forward* (client to backend) and
            *reply* (backend to client).
Device      a network device that *faces the network* (eth0) or *faces a workload* (the host's end of a pod's veth).

Data moves one way: source -> translate -> model -> plan -> maps. ``model``, ``translate``, ``plan``, ``layout`` and
``maglev`` are pure: they touch neither kernel nor network and own no clock.
"""

__version__ = "0.1.0"
