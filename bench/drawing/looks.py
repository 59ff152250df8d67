"""How peers look: one colour, one marker and one place in every picture and table, whatever else was measured.

The colours are those of Okabe and Ito, which people with any of the common kinds of colour blindness tell apart; the
markers tell peers apart where there is no colour at all.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..series import NO_PROXY

OURS = "tcnat"
DEVICE, STACK, EMPTY = "tcnat to the device", "tcnat without redirect", "empty tc program"
ONCE = (DEVICE, STACK, EMPTY)
"""Peers that are measured with one number of Services alone, as they only tell what a part of tcnat costs."""


@dataclass(frozen=True, slots=True)
class Look:
    """``line``: a matplotlib line style; ``width`` of the line and ``size`` of the marker are in points."""

    colour: str
    marker: str
    line: str = "-"
    width: float = 1.4
    size: float = 5.5


_LOOKS = {
    NO_PROXY: Look("#5a5a5a", "s", "--"),
    OURS: Look("#0072b2", "o", width=2.6),
    DEVICE: Look("#2a9fd6", "p", "-."),
    STACK: Look("#56b4e9", "o", "-."),
    "nftables maps": Look("#009e73", "D"),
    "kube-proxy IPVS": Look("#cc79a7", "v", size=6.5),
    "kube-proxy iptables-legacy": Look("#d55e00", "^", size=6.5),
    "kube-proxy iptables-nft": Look("#e69f00", "P", size=7.0),
    EMPTY: Look("#b0b0b0", "h", ":"),
}
_OTHERS = (Look("#7a5c00", "X"), Look("#004b73", "*"), Look("#8c3f73", "<"), Look("#00563f", ">"))

KNOWN = tuple(_LOOKS)
"""The peers that the bench knows of, in the order in which they are shown."""


def look(peer: str, everyone: Iterable[str] = ()) -> Look:
    """How ``peer`` looks. Peers that are not known by name share what is left, in the order of ``everyone``."""
    if peer in _LOOKS:
        return _LOOKS[peer]
    strangers = [each for each in in_order(everyone) if each not in _LOOKS]
    return _OTHERS[strangers.index(peer) % len(_OTHERS) if peer in strangers else 0]


def in_order(peers: Iterable[str]) -> list[str]:
    """Each once: those known by name first, as they stand here, then the others by name."""
    return sorted(set(peers), key=lambda peer: (KNOWN.index(peer) if peer in _LOOKS else len(KNOWN), peer))
