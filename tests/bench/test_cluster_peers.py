"""The peers that follow an API server: what it holds, and that they serve that."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from bench.peers.kubeproxy import LEGACY, NFT
from bench.peers.lineup import LineUp
from bench.peers.services import FEWEST, NAMESPACE, WEB
from bench.peers.stand import Stand
from bench.peers.tcnat import TCNAT_NAME
from tcnat.layout import Family
from tests.lab.addresses import Addresses
from tests.lab.commands import wait_until
from tests.lab.load import web_requests

pytestmark = [pytest.mark.root, pytest.mark.cluster]

MANY = 300
SVC_CHAIN, PORTS_OF_REAL_SERVICES = ":KUBE-SVC-", 6


@pytest.fixture(scope="module")
def line_up() -> Iterator[LineUp]:
    with LineUp(cluster=True, only=(LEGACY, NFT, TCNAT_NAME)) as made:
        yield made


def answers(stand: Stand, *, away: bool = False) -> set[str]:
    to = stand.target(WEB, away=away)
    return set(web_requests(stand.client, Addresses(to.address, ""), Family.IPV4, to.port, 60))


@pytest.mark.parametrize("services", [FEWEST, MANY])
def test_the_server_holds_as_many_as_it_is_told(line_up: LineUp, services: int) -> None:
    line_up.resize(services)
    for kind, least in (("services", services), ("endpointslices", services)):
        held = json.loads(line_up.api.server.kubectl("get", kind, "--namespace", NAMESPACE, "--output=json"))["items"]
        names = {
            each["metadata"].get("labels", {}).get("kubernetes.io/service-name") or each["metadata"]["name"]
            for each in held
        }
        assert len(names) == least, kind


def test_all_of_them_serve_and_follow_their_own_service(line_up: LineUp) -> None:
    with line_up.at_work(MANY) as work:
        assert not work.too_slow
        for stand in work.stands:
            roles = [pod.role for pod in stand.backends]
            assert answers(stand) == set(roles), stand.name
            assert answers(stand, away=True) == {pod.role for pod in line_up.lab.away}, stand.name
            stand.proxy.serve(stand.backends[:1])
            wait_until(lambda s=stand, one=set(roles[:1]): answers(s) == one, f"{stand.name} to follow", timeout=30)


def test_a_proxy_has_all_its_rules_when_it_stands(line_up: LineUp) -> None:
    line_up.resize(MANY)
    peer = next(each for each in line_up.peers if each.name == LEGACY)
    with peer.standing(line_up.lab, MANY) as stand:
        rules = stand.node.run("iptables-legacy-save", "-t", "nat")
    real = 1 + len(line_up.lab.places)
    assert rules.count(SVC_CHAIN) == MANY - real + real * PORTS_OF_REAL_SERVICES
    assert SVC_CHAIN not in stand.node.run("iptables-legacy-save", "-t", "nat")
