"""What tcnat is to reach beside the others."""

from __future__ import annotations

from .marks import Mark
from .peers.kubeproxy import IPVS, LEGACY, NFT
from .peers.tcnat import TCNAT_NAME
from .series import NO_PROXY

_FEW, _SOME, _MANY = 10, 5000, 50000
_SHORT, _SHORT_AWAY, _P99 = "http_short_rate", "http_short_away_rate", "http_short_p99"
_SHORT_VM = "vm_http_short_few_rate"
_SAME = 0.03
"""What two numbers of Services may differ by, as a share."""

MARKS = (
    *(Mark(_SHORT, TCNAT_NAME, NO_PROXY, services, at_least=1.0) for services in (_FEW, _SOME, _MANY)),
    *(Mark(_SHORT_AWAY, TCNAT_NAME, NO_PROXY, services, at_least=0.97) for services in (_FEW, _MANY)),
    *(
        Mark(key, TCNAT_NAME, NO_PROXY, _MANY, at_least=1 - _SAME, at_most=1 + _SAME, than=_FEW)
        for key in (_SHORT, _SHORT_AWAY)
    ),
    *(Mark(_P99, TCNAT_NAME, NO_PROXY, services, at_most=1.05) for services in (_FEW, _SOME, _MANY)),
    *(
        Mark(_SHORT, TCNAT_NAME, proxy, services, at_least=least)
        for proxy in (LEGACY, NFT)
        for services, least in ((_FEW, 1.15), (_SOME, 1.6))
    ),
)
"""Requests of one connection each: their rate, and the slowest of a hundred."""

VM_MARKS = tuple(Mark(_SHORT_VM, TCNAT_NAME, IPVS, services, at_least=1.3) for services in (_FEW, _SOME))
"""In the virtual machine, whose kernel has IPVS."""
