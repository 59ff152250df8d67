"""Services for which tcnat and kube-proxy 1.20 are compared: their objects, and what a client is to get.

Where the two differ by design, :attr:`Case.tcnat` tells what tcnat does, and :attr:`Case.rule` by which rule of the
Service semantics; the rest of the table is what both do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.lab.addresses import Addresses
from tests.lab.objects import Port, Service

from .objects import objects_of

PORT, TARGET, OTHER_PORT, OTHER_TARGET = 7, 7007, 8, 7008
"""The backends have an echo server on each target; on the second, they are called ``backend1-b``."""
TCP, UDP = "TCP", "UDP"
PORTS = (Port("tcp", PORT, TARGET, TCP), Port("udp", PORT, TARGET, UDP))
REFUSED, UNREACHABLE, THE_SAME = "ECONNREFUSED", "ENETUNREACH", "always the same"
ALL = frozenset({"backend1", "backend2", "backend3"})
ALL_B = frozenset(f"{name}-b" for name in ALL)
Outcome = frozenset[str]


def only(*outcomes: str) -> Outcome:
    """These and nothing else."""
    return frozenset(outcomes)


@dataclass(frozen=True, slots=True)
class Case:
    """One Service. ``asks``: which port and protocol a client asks, and what it gets.

    ``spec`` goes over the Service's spec, ``labels`` over its labels, ``endpoint`` over each endpoint, ``slice`` over
    each slice's metadata. ``later`` is what the case turns into before anybody asks; ``deleted``: it is deleted then.
    """

    title: str
    asks: Mapping[tuple[int, str], Outcome]
    endpoints: tuple[int, ...] = (1, 2, 3)
    ports: tuple[Port, ...] = PORTS
    spec: Mapping[str, Any] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    endpoint: Mapping[str, Any] = field(default_factory=dict)
    slice: Mapping[str, Any] = field(default_factory=dict)
    twice: bool = False
    """Each slice is there a second time, under another name."""
    sliced: bool = True
    later: Case | None = None
    deleted: bool = False
    affinity: bool = False
    external_ip: bool = False
    """Clients ask the Service's external IP."""
    tcnat: Mapping[tuple[int, str], Outcome] | None = None
    rule: str = ""

    def objects(self, number: int, backends: Mapping[int, Addresses]) -> list[dict[str, Any]]:
        """Its objects as the API server takes them; ``number`` makes its ClusterIPs."""
        service = Service(number, self.ports, tuple(backends[each] for each in self.endpoints))
        (head, *slices) = objects_of(service)
        head["metadata"] = {**head["metadata"], "labels": dict(self.labels)}
        head["spec"] = {key: value for key, value in {**head["spec"], **self.spec}.items() if value is not None}
        if self.external_ip:
            head["spec"]["externalIPs"] = [external(number).v4, external(number).v6]
        for each in slices:
            each["metadata"] = {**each["metadata"], **self.slice}
            each["endpoints"] = [{**endpoint, **self.endpoint} for endpoint in each["endpoints"]]
        if self.twice:
            slices += [{**each, "metadata": {**each["metadata"], "name": _again(each)}} for each in slices]
        return [head, *(slices if self.sliced else [])]


def _again(each: Mapping[str, Any]) -> str:
    return f"{each['metadata']['name']}-again"


def external(number: int) -> Addresses:
    """The external IPs of a case, for which nobody has a route (RFC 5737, RFC 3849)."""
    return Addresses(f"203.0.113.{number}", f"2001:db8::{number:x}")


def both(outcome: Outcome) -> dict[tuple[int, str], Outcome]:
    """The same over TCP and UDP."""
    return {(PORT, TCP): outcome, (PORT, UDP): outcome}


def ready(ready: bool, serving: bool, terminating: bool) -> dict[str, Any]:
    """An endpoint's conditions."""
    return {"conditions": {"ready": ready, "serving": serving, "terminating": terminating}}


_OTHER_PORT = Port("other", OTHER_PORT, OTHER_TARGET)
_AFFINITY = {"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 600}}}
_PROXY_NAME, _HEADLESS = "service.kubernetes.io/service-proxy-name", "service.kubernetes.io/headless"
_EXTERNAL_NAME = {
    "type": "ExternalName",
    "externalName": "elsewhere.test",
    "clusterIP": None,
    "clusterIPs": None,
    "ipFamilies": None,
    "ipFamilyPolicy": None,
}

CASES = (
    Case("three endpoints serve", both(ALL)),
    Case(
        "rule 4: named ports go each to its own target",
        {(PORT, TCP): ALL, (PORT, UDP): ALL, (OTHER_PORT, TCP): ALL_B},
        ports=(*PORTS, _OTHER_PORT),
    ),
    Case(
        "rule 4: the slice's port counts, whatever targetPort says",
        {(PORT, TCP): ALL},
        spec={"ports": [{"name": "tcp", "port": PORT, "targetPort": 9999, "protocol": TCP}]},
    ),
    Case(
        "rule 4: a slice's port of another name is none of the Service's",
        {(PORT, TCP): only(REFUSED)},
        spec={"ports": [{"name": "else", "port": PORT, "targetPort": TARGET, "protocol": TCP}]},
    ),
    Case(
        "rule 8: TCP and UDP on one number are two ports",
        {(PORT, TCP): ALL, (PORT, UDP): ALL_B},
        ports=(Port("tcp", PORT, TARGET, TCP), Port("udp", PORT, OTHER_TARGET, UDP)),
    ),
    Case("rule 24: no endpoints", both(only(REFUSED)), endpoints=()),
    Case("rule 24: no slices", both(only(REFUSED)), sliced=False),
    Case(
        "rule 10: endpoints that are not ready do not serve", both(only(REFUSED)), endpoint=ready(False, False, False)
    ),
    Case("rule 10: unset conditions mean ready", both(ALL), endpoint={"conditions": {}}),
    Case(
        "rule 13: publishNotReadyAddresses alone does nothing",
        both(only(REFUSED)),
        spec={"publishNotReadyAddresses": True},
        endpoint=ready(False, True, False),
    ),
    Case(
        "rule 12: endpoints that terminate and serve are better than none",
        both(only(REFUSED)),
        endpoint=ready(False, True, True),
        tcnat=both(ALL),
        rule="rule 12 (1.20: ready only)",
    ),
    Case(
        "rule 12: endpoints that terminate and do not serve are none",
        both(only(REFUSED)),
        endpoint=ready(False, False, True),
    ),
    Case("rule 11: the same endpoints in two slices count once", both(ALL), twice=True),
    Case("rule 3: a slice that names no Service is nobody's", both(only(REFUSED)), slice={"labels": {}}),
    Case("rule 29: a client keeps its backend", both(only(THE_SAME)), spec=_AFFINITY, affinity=True),
    Case("rule 22: internalTrafficPolicy, which this server drops", both(ALL), spec={"internalTrafficPolicy": "Local"}),
    Case("rule 1: a Service for another proxy", both(only(UNREACHABLE)), labels={_PROXY_NAME: "another"}),
    Case("rule 1: a Service labelled headless", both(only(UNREACHABLE)), labels={_HEADLESS: ""}),
    Case("rule 25: a port that the ClusterIP does not have", {(99, TCP): only(UNREACHABLE)}),
    Case("deleted", both(only(UNREACHABLE)), deleted=True),
    Case(
        "rule 2: turned into an ExternalName",
        both(only(UNREACHABLE)),
        later=Case("", {}, spec=_EXTERNAL_NAME, sliced=False),
    ),
    Case("all endpoints replaced", both(only("backend2")), endpoints=(1,), later=Case("", {}, endpoints=(2,))),
    Case("all endpoints taken away", both(only(REFUSED)), later=Case("", {}, endpoints=())),
    Case("endpoints come to one that had none", both(ALL), endpoints=(), later=Case("", {})),
    Case(
        "affinity is taken away",
        both(ALL),
        spec=_AFFINITY,
        later=Case("", {}, spec={"sessionAffinity": "None", "sessionAffinityConfig": None}),
    ),
    Case(
        "rule 16: external IPs",
        {(PORT, TCP): ALL},
        external_ip=True,
        tcnat={(PORT, TCP): only(UNREACHABLE)},
        rule="rule 16: the tc datapath serves ClusterIPs, and says so of the others",
    ),
)
