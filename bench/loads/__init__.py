"""What is done to a stand (:mod:`bench.peers`), and what is measured meanwhile.

A *load* makes one *run* from the stand's client, of some seconds, and gives the run's *outcome*: a value for each of
the load's measures, and CPU time of the whole machine for one unit of the work done. What answers it stands on the
backends (``servers``).
"""

from __future__ import annotations

from .bulk import BULK_EIGHT, BULK_ONE
from .datagrams import DATAGRAMS
from .dns import DNS_QUERIES
from .first import FIRST_CONNECT, FIRST_DATAGRAM
from .http import HTTP_KEPT, HTTP_SHORT, HTTP_SHORT_AWAY
from .load import Load, LoadFailed, Outcome

LOADS = (
    HTTP_SHORT,
    HTTP_SHORT_AWAY,
    HTTP_KEPT,
    FIRST_CONNECT,
    FIRST_DATAGRAM,
    DNS_QUERIES,
    DATAGRAMS,
    BULK_ONE,
    BULK_EIGHT,
)
"""All of them."""

__all__ = ["LOADS", "Load", "LoadFailed", "Outcome"]
