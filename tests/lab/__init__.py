"""A lab of network namespaces, in which real programs speak to each other through veth pairs.

A *host* is a namespace with an address of each family. A *lab* is a set of hosts: a *client*, a *router* and
*backends*, each backend in a network of its own behind the router. The *node* is where tcnat runs: the client
itself (a pod VM, whose ``eth0`` faces the network), or, in a lab with *pods*, a host of its own whose ``pod1``,
``pod2``… face workloads. Backends run *servers* that others wrote (nginx, dnsmasq, iperf3, socat) or the test's
own *echo* servers; *captures* show what passed a device, through tcpdump and tshark. The *objects* file holds the
Services that the *agent* follows.

A cluster's *nodes*, on one switch or with a VXLAN between them, have pods that are joined as *CNI* plugins do it: by
links of their own (ptp), a bridge, or as Calico does. A *cluster* is such nodes with an agent on each.

Everything that a lab makes carries its name, which carries the maker's process id: what a killed process left behind is
known by that and removed by the next (``stale``).
"""

from .addresses import Addresses
from .lab import Host, Lab

__all__ = ["Addresses", "Host", "Lab"]
