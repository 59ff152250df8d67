"""tcnat and the real kube-proxy 1.20, on two nodes of one cluster: what do their clients get?"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from tcnat.layout import Family
from tests.lab.addresses import Addresses, service_addresses
from tests.lab.clients import Tcp, Udp
from tests.lab.commands import wait_until
from tests.lab.echo import Echo
from tests.lab.lab import Host

from .answers import tcp_answers, udp_answers
from .cases import CASES, OTHER_TARGET, PORT, THE_SAME, UDP, Case, Outcome, external
from .conftest import Cluster
from .kubeproxy import NODE, KubeProxy
from .objects import node

pytestmark = [pytest.mark.cluster, pytest.mark.root]

FIRST_NUMBER = 10
"""Of the Services' ClusterIPs; the API server has the first for itself."""
SENTINELS = (200, 201)
CHANGING = 202
FAMILIES = pytest.mark.parametrize("family", list(Family), ids=["IPv4", "IPv6"])
NO_RATE_LIMIT = {"ipv4/icmp_ratelimit": 0, "ipv6/icmp/ratelimit": 0}
"""Each packet to where nobody is gets its ICMP error: clients then need not wait."""


@dataclass(slots=True)
class TwoNodes:
    """A pod on the node that tcnat serves, and one on kube-proxy's."""

    cluster: Cluster
    tcnat: Host
    kube_proxy: Host

    @property
    def pods(self) -> tuple[Host, Host]:
        """Both."""
        return self.tcnat, self.kube_proxy

    def backends(self) -> dict[int, Addresses]:
        """The lab's backends by number."""
        return {number: each.addresses for number, each in enumerate(self.cluster.lab.backends, 1)}

    def apply(self, cases: dict[int, Case]) -> None:
        """Create or change the Services of these numbers."""
        objects = [each for number, case in cases.items() for each in case.objects(number, self.backends())]
        self.cluster.server.apply(*objects)

    def delete(self, number: int) -> None:
        """Delete a Service and its slices."""
        self.cluster.server.kubectl("delete", f"service/service-{number}")
        label = f"kubernetes.io/service-name=service-{number}"
        self.cluster.server.kubectl("delete", "endpointslices", f"--selector={label}")

    def until_in_force(self, sentinel: int) -> None:
        """Make a Service, and wait until both serve it: then they have all that was there before it."""
        self.apply({sentinel: Case("sentinel", {})})
        to = service_addresses(sentinel)
        for pod in self.pods:
            for family in Family:
                for answers in (tcp_answers, udp_answers):
                    wait_until(
                        lambda pod=pod, family=family, answers=answers: len(set(answers(pod, to, family, PORT))) == 3,
                        f"the sentinel to be served at {pod.role}",
                        60,
                    )


@pytest.fixture(scope="module")
def nodes(cluster: Cluster) -> Iterator[TwoNodes]:
    """Both nodes, with all cases in force."""
    lab = cluster.lab
    with ExitStack() as stack:
        for backend in lab.backends:
            stack.enter_context(Echo(backend, f"{backend.role}-b", OTHER_TARGET))
        proxied, pod = lab.add_node("proxied")
        for host in (lab.router, lab.node, proxied):
            host.sysctl(NO_RATE_LIMIT)
        cluster.server.apply(node(NODE))
        made = TwoNodes(cluster, lab.client, pod)
        numbered = dict(enumerate(CASES, FIRST_NUMBER))
        made.apply(numbered)
        proxy = KubeProxy(lab, proxied, cluster.server, cluster.binaries)
        stack.callback(proxy.program.stop)
        agent = cluster.agent()
        agent.start()
        stack.callback(agent.tcnat, "cleanup")
        stack.callback(agent.stop)
        made.until_in_force(SENTINELS[0])
        for number in (number for number, case in numbered.items() if case.deleted):
            made.delete(number)
        made.apply({number: case.later for number, case in numbered.items() if case.later})
        made.until_in_force(SENTINELS[1])
        yield made
        cluster.server.kubectl("delete", "services,endpointslices", "--selector=!component")


def outcome(case: Case, pod: Host, to: Addresses, family: Family, port: int, protocol: str) -> Outcome:
    """What a client in that pod gets."""
    answers = (udp_answers if protocol == UDP else tcp_answers)(pod, to, family, port)
    found = frozenset(answers)
    if case.affinity and len(found) == 1 and answers[0].startswith("backend"):
        return frozenset({THE_SAME})
    return found


@FAMILIES
@pytest.mark.parametrize(("number", "case"), list(enumerate(CASES, FIRST_NUMBER)), ids=[case.title for case in CASES])
def test_clients_get_the_same_or_what_a_rule_says(nodes: TwoNodes, number: int, case: Case, family: Family) -> None:
    to = external(number) if case.external_ip else service_addresses(number)
    by_kube_proxy = {ask: outcome(case, nodes.kube_proxy, to, family, *ask) for ask in case.asks}
    by_tcnat = {ask: outcome(case, nodes.tcnat, to, family, *ask) for ask in case.asks}
    assert by_kube_proxy == case.asks
    assert by_tcnat == (case.tcnat or case.asks), case.rule


def test_every_difference_names_its_rule() -> None:
    for case in CASES:
        assert bool(case.rule) == (case.tcnat is not None and case.tcnat != case.asks), case.title


@FAMILIES
def test_rules_30_and_31_open_connections_stay_and_datagrams_move(nodes: TwoNodes, family: Family) -> None:
    number = CHANGING + int(family)
    to = service_addresses(number)
    nodes.apply({number: Case("", {}, endpoints=(1,))})
    with ExitStack() as stack:
        clients = []
        for pod in nodes.pods:
            wait_until(lambda pod=pod: set(tcp_answers(pod, to, family, PORT)) == {"backend1"}, "backend1", 30)
            wait_until(lambda pod=pod: set(udp_answers(pod, to, family, PORT)) == {"backend1"}, "backend1", 30)
            tcp = stack.enter_context(Tcp(pod, to, family, PORT))
            udp = stack.enter_context(Udp(pod, to, family, PORT))
            assert (tcp.server, udp.ask(b"question" * 4)) == ("backend1", "backend1")
            clients.append((pod, tcp, udp))
        nodes.apply({number: Case("", {}, endpoints=(2,))})
        for pod, tcp, udp in clients:
            wait_until(lambda pod=pod: set(tcp_answers(pod, to, family, PORT)) == {"backend2"}, "backend2", 30)
            assert tcp.echo(b"still there?") == b"still there?", f"{pod.role}: the connection that was open"
            wait_until(lambda udp=udp: udp.ask(b"question" * 4) == "backend2", f"{pod.role}: datagrams to move", 30)
    nodes.delete(number)
