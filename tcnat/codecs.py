"""pyroute2's message classes for what tcnat asks of rtnetlink, without the rest of pyroute2. Its only importer.

Whatever one imports of pyroute2, its package first imports every protocol that it knows, a database and asyncio: 20 MB
of resident memory and 0.2 s, much for an agent that is to be a small guest. The few modules that are needed here do not
depend on that, so they are imported from the package without running its ``__init__``.
"""

from __future__ import annotations

from typing import Any

from tcnat.lean import without_running

__all__ = ["RouteMarshal", "codes", "ifaddrmsg", "ifinfmsg", "neighbours_and_rules", "rtmsg", "rtnl", "tcmsg"]


with without_running("pyroute2"):
    from pyroute2 import netlink as codes
    from pyroute2.netlink import rtnl
    from pyroute2.netlink.marshal import Marshal
    from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
    from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
    from pyroute2.netlink.rtnl.rtmsg import rtmsg
    from pyroute2.netlink.rtnl.tcmsg import tcmsg


class RouteMarshal(Marshal):  # type: ignore[misc]  # pyroute2 has no types
    """Takes what the kernel sent apart into messages."""

    msg_map = {  # noqa: RUF012
        rtnl.RTM_NEWADDR: ifaddrmsg,
        rtnl.RTM_NEWLINK: ifinfmsg,
        rtnl.RTM_DELLINK: ifinfmsg,
        rtnl.RTM_NEWROUTE: rtmsg,
        rtnl.RTM_DELROUTE: rtmsg,
        rtnl.RTM_NEWQDISC: tcmsg,
        rtnl.RTM_DELQDISC: tcmsg,
        rtnl.RTM_NEWTFILTER: tcmsg,
        rtnl.RTM_DELTFILTER: tcmsg,
    }


def neighbours_and_rules() -> tuple[type[RouteMarshal], Any, Any]:
    """What whoever serves no workloads does without: a marshal that knows neighbours and routing rules, too, and their
    message classes, ndmsg and fibmsg."""
    with without_running("pyroute2"):
        from pyroute2.netlink.rtnl.fibmsg import fibmsg  # noqa: PLC0415
        from pyroute2.netlink.rtnl.ndmsg import ndmsg  # noqa: PLC0415

    class RoutingMarshal(RouteMarshal):
        msg_map = RouteMarshal.msg_map | {rtnl.RTM_NEWNEIGH: ndmsg, rtnl.RTM_NEWRULE: fibmsg}

    return RoutingMarshal, ndmsg, fibmsg
