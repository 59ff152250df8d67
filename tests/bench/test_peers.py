"""The peers that need no cluster, at work: they serve, spread, follow their Services, and leave nothing behind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bench.peers.following import change_latency, rolling_restarts
from bench.peers.lineup import BY_STACK, LineUp
from bench.peers.nftables import NFTABLES
from bench.peers.services import DNS, IPERF, WEB
from bench.peers.stand import Peer, Stand, TooSlow
from bench.peers.straight import EMPTY_PROGRAM
from bench.peers.tcnat import TCNAT_NAME, TO_DEVICE
from bench.series import NO_PROXY
from tcnat.layout import Family
from tests.lab.addresses import Addresses
from tests.lab.clients import Tcp
from tests.lab.echo import Echo
from tests.lab.load import dns_requests, web_requests
from tests.lab.servers import IPERF_PORT, start_dns

SERVICES, ASKED = 12, 60
UNLOADED = (NO_PROXY, EMPTY_PROGRAM)
LOADED = (TCNAT_NAME, TO_DEVICE, BY_STACK, NFTABLES)
NAMES = (*UNLOADED, *LOADED)

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def line_up() -> Iterator[LineUp]:
    """All of them."""
    with LineUp(cluster=False) as made:
        yield made


def peer(line_up: LineUp, name: str) -> Peer:
    return next(each for each in line_up.peers if each.name == name)


def answers(stand: Stand, *, away: bool = False) -> set[str]:
    """Who answers a client's web requests."""
    to = stand.target(WEB, away=away)
    return set(web_requests(stand.client, Addresses(to.address, ""), Family.IPV4, to.port, ASKED))


def test_every_peer_is_in_the_line_up(line_up: LineUp) -> None:
    assert {each.name for each in line_up.peers} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_peer_serves_spreads_follows_and_leaves_nothing(line_up: LineUp, name: str) -> None:
    with peer(line_up, name).standing(line_up.lab, SERVICES) as stand:
        roles = [pod.role for pod in stand.backends]
        assert answers(stand) == set(roles)
        assert answers(stand, away=True) == {pod.role for pod in line_up.lab.away}
        stand.proxy.serve(stand.backends[1:])
        wait_for(stand, set(roles[1:]))
        stand.proxy.serve(stand.backends)
        wait_for(stand, set(roles))
    assert stand.node.run("nft", "list", "ruleset") == ""
    assert "clsact" not in stand.node.run("tc", "qdisc", "show")


def test_all_serve_side_by_side(line_up: LineUp) -> None:
    with line_up.at_work(SERVICES) as work:
        assert not work.too_slow
        for stand in work.stands:
            assert len(answers(stand)) == len(stand.backends), stand.name
            assert (stand.proxy.loading is None) == (stand.name in UNLOADED)
            meets_one_iperf(stand)
            asks_every_dns(stand)


def meets_one_iperf(stand: Stand) -> None:
    """All connections to iperf3's port reach the first backend."""
    to, first = stand.target(IPERF), stand.backends[0]
    with Echo(first, first.role, IPERF_PORT):
        for _ in range(6):
            with Tcp(stand.client, Addresses(to.address, ""), Family.IPV4, to.port) as connection:
                assert connection.server == first.role, stand.name


def asks_every_dns(stand: Stand) -> None:
    """Datagrams are answered by every backend."""
    servers = [start_dns(stand.lab, pod) for pod in stand.backends]
    to = stand.target(DNS)
    counted = dns_requests(stand.client, Addresses(to.address, ""), Family.IPV4, to.port, ASKED)
    for server in servers:
        server.stop()
    assert set(counted) == {pod.role for pod in stand.backends}, stand.name


def test_rules_serve_a_backend_that_asks_its_own_service(line_up: LineUp) -> None:
    with peer(line_up, NFTABLES).standing(line_up.lab, SERVICES) as stand:
        to, asking = stand.target(WEB), stand.backends[0]
        counted = web_requests(asking, Addresses(to.address, ""), Family.IPV4, to.port, ASKED)
        assert set(counted) == {pod.role for pod in stand.backends}


def test_rules_refuse_where_nobody_serves(line_up: LineUp) -> None:
    with peer(line_up, NFTABLES).standing(line_up.lab, SERVICES) as stand:
        stand.proxy.serve([])
        to = stand.target(WEB)
        with pytest.raises(ConnectionRefusedError):
            Tcp(stand.client, Addresses(to.address, ""), Family.IPV4, to.port)


def test_who_takes_too_long_is_not_at_work(line_up: LineUp) -> None:
    slow = peer(line_up, NFTABLES)
    with pytest.raises(TooSlow, match="nftables maps: 12 Services"), slow.standing(line_up.lab, SERVICES, 0.0):
        pass
    with line_up.at_work(SERVICES, 0.0) as work:
        assert {each.name for each in work.stands} == set(UNLOADED)
        assert {each.peer for each in work.too_slow} == set(LOADED)


def wait_for(stand: Stand, roles: set[str]) -> None:
    """Nothing but these backends answers, soon."""
    for _ in range(20):
        if answers(stand) == roles:
            return
    assert answers(stand) == roles


def test_a_change_is_followed_and_restarts_lose_nothing_without_a_proxy(line_up: LineUp) -> None:
    with peer(line_up, NO_PROXY).standing(line_up.lab, SERVICES) as stand:
        assert len(change_latency(stand, 1).taken) == 1
        asked, failed = rolling_restarts(stand, 0.1)
        assert asked > failed == 0
